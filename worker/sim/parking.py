"""A long outage, and every job that came in it: what waits, what it costs, how it comes out.

Whole workers live through it with the policy `park` and nowhere else to go. Jobs come
evenly until the service is well again; then the backlog is drained. `Story` says how
long and how many, `measured` what came of it, `findings` whether that is enough.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.events import Event, JobSettled
from worker.core.fault import REACTIONS
from worker.core.ledger import Record
from worker.core.ledger import State as JobState
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.sim.clock import in_virtual_time
from worker.sim.experiments import Finding
from worker.sim.memory import MemoryBreakers, ModelCall, ModelHandle, Reply, ScriptedModel, Wire
from worker.sim.service import LATENCY_MEDIAN_S, LATENCY_SIGMA, MEAN_S, Phase, Service
from worker.sim.world import LivingWorker, World

NAME: Final = "model-a"
WORKERS: Final = 20
SLOTS: Final = 8
SERVERS: Final = 120
CAPACITY_PER_S: Final = SERVERS / MEAN_S
LEAD_S: Final = 60.0
DRAINED: Final = 0.9  # of the backlog: then the rate is taken
LATE_S: Final = 4 * 3600.0  # after the healing: what is not answered by then is lost
RECOVERIES: Final = 200

SQS_MAX: Final = 0.6
FIRST_MAX_S: Final = 5.0
DRAINED_MIN: Final = 0.9
AT_ONCE_MIN: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One outage. Without `outage_s` it is a calm day, with all jobs there at its start."""

    jobs: int
    outage_s: float
    seed: int = 1


