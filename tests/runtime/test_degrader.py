"""Degraded handlers: whatever one of them does, a job loses that step and no more."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from worker.core.answer import Answer
from worker.core.degrade import Context, Terms
from worker.core.events import FlightFailed, HandlerAsked, HandlerMoved, HandlerUntaught, JobSettled
from worker.core.fault import Fault, Kind
from worker.core.job import Job, Request
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer, Spent
from worker.core.target import Target
from worker.core.verdict import State
from worker.ports import Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import always, answer
from worker.sim.world import LivingWorker, World, until_quiet

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
ROUTE = Route(
    name="default",
    targets=(Target(name="a", model="m"),),
    degraded=("first", "second"),
    on_open="degrade",
    retry=RetryPolicy(attempts=1),
)
SECRET = "the-text-of-a-job"


@dataclass
class Fake:
    """A handler that does what it is told, and remembers what it was asked."""

    does: Callable[[Job], Any]
    asked: list[Context] = field(default_factory=list)

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        self.asked.append(context)
        given: DegradedAnswer | None = self.does(job)
        return await given if asyncio.iscoroutine(given) else given


class Raises(Mapping[str, Any]):
    """A content block with code of its own."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(SECRET)

    def __iter__(self) -> Iterator[str]:
        return iter(["text"])

    def __len__(self) -> int:
        return 1


def says(text: str, **how: Any) -> Fake:
    return Fake(lambda _: DegradedAnswer.saying(text, **how))


def raises(error: BaseException) -> Fake:
    def does(_: Job) -> Any:
        raise error

    return Fake(does)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def for_ever_and_hard_of_hearing() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(30)


def world_that_is_down(route: Route = ROUTE) -> World:
    world = World(routes={"default": route})
    world.model.mood = always(DOWN, 0.1)
    return world


@dataclass
class Played:
    world: World
    events: list[JobSettled]
    asked: list[HandlerAsked]
    worker: LivingWorker

    def envelope(self, job: str = "job-0") -> dict[str, Any]:
        record = self.world.ledger.records[job]
        assert record.result is not None
        envelope: dict[str, Any] = orjson.loads(record.result)
        return envelope


def play(
    world: World,
    handlers: dict[str, Fake],
    *jobs: dict[str, Any],
    terms: dict[str, Terms] | None = None,
    **worker: Any,
) -> Played:
    """Let one worker settle the jobs."""

    async def main() -> Played:
        for n, job in enumerate(jobs or ({},)):
            world.submit(**{"id": f"job-{n}", "prompt": SECRET, **job})
        made = {
            name: Handler(does=fake, terms=(terms or {}).get(name, Terms()))
            for name, fake in handlers.items()
        }
        living = LivingWorker(world, "w1", house={"handlers": made}, **worker)
        await until_quiet(world)
        await asyncio.sleep(5.0)  # for what goes on beside the jobs
        await living.drain()
        told = living.told
        assert not told.of(FlightFailed)
        assert SECRET not in repr(told.events)
        return Played(world, told.of(JobSettled), told.of(HandlerAsked), living)

    return in_virtual_time(main())


