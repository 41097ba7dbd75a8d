"""The machine's verdict moves against `worker/core/moves.py`, over generated sequences of events.

An event is an order, given by the machine or by a worker: mostly one that holds, sometimes one
about a stage, a round or a ticket that is over. Between what the machine reads and what it
writes somebody may be faster, a request may get lost, or its answer. Whatever happens, what is
there afterwards must be what `moved` makes of what was there before.

    python -m tests.deploy.statemachine.asl_orders --interpreter moto --sequences 10000
"""

import argparse
import datetime as dt
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tests.deploy.statemachine.interpreters import Ended, Failed, Item, Table, on_ministack, on_moto
from worker.aws.breakers_item import read_row, read_verdict, verdict_item
from worker.core.moves import (
    BeginRound,
    ClaimTicket,
    Conclude,
    Hold,
    Order,
    Release,
    Report,
    StepDown,
    StepUp,
    Trip,
    moved,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, Override, State, Verdict, transition

sys.path.insert(0, str(Path(__file__).parents[3] / "deploy"))

from inference_worker_asl.job import CONSTANTS
from inference_worker_asl.machine import POLICY, deployed, machine
from inference_worker_asl.tables import ROLLS

INTERPRETERS: dict[str, Callable[..., Ended]] = {"ministack": on_ministack, "moto": on_moto}
POLICIES = (
    POLICY,
    BreakerPolicy(
        failure_rate=0.3,
        window_s=60,
        probes_good=2,
        jitter=0.0,
        cooldown_growth=2.0,
        cooldown_max_s=9.0,
        forgive_s=30.0,
        ramp=(0.1, 0.4, 0.7),
        ramp_calls=3,
    ),
    BreakerPolicy(probes=1, ramp=(0.5,), forgive_s=60.0, cooldown_max_s=3600.0, jitter=0.9),
)
Plant = Callable[[dict[str, Any]], None]
EVENTS = 8  # of one sequence
START_S = 1_764_000_000
SPAN_S = 10 * 365 * 86_400


def places(table: str, **more: str) -> dict[str, str]:
    """What is filled in for a test."""
    empty = dict.fromkeys(("JobsQueueUrl", "Sorry", "CacheTable"), "")
    targets = {
        "Target": "a",
        "ModelId": "model-a",
        "AlternateTarget": "b",
        "AlternateModelId": "model-b",
        "ElsewhereTarget": "c",
        "ElsewhereModelId": "",
    }
    names = {"Service": "svc", "Machine": "machine:m", "BreakersTable": table, "Through": "direct"}
    return {**empty, **targets, **names, **more}


@cache
def stopping(table: str, number: int, plant: Plant | None = None) -> dict[str, Any]:
    """The machine of a policy, which ends where it would go on after an order."""
    made = machine(POLICIES[number])
    if plant is not None:
        plant(made["States"])
    made = deployed(made, places(table))
    return {**made, "States": {**made["States"], "After": {"Type": "Succeed"}}}


@dataclass
class World:
    """The world of one execution; `slip` happens before its next write of a verdict.

    Attributes:
        lose: What becomes of the next write: `request` or `answer` lost, or nothing.
    """

    table: Table
    now: float
    slip: Callable[[], None] | None = None
    lose: str = ""

    def ask(self, resource: str, params: Any) -> Any:
        operation = resource.rpartition(":")[2]
        writes = operation == "putItem" and params["Item"]["sk"]["S"].startswith("v#")
        if writes and self.slip is not None:
            slip, self.slip = self.slip, None
            slip()
        lose, self.lose = (self.lose, "") if writes else ("", self.lose)
        if lose == "request":
            raise Failed("DynamoDB.InternalServerError")
        answer = self.table(operation, params)
        if lose == "answer":
            raise Failed("DynamoDB.InternalServerError")
        return answer

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def entered(self) -> str:
        self.now += 0.001
        moment = dt.datetime.fromtimestamp(self.now, dt.UTC)
        # A second that is whole has no fraction where Java writes it.
        shown = "seconds" if int(self.now * 7) % 5 == 0 else "milliseconds"
        return moment.isoformat(timespec=shown).replace("+00:00", "Z")


class Disagreement(AssertionError):
    """The machine made something else of it."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one order of the machine came upon, and left.

    Attributes:
        before: The verdict as it was when the order was made up.
        states: Every verdict that was written since.
        rows: The history before it.
        kept: The item before it.
    """

    before: Verdict
    states: list[Verdict]
    rows: Item
    kept: Item
    ended: Ended


@dataclass
class Sequences:
    """Sequences of events, from a seed.

    Attributes:
        seen: How often each thing came up.
    """

    table: Table
    run: Callable[..., Ended]
    dice: random.Random
    plant: Plant | None = None
    seen: Counter[str] = field(default_factory=Counter)

    def one(self, name: str) -> None:
        """One sequence, about one breaker.

        Raises:
            Disagreement: The machine's write is not that of `moved`.
        """
        number = self.dice.randrange(len(POLICIES))
        policy = POLICIES[number]
        now = float(self.dice.randrange(START_S, START_S + SPAN_S))
        self._begin(name, policy)
        for _ in range(EVENTS):
            now += self.dice.choice([0.2, 3.0, 50.0, 4000.0])
            if self.dice.random() < 0.3:
                self._worker(name, policy, now)
            else:
                self._machine(name, number, now)

    # --- what is there ---------------------------------------------------------------

    def there(self, name: str) -> Verdict:
        """The verdict as a worker reads it."""
        item = self.table.item("svc#verdicts", f"v#{name}")
        return read_verdict(item) if item else Verdict(name=name)

    def _begin(self, name: str, policy: BreakerPolicy) -> None:
        """Somewhere in the life of a verdict."""
        if self.dice.random() < 0.3:
            return
        high = self.dice.choice([3, 900, 9_999_990, 10**9])
        verdict = Verdict(
            name=name,
            version=self.dice.randint(1, high),
            stage=self.dice.randint(0, high),
            epoch=self.dice.randint(0, high),
            round=self.dice.randint(0, high),
            level=self.dice.choice([0, 0, 1, 2, 5, 63, 64]),
            nonce=self.dice.choice(["", "n0", "n1"]),
            writer="w",
            at=self.dice.choice([0.0, 1764111112.125]),
        )
        state = self.dice.choice(list(State))
        claims = tuple(f"{self.dice.getrandbits(48):012x}" for _ in range(4))
        if state is State.OPEN:
            verdict = replace(verdict, state=state, share=0.0, cooldown_s=2.137)
        elif state is State.RAMP:
            share = self.dice.choice([*policy.ramp, 0.3])
            verdict = replace(verdict, state=state, share=share)
        elif state is State.HALF_OPEN:
            tickets = self.dice.randint(1, 4)
            taken = self.dice.randint(0, tickets)
            verdict = replace(
                verdict,
                state=state,
                share=0.0,
                tickets=tickets,
                claims=claims[:taken],
                outcomes=tuple(self.dice.choice([True, False, None]) for _ in range(taken)),
            )
        if self.dice.random() < 0.3:
            mode = self.dice.choice([Mode.HOLD_OPEN, Mode.HOLD_CLOSED, Mode.OBSERVE])
            given = Override(
                mode=mode, for_s=30.0, until_at=1.5, author="o", reason='a "reason"', number=3
            )
            verdict = replace(verdict, override=given, orders=4)
        self.table.put(verdict_item("svc", verdict) | {"later": {"S": "unknown to us"}})

    # --- orders ------------------------------------------------------------------------

    def _order(self, there: Verdict, *, by_machine: bool) -> Order:
        """An order that may hold, now and then one that is late."""
        off = self.dice.random() < 0.12
        stage = there.stage + (self.dice.choice([-1, 1]) if off else 0)
        late = self.dice.random() < 0.12
        here = {"epoch": there.epoch, "round": there.round - late}
        roll = self.dice.randrange(ROLLS + 1) / ROLLS
        kinds: dict[State, list[type[Order]]] = {
            State.CLOSED: [Trip, Trip, StepUp],
            State.OPEN: [BeginRound, BeginRound, Conclude],
            State.HALF_OPEN: [ClaimTicket, Report, Conclude, Conclude, BeginRound],
            State.RAMP: [StepUp, StepUp, StepDown, Trip],
        }
        kind = self.dice.choice(kinds[there.state] + ([] if by_machine else [Hold, Release]))
        if kind is Trip:
            calm_s = float(self.dice.choice([0, 29, 30, 119, 120, 700, 7679, 7680, 90_000]))
            return Trip(stage=stage, why="many failed", roll=roll, calm_s=calm_s)
        if kind is BeginRound:
            return BeginRound(stage=stage)
        if kind is ClaimTicket:
            taken = [*there.claims, f"{self.dice.getrandbits(48):012x}"]
            return ClaimTicket(**here, claim=self.dice.choice([taken[0], taken[-1], taken[-1]]))
        if kind is Report:
            claims = [*there.claims, "feed"]
            return Report(**here, claim=self.dice.choice(claims), good=self.dice.random() < 0.5)
        if kind is Conclude:
            return Conclude(stage=stage, overdue=self.dice.random() < 0.4, roll=roll)
        if kind is StepUp:
            return StepUp(stage=stage, why="5 ended well")
        if kind is StepDown:
            return StepDown(stage=stage, why="many failed", roll=roll)
        if kind is Hold:
            mode = self.dice.choice([Mode.HOLD_OPEN, Mode.HOLD_CLOSED, Mode.OBSERVE])
            given = Override(mode=mode, for_s=9.0, until_at=2.5, author="o", reason="r")
            return Hold(override=given, number=there.orders)
        return Release(number=there.orders)

    def _worker(self, name: str, policy: BreakerPolicy, now: float) -> None:
        there = self.there(name)
        order = self._order(there, by_machine=False)
        self._write(there, order, policy, now)

    def _write(self, there: Verdict, order: Order, policy: BreakerPolicy, now: float) -> None:
        nonce = f"{self.dice.getrandbits(64):016x}"
        new = moved(there, order, policy, writer="w", nonce=nonce, at=round(now, 3))
        if new is not None:
            self.table.put(verdict_item("svc", new))
            self.seen["a worker moved it"] += 1

    def _machine(self, name: str, number: int, now: float) -> None:
        policy = POLICIES[number]
        before = self.there(name)
        order = self._order(before, by_machine=True)
        world = World(self.table, now, lose=self.dice.choice(["", "", "", "request", "answer"]))
        chance = self.dice.random()
        if chance < 0.05 and before.version:
            # The store was wiped, and began anew: the same version, and another write.
            other = replace(before, nonce="another", state=State.CLOSED, share=1.0)
            other = replace(other, tickets=0, claims=(), outcomes=())
            world.slip = lambda: self.table.put(verdict_item("svc", other))
        elif chance < 0.25:
            slipped = self._order(before, by_machine=False)

            def slip() -> None:
                self._write(self.there(name), slipped, policy, now)

            world.slip = slip
        rows = self.rows(name)
        kept = self.table.item("svc#verdicts", f"v#{name}")
        states: list[Verdict] = []
        self.table.watch = lambda _, new: (
            states.append(read_verdict(new)) if new["sk"]["S"] == f"v#{name}" else None
        )

        ended = self.run(
            stopping(self.table.name, number, self.plant), given(name, order), world, start="Look"
        )

        self.table.watch = lambda _old, _new: None
        found = Found(before=before, states=states, rows=rows, kept=kept, ended=ended)
        self._compare(name, order, policy, found)

    def rows(self, name: str) -> Item:
        """The history, by version."""
        answer = self.table(
            "query",
            {
                "TableName": self.table.name,
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": f"svc#history#{name}"}},
            },
        )
        return {item["sk"]["S"]: item for item in answer["Items"]}

    def _compare(self, name: str, order: Order, policy: BreakerPolicy, found: "Found") -> None:
        before, states, ended = found.before, found.states, found.ended
        what = type(order).__name__
        if ended.error:
            raise Disagreement(f"{what}: {ended}")
        ours = [one for one in states if one.writer == "machine:m" and one.nonce != "another"]
        others = [one for one in states if one not in ours]
        first = bool(others) and states[0] is others[0]
        was = others[-1] if first else before
        if len(ours) > 1:
            raise Disagreement(f"{what} was written {len(ours)} times")
        expected = list(made(was, order, policy, ours[0] if ours else None))
        if not ours:
            if expected:
                raise Disagreement(f"{what} holds of {was}, and was not written")
            self.seen[f"{what} did not hold"] += 1
            if ended.output["landed"]["ok"]:
                raise Disagreement(f"{what} was told as written")
            return
        if ours[0] not in expected:
            raise Disagreement(f"{what} of {was} made {ours[0]}, not one of {expected[:1]}")
        if not ended.output["landed"]["ok"]:
            raise Disagreement(f"{what} was written, and the machine does not know")
        self.seen[f"{what}: {was.state} to {ours[0].state}"] += 1
        self.seen["somebody was faster"] += bool(others)
        if "later" in found.kept and was is before:
            if "later" not in self.table.item("svc#verdicts", f"v#{name}"):
                raise Disagreement(f"{what} lost what it does not know")
            self.seen["an unknown attribute was kept"] += 1
        self._compare_rows(name, was, ours[0], found.rows)

    def _compare_rows(self, name: str, was: Verdict, new: Verdict, rows: Item) -> None:
        added = {k: v for k, v in self.rows(name).items() if k not in rows}
        row = transition(was, new, new.at)
        if row is None:
            if added:
                raise Disagreement(f"a row of history about nothing: {added}")
            return
        told = [read_row(name, item) for item in added.values()]
        if told != [row]:
            raise Disagreement(f"history tells {told}, not {row}")
        self.seen["history told it"] += 1


def made(
    was: Verdict, order: Order, policy: BreakerPolicy, new: Verdict | None
) -> Iterator[Verdict]:
    """What `moved` makes of it, for each draw; the writer's own things are as they are."""
    signed = {} if new is None else {"writer": new.writer, "nonce": new.nonce}
    drawn_orders: list[Order] = [order]
    if isinstance(order, Trip | Conclude | StepDown):
        drawn_orders = [replace(order, roll=k / ROLLS) for k in range(ROLLS + 1)]
    for drawn in drawn_orders:
        one = moved(was, drawn, policy, **signed, at=was.at if new is None else new.at)
        if one is not None:
            yield one


def given(name: str, order: Order) -> Item:
    """The order as the machine has it when it comes to look."""
    words = {
        Trip: "trip",
        BeginRound: "begin",
        ClaimTicket: "claim",
        Report: "report",
        Conclude: "conclude",
        StepUp: "step_up",
        StepDown: "step_down",
    }
    want: Item = {"order": words[type(order)], "claim": ""}
    for one in ("stage", "epoch", "round", "claim", "overdue", "why"):
        if hasattr(order, one):
            want[one] = getattr(order, one)
    if isinstance(order, Report):
        want["good"] = "true" if order.good else "false"
    if isinstance(order, Trip):
        want["calm_s"] = int(order.calm_s)
    return {
        "k": CONSTANTS | {"service": "svc"},
        "aim": {"target": {"breaker": name, "model": "m"}, "next": 1, "tried": 0},
        "want": want,
        "races": {"lost": 0},
    }


def check(
    interpreter: str, sequences: int, *, seed: int, plant: Plant | None = None
) -> Counter[str]:
    """Run so many sequences; what came up. `plant` makes the machine worse first.

    Raises:
        Disagreement: In one of them.
    """
    table = Table(f"orders-{interpreter}-{seed}")
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    found = Sequences(table, INTERPRETERS[interpreter], dice, plant=plant)
    try:
        for number in range(sequences):
            try:
                found.one(f"b{number}")
            except Disagreement as no:
                raise Disagreement(f"sequence {number} of seed {seed}: {no}") from no
    finally:
        table.drop()
    return found.seen


def main() -> None:
    """Run a number of sequences, and tell what came up in them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interpreter", choices=sorted(INTERPRETERS), default="ministack")
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    seen = check(asked.interpreter, asked.sequences, seed=asked.seed)
    for what, times in sorted(seen.items()):
        print(f"{times:8,} {what}")  # noqa: T201 - a command's result
    print(  # noqa: T201
        f"{asked.sequences:,} sequences on {asked.interpreter}, 0 disagreements, "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
