"""BreakerTransitions is exact: as many as the history has rows, and as the verdicts had moves.

Small fleets on a bad day, each told by its seed: the service fails, hangs and comes back, and
of the calls to the breakers' table requests and answers are lost. Members race for every move.

What can be told by nobody is a move whose answer was lost, and the look after it too, and that
another move overtook before anybody looked again: neither counted nor noted, one in thousands.

    python -m tests.sim.test_transitions 1000     plays so many, and says what came of them
"""

import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import pytest

from worker.core.events import BreakerContested, BreakerMoved, Event
from worker.core.measures import Names, measure
from worker.core.policy import BreakerPolicy
from worker.core.series import Metrics
from worker.core.verdict import Verdict, transition
from worker.sim.clock import in_virtual_time
from worker.sim.fleet import NAME, Fleet, Setting
from worker.sim.service import Phase
from worker.sim.wire import Call, Mishap

ENDPOINT = "endpoint:default"
NAMES = Names(breakers=frozenset({NAME, ENDPOINT}))
POLICY = BreakerPolicy(min_calls=5, cooldown_s=3.0, cooldown_max_s=6.0)
SEEDS = 60
EVEN = 0.5


@dataclass
class Day:
    """One fleet, and what came of it."""

    seed: int
    metrics: Metrics = field(default_factory=Metrics)
    befell: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    fleet: Fleet = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - a seed is to be replayed
        self.rate = self.dice.choice([0.0, 0.05, 0.2])
        phases = (
            Phase(lasts_s=5.0),
            Phase(lasts_s=self.dice.choice([8.0, 20.0]), errors=self.dice.choice([0.7, 1.0])),
            Phase(lasts_s=10.0, hangs=self.dice.choice([0.0, 0.5])),
            Phase(lasts_s=10.0, errors=self.dice.choice([0.0, 1.0])),
        )
        setting = Setting(
            workers=self.dice.choice([2, 4, 8]),
            phases=phases,
            lasts_s=90.0,
            per_s=2.0,
            latency_s=0.5,
            attempt_s=5.0,
            policy=POLICY,
            seed=self.seed,
            plan=self.plan,
        )
        self.fleet = Fleet(setting, told=self.tell)
        self.fleet.store.watch = self.watch

    def plan(self, call: Call) -> Mishap | None:
        # What is noted last is what is counted by: a lost note is told as such, and tried once.
        if call.operation == "note" or self.dice.random() >= self.rate:
            return None
        when: Literal["before", "after"] = "before" if self.dice.random() < EVEN else "after"
        self.befell[f"lost {when}"] += 1
        return Mishap(when=when)

    def watch(self, old: Verdict, new: Verdict) -> None:
        """What was written, whoever heard of it."""
        if transition(old, new, 0.0) is not None:
            self.written[new.name] += 1

    def tell(self, event: Event, /) -> None:
        self.befell["conflicts"] += isinstance(event, BreakerContested)
        self.befell["moves"] += isinstance(event, BreakerMoved) and event.scope == "fleet"
        for one in measure(event, NAMES):
            self.metrics.add(one)

    def counted(self) -> dict[str, float]:
        """The Sum of BreakerTransitions, by breaker."""
        return {
            one.labels[0]: one.values[0]
            for one in self.metrics.take()
            if one.metric.name == "BreakerTransitions"
        }

    def noted(self) -> dict[str, float]:
        """How many rows the history has, by breaker."""
        return {name: len(rows) for name, rows in self.fleet.store.rows.items()}


def lived(seed: int) -> Day:
    day = Day(seed)
    in_virtual_time(day.fleet.run())
    return day


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_the_sum_of_transitions_is_the_number_of_rows_in_the_history(first: int) -> None:
    befell: Counter[str] = Counter()
    for seed in range(first, first + 10):
        day = lived(seed)

        assert day.counted() == day.noted() == day.written, f"seed {seed}"
        befell += day.befell

    assert befell["conflicts"] > 10, "they did race"
    assert befell["moves"] > 10
    assert befell["lost after"] > 10


if __name__ == "__main__":
    so_far: Counter[str] = Counter()
    wrong, short = [], []
    for seed in range(int(sys.argv[1])):
        day = lived(seed)
        so_far += day.befell
        if day.counted() != (noted := day.noted()):
            wrong.append(seed)
        if noted != day.written:
            short.append(seed)
    sys.stdout.write(f"{dict(so_far)}, not as noted: {wrong}, short of a move: {short}\n")
