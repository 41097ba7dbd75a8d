"""Incidents: real workers in virtual time, and all that they and AWS write meanwhile.

The workers are the runtime itself on twins, with their telemetry in the profile that alarms live
on. What AWS alone tells (queues, tasks) is read off the twins once a minute. Each incident says
from when to when its causes lasted; which alarms must ring for them is in `test_alarm_lab.py`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any, Final

import orjson

from tests.telemetry.scenes import DOWN, REJECTED, Says, fault
from tests.telemetry.stage import SERVICE, Speaking
from worker.alarms.lines import Read, read
from worker.core.degrade import Terms
from worker.core.fault import Kind
from worker.core.metric import Profile
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.ports import Handler
from worker.sim.clock import EPOCH, in_virtual_time, wall_clock
from worker.sim.memory import MemoryBreakers, Mishap, ModelCall, Reply, Wire, answer
from worker.sim.queues import MemoryQueue
from worker.sim.wire import Plan, no_mishaps
from worker.sim.world import World

MIN: Final = 60.0
LEAD: Final = 10
"""Healthy minutes before anything happens."""
PER_MIN: Final = 30
"""Jobs sent in a minute: above the 20 from which shares are judged."""
LOG_GROUP: Final = "/workers"
CLUSTER: Final = {"ClusterName": "cluster", "ServiceName": "service"}
NEAR: Final = Target(name="near", model="eu.m", region="eu-west-1", attempt_s=90.0)
FAR: Final = Target(name="far", model="us.m", region="us-east-1", attempt_s=90.0)
PARKS: Final = Route(name="default", targets=(NEAR,))
THROTTLED: Final = fault(Kind.THROTTLED, "ThrottlingException", 429)
DENIED: Final = fault(Kind.MISCONFIGURED, "AccessDeniedException", 403)

Span = tuple[float, float]
"""From when to when, in minutes."""
Mood = Callable[[ModelCall, random.Random], Reply]


@dataclass(frozen=True, slots=True)
class Incident:
    """What was written, and what was the matter.

    Attributes:
        log: Standard output of all workers, in the order of time as far as one worker goes.
        aws: Metrics of AWS's own, as `alarms replay --extra` takes them.
        causes: From when to when each lasted, in minutes.
        minutes: How long it all was.
    """

    log: bytes
    aws: bytes
    causes: Mapping[str, Span]
    minutes: int


def well(_: ModelCall, dice: random.Random) -> Reply:
    """An ordinary day: one call in fifty fails, and some take long."""
    if dice.random() < 0.02:
        return Reply(dice.choice((DOWN, THROTTLED)), 0.2)
    return Reply(answer(), min(20.0, dice.lognormvariate(0.7, 0.6)))


def ill(until: float, how: Mood) -> Mood:
    """Well, but ill from minute `LEAD` to minute `until`."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return (how if LEAD * MIN <= call.now < until * MIN else well)(call, dice)

    return mood


