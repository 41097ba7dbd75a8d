"""Small worlds in which, together, everything happens that is measured.

Each scene is the runtime itself on twins in virtual time, with its telemetry; they are played
once, and several tests read what was written.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from tests.telemetry.stage import Speaking, Written, written
from worker.core.accept import Accept
from worker.core.degrade import Context, HandlerSpec, Terms
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Job
from worker.core.ledger import Claim, Record
from worker.core.metric import Profile
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.upgrade import upgraded
from worker.ports import Handler
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.memory import MemoryBreakers, Mishap, ModelCall, Reply, Wire, answer
from worker.sim.world import World, until_quiet

NEAR: Final = Target(
    name="near", model="eu.m", region="eu-west-1", slow_s=5.0, price_input=3.0, price_output=15.0
)
FAR: Final = Target(name="far", model="us.m", region="us-east-1", price_input=3.0, bucket="shared")
CHEAP: Final = Target(name="cheap", model="eu.s", region="eu-west-3", price_output=0.4)
DOWN: Final = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
REJECTED: Final = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
POLICY: Final = BreakerPolicy(min_calls=5, cooldown_s=5.0, cooldown_max_s=20.0)
QUICK: Final = {"policies": {"near": POLICY, "far": POLICY}}

STREAMED: Final = replace(answer("A whole answer."), first_token_ms=90)
BLOCKED: Final = replace(answer("No."), stop_reason="guardrail_intervened")


def fault(kind: Kind, code: str, http: int | None = 400, **more: Any) -> Fault:
    return Fault(kind=kind, code=code, http=http, **more)


ONCE: Final[Mapping[str, Fault]] = {  # what the first call for a job of that name comes to
    "throttled": fault(Kind.THROTTLED, "ThrottlingException", 429),
    "misconfigured": fault(Kind.MISCONFIGURED, "AccessDeniedException", 403),
    "unknown": fault(Kind.UNKNOWN, "Odd", 500),
    "unavailable": DOWN,
    "broken-off": fault(Kind.UNAVAILABLE, "ConnectionClosedError", None, billed=Billed.MAYBE),
    "exhausted": fault(Kind.EXHAUSTED, "ThrottlingException", 429),
}


def whims(call: ModelCall) -> Reply:
    """What a job's name asks for comes of its first call; the second brings an answer."""
    of = call.job.partition(":")[0]
    if of == "rejected":
        return Reply(REJECTED, 0.1)
    if call.number == 1 and of in ONCE:
        return Reply(ONCE[of], 0.1)
    if of == "poor" and call.number == 1:
        return Reply(answer("Hm.", input_tokens=1000), 0.5)
    if of == "slow":
        return Reply(STREAMED, 8.0)
    return Reply(BLOCKED if of == "blocked" else STREAMED, 0.5)


def played(main: Callable[[], Awaitable[tuple[Speaking, ...]]]) -> tuple[Speaking, ...]:
    async def whole() -> tuple[Speaking, ...]:
        return await main()

    return in_virtual_time(whole())


def calls_of_every_kind() -> tuple[Speaking, ...]:
    """One worker, two targets, a job for each ending of a call; some come twice, some wait."""
    accept = Accept(chars_min=4)
    retry = RetryPolicy(attempts=2)
    routes = {
        "default": Route(name="default", targets=(NEAR,), accept=accept, retry=retry),
        "both": Route(name="both", targets=(FAR, NEAR), retry=retry),
        "quota": Route(name="quota", targets=(FAR,), retry=retry),
        "thrifty": Route(name="thrifty", targets=(NEAR,), retry=RetryPolicy(budget_max=1.0)),
    }

    async def main() -> tuple[Speaking, ...]:
        world = World(routes=routes)
        world.model.mood = whims
        one = Speaking(world, "w1", given={"rules": {"policies": {"near": BreakerPolicy()}}})
        for name in ("plain", "slow", "blocked", "rejected", "poor", "unknown", "unavailable"):
            world.submit(id=f"{name}:0", prompt="Hello.")
        for name in ("misconfigured", "broken-off"):
            world.submit(id=f"{name}:0", prompt="Hello.", route="both")
        for n in range(3):
            world.submit(id=f"unavailable:{n + 1}", prompt="Hello.", route="thrifty")
        world.submit(id="plain:0", prompt="Hello.")
        world.submit(id="asked:0", prompt="Hello.", task_token=world.tasks.wait("a-task"))
        world.submit(id="asked:1", prompt="Hello.", task_token="over")
        world.submit(id="late", prompt="Hello.", deadline_s=1)
        world.jobs.put(b"{")
        await until_quiet(world)
        for n in range(4):
            world.submit(id=f"throttled:{n}", prompt="Hello.", route="quota")
        await until_quiet(world)
        world.submit(id="exhausted:0", prompt="Hello.", route="quota")
        await until_quiet(world)
        world.submit(id="plain:0", prompt="Hello.")
        await until_quiet(world)
        await one.drain()
        return (one,)

    return played(main)