BAD: dict[str, tuple[Callable[[], Fake], str, str]] = {
    "raises": (lambda: raises(KeyError(SECRET)), "failed", "KeyError"),
    "cancels": (lambda: raises(asyncio.CancelledError()), "failed", "CancelledError"),
    "exits": (lambda: raises(SystemExit(3)), "failed", "SystemExit"),
    "hangs": (lambda: Fake(lambda _: for_ever()), "late", ""),
    "hangs and is slow to hear": (
        lambda: Fake(lambda _: for_ever_and_hard_of_hearing()),
        "late",
        "",
    ),
    "gives a text": (lambda: Fake(lambda _: SECRET), "failed", "no DegradedAnswer"),
    "gives no JSON": (
        lambda: Fake(lambda _: DegradedAnswer(content=({"text": object()},))),
        "failed",
        "content is no JSON",
    ),
    "gives a number as a text": (
        lambda: Fake(lambda _: DegradedAnswer(content=({"text": 5},))),
        "failed",
        "a text is no string",
    ),
    "loses what no JSON holds": (
        lambda: says("first", loses=("\ud800",)),
        "failed",
        "loses is no list of words",
    ),
    "loses more than a record holds": (
        lambda: says("first", loses=("x" * 400_000,)),
        "failed",
        "loses is no list of words",
    ),
    "spent nobody's tokens": (
        lambda: Fake(
            lambda _: replace(
                DegradedAnswer.saying("first"),
                spent=Spent(usage=None, target=None),  # type: ignore[arg-type]
            )
        ),
        "failed",
        "spent is no Spent",
    ),
    "gives what raises when it is looked at": (
        lambda: Fake(lambda _: DegradedAnswer(content=(Raises(),))),
        "failed",
        "KeyError",
    ),
    "has none": (lambda: Fake(lambda _: None), "declined", ""),
    "gives too little": (lambda: says("first", quality=0.1), "below_quality", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_handler_costs_a_job_its_own_step_and_no_more(name: str) -> None:
    make, outcome, error = BAD[name]

    played = play(
        world_that_is_down(),
        {"first": make(), "second": says("second")},
        {"min_quality": 0.5},
    )

    envelope = played.envelope()
    assert envelope["output"]["message"]["content"] == [{"text": "second"}]
    assert [(e.handler, e.outcome, e.error) for e in played.asked] == [
        ("first", outcome, error),
        ("second", "answered", ""),
    ]
    (event,) = played.events
    assert (event.settlement, event.reason) == ("degraded", "unavailable")
    assert event.worked_ms <= 2_500


def test_where_no_handler_has_an_answer_the_job_is_parked() -> None:
    world = world_that_is_down()
    none = Fake(lambda _: None)

    async def main() -> list[JobSettled]:
        world.submit(id="job-0", prompt=SECRET)
        made = {"first": Handler(does=none), "second": Handler(does=none)}
        worker = LivingWorker(world, "w1", house={"handlers": made})
        await asyncio.sleep(1.0)
        world.model.mood = always(answer(), 0.1)
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)

    events = in_virtual_time(main())

    assert [event.settlement for event in events] == ["parked", "answered"]
    assert len(none.asked) == 2


def test_a_handler_is_told_why_it_is_asked_and_how_long_it_may_take() -> None:
    first, second = Fake(lambda _: None), says("second")

    play(
        world_that_is_down(),
        {"first": first, "second": second},
        {"deadline_s": 1.0},
        terms={"first": Terms(limit_s=0.25), "second": Terms(limit_s=60.0)},
    )

    (context,), (last,) = first.asked, second.asked
    assert (context.reason, context.left_s, context.canary) == ("unavailable", 0.25, False)
    assert context.request.messages[0]["content"] == [{"text": SECRET}]
    assert 0 < last.left_s < 1.0


def test_a_handler_that_the_deadline_cuts_short_is_not_to_blame() -> None:
    route = replace(ROUTE, degraded=("first",))
    first = Fake(lambda _: for_ever())

    played = play(
        world_that_is_down(route),
        {"first": first},
        *[{"deadline_s": 1.0}] * 12,
        terms={"first": Terms(limit_s=60.0)},
    )

    assert {event.reason for event in played.events} == {"expired"}
    assert {event.outcome for event in played.asked} == {"late"}
    assert not played.worker.told.of(HandlerMoved)


def test_a_handler_below_the_jobs_quality_is_not_even_asked() -> None:
    first = says("first")

    played = play(
        world_that_is_down(),
        {"first": first, "second": says("second")},
        {"min_quality": 0.5},
        terms={"first": Terms(quality=0.4)},
    )

    assert not first.asked
    assert played.envelope()["quality"]["served"] == 1.0


def test_a_handler_below_the_quality_of_its_route_is_not_even_asked() -> None:
    first = says("first")

    played = play(
        world_that_is_down(replace(ROUTE, min_quality=0.5)),
        {"first": first, "second": says("second")},
        {"min_quality": 0.3},
        terms={"first": Terms(quality=0.4)},
    )

    assert not first.asked
    assert played.envelope()["quality"]["served"] == 1.0


def test_a_job_that_no_target_may_serve_is_answered_by_what_serves_it_or_dead() -> None:
    handlers = {"first": says("first", quality=0.4), "second": says("second", quality=0.95)}
    route = replace(
        ROUTE, targets=(Target(name="a", model="eu.m", region="eu-west-1", quality=0.9),)
    )
    jobs: tuple[dict[str, Any], ...] = (
        {"min_quality": 0.95},
        {"allow_geo": ["us"]},
        {"min_quality": 0.96},
        {"allow_geo": ["us"], "on_open": "park"},
    )

    played = play(world_that_is_down(route), handlers, *jobs)

    assert sum(played.world.model.started.values()) == 0
    assert {event.job: (event.settlement, event.reason) for event in played.events} == {
        "job-0": ("degraded", "below_quality"),
        "job-1": ("degraded", "outside_geo"),
        "job-2": ("dead", "below_quality"),
        "job-3": ("dead", "outside_geo"),
    }
    served = [played.envelope(f"job-{n}")["quality"]["served"] for n in range(4)]
    assert served == [0.95, 0.4, 0.0, 0.0]


def test_an_answer_below_the_quality_of_its_route_is_given_to_nobody() -> None:
    played = play(
        world_that_is_down(replace(ROUTE, min_quality=0.5)),
        {"first": says("first", quality=0.4), "second": says("second", quality=0.5)},
    )

    assert [event.outcome for event in played.asked] == ["below_quality", "answered"]
    assert played.envelope()["quality"]["served"] == 0.5


@pytest.mark.parametrize("make", [lambda: raises(KeyError()), lambda: Fake(lambda _: for_ever())])
def test_a_handler_that_keeps_failing_is_left_alone_for_a_while(
    make: Callable[[], Fake],
) -> None:
    first = make()

    played = play(
        world_that_is_down(),
        {"first": first, "second": says("second")},
        *[{}] * 40,
        terms={"first": Terms(limit_s=0.5)},
        rules={"slots": 2},
    )

    assert {event.settlement for event in played.events} == {"degraded"}
    outcomes = [event.outcome for event in played.asked if event.handler == "first"]
    assert len(first.asked) < 15
    assert outcomes.count("refused") == 40 - len(first.asked)
    moved = played.worker.told.of(HandlerMoved)[0]
    assert (moved.handler, moved.old, moved.new) == ("first", State.CLOSED, State.OPEN)


def test_a_handler_that_recovers_is_asked_again() -> None:
    well = False
    world = world_that_is_down()

    def does(_: Job) -> DegradedAnswer:
        if not well:
            raise KeyError
        return DegradedAnswer.saying("first")

    async def main() -> list[HandlerAsked]:
        nonlocal well
        made = {"first": Handler(does=Fake(does)), "second": Handler(does=says("second"))}
        worker = LivingWorker(world, "w1", house={"handlers": made})
        for n in range(30):
            world.submit(id=f"a-{n}", prompt=SECRET)
        await until_quiet(world)
        well = True
        await asyncio.sleep(120)
        for n in range(30):
            world.submit(id=f"b-{n}", prompt=SECRET)
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(HandlerAsked)

    asked = in_virtual_time(main())

    late = [e for e in asked if e.job.startswith("b-") and e.handler == "first"]
    assert late[-1].outcome == "answered"


def test_a_route_has_a_notice_of_its_own_or_one_by_what_is_lost() -> None:
    own = replace(ROUTE, notice="Sorry, we are busy.")

    short = says("x", loses=("length",))

    plain = play(world_that_is_down(), {"first": short, "second": says("y")})
    ours = play(world_that_is_down(own), {"first": says("x"), "second": says("y")})

    assert plain.envelope()["degraded"]["notice"].endswith("it is shorter than usual.")
    assert ours.envelope()["degraded"]["notice"] == "Sorry, we are busy."


def test_a_job_that_a_drain_cuts_in_a_handler_is_given_back() -> None:
    world = world_that_is_down()

    async def main() -> JobSettled:
        world.submit(id="job-0", prompt=SECRET)
        slow = Handler(does=Fake(lambda _: for_ever()), terms=Terms(limit_s=60.0))
        made = {"first": slow, "second": slow}
        worker = LivingWorker(world, "w1", house={"handlers": made}, rules={"grace_s": 10.0})
        await asyncio.sleep(1.0)
        await worker.drain()
        return worker.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.reason) == ("released", "drain")