def failing(what: Any = DOWN, share: float = 1.0, of: str = "near") -> Mood:
    """So many calls of a target fail."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        bad = call.target.name == of and dice.random() < share
        return Reply(what, 0.2) if bad else well(call, dice)

    return mood


@dataclass(kw_only=True)
class Stage:
    """A world with its workers, its producer, and somebody who reads the queues.

    Attributes:
        job: What is sent, by its number and the time.
        plan: What goes wrong between workers and stores.
    """

    mood: Mood
    minutes: int
    routes: Sequence[Route] = (PARKS,)
    plugins: Mapping[str, Handler] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    job: Callable[[int, float], dict[str, Any]] = lambda n, _: {"id": f"job-{n}"}
    plan: Plan = no_mishaps
    world: World = field(init=False)
    workers: list[Speaking] = field(default_factory=list)
    wanted: int = 2
    sends: bool = True
    aws: list[bytes] = field(default_factory=list)
    looks: dict[str, list[int]] = field(default_factory=dict)
    _unwell: dict[str, float] = field(default_factory=dict)
    _circuits: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(7)  # noqa: S311  (a simulation)
        self.world = World(
            routes={one.name: one for one in self.routes},
            breakers=MemoryBreakers(watch=self._watch),
        )
        self.world.model.mood = lambda call: self.mood(call, self.dice)

    def start(self, number: int) -> Speaking:
        """One more worker."""
        given = {
            "rules": {"lease_s": 60.0, "wait_s": 20.0, **self.rules},
            "wire": Wire(latency_s=0.02, plan=self.plan),
            "seed": number,
        }
        one = Speaking(
            self.world,
            f"w{number}",
            profile=Profile.CORE,
            level="info",
            plugins=self.plugins,
            given=given,
        )
        self.workers.append(one)
        return one

    async def live(self, script: Callable[["Stage"], Awaitable[None]] | None = None) -> None:
        """Let the whole story happen."""
        for number in range(self.wanted):
            self.start(number)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(run) for run in (self._feed(), self._look())]
        if script is not None:
            tasks.append(loop.create_task(_await(script(self))))
        await asyncio.sleep(self.minutes * MIN - 0.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self.workers:
            await one.quiet()
            await one.worker.crash()

    async def _feed(self) -> None:
        n = 0
        loop = asyncio.get_running_loop()
        while True:
            if self.sends:
                self.world.submit(**{"prompt": "Hello."} | self.job(n, loop.time()))
            n += 1
            await asyncio.sleep(MIN / PER_MIN)

    def _watch(self, _: Verdict, new: Verdict) -> None:
        now = asyncio.get_running_loop().time() / MIN
        if new.state is not State.CLOSED:
            self._unwell.setdefault(new.name, now)
        elif new.name in self._unwell:
            self._circuits.append((self._unwell.pop(new.name), now))

    # --- what AWS tells --------------------------------------------------------

    async def _look(self) -> None:
        """In the middle of each minute."""
        await asyncio.sleep(MIN / 2)
        while True:
            self._queue("jobs", self.world.jobs)
            self._queue("parked", self.world.parked)
            self._queue("dead", self.world.dead)
            self.tell("ECS/ContainerInsights", "DesiredTaskCount", CLUSTER, self.wanted)
            await asyncio.sleep(MIN)

    def _queue(self, role: str, queue: MemoryQueue) -> None:
        depth, by = queue.depth(), {"QueueName": f"{SERVICE}-{role}"}
        age = max((wall_clock() - one.sent_at for one in queue.peek()), default=0.0)
        for name, value in (
            ("ApproximateNumberOfMessagesVisible", depth.visible),
            ("ApproximateNumberOfMessagesNotVisible", depth.in_flight),
            ("ApproximateNumberOfMessagesDelayed", depth.delayed),
            ("ApproximateAgeOfOldestMessage", age),
        ):
            self.tell("AWS/SQS", name, by, value)
        minute = int(asyncio.get_running_loop().time() // MIN)
        for what, holds in (
            (f"{role} hold some", depth.visible > 0),
            (f"{role} are old", age > 300),
            (f"{role} are overdue", age > 900),
        ):
            if holds:
                self.looks.setdefault(what, []).append(minute)

    def tell(self, namespace: str, metric: str, by: Mapping[str, str], value: float) -> None:
        """One value of AWS's own."""
        line = {"namespace": namespace, "metric": metric, "dimensions": by, "value": value}
        self.aws.append(orjson.dumps({"at": wall_clock(), **line}) + b"\n")

    # --- what was the matter ---------------------------------------------------

    def incident(self, **causes: Span) -> Incident:
        """All that was written."""
        open_ = [*self._circuits, *((at, float(self.minutes)) for at in self._unwell.values())]
        found: dict[str, Span] = {
            what: (minutes[0], minutes[-1] + 1) for what, minutes in self.looks.items()
        }
        if open_:
            found["circuit"] = min(at for at, _ in open_), max(end for _, end in open_)
        log = b"".join(one.out.getvalue() for one in self.workers)
        return Incident(log, b"".join(self.aws), found | _told(log) | causes, self.minutes)


