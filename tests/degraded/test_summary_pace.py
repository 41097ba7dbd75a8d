"""A summary draws on a quota too: it keeps the pace, slows it, and is never blamed for it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from worker.core.answer import Answer
from worker.core.degrade import HandlerSpec, Terms
from worker.core.events import HandlerAsked, HandlerMoved, JobSettled, PaceChanged
from worker.core.fault import Fault, Kind
from worker.core.pacer import Pace
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.window import Outcome
from worker.degraded.registry import build
from worker.runtime.handler_gates import HandlerGates, Leave
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, Told, Wire, answer
from worker.sim.world import LivingWorker, World, until_quiet

CHEAP = Target(name="cheap", model="small", max_tokens=200)
FIRST = Target(name="a", model="m")
ROUTE = Route(
    name="default",
    targets=(FIRST,),
    degraded=("short",),
    on_open="degrade",
    retry=RetryPolicy(attempts=1),
)
DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
FOR_40_S = replace(THROTTLED, retry_after_s=40.0)
USED_UP = replace(THROTTLED, kind=Kind.EXHAUSTED)
SHORT: Answer = answer("Short.")

Mood = Callable[[ModelCall], Answer | Fault]


@dataclass
class Played:
    worker: LivingWorker
    summaries: list[float]

    @property
    def asked(self) -> list[str]:
        return [event.outcome for event in self.worker.told.of(HandlerAsked)]

    @property
    def paces(self) -> list[tuple[str, Pace]]:
        return [(e.bucket, e.pace) for e in self.worker.told.of(PaceChanged)]

    @property
    def last(self) -> JobSettled:
        return self.worker.told.of(JobSettled)[-1]


def play(
    mood: Mood,
    jobs: int = 1,
    *,
    first: Target = FIRST,
    cheap: Target = CHEAP,
    terms: Terms | None = None,
    takes_s: float = 0.1,
    slots: int = 1,
    until_s: float = 30.0,
    tick_s: float = 0.0,
    hangs_after: int = 1_000_000,
    **job: str,
) -> Played:
    """Jobs one after the other, each settled once or not by `until_s`."""
    world = World(routes={"default": replace(ROUTE, targets=(first,))})
    summaries: list[float] = []

    def replies(call: ModelCall) -> Reply:
        if call.target is cheap:
            summaries.append(call.now)
            if len(summaries) > hangs_after:
                return Reply(SHORT, 1e6)
        return Reply(mood(call), takes_s)

    world.model.mood = replies
    terms = terms or Terms(limit_s=10.0)
    spec = HandlerSpec(name="short", kind="summary", terms=terms, target=cheap)

    async def main() -> LivingWorker:
        model = world.model.seen_by(Wire())
        made = build([spec], given={}, model=model, tell=Told())
        for n in range(jobs):
            world.submit(id=f"job-{n}", prompt="Why?", **job)
        worker = LivingWorker(world, "w1", house={"handlers": made}, rules={"slots": slots})
        with suppress(TimeoutError):
            await until_quiet(world, within_s=until_s)
        await worker.drain()
        return worker

    return Played(in_virtual_time(main(), tick_s=tick_s), summaries)


def down_and(cheap: Sequence[Answer | Fault]) -> Mood:
    """The route's target is down, and the summary's gives this, the last of it for ever."""
    left = list(cheap)

    def mood(call: ModelCall) -> Answer | Fault:
        if call.target.name != "cheap":
            return DOWN
        return left.pop(0) if len(left) > 1 else left[0]

    return mood


@pytest.mark.parametrize(("fault", "pace"), [(FOR_40_S, Pace.PACED), (USED_UP, Pace.EXHAUSTED)])
def test_a_throttled_summary_slows_its_bucket_and_is_not_blamed(fault: Fault, pace: Pace) -> None:
    played = play(down_and([fault]), 12)

    assert played.asked[0] == "throttled"
    assert set(played.asked[1:]) == {"paced"}, "nobody asks before its time"
    assert len(played.summaries) == 1
    assert played.paces == [("cheap", pace)]
    assert played.worker.told.of(HandlerMoved) == [], "a throttle is no word against the handler"
    assert played.last.settlement == "parked"


def test_a_summary_of_the_same_bucket_is_not_asked_while_the_routes_calls_are_throttled() -> None:
    first, cheap = (replace(target, bucket="shared") for target in (FIRST, CHEAP))

    played = play(
        lambda call: FOR_40_S if call.target.name == "a" else SHORT, first=first, cheap=cheap
    )

    assert played.paces == [("shared", Pace.PACED)]
    assert set(played.asked) == {"paced"}
    assert played.summaries == []


def test_a_summary_of_another_bucket_is() -> None:
    played = play(lambda call: FOR_40_S if call.target.name == "a" else SHORT)

    assert played.asked == ["answered"]
    assert played.last.settlement == "degraded"


def test_a_summary_waits_for_its_turn_within_its_own_time() -> None:
    played = play(down_and([replace(THROTTLED, retry_after_s=3.0), SHORT]), 2)

    assert played.asked == ["throttled", "answered", "answered"]
    throttled_at, second, third = played.summaries
    assert second - throttled_at >= 3.0
    assert third > second, "turns are apart"


def test_it_waits_for_half_of_its_time_at_most() -> None:
    played = play(
        down_and([replace(THROTTLED, retry_after_s=3.0), SHORT]), 2, terms=Terms(limit_s=5.0)
    )

    told = [e for e in played.worker.told.of(HandlerAsked) if e.outcome == "paced"]
    assert told
    assert all(event.duration_ms <= 2500 for event in told)


def test_what_it_waited_is_no_time_of_the_summary() -> None:
    limit_s = 4.0
    played = play(
        down_and([replace(THROTTLED, retry_after_s=4.5), SHORT]),
        2,
        terms=Terms(limit_s=limit_s),
        takes_s=3.0,
    )

    late = [e for e in played.worker.told.of(HandlerAsked) if e.outcome == "late"]
    assert late
    assert all(event.duration_ms <= limit_s * 1000 for event in late)
    assert played.worker.told.of(HandlerMoved) == [], "it had less time than its limit"


def test_summaries_under_way_count_in_their_bucket() -> None:
    played = play(down_and([THROTTLED]), 12, slots=12, takes_s=5.0, until_s=3.0)

    pacer = played.worker.supervisor.gates.paces._pacers["cheap"]
    assert len(played.summaries) == 12, "nobody knew of a throttle yet"
    assert pacer._most >= 12, "the limit begins at what was in flight"
    assert played.worker.told.of(HandlerMoved) == [], "not even twelve throttles open its circuit"


def test_where_one_call_may_be_in_flight_it_is_not_in_its_own_way() -> None:
    spec = HandlerSpec(name="short", kind="summary", terms=Terms(limit_s=10.0), target=CHEAP)

    async def main() -> tuple[Leave | str, Leave | str]:
        world = World()
        handler = build([spec], given={}, model=world.model.seen_by(Wire()), tell=Told())["short"]
        worker = LivingWorker(world, "w1", house={"handlers": {"short": handler}})
        paces = worker.supervisor.gates.paces
        gates = HandlerGates(worker.supervisor._house, paces)
        first = await gates.enter("short", handler, within_s=5.0)
        assert isinstance(first, Leave)
        gates.throttled(first, THROTTLED)
        paces._pacers["cheap"]._most = 0.1
        paces._pacers["cheap"]._top = 2.0
        found = [await gates.enter("short", handler, within_s=5.0) for _ in range(2)]
        await worker.drain()
        return found[0], found[1]

    one, two = in_virtual_time(main())

    assert isinstance(one, Leave)
    assert two == "paced"


def test_who_waits_for_a_turn_is_not_in_flight_and_in_nobodys_way() -> None:
    """One call at a time, two a second, and each is done in a tenth of one: all get through."""
    spec = HandlerSpec(name="short", kind="summary", terms=Terms(limit_s=10.0), target=CHEAP)

    async def main() -> list[str]:
        world = World()
        handler = build([spec], given={}, model=world.model.seen_by(Wire()), tell=Told())["short"]
        worker = LivingWorker(world, "w1", house={"handlers": {"short": handler}})
        paces = worker.supervisor.gates.paces
        gates = HandlerGates(worker.supervisor._house, paces)

        async def summary() -> str:
            leave = await gates.enter("short", handler, within_s=9.0)
            if isinstance(leave, str):
                return leave
            await asyncio.sleep(0.1)
            gates.settle(leave, Outcome.SUCCESS)
            return "answered"

        first = await gates.enter("short", handler, within_s=5.0)
        assert isinstance(first, Leave)
        gates.throttled(first, THROTTLED)
        paces._pacers["cheap"]._most = 0.1
        paces._pacers["cheap"]._top = 2.5
        found = await asyncio.gather(*(summary() for _ in range(4)))
        await worker.drain()
        return found

    assert in_virtual_time(main()) == ["answered"] * 4


def test_a_summary_that_hangs_is_to_blame_although_its_quota_is_paced() -> None:
    """On a clock that ticks: the wait for a turn is never exactly nothing."""
    played = play(
        down_and([THROTTLED, *[SHORT] * 3]),
        40,
        terms=Terms(limit_s=2.0),
        takes_s=0.1,
        hangs_after=2,
        until_s=600.0,
        tick_s=1e-6,
    )

    assert "late" in played.asked
    assert played.worker.told.of(HandlerMoved) != []


def test_after_a_quarantine_the_first_summary_may_go_out() -> None:
    played = play(down_and([USED_UP, SHORT]), until_s=2000.0)

    assert played.paces == [("cheap", Pace.EXHAUSTED), ("cheap", Pace.PACED)]
    assert played.last.settlement == "degraded"


def test_nothing_is_practised_while_the_quota_is_short() -> None:
    first, cheap = (replace(target, bucket="shared") for target in (FIRST, CHEAP))
    throttled = [THROTTLED]

    played = play(
        lambda call: throttled.pop() if throttled and call.target.name == "a" else SHORT,
        3,
        first=first,
        cheap=cheap,
        terms=Terms(limit_s=10.0, canary_share=1.0),
        until_s=600.0,
        on_open="park",
    )

    practice = [e.outcome for e in played.worker.told.of(HandlerAsked) if e.canary]
    assert played.last.settlement == "answered"
    assert set(practice) == {"paced"}
    assert played.summaries == [], "every turn is a job's"
