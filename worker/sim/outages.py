"""Whole workers through an outage: queue, ledger, retries, parks, breakers and all.

The world is that of the study in `docs/breaker.md`: 20 workers of 8 slots, 20 jobs
a second, calls log-normal with a median of 3 s, a service of 120 servers. Every run
is held against an oracle, which knows the truth: it sends nothing to a dead service,
and never more than the live one can take.
"""

import asyncio
import heapq
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from worker.core.answer import Answer
from worker.core.events import Event, JobSettled
from worker.core.route import Route, Target
from worker.core.verdict import State, Verdict
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, Mishap, ModelHandle, ScriptedModel, Wire
from worker.sim.service import LATENCY_MEDIAN_S, LATENCY_SIGMA, Phase, Service
from worker.sim.wire import Call, Plan, no_mishaps
from worker.sim.world import LivingWorker, World

WORKERS: Final = 20
SLOTS: Final = 8
SERVERS: Final = 120
CAPACITY_PER_S: Final = 32.0
ATTEMPT_S: Final = 30.0
LEAD_S: Final = 120.0
AFTER_S: Final = 300.0
NAME: Final = "model-a"
TARGET: Final = Target(name=NAME, model="m", attempt_s=ATTEMPT_S)
ADMITTED: Final = 0.75  # of its slots: then a worker has recovered


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story: what the service does after two healthy minutes, and how many jobs come.

    Attributes:
        heals: Whether there is a moment from which all is well, to measure recovery by.
        healthy: Whether no circuit has a reason to open.
        burst: By what factor more jobs come while the phases last.
        store_lost_s: When the breakers' store is out of reach, from and to.
    """

    name: str
    phases: tuple[Phase, ...]
    heals: bool = True
    healthy: bool = False
    per_s: float = 20.0
    burst: float = 1.0
    after_s: float = AFTER_S
    store_lost_s: tuple[float, float] | None = None

    @property
    def trouble_s(self) -> float:
        """How long the phases last."""
        return sum(phase.lasts_s for phase in self.phases)

    @property
    def ends_at(self) -> float:
        """When the measuring ends."""
        return LEAD_S + self.trouble_s + self.after_s


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


def _service(scenario: Scenario, dice: random.Random) -> Service:
    return Service(
        phases=(Phase(lasts_s=LEAD_S), *scenario.phases),
        roll=dice.random,
        latency=lambda: dice.lognormvariate(math.log(LATENCY_MEDIAN_S), LATENCY_SIGMA),
        servers=SERVERS,
    )


def _arrivals(scenario: Scenario, seed: int) -> list[float]:
    """When jobs are sent: the same for the workers and the oracle."""
    dice, now, found = random.Random(f"jobs:{seed}"), 0.0, []  # noqa: S311
    while now < scenario.ends_at:
        troubled = LEAD_S <= now < LEAD_S + scenario.trouble_s
        now += dice.expovariate(scenario.per_s * (scenario.burst if troubled else 1.0))
        found.append(now)
    return found


# --- the oracle --------------------------------------------------------------


def oracle(scenario: Scenario, seed: int) -> int:
    """How many jobs somebody who knows the truth answers from the start of the trouble on."""
    service = _service(scenario, random.Random(f"oracle:{seed}"))  # noqa: S311
    place = 0.999  # a worker that no partial phase hits
    slots = WORKERS * SLOTS * min((p.hit for p in scenario.phases if p.hit < 1), default=0.0)
    free, waiting, answered = int(WORKERS * SLOTS - slots), 0, 0
    events: list[tuple[float, int, str]] = [
        (at, n, "job") for n, at in enumerate(_arrivals(scenario, seed))
    ]
    events += [(t / 2, -1, "look") for t in range(int(scenario.ends_at * 2))]
    heapq.heapify(events)
    while events:
        now, _, what = heapq.heappop(events)
        if now >= scenario.ends_at:
            break
        if what in ("job", "again"):
            waiting += 1
        if what in ("good", "bad"):
            free += 1
            answered += what == "good" and now >= LEAD_S
        if what == "bad":
            heapq.heappush(events, (now + 0.5, -1, "again"))
        while waiting and free and service.room(now) > 0:
            reply = service.serve(now, place=place)
            waiting, free = waiting - 1, free - 1
            good = isinstance(reply.outcome, Answer) and reply.latency_s <= ATTEMPT_S
            ends = now + min(reply.latency_s, ATTEMPT_S)
            heapq.heappush(events, (ends, -1, "good" if good else "bad"))
    return answered


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
        self.service = _service(scenario, random.Random(f"service:{seed}"))  # noqa: S311
        self.told = _Ledgerman()
        self.moves: list[tuple[float, State, State]] = []
        self.admits: dict[int, list[tuple[float, bool]]] = {}

    def measured(self) -> Measured:
        """Let it happen, and measure it."""
        in_virtual_time(self._run())
        scenario, heal = self.scenario, LEAD_S + self.scenario.trouble_s
        best = oracle(scenario, self.seed)
        answered = sum(at >= LEAD_S for at in self.told.answered)
        opens = [at for at, old, new in self.moves if old is State.CLOSED and new is State.OPEN]
        again = [
            at for at, old, new in self.moves if old is not State.HALF_OPEN and new is State.OPEN
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
        for at in _arrivals(self.scenario, self.seed):
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


# --- the scenarios -----------------------------------------------------------

_DEAD: Final = Phase(lasts_s=900.0, errors=1.0)


def _dead(lasts_s: float) -> Phase:
    return Phase(lasts_s=lasts_s, errors=1.0)


def _well(lasts_s: float) -> Phase:
    return Phase(lasts_s=lasts_s)


_BLIPS: Final = tuple(
    phase
    for lasts_s in (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 3.0)
    for phase in (_dead(lasts_s), _well(150.0 - lasts_s))
)

SCENARIOS: Final = tuple(
    Scenario(**given)
    for given in (
        {"name": "hard_fast", "phases": (_DEAD,)},
        {"name": "hard_hang", "phases": (Phase(lasts_s=900.0, errors=0.0, hangs=1.0),)},
        {"name": "partial_70", "phases": (Phase(lasts_s=600.0, errors=0.7),)},
        {"name": "partial_25", "phases": (Phase(lasts_s=600.0, errors=0.25),), "healthy": True},
        {"name": "throttle_25", "phases": (Phase(lasts_s=600.0, per_s=5.0),)},
        {"name": "brownout_10x", "phases": (Phase(lasts_s=600.0, slower=10.0, errors=0.05),)},
        {"name": "slow_3x", "phases": (Phase(lasts_s=600.0, slower=3.0),), "healthy": True},
        {"name": "flap_30_30", "phases": (_dead(30.0), _well(30.0)) * 12},
        {"name": "gray_20pct", "phases": (Phase(lasts_s=600.0, errors=1.0, hit=0.2),)},
        {
            "name": "metastable",
            "phases": (_dead(300.0), Phase(lasts_s=900.0, cold=True)),
            "heals": False,
        },
        {"name": "blips", "phases": _BLIPS},
        {"name": "bg_1pct", "phases": (_well(900.0),), "healthy": True},
        {"name": "bg_8pct", "phases": (Phase(lasts_s=900.0, errors=0.08),), "healthy": True},
        {
            "name": "slow_decay",
            "phases": (Phase(lasts_s=720.0, errors=0.02, errors_end=0.98),),
        },
        {
            "name": "stair_heal",
            "phases": (
                _dead(300.0),
                Phase(lasts_s=300.0, errors=0.6),
                Phase(lasts_s=300.0, errors=0.2),
            ),
        },
        {"name": "relapse", "phases": (_dead(300.0), _well(180.0), _dead(420.0))},
        {"name": "burst_4x", "phases": (_well(90.0),), "burst": 4.0, "healthy": True},
        {
            "name": "store_down",
            "phases": (_dead(480.0),),
            "store_lost_s": (LEAD_S - 60.0, LEAD_S + 780.0),
        },
        {
            "name": "slow_errors",
            "phases": (Phase(lasts_s=600.0, errors=0.95, error_s=(8.0, 24.0)),),
        },
        {"name": "hang_8pct", "phases": (Phase(lasts_s=600.0, hangs=0.08),), "healthy": True},
        {"name": "low_traffic", "phases": (_DEAD,), "per_s": 0.5},
    )
)