def _told(log: bytes) -> dict[str, Span]:
    """From when to when bugs were told, and how long nothing was finished at most."""
    events = [orjson.loads(line) for line in log.splitlines() if b'"event":"' in line]
    bugs = [_minute(one) for one in events if one["event"] == "flight.failed"]
    ends = [
        _minute(one)
        for one in events
        if one["event"] == "job.settled" and one["settlement"] in ("answered", "degraded", "dead")
    ]
    _, began, ended = max((b - a, a, b) for a, b in pairwise(sorted(ends)))
    return {"nothing is finished": (began, ended)} | (
        {"bugs": (min(bugs), max(bugs))} if bugs else {}
    )


def _minute(event: Mapping[str, Any]) -> float:
    return (float(event["at"]) - EPOCH) / MIN


async def _await(what: Awaitable[None]) -> None:
    await what


def played(
    stage: Stage, script: Callable[[Stage], Awaitable[None]] | None = None, **causes: Span
) -> Incident:
    async def whole() -> None:
        await stage.live(script)

    in_virtual_time(whole())
    return stage.incident(**causes)


def at(minute: float) -> Awaitable[None]:
    """Wait until that minute."""
    return asyncio.sleep(minute * MIN - asyncio.get_running_loop().time())


# --- the incidents -----------------------------------------------------------


def healthy() -> Incident:
    """Nothing but noise."""
    return played(Stage(mood=well, minutes=40))


def an_outage_with_nothing_else() -> Incident:
    """The only target is dead for 40 minutes; jobs wait."""
    return played(Stage(mood=ill(50, failing()), minutes=65), model=(LEAD, 50))


def an_outage_with_a_handler() -> Incident:
    """The same for 25 minutes; a second-best answer takes its place."""
    sorry = Handler(does=Says(lambda: DegradedAnswer.saying("Sorry.")), terms=Terms(quality=0.4))
    route = replace(PARKS, degraded=("sorry",), on_open="degrade")
    stage = Stage(mood=ill(35, failing()), minutes=50, routes=(route,), plugins={"sorry": sorry})
    return played(stage, model=(LEAD, 35))


def an_outage_with_another_target() -> Incident:
    """The first target is dead for 25 minutes; the second is not."""
    route = replace(PARKS, targets=(NEAR, FAR))
    return played(Stage(mood=ill(35, failing()), minutes=50, routes=(route,)), model=(LEAD, 35))


def a_flapping_model() -> Incident:
    """A minute dead, two minutes well, ten times."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return (failing() if call.now // MIN % 3 == 1 else well)(call, dice)

    return played(Stage(mood=ill(40, mood), minutes=60), flaps=(LEAD, 38))


def throttles() -> Incident:
    """A call in ten is throttled, for 20 minutes."""
    return played(Stage(mood=ill(30, failing(THROTTLED, 0.1)), minutes=45), throttles=(LEAD, 30))


def a_right_is_taken() -> Incident:
    """Access is denied for ten minutes."""
    return played(Stage(mood=ill(20, failing(DENIED)), minutes=40), right=(LEAD, 20))


def a_slow_model() -> Incident:
    """For 15 minutes one answer in five takes 40 seconds. No circuit opens for so few."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return Reply(answer(), 40.0) if dice.random() < 0.2 else well(call, dice)

    late = 40 / MIN  # it is told when they come
    return played(Stage(mood=ill(25, mood), minutes=40), slow=(LEAD + late, 25 + late))


def dead_letters() -> Incident:
    """Three jobs are no jobs; an operator takes them out a quarter of an hour later."""

    async def script(stage: Stage) -> None:
        await at(LEAD)
        for n in range(3):
            stage.world.submit(id=f"bad-{n}", prompt="Hello.")
        await at(25)
        queue = stage.world.dead.seen_by()
        letters = await queue.receive(10, wait_s=0, lease_s=30)
        await queue.delete([one.receipt for one in letters])

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return Reply(REJECTED, 0.1) if call.job.startswith("bad") else well(call, dice)

    return played(Stage(mood=mood, minutes=40), script)


def jobs_that_die() -> Incident:
    """Two jobs in five are rejected, for 20 minutes: somebody deployed a producer."""

    def job(n: int, now: float) -> dict[str, Any]:
        bad = LEAD * MIN <= now < 30 * MIN and n % 5 < 2
        return {"id": f"{'bad' if bad else 'job'}-{n}"}

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return Reply(REJECTED, 0.1) if call.job.startswith("bad") else well(call, dice)

    return played(Stage(mood=mood, minutes=60, job=job), rejected=(LEAD, 30))