SIX_HOURS: Final = Story(jobs=100_000, outage_s=6 * 3600.0)
CALM: Final = Story(jobs=5_000, outage_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of one story.

    Attributes:
        lost: Jobs without an answer.
        charged: Attempts that jobs were charged beyond their answer, and beyond calls that
            failed while the circuit was closed.
        dead: Messages in the dead-letter queue.
        parks: Parks of all jobs together.
        probes: Calls while the service was dead.
        sqs_per_job: Requests to queues, per job.
        ramp_s: From the healing to the first step of the ramp, in seconds.
        closed_s: From the healing until the circuit was closed, in seconds.
        first_s: From the first step of the ramp to the first call for a parked job.
        last_s: From there until every job that was parked then had been called.
        trips: How often the circuit opened again after the healing.
        drained: Answers per second after the close, as a share of the service's capacity.
    """

    lost: int
    charged: int
    dead: int
    parks: int
    probes: int
    sqs_per_job: float
    ramp_s: float
    closed_s: float
    first_s: float
    last_s: float
    trips: int
    drained: float


def measured(story: Story) -> Measured:
    """Let a story happen, and measure it."""
    run = _Run(story)
    in_virtual_time(run.live())
    return run.measured()


def findings(story: Story, found: Measured, calm: Measured) -> tuple[Finding, ...]:
    """Whether what came of a story is what is wanted of parking."""
    beyond = found.sqs_per_job - calm.sqs_per_job
    rows = (
        ("jobs lost, of all", "0", f"{found.lost}", found.lost == 0),
        ("attempts charged for waiting", "0", f"{found.charged}", found.charged == 0),
        ("dead letters", "0", f"{found.dead}", found.dead == 0),
        (
            "SQS calls per job, beyond calm",
            f"at most {SQS_MAX}",
            (
                f"{beyond:.2f} ({found.sqs_per_job:.2f} against {calm.sqs_per_job:.2f}; "
                f"{found.parks:,} parks, {found.probes:,} calls to the dead service)"
            ),
            beyond <= SQS_MAX,
        ),
        (
            "first parked job starts, after the circuit lets calls out",
            f"within {FIRST_MAX_S:.0f} s",
            f"{found.first_s:.1f} s; that was {found.ramp_s:.1f} s after the healing",
            found.first_s <= FIRST_MAX_S,
        ),
        (
            "backlog drained after the close",
            f"at {DRAINED_MIN:.0%} of the capacity or more",
            (
                f"{found.drained:.1%}; closed {found.closed_s:.1f} s after the healing, "
                f"the last parked job called {found.last_s:,.0f} s after the ramp began"
            ),
            found.drained >= DRAINED_MIN,
        ),
    )
    title = f"{_length(story.outage_s)}, {story.jobs:,} jobs"
    return tuple(
        Finding(name=f"{title}: {name}", wanted=wanted, measured=told, kept=kept)
        for name, wanted, told, kept in rows
    )


def recoveries(found: Sequence[Measured]) -> Finding:
    """Whether circuits that close stay closed."""
    at_once = sum(one.trips == 0 for one in found) / len(found)
    ramps = sorted(one.ramp_s for one in found)
    lost = sum(one.lost + one.dead + one.charged for one in found)
    return Finding(
        name=f"{len(found)} recoveries from a minute's outage",
        wanted=f"{AT_ONCE_MIN:.0%} without a second trip, nothing lost or charged",
        measured=f"{at_once:.1%}; {lost} lost or charged; let calls out "
        f"{ramps[len(ramps) // 2]:.1f} s (median) to {ramps[-1]:.1f} s after the healing",
        kept=at_once >= AT_ONCE_MIN and lost == 0,
    )


def recovery(seed: int) -> Measured:
    """A short outage with a backlog that fills every slot after it."""
    return measured(Story(jobs=1_200, outage_s=60.0, seed=seed))


def _length(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"  # noqa: PLR2004


class _Run:
    """One story under way."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.heals_at = LEAD_S + story.outage_s
        self.moves: list[tuple[float, State, State]] = []
        self.answered: list[float] = []
        self.parked: dict[str, float] = {}  # at the ramp's begin, and when each was called
        self.workers: list[LivingWorker] = []
        self.done = asyncio.Event()
        dice = random.Random(f"service:{story.seed}")  # noqa: S311 - a simulation's dice
        self.service = Service(
            phases=(Phase(lasts_s=LEAD_S), Phase(lasts_s=story.outage_s, errors=1.0)),
            roll=dice.random,
            latency=lambda: dice.lognormvariate(math.log(LATENCY_MEDIAN_S), LATENCY_SIGMA),
            servers=SERVERS,
        )
        route = Route(name="default", targets=(Target(name=NAME, model="m", attempt_s=60.0),))
        self.world = World(routes={"default": route}, breakers=MemoryBreakers(watch=self._watch))

    async def live(self) -> None:
        """Until every job is answered, or it is too late."""
        self.workers = [self._worker(n) for n in range(WORKERS)]
        feeding = asyncio.get_running_loop().create_task(self._feed())
        try:
            async with asyncio.timeout(self.heals_at + LATE_S):
                await self.done.wait()
        except TimeoutError:
            pass  # `lost` tells
        tasks = [feeding, *(worker.task for worker in self.workers)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _worker(self, number: int) -> LivingWorker:
        model = ModelHandle(ScriptedModel(mood=self._serve), Wire())
        return LivingWorker(
            self.world,
            f"w-{self.story.seed}-{number}",
            wire=Wire(latency_s=0.01),
            rules={"slots": SLOTS, "lease_s": 90.0, "wait_s": 20.0},
            house={"model": model, "tell": self._tell},
            seed=self.story.seed * 1000 + number,
        )

    async def _feed(self) -> None:
        story, loop = self.story, asyncio.get_running_loop()
        dice = random.Random(f"jobs:{story.seed}")  # noqa: S311 - a simulation's dice
        at = 0.0
        for _ in range(story.jobs):
            if story.outage_s:
                at = min(self.heals_at, at + dice.expovariate(story.jobs / self.heals_at))
                await asyncio.sleep(max(0.0, at - loop.time()))
            self.world.submit(prompt="Hello.")

    def _serve(self, call: ModelCall) -> Reply:
        if call.job in self.parked:
            self.parked[call.job] = min(self.parked[call.job], call.now)
        return self.service.serve(call.now)

    def _tell(self, event: Event, /) -> None:
        if isinstance(event, JobSettled) and event.settlement == "answered":
            self.answered.append(asyncio.get_running_loop().time())
            if len(self.answered) == self.story.jobs:
                self.done.set()

    def _watch(self, old: Verdict, new: Verdict) -> None:
        if old.name != NAME or old.state is new.state:
            return
        now = asyncio.get_running_loop().time()
        self.moves.append((now, old.state, new.state))
        if new.state is State.RAMP and now >= self.heals_at and not self.parked:
            records = self.world.ledger.records.values()
            self.parked = {r.job: math.inf for r in records if r.state is JobState.PARKED}

    # --- measures --------------------------------------------------------------

    def measured(self) -> Measured:
        """What came of it."""
        records = self.world.ledger.records.values()
        healed = [(at, old, new) for at, old, new in self.moves if at >= self.heals_at]
        ramp_at = next((at for at, _, new in healed if new is State.RAMP), math.nan)
        closed_at = max((at for at, _, new in healed if new is State.CLOSED), default=math.nan)
        calls = sum(
            n
            for worker in self.workers
            for (port, _), n in worker.wire.calls.items()
            if port.startswith("queue:")
        )
        return Measured(
            lost=self.story.jobs - sum(r.state is JobState.ANSWERED for r in records),
            charged=sum(_charged_for_nothing(record) for record in records),
            dead=len(self.world.dead.peek()),
            parks=sum(record.parks for record in records),
            probes=self.service.wasted,
            sqs_per_job=round(calls / self.story.jobs, 3),
            ramp_s=round(ramp_at - self.heals_at, 1),
            closed_s=round(closed_at - self.heals_at, 1),
            first_s=round(min(self.parked.values(), default=math.nan) - ramp_at, 1),
            last_s=round(max(self.parked.values(), default=math.nan) - ramp_at, 1),
            trips=sum(new is State.OPEN and old is not State.HALF_OPEN for _, old, new in healed),
            drained=round(self._drained(closed_at), 3),
        )

    def _drained(self, closed_at: float) -> float:
        after = sorted(at for at in self.answered if at > closed_at)
        most = after[: int(DRAINED * len(after))]
        return len(most) / (most[-1] - closed_at) / CAPACITY_PER_S if most else math.nan


def _charged_for_nothing(record: Record) -> int:
    honest = sum(
        row.kind is not None
        and REACTIONS[row.kind].charges
        and row.breaker in (State.CLOSED, State.RAMP)
        for row in record.history
    )
    return max(0, record.attempts - 1 - honest)