# --- beside the jobs -----------------------------------------------------------------

PRACTISED = {"first": Terms(canary_share=1.0), "second": Terms()}


def test_a_handler_is_practised_on_beside_jobs_that_a_model_answered() -> None:
    world = World(routes={"default": ROUTE})
    first, second = says("first"), says("second")

    played = play(world, {"first": first, "second": second}, terms=PRACTISED)

    assert [event.settlement for event in played.events] == ["answered"]
    assert played.envelope()["status"] == "ok"
    (asked,) = played.asked
    assert (asked.handler, asked.outcome, asked.canary) == ("first", "answered", True)
    (context,) = first.asked
    assert (context.reason, context.canary) == ("canary", True)
    assert not second.asked


def test_practice_is_a_share_of_the_jobs() -> None:
    world = World(routes={"default": ROUTE})
    first = says("first")

    play(
        world,
        {"first": first, "second": says("second")},
        *[{}] * 400,
        terms={"first": Terms(canary_share=0.1)},
    )

    assert 15 <= len(first.asked) <= 70


def test_practice_that_fails_opens_the_breaker_before_anybody_needs_the_handler() -> None:
    world = World(routes={"default": ROUTE})

    played = play(
        world, {"first": raises(KeyError()), "second": says("x")}, *[{}] * 40, terms=PRACTISED
    )

    assert {event.settlement for event in played.events} == {"answered"}
    assert played.worker.told.of(HandlerMoved)[0].new is State.OPEN