def the_breakers_table_is_gone() -> Incident:
    """Workers cannot read the verdicts for 15 minutes."""

    def plan(call: Any) -> Mishap | None:
        now = asyncio.get_running_loop().time() / MIN
        return Mishap(when="before") if call.port == "breakers" and LEAD <= now < 25 else None

    # A view is stale when it is a minute old.
    return played(Stage(mood=well, minutes=40, plan=plan), stale=(LEAD + 1, 25))


def the_ledger_is_gone() -> Incident:
    """No job can be begun or ended for 20 minutes."""

    def plan(call: Any) -> Mishap | None:
        now = asyncio.get_running_loop().time() / MIN
        return Mishap(when="before") if call.port == "ledger" and LEAD <= now < 30 else None

    return played(Stage(mood=well, minutes=45, plan=plan), ledger=(LEAD, 30))


def every_worker_dies() -> Incident:
    """Both are killed; new ones come after twelve minutes."""

    async def script(stage: Stage) -> None:
        await at(LEAD - 0.01)  # before it tells of minute 10
        for one in stage.workers:
            for task in one._services:  # a kill flushes nothing
                task.cancel()
            kept = one.out.getvalue()
            await asyncio.wait(one._services)
            one.out.truncate(len(kept))
            await one.worker.crash()
        await at(22)
        for number in (2, 3):
            stage.start(number)

    return played(Stage(mood=well, minutes=40), script, silent=(LEAD, 22))


def nobody_is_wanted() -> Incident:
    """Nobody sends jobs for ten minutes; the fleet leaves in good order, and comes back."""

    async def script(stage: Stage) -> None:
        await at(LEAD - 1)
        stage.sends = False
        await at(LEAD)
        stage.wanted = 0
        for one in stage.workers:
            await one.drain()
        await at(20)
        for number in (2, 3):
            stage.start(number)
        stage.wanted, stage.sends = 2, True

    return played(Stage(mood=well, minutes=30), script)


def lines_that_are_no_metrics() -> Incident:
    """For five minutes somebody writes lines to the log that look like metrics and are none.

    CloudWatch is our own reader here: what it cannot read is what CloudWatch would refuse.
    """
    foreign = b'{"_aws":{"Timestamp":0,"CloudWatchMetrics":[{"Namespace":"X"}]}}\n'

    async def script(stage: Stage) -> None:
        await at(LEAD + 0.5)
        for _ in range(5):
            had = Read()
            read([foreign], had)
            by = {"LogGroupName": LOG_GROUP}
            stage.tell("AWS/Logs", "EMFValidationErrors", by, len(had.broken))
            stage.workers[0].out.write(foreign)
            await asyncio.sleep(MIN)

    return played(Stage(mood=well, minutes=30), script, foreign=(LEAD, 15))


def a_bug() -> Incident:
    """Twice a minute a run dies of an error of ours, for ten minutes."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        if call.job.startswith("bug"):
            raise ZeroDivisionError
        return well(call, dice)

    def job(n: int, now: float) -> dict[str, Any]:
        bug = LEAD * MIN <= now < 20 * MIN and n % 15 == 0
        return {"id": f"{'bug' if bug else 'job'}-{n}"}

    return played(Stage(mood=mood, minutes=40, job=job), bug=(LEAD, 20))


INCIDENTS: Final[Mapping[str, Callable[[], Incident]]] = {
    one.__name__: one
    for one in (
        healthy,
        an_outage_with_nothing_else,
        an_outage_with_a_handler,
        an_outage_with_another_target,
        a_flapping_model,
        throttles,
        a_right_is_taken,
        a_slow_model,
        dead_letters,
        jobs_that_die,
        the_breakers_table_is_gone,
        the_ledger_is_gone,
        every_worker_dies,
        nobody_is_wanted,
        lines_that_are_no_metrics,
        a_bug,
    )
}


@cache
def incident(name: str) -> Incident:
    """Played once."""
    return INCIDENTS[name]()


def lines(text: bytes) -> Iterable[bytes]:
    return text.splitlines(keepends=True)
