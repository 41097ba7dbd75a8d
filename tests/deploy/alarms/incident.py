"""The stage of an incident: a world with real workers, a producer, and a reader of the queues.

The workers are the runtime itself on twins, with their telemetry in the profile that alarms live
on. What AWS alone tells (queues, tasks) is read off the twins once a minute.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import orjson

from tests.telemetry.scenes import DOWN, fault
from tests.telemetry.stage import SERVICE, Speaking
from worker.core.fault import Kind
from worker.core.metric import Profile
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.ports import Handler
from worker.sim.clock import EPOCH, in_virtual_time, wall_clock
from worker.sim.memory import MemoryBreakers, ModelCall, Reply, Wire, answer
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