def test_practice_never_delays_a_job_and_never_piles_up() -> None:
    world = World(routes={"default": ROUTE})
    world.model.mood = always(answer(), 1.0)
    first = Fake(lambda _: for_ever())

    played = play(
        world,
        {"first": first, "second": says("x")},
        *[{}] * 50,
        terms={"first": Terms(canary_share=1.0, limit_s=60.0)},
    )

    assert {event.settlement for event in played.events} == {"answered"}
    assert max(event.worked_ms for event in played.events) <= 1_100
    assert len(first.asked) == 2


def test_nothing_is_practised_while_the_worker_leaves() -> None:
    world = World(routes={"default": ROUTE})
    world.model.mood = always(answer(), 5.0)
    first = says("first")

    async def main() -> list[JobSettled]:
        world.submit(id="job-0", prompt=SECRET)
        made = {
            "first": Handler(does=first, terms=PRACTISED["first"]),
            "second": Handler(does=says("x")),
        }
        worker = LivingWorker(world, "w1", house={"handlers": made})
        await asyncio.sleep(1.0)
        await worker.drain()
        return worker.told.of(JobSettled)

    (event,) = in_virtual_time(main())

    assert event.settlement == "answered"
    assert not first.asked


def test_what_is_practised_when_the_worker_leaves_is_dropped() -> None:
    world = World(routes={"default": ROUTE})
    first = Fake(lambda _: for_ever())

    async def main() -> float:
        world.submit(id="job-0", prompt=SECRET)
        made = {
            "first": Handler(does=first, terms=Terms(canary_share=1.0, limit_s=60.0)),
            "second": Handler(does=says("x")),
        }
        worker = LivingWorker(world, "w1", house={"handlers": made})
        await until_quiet(world)
        loop = asyncio.get_running_loop()
        stopped_at = loop.time()
        await worker.drain()
        return loop.time() - stopped_at

    took_s = in_virtual_time(main())

    assert len(first.asked) == 1
    assert took_s < 10.0


@dataclass
class Pupil:
    """A handler that learns."""

    error: BaseException | None = None
    seen: list[tuple[Request, Answer, Target]] = field(default_factory=list)

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        del job, context
        return None

    async def learn(self, job: Job, request: Request, answer: Answer, target: Target) -> None:
        del job
        if self.error is not None:
            raise self.error
        self.seen.append((request, answer, target))


@pytest.mark.parametrize("error", [None, KeyError(SECRET), SystemExit(3)])
def test_a_handler_that_learns_sees_every_answer_of_a_model(error: BaseException | None) -> None:
    world = World(routes={"default": ROUTE})
    pupil = Pupil(error)

    async def main() -> LivingWorker:
        world.submit(id="job-0", prompt=SECRET)
        made = {"first": Handler(does=pupil), "second": Handler(does=says("x"))}
        worker = LivingWorker(world, "w1", house={"handlers": made})
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    assert [event.settlement for event in worker.told.of(JobSettled)] == ["answered"]
    untaught = [(event.handler, event.error) for event in worker.told.of(HandlerUntaught)]
    if error is None:
        ((request, given, target),) = pupil.seen
        assert request.messages[0]["content"] == [{"text": SECRET}]
        assert (given.stop_reason, target.name) == ("end_turn", "a")
        assert not untaught
    else:
        assert untaught == [("first", type(error).__name__)]
        assert SECRET not in repr(worker.told.events)


@dataclass
class Deaf(Pupil):
    """A handler that does not hear that it is cancelled, until it is let go."""

    let_go: bool = False

    async def learn(self, job: Job, request: Request, answer: Answer, target: Target) -> None:
        del job, request, answer, target
        while not self.let_go:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


def test_a_worker_leaves_without_the_handler_that_does_not_hear_it() -> None:
    world = World(routes={"default": ROUTE})
    deaf = Deaf()

    async def main() -> float:
        world.submit(id="job-0", prompt=SECRET)
        made = {"first": Handler(does=deaf), "second": Handler(does=says("x"))}
        worker = LivingWorker(world, "w1", house={"handlers": made})
        await until_quiet(world)
        loop = asyncio.get_running_loop()
        stopped_at = loop.time()
        try:
            async with asyncio.timeout(600):
                await asyncio.shield(worker.drain())
        finally:
            deaf.let_go = True
        return loop.time() - stopped_at

    took_s = in_virtual_time(main())

    assert took_s < 10.0
