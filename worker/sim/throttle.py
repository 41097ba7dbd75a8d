"""Whole workers under a quota: a bucket of requests per second, and twice as many jobs.

The workers do not talk to each other about it, and nobody tells them what is allowed.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from worker.core.events import AttemptMade, BreakerMoved, Event, JobSettled
from worker.core.fault import Kind
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, ModelHandle, ScriptedModel, Wire
from worker.sim.service import Phase, Service
from worker.sim.world import LivingWorker, World

SETTLED_S: Final = 30.0  # so long the workers may take to find their pace
ENOUGH: Final = 0.9
THROTTLED_MAX: Final = 0.05
FOUND_OVER_S: Final = 10
TARGET: Final = Target(name="model-a", model="m", attempt_s=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """One experiment. All `_s` are seconds.

    Attributes:
        workers: How many there are, with so many `slots` each.
        per_s: Calls per second that the quota allows.
        offered_per_s: Jobs per second that are sent.
        lasts_s: How long the quota stays so; then it is `raised` times as much.
        burst_s: The bucket holds what is allowed in so many seconds.
        latency_s: The median of a good call.
        promised: Whether the figures of `docs/pacing.md` are to be kept.
    """

    workers: int
    slots: int
    per_s: float = 20.0
    offered_per_s: float = 40.0
    lasts_s: float = 600.0
    raised: float = 2.0
    after_s: float = 180.0
    burst_s: float = 1.0
    latency_s: float = 3.0
    promised: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of it, from `SETTLED_S` on until the quota was raised.

    Attributes:
        used: Calls that were served, as a share of those allowed.
        throttled: The share of all calls that were throttled.
        found_s: Until nine tenths of the raised quota were used, over 10 s; None if never.
        opens: How often a circuit opened, of the fleet or of a process.
        attempts_max: The most attempts that an answered job was charged.
        dead: Jobs that were discarded.
        parks: Parks for each answer.
    """

    storm: Storm
    used: float
    throttled: float
    found_s: float | None
    opens: int
    attempts_max: int
    dead: int
    parks: float

    @property
    def kept(self) -> bool:
        """Whether it is as good as it should be."""
        return (
            self.used >= ENOUGH
            and self.throttled <= THROTTLED_MAX
            and (self.opens, self.dead, self.attempts_max) == (0, 0, 1)
        )


# A bucket of two calls loses what comes unevenly, and less than a call per second and worker
# is too little to learn from without more throttles.
STORMS: Final = (
    Storm(workers=1, slots=16, per_s=2.5, offered_per_s=5.0, promised=False),
    Storm(workers=2, slots=8, per_s=2.5, offered_per_s=5.0, promised=False),
    Storm(workers=8, slots=8, per_s=10.0, offered_per_s=20.0),
    Storm(workers=20, slots=16, per_s=50.0, offered_per_s=100.0),
    Storm(workers=1, slots=128),
    Storm(workers=4, slots=32),
    Storm(workers=20, slots=8),
    Storm(workers=20, slots=8, burst_s=60.0),
    Storm(workers=20, slots=8, per_s=10.0, offered_per_s=20.0, promised=False),
    Storm(workers=20, slots=8, per_s=5.0, offered_per_s=20.0, promised=False),
)


@dataclass(slots=True, eq=False)
class _Notes:
    """What was told, as far as it is measured."""

    calls: list[tuple[float, bool]] = field(default_factory=list)  # when, and whether throttled
    settled: Counter[str] = field(default_factory=Counter)
    opens: int = 0
    attempts_max: int = 0

    def __call__(self, event: Event, /) -> None:
        match event:
            case AttemptMade(kind=kind):
                now = asyncio.get_running_loop().time()
                self.calls.append((now, kind is Kind.THROTTLED))
            case BreakerMoved(new=State.OPEN):
                self.opens += 1
            case JobSettled(settlement=settlement, attempts=attempts):
                self.settled[settlement] += 1
                if settlement == "answered":
                    self.attempts_max = max(self.attempts_max, attempts)
            case _:
                pass


def measured(storm: Storm) -> Found:
    """Let it happen, and measure it."""
    notes, service = _Notes(), _service(storm)
    in_virtual_time(_run(storm, notes, service))
    calls = [bad for at, bad in notes.calls if SETTLED_S <= at < storm.lasts_s]
    served = [at for at in service.served if SETTLED_S <= at < storm.lasts_s]
    answered = notes.settled["answered"]
    return Found(
        storm=storm,
        used=round(len(served) / (storm.per_s * (storm.lasts_s - SETTLED_S)), 3),
        throttled=round(sum(calls) / len(calls), 4),
        found_s=_found_s(storm, service),
        opens=notes.opens,
        attempts_max=notes.attempts_max,
        dead=notes.settled["dead"],
        parks=round(notes.settled["parked"] / answered, 3),
    )


def _service(storm: Storm) -> Service:
    dice = random.Random(f"throttle:{storm.seed}")  # noqa: S311 - a simulation's dice
    phase = Phase(lasts_s=storm.lasts_s, errors=0.0, per_s=storm.per_s, burst_s=storm.burst_s)
    raised = Phase(
        lasts_s=storm.after_s,
        errors=0.0,
        per_s=storm.per_s * storm.raised,
        burst_s=storm.burst_s,
    )
    return Service(
        phases=(phase, raised),
        roll=dice.random,
        latency=lambda: storm.latency_s * dice.lognormvariate(0.0, 0.5),
        _tokens_at=-storm.burst_s,  # the bucket is full at first
    )


def _found_s(storm: Storm, service: Service) -> float | None:
    seconds = Counter(int(at - storm.lasts_s) for at in service.served if at >= storm.lasts_s)
    enough = ENOUGH * storm.per_s * storm.raised * FOUND_OVER_S
    for end in range(FOUND_OVER_S, int(storm.after_s) + 1):
        if sum(seconds[second] for second in range(end - FOUND_OVER_S, end)) >= enough:
            return float(end)
    return None


async def _run(storm: Storm, notes: _Notes, service: Service) -> None:
    route = Route(name="default", targets=(TARGET,))
    world = World(routes={"default": route}, breakers=MemoryBreakers())
    loop = asyncio.get_running_loop()
    workers = [
        LivingWorker(
            world,
            f"w-{storm.seed}-{number}",
            wire=Wire(latency_s=0.01),
            rules={"slots": storm.slots, "lease_s": 90.0, "wait_s": 20.0},
            house={
                "model": ModelHandle(ScriptedModel(mood=service.mood(place=0.0)), Wire()),
                "tell": notes,
            },
            seed=storm.seed * 1000 + number,
        )
        for number in range(storm.workers)
    ]
    feeding = loop.create_task(_feed(storm, world))
    await asyncio.sleep(storm.lasts_s + storm.after_s)
    tasks = (feeding, *(worker.task for worker in workers))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _feed(storm: Storm, world: World) -> None:
    dice = random.Random(f"jobs:{storm.seed}")  # noqa: S311 - a simulation's dice
    per_s, loop = storm.offered_per_s, asyncio.get_running_loop()
    while True:
        await asyncio.sleep(dice.expovariate(per_s))
        world.submit(prompt="Hello.")
        if loop.time() >= storm.lasts_s:
            per_s = storm.offered_per_s * storm.raised