def an_outage(profile: Profile = Profile.FULL) -> tuple[Speaking, ...]:
    """Three workers and one target, which fails for twenty minutes; a dead job is redriven."""

    async def main() -> tuple[Speaking, ...]:
        routes = {
            "default": Route(name="default", targets=(NEAR,)),
            "failing": Route(name="failing", targets=(NEAR,), on_open="park", park_base_s=5.0),
        }
        world = World(routes=routes, breakers=MemoryBreakers())

        def mood(call: ModelCall) -> Reply:
            bad = 60.0 <= call.now < 1300.0
            return Reply(REJECTED if call.job == "bad" else DOWN if bad else STREAMED, 0.3)

        world.model.mood = mood
        workers = tuple(
            Speaking(
                world,
                f"w{n}",
                profile=profile,
                given={"rules": QUICK, "wire": Wire(latency_s=0.05), "seed": n},
            )
            for n in range(3)
        )
        world.submit(id="bad", prompt="Hello.")
        for n in range(150):
            world.submit(id=f"job-{n}", prompt="Hello.", route="failing" if n % 2 else "default")
            await asyncio.sleep(1.0)
        world.submit(id="bad", prompt="Hello.")  # a letter sent back by hand
        await until_quiet(world)
        await asyncio.sleep(60.0)
        for one in workers:
            await one.drain()
        return workers

    return played(main)


@dataclass
class Says:
    """A plug-in that does one thing."""

    does: Callable[[], DegradedAnswer | None]

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id == context.job
        return self.does()


class Forgets(Says):
    """It cannot learn."""

    async def learn(self, job: Job, *_: Any) -> None:
        raise KeyError(job.id)


def fails() -> DegradedAnswer:
    raise KeyError


def second_best() -> tuple[Speaking, ...]:
    """A cache, a summary that costs, a handler that fails, one that apologises; upgrades."""
    terms = Terms(quality=0.4, canary_share=1.0)
    cached = HandlerSpec(name="before", kind="cache", terms=terms, ttl_s=60.0, stale_s=10_000.0)
    short = HandlerSpec(name="short", kind="summary", terms=terms, target=CHEAP)
    plugins = {
        "fails": Handler(does=Forgets(fails), terms=Terms(quality=0.9)),
        "sorry": Handler(does=Says(lambda: DegradedAnswer.saying("Sorry.")), terms=terms),
    }
    retry = RetryPolicy(attempts=1)
    routes = {
        "cached": Route(
            name="cached", targets=(NEAR,), degraded=("before",), on_open="degrade", retry=retry
        ),
        "short": Route(
            name="short",
            targets=(NEAR,),
            degraded=("fails", "short"),
            on_open="degrade",
            retry=retry,
            accept=Accept(chars_min=5),
        ),
        "better": Route(
            name="better",
            targets=(FAR,),
            degraded=("sorry",),
            on_open="degrade",
            upgrade_later=True,
            retry=retry,
        ),
    }

    def mood(call: ModelCall) -> Reply:
        if call.target is CHEAP:
            return Reply(answer("Yes." if call.number % 2 else "In short: yes."), 0.2)
        if call.job.startswith("hopeless") and upgraded(call.job):
            return Reply(REJECTED, 0.1)
        bad = 50.0 <= call.now < 300.0
        return Reply(DOWN if bad else STREAMED, 0.2)

    async def main() -> tuple[Speaking, ...]:
        world = World(routes=routes)
        world.model.mood = mood
        one = Speaking(world, "w1", specs=(cached, short), plugins=plugins, given={"rules": QUICK})
        for n in range(20):
            world.submit(id=f"early-{n}", prompt=f"Question {n}.", route="cached")
            world.submit(id=f"short-{n}", prompt="Hello.", route="short")
        await asyncio.sleep(100.0)
        for n in range(20):
            world.submit(id=f"again-{n}", prompt=f"Question {n}.", route="cached")
            world.submit(id=f"brief-{n}", prompt="Hello.", route="short")
        for name in ("hopeful", "hopeless"):
            world.submit(id=name, prompt="Hello.", route="better")
        await until_quiet(world)
        await asyncio.sleep(30.0)
        await one.drain()
        return (one,)

    return played(main)


