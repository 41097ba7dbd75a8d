"""Whole workers through an outage: queue, ledger, retries, parks, breakers and all.

The stories and the oracle that each run is held against are in `scenarios.py`.
"""

import asyncio
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from worker.core.events import Event, JobSettled
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, Mishap, ModelHandle, ScriptedModel, Wire
from worker.sim.scenarios import (
    ATTEMPT_S,
    CAPACITY_PER_S,
    LEAD_S,
    SLOTS,
    WORKERS,
    Scenario,
    arrivals_of,
    oracle,
    service_of,
)
from worker.sim.wire import Call, Plan, no_mishaps
from worker.sim.world import LivingWorker, World

NAME: Final = "model-a"
TARGET: Final = Target(name=NAME, model="m", attempt_s=ATTEMPT_S)
ADMITTED: Final = 0.75  # of its slots: then a worker has recovered


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of one run.

    Attributes:
        goodput: Jobs answered in the trouble and after it, as a share of the oracle's.
        wasted: Calls that went out while the service was dead.
        opens: How often the fleet's circuit opened from closed.
        reopens: How often it opened again after the last healing.
        stopped_s: When 90 % of the workers had stopped; None if they never did.
        recovered_s: From the healing on, when 99 % of the workers admitted three quarters.
        peak: The most calls begun in one second of the first minute after the healing,
            as a share of the service's capacity.
        dead: Jobs that were discarded.
    """

    scenario: str
    seed: int
    goodput: float
    wasted: int
    opens: int
    reopens: int
    stopped_s: float | None
    recovered_s: float | None
    peak: float
    dead: int


# --- the workers -------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Ledgerman:
    """Notes when jobs were answered; keeps no other event."""

    answered: list[float] = field(default_factory=list)
    settled: Counter[str] = field(default_factory=Counter)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, JobSettled):
            self.settled[event.settlement] += 1
            if event.settlement == "answered":
                self.answered.append(asyncio.get_running_loop().time())


class Outage:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.service = service_of(scenario, random.Random(f"service:{seed}"))  # noqa: S311
        self.told = _Ledgerman()
        self.moves: list[tuple[float, State, State]] = []
        self.admits: dict[int, list[tuple[float, bool]]] = {}

    def measured(self) -> Measured:
        """Let it happen, and measure it."""
        in_virtual_time(self._run())
        scenario, heal = self.scenario, LEAD_S + self.scenario.trouble_s
        best = oracle(scenario, self.seed)
        answered = sum(at >= LEAD_S for at in self.told.answered)
        trips = [
            (at, old)
            for at, old, new in self.moves
            if new is State.OPEN and old is not State.HALF_OPEN
        ]
        return Measured(
            scenario=scenario.name,
            seed=self.seed,
            goodput=round(answered / best, 3),
            wasted=self.service.wasted,
            opens=sum(old is State.CLOSED for _, old in trips),
            reopens=sum(at >= heal for at, _ in trips),
            stopped_s=self._stopped_s(),
            recovered_s=self._recovered_s(heal) if scenario.heals else None,
            peak=round(self._peak(heal) / CAPACITY_PER_S, 2),
            dead=self.told.settled["dead"],
        )

    async def _run(self) -> None:
        scenario = self.scenario
        breakers = MemoryBreakers(watch=self._watch)
        route = Route(name="default", targets=(TARGET,))
        world = World(routes={"default": route}, breakers=breakers)
        workers = [self._worker(world, n) for n in range(WORKERS)]
        loop = asyncio.get_running_loop()
        feeding = loop.create_task(self._feed(world))
        watching = loop.create_task(self._look(workers))
        await asyncio.sleep(scenario.ends_at)
        for task in (feeding, watching, *(worker.task for worker in workers)):
            task.cancel()
        await asyncio.gather(
            feeding, watching, *(worker.task for worker in workers), return_exceptions=True
        )

    def _worker(self, world: World, number: int) -> LivingWorker:
        place = (number + 0.5) / WORKERS
        wire = Wire(latency_s=0.01, plan=self._plan())
        model = ModelHandle(ScriptedModel(mood=self.service.mood(place=place)), Wire())
        return LivingWorker(
            world,
            f"w-{self.seed}-{number}",
            wire=wire,
            rules={"slots": SLOTS, "lease_s": 90.0, "wait_s": 20.0},
            house={"model": model, "tell": self.told},
            seed=self.seed * 1000 + number,
        )

    def _plan(self) -> Plan:
        lost = self.scenario.store_lost_s
        if lost is None:
            return no_mishaps

        def plan(call: Call) -> Mishap | None:
            now = asyncio.get_running_loop().time()
            return (
                Mishap(when="before")
                if call.port == "breakers" and lost[0] <= now < lost[1]
                else None
            )

        return plan

    async def _feed(self, world: World) -> None:
        loop = asyncio.get_running_loop()
        for at in arrivals_of(self.scenario, self.seed):
            await asyncio.sleep(max(0.0, at - loop.time()))
            world.submit(prompt="Hello.")

    async def _look(self, workers: list[LivingWorker]) -> None:
        """Note once a second whether each worker admits three quarters of its slots."""
        loop = asyncio.get_running_loop()
        routes = list(workers[0].world.routes.values())
        while True:
            for number, worker in enumerate(workers):
                whole = worker.supervisor.gates.capacity(routes) >= ADMITTED * SLOTS
                self.admits.setdefault(number, []).append((loop.time(), whole))
            await asyncio.sleep(1.0)

    def _watch(self, old: Verdict, new: Verdict) -> None:
        if old.name == NAME and old.state is not new.state:
            self.moves.append((asyncio.get_running_loop().time(), old.state, new.state))

    # --- measures --------------------------------------------------------------

    def _stopped_s(self) -> float | None:
        """When nine of ten workers admitted less than three quarters for the first time."""
        firsts = sorted(
            min((at for at, whole in looks if at >= LEAD_S and not whole), default=math.inf)
            for looks in self.admits.values()
        )
        at = firsts[math.ceil(0.9 * len(firsts)) - 1]
        return None if math.isinf(at) else round(at - LEAD_S, 1)

    def _recovered_s(self, heal: float) -> float:
        """From the healing on, when the slowest worker admits three quarters, and stays so."""
        lasts = [
            max((at for at, whole in looks if at >= heal and not whole), default=heal - 1.0)
            for looks in self.admits.values()
        ]
        return round(max(lasts) + 1.0 - heal, 1)

    def _peak(self, heal: float) -> int:
        seconds = Counter(int(at) for at in self.service.arrivals if heal <= at < heal + 60)
        return max(seconds.values(), default=0)