class Pipe(io.BytesIO):
    """A stdout that may break for a while."""

    broken = False

    def write(self, line: Any) -> int:
        if self.broken:
            raise BrokenPipeError
        return super().write(line)


class Deaf:
    """A collector of traces that takes none."""

    why = "refused_or_out_of_reach"
    lost = 0

    def take(self, _: Any) -> None:
        self.lost += 1


async def taken_by_a_rival(world: World, job: str, message_id: str) -> None:
    """As after a stall: the claim has lapsed, and another worker has the job."""
    held = world.ledger.records[job]
    world.ledger.records[job] = replace(held, lease_until=0.0)
    ask = Claim(
        job=job,
        owner="rival",
        nonce="n",
        doorbell=message_id,
        lease_s=1000.0,
        digest=held.digest,
        sent_at=wall_clock(),
    )
    assert isinstance(await world.ledger.seen_by().claim(ask), Record)


def trouble_of_our_own() -> tuple[Speaking, ...]:
    """Stores out of reach, a lost lease, a bug, a pipe that breaks, a drain that is too short.

    Nobody takes its traces.
    """
    patient = Route(name="default", targets=(replace(NEAR, attempt_s=500.0),))

    def mood(call: ModelCall) -> Reply:
        if call.job == "bug":
            raise ZeroDivisionError
        return Reply(STREAMED, 200.0 if call.job in ("lost", "cut") else 1.0)

    async def main() -> tuple[Speaking, ...]:
        world = World(routes={"default": patient}, breakers=MemoryBreakers())
        world.model.mood = mood
        wire, pipe = Wire(), Pipe()
        given = {"rules": {"grace_s": 4.0}, "wire": wire}
        one = Speaking(world, "w1", out=pipe, courier=Deaf(), given=given)
        await asyncio.sleep(5.0)

        away = {"breakers", "ledger"}
        wire.plan = lambda call: Mishap(when="before") if call.port in away else None
        world.submit(id="a", prompt="Hello.")
        await asyncio.sleep(60.0)
        away.clear()
        await until_quiet(world)

        message_id = world.submit(id="lost", prompt="Hello.")
        await asyncio.sleep(5.0)
        await taken_by_a_rival(world, "lost", message_id)
        world.submit(id="bug", prompt="Hello.")
        await asyncio.sleep(60.0)

        pipe.broken = True
        world.submit(id="b", prompt="Hello.")
        await asyncio.sleep(5.0)
        pipe.broken = False
        world.submit(id="cut", prompt="Hello.")
        await asyncio.sleep(30.0)
        await one.drain()
        return (one,)

    return played(main)


SCENES: Final = (calls_of_every_kind, an_outage, second_best, trouble_of_our_own)


@cache
def told() -> Mapping[str, tuple[Speaking, ...]]:
    """All scenes, each played once."""
    return {scene.__name__: scene() for scene in SCENES}


@cache
def wrote() -> Written:
    """All that was written in all of them."""
    return written(*(one for workers in told().values() for one in workers))
