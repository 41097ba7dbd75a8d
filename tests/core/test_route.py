"""Where a job goes next, for every kind of fault and within every limit."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from worker.core.fault import Fault, Kind
from worker.core.retry import RetryPolicy
from worker.core.route import (
    Call,
    Decision,
    Degrade,
    Discard,
    Hold,
    Park,
    Release,
    Route,
    Seen,
    Take,
    Target,
    intake,
    plan,
)

A = Target(name="a", model="model-a", attempt_s=60.0, quality=0.9, context_tokens=100_000)
B = Target(name="b", model="model-b", attempt_s=30.0, quality=0.6, context_tokens=200_000)
SMALL = replace(B, context_tokens=100_000)
ONE = Route(name="one", targets=(A,))
TWO = Route(name="two", targets=(A, B))
WAITING_KINDS = (  # nobody is to blame: the job waits until its time is over
    Kind.UNAVAILABLE,
    Kind.THROTTLED,
    Kind.EXHAUSTED,
    Kind.MISCONFIGURED,
    Kind.UNREACHABLE,
)


def fault(kind: Kind, **change: float) -> Fault:
    return replace(Fault(kind=kind, code="X"), **change)  # type: ignore[arg-type]


def after(*tried: tuple[str, Kind], attempts: int = 1, **change: object) -> Seen:
    seen = Seen(tried=tuple((name, fault(kind)) for name, kind in tried), attempts=attempts)
    return replace(seen, **change)  # type: ignore[arg-type]


def decide(
    route: Route,
    seen: Seen,
    *,
    roll: float = 0.5,
    budget: float = 10.0,
    refusals: Mapping[str, float] | None = None,
) -> Decision:
    return plan(route, seen, roll=roll, budget=budget, refusals=refusals or {})


def call(target: Target, wait_s: float = 0.0, spends: float = 0.0) -> Call:
    return Call(target=target, wait_s=wait_s, bound_s=target.attempt_s, spends=spends)


def test_a_new_job_goes_to_the_first_target() -> None:
    decision = decide(TWO, Seen())

    assert decision == call(A)


def test_a_refused_target_is_passed_over() -> None:
    decision = decide(TWO, Seen(), refusals={"a": 10.0})

    assert decision == call(B)


def test_a_first_call_needs_no_retry_budget() -> None:
    decision = decide(TWO, Seen(), budget=0.0)

    assert decision == call(A)


@pytest.mark.parametrize(
    ("kind", "decision"),
    [
        (Kind.UNAVAILABLE, call(A, wait_s=0.05, spends=1.0)),
        (Kind.TIMED_OUT, Park(delay_s=3.75, why="timed_out")),
        (Kind.THROTTLED, call(A, wait_s=0.5, spends=1.0)),
        (Kind.EXHAUSTED, Park(delay_s=675.0, why="exhausted")),
        (Kind.REJECTED, Discard(reason="rejected")),
        (Kind.TOO_LONG, Discard(reason="too_long")),
        (Kind.MISCONFIGURED, Park(delay_s=135.0, why="misconfigured")),
        (Kind.POOR, call(A, wait_s=0.05, spends=1.0)),
        (Kind.UNREACHABLE, Park(delay_s=3.75, why="unreachable")),
        (Kind.LOCAL, Release(why="local")),
        (Kind.UNKNOWN, call(A, wait_s=0.05, spends=1.0)),
    ],
)
def test_with_one_target_each_fault_has_its_next_step(kind: Kind, decision: Decision) -> None:
    assert decide(ONE, after(("a", kind))) == decision


@pytest.mark.parametrize(
    ("kind", "decision"),
    [
        (Kind.UNAVAILABLE, call(B, spends=0.5)),
        (Kind.TIMED_OUT, call(B, spends=0.5)),
        (Kind.THROTTLED, call(B, spends=0.5)),
        (Kind.EXHAUSTED, call(B, spends=0.5)),
        (Kind.REJECTED, Discard(reason="rejected")),
        (Kind.TOO_LONG, call(B, spends=0.5)),
        (Kind.MISCONFIGURED, call(B, spends=0.5)),
        (Kind.POOR, call(B, spends=0.5)),
        (Kind.UNREACHABLE, call(B, spends=0.5)),
        (Kind.LOCAL, Release(why="local")),
        (Kind.UNKNOWN, call(B, spends=0.5)),
    ],
)
def test_with_two_targets_the_second_takes_over_at_once(kind: Kind, decision: Decision) -> None:
    assert decide(TWO, after(("a", kind))) == decision


@pytest.mark.parametrize(
    ("kind", "decision"),
    [
        (Kind.UNAVAILABLE, Park(delay_s=3.75, why="unavailable")),
        (Kind.TIMED_OUT, Park(delay_s=3.75, why="timed_out")),
        (Kind.THROTTLED, Park(delay_s=3.75, why="throttled")),
        (Kind.EXHAUSTED, Park(delay_s=675.0, why="exhausted")),
        (Kind.REJECTED, Discard(reason="rejected")),
        (Kind.TOO_LONG, Discard(reason="too_long")),
        (Kind.MISCONFIGURED, Park(delay_s=135.0, why="misconfigured")),
        (Kind.POOR, Park(delay_s=3.75, why="poor")),
        (Kind.UNREACHABLE, Park(delay_s=3.75, why="unreachable")),
        (Kind.LOCAL, Release(why="local")),
        (Kind.UNKNOWN, Park(delay_s=3.75, why="unknown")),
    ],
)
def test_after_the_last_attempt_of_a_delivery_each_fault_has_its_ending(
    kind: Kind, decision: Decision
) -> None:
    seen = after(("a", Kind.UNAVAILABLE), ("b", Kind.UNAVAILABLE), ("b", kind), attempts=3)

    assert decide(TWO, seen) == decision


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.REJECTED, Kind.LOCAL}))
def test_a_handler_answers_where_no_call_is_left(kind: Kind) -> None:
    route = replace(ONE, degraded=("cache", "rules"), retry=RetryPolicy(attempts=1))

    decision = decide(route, after(("a", kind)))

    assert decision == Degrade(handler="cache", why=kind)


@pytest.mark.parametrize(
    ("kind", "decision"),
    [(Kind.REJECTED, Discard(reason="rejected")), (Kind.LOCAL, Release(why="local"))],
)
def test_no_handler_hides_a_bad_job_or_a_sick_process(kind: Kind, decision: Decision) -> None:
    route = replace(ONE, degraded=("cache",))

    assert decide(route, after(("a", kind))) == decision


def test_too_long_goes_only_where_more_fits() -> None:
    decision = decide(replace(TWO, targets=(A, SMALL)), after(("a", Kind.TOO_LONG)))

    assert decision == Discard(reason="too_long")


def test_a_target_is_tried_again_only_where_no_other_is_left() -> None:
    seen = after(("a", Kind.UNAVAILABLE), ("b", Kind.UNAVAILABLE), attempts=2)

    decision = decide(TWO, seen)

    assert decision == call(B, wait_s=0.1, spends=1.0)


def test_a_target_that_closed_meanwhile_is_not_called_again() -> None:
    decision = decide(ONE, after(("a", Kind.UNAVAILABLE)), refusals={"a": 10.0})

    assert decision == Park(delay_s=11.25, why="unavailable")


def test_a_call_that_failed_where_all_fail_is_not_made_again_there() -> None:
    decision = plan(ONE, after(("a", Kind.UNAVAILABLE)), roll=0.5, suspects=frozenset({"a"}))

    assert isinstance(decision, Park)


def test_a_suspect_still_gets_first_calls_and_those_that_failed_elsewhere() -> None:
    suspects = frozenset({"a", "b"})

    first = plan(TWO, Seen(), roll=0.5, suspects=suspects)
    second = plan(TWO, after(("a", Kind.UNAVAILABLE)), roll=0.5, suspects=suspects)

    assert (first, second) == (call(A), call(B, spends=0.5))


@pytest.mark.parametrize(
    ("retry_after_s", "decision"),
    [
        (3.0, call(A, wait_s=3.0, spends=1.0)),
        (5.0, call(A, wait_s=5.0, spends=1.0)),
        (20.0, Park(delay_s=22.5, why="throttled")),
        (2000.0, Park(delay_s=900.0, why="throttled")),
    ],
)
def test_the_services_own_word_on_waiting_is_kept(retry_after_s: float, decision: Decision) -> None:
    seen = Seen(tried=(("a", fault(Kind.THROTTLED, retry_after_s=retry_after_s)),), attempts=0)

    assert decide(ONE, seen) == decision


@pytest.mark.parametrize(
    ("route", "budget", "calls"),
    [(ONE, 1.0, True), (ONE, 0.99, False), (TWO, 0.5, True), (TWO, 0.49, False)],
)
def test_a_retry_needs_budget_and_another_target_half_of_it(
    route: Route,
    budget: float,
    calls: bool,  # noqa: FBT001
) -> None:
    decision = decide(route, after(("a", Kind.UNAVAILABLE)), budget=budget)

    assert isinstance(decision, Call) is calls
    assert isinstance(decision, Park) is not calls


@pytest.mark.parametrize("kind", [Kind.TIMED_OUT, Kind.POOR, Kind.UNKNOWN])
def test_a_job_that_may_be_the_cause_wears_out(kind: Kind) -> None:
    decision = decide(TWO, after(("a", kind), attempts=6))

    assert decision == Discard(reason="attempts_exhausted")


@pytest.mark.parametrize("kind", WAITING_KINDS)
def test_a_job_that_is_not_to_blame_never_wears_out(kind: Kind) -> None:
    decision = decide(ONE, after(("a", kind), ("a", kind), ("a", kind), attempts=600))

    assert isinstance(decision, Park)


def test_a_job_that_hung_two_targets_is_poison() -> None:
    decision = decide(TWO, after(("a", Kind.TIMED_OUT), ("b", Kind.TIMED_OUT)))

    assert decision == Discard(reason="poison")


def test_a_job_that_hung_one_target_twice_is_not() -> None:
    decision = decide(TWO, after(("a", Kind.TIMED_OUT), ("a", Kind.TIMED_OUT)))

    assert decision == call(B, spends=0.5)


@pytest.mark.parametrize(
    ("min_quality", "decision"),
    [(0.9, call(A)), (0.6, call(A)), (0.91, Discard(reason="below_quality"))],
)
def test_a_job_is_never_served_below_its_quality(min_quality: float, decision: Decision) -> None:
    assert decide(TWO, Seen(min_quality=min_quality)) == decision


def test_a_worse_target_is_no_fallback_for_a_job_that_minds() -> None:
    decision = decide(TWO, after(("a", Kind.TIMED_OUT), min_quality=0.7))

    assert decision == Park(delay_s=3.75, why="timed_out")


@pytest.mark.parametrize(
    ("left_s", "decision"),
    [
        (0.0, Discard(reason="expired")),
        (-5.0, Discard(reason="expired")),
        (0.9, Discard(reason="expired")),
        (1.0, replace(call(A), bound_s=1.0)),
        (45.0, replace(call(A), bound_s=45.0)),
        (99.0, call(A)),
    ],
)
def test_a_call_gets_the_time_that_is_left_and_no_more(left_s: float, decision: Decision) -> None:
    assert decide(TWO, Seen(left_s=left_s)) == decision


def test_a_quick_target_is_still_worth_a_call_that_a_slow_one_is_not() -> None:
    route = replace(TWO, targets=(replace(A, min_useful_s=20.0), B))

    decision = decide(route, Seen(left_s=10.0))

    assert decision == replace(call(B), bound_s=10.0)


def test_a_target_with_tiny_attempts_is_called_for_them() -> None:
    tiny = replace(A, attempt_s=0.5, min_useful_s=2.0)

    decision = decide(replace(ONE, targets=(tiny,)), Seen(left_s=0.5))

    assert decision == call(tiny)


def test_no_other_target_is_called_without_time_for_it() -> None:
    route = replace(TWO, targets=(A, replace(B, min_useful_s=20.0)))

    decision = decide(route, after(("a", Kind.UNAVAILABLE), left_s=10.0))

    assert decision == Call(target=A, wait_s=0.05, bound_s=9.95, spends=1.0)


def test_waiting_counts_against_the_time_left() -> None:
    seen = after(("a", Kind.THROTTLED), left_s=1.4)

    decision = decide(ONE, seen)

    assert decision == Discard(reason="expired")


REFUSED = {"a": 8.0, "b": 20.0}


@pytest.mark.parametrize(
    ("roll", "parks", "delay_s"),
    [
        (0.0, 0, 8.0),
        (0.5, 0, 9.0),
        (0.0, 2, 10.0),
        (0.5, 2, 15.0),
        (0.0, 99, 150.0),
        (0.5, 99, 225.0),
    ],
)
def test_a_refused_job_parks_longer_each_time_and_never_with_the_herd(
    roll: float, parks: int, delay_s: float
) -> None:
    decision = decide(TWO, Seen(parks=parks), roll=roll, refusals=REFUSED)

    assert decision == Park(delay_s=delay_s, why="circuit_open")


@pytest.mark.parametrize(
    ("job_says", "route_says", "decision"),
    [
        (None, "park", Park(delay_s=9.0, why="circuit_open")),
        (None, "fail", Discard(reason="circuit_open")),
        (None, "degrade", Degrade(handler="cache", why="circuit_open")),
        ("park", "fail", Park(delay_s=9.0, why="circuit_open")),
        ("fail", "park", Discard(reason="circuit_open")),
        ("degrade", "park", Degrade(handler="cache", why="circuit_open")),
    ],
)
def test_the_jobs_own_policy_goes_before_the_routes(
    job_says: str | None, route_says: str, decision: Decision
) -> None:
    route = replace(TWO, on_open=route_says, degraded=("cache",))

    assert decide(route, Seen(on_open=job_says), refusals=REFUSED) == decision


@pytest.mark.parametrize(
    ("route_says", "job_says", "age_s", "decision"),
    [
        (("degrade_after", 10.0), None, 9.0, Park),
        (("degrade_after", 10.0), None, 10.0, Degrade),
        (("degrade_after", 10.0), "degrade", 0.0, Degrade),
        (("degrade_after", 10.0), "park", 10.0, Park),
        (("degrade_after", None), None, 0.0, Degrade),
        (("degrade", None), "park", 0.0, Park),
    ],
)
def test_a_route_may_degrade_after_a_while(
    route_says: tuple[str, float | None],
    job_says: str | None,
    age_s: float,
    decision: type[Park | Degrade],
) -> None:
    policy, after_s = route_says
    route = replace(TWO, on_open=policy, degrade_after_s=after_s, degraded=("cache",))

    answer = decide(route, Seen(on_open=job_says, age_s=age_s), refusals=REFUSED)

    assert isinstance(answer, decision)


@pytest.mark.parametrize(("age_s", "delay_s"), [(20.0, 9.0), (24.0, 6.5), (29.9, 1.5)])
def test_a_park_is_over_when_its_second_best_answer_is_due(age_s: float, delay_s: float) -> None:
    route = replace(TWO, degraded=("cache",))
    seen = Seen(on_open="degrade_after", degrade_after_s=30.0, age_s=age_s)

    assert decide(route, seen, refusals=REFUSED) == Park(delay_s=delay_s, why="circuit_open")


@pytest.mark.parametrize(
    ("on_open", "age_s", "decision"),
    [
        (None, 0.0, Degrade(handler="cache", why="unavailable")),
        ("degrade", 0.0, Degrade(handler="cache", why="unavailable")),
        ("park", 0.0, Park(delay_s=9.0, why="unavailable")),
        ("degrade_after", 0.0, Park(delay_s=9.0, why="unavailable")),
        ("degrade_after", 60.0, Degrade(handler="cache", why="unavailable")),
        ("fail", 0.0, Discard(reason="unavailable")),
    ],
)
def test_what_a_job_wants_of_an_open_circuit_holds_after_its_own_fault_too(
    on_open: str | None, age_s: float, decision: Decision
) -> None:
    route = replace(TWO, degraded=("cache",))
    seen = after(("a", Kind.UNAVAILABLE), on_open=on_open, degrade_after_s=60.0, age_s=age_s)

    assert decide(route, seen, refusals=REFUSED) == decision


def test_a_rejected_job_has_no_better_answer_to_wait_for() -> None:
    route = replace(ONE, degraded=("cache",))

    decision = decide(route, after(("a", Kind.TOO_LONG), on_open="park"))

    assert decision == Degrade(handler="cache", why="too_long")


@pytest.mark.parametrize("parks", [0, 1, 99])
def test_the_park_of_a_probe_does_not_grow_for_nobody_polls_for_it(parks: int) -> None:
    decision = decide(ONE, after(("a", Kind.UNAVAILABLE), parks=parks), refusals={"a": 3.0})

    assert decision == Park(delay_s=4.0, why="unavailable")


@pytest.mark.parametrize(
    ("left_s", "decision"),
    [
        (17.0, Park(delay_s=9.0, why="circuit_open")),
        (16.5, Park(delay_s=7.5, why="circuit_open")),
        (10.0, Park(delay_s=1.0, why="circuit_open")),
        (9.9, Degrade(handler="cache", why="circuit_open")),
    ],
)
def test_the_last_park_leaves_a_second_best_answer_the_time_to_be_heard(
    left_s: float, decision: Decision
) -> None:
    route = replace(TWO, degraded=("cache",))

    assert decide(route, Seen(left_s=left_s), refusals=REFUSED) == decision


@pytest.mark.parametrize(
    "seen",
    [Seen(age_s=86_400.1), Seen(left_s=2.9), Seen(on_open="park", age_s=86_400.1)],
)
def test_where_the_wait_is_over_a_second_best_answer_goes_before_none(seen: Seen) -> None:
    decision = decide(replace(TWO, degraded=("cache",)), seen, refusals=REFUSED)

    assert decision == Degrade(handler="cache", why="circuit_open")


def test_where_no_handler_is_a_job_that_would_degrade_waits() -> None:
    decision = decide(TWO, Seen(on_open="degrade"), refusals=REFUSED)

    assert decision == Park(delay_s=9.0, why="circuit_open")


@pytest.mark.parametrize(
    ("age_s", "decision"),
    [
        (86_400.0, Park(delay_s=9.0, why="circuit_open")),
        (86_400.1, Discard(reason="expired")),
    ],
)
def test_a_job_older_than_the_longest_park_expires(age_s: float, decision: Decision) -> None:
    assert decide(TWO, Seen(age_s=age_s), refusals=REFUSED) == decision


def test_a_young_job_outlives_a_quota_longer_than_its_park() -> None:
    route = replace(ONE, park_max_s=300.0)

    decision = decide(route, after(("a", Kind.EXHAUSTED), age_s=1.0))

    assert isinstance(decision, Park)


@pytest.mark.parametrize(
    ("left_s", "decision"),
    [
        (10.0, Park(delay_s=9.0, why="circuit_open")),
        (9.9, Park(delay_s=7.9, why="circuit_open")),
        (3.0, Park(delay_s=1.0, why="circuit_open")),
        (2.9, Discard(reason="expired")),
    ],
)
def test_the_last_park_leaves_time_for_one_last_try(left_s: float, decision: Decision) -> None:
    assert decide(TWO, Seen(left_s=left_s), refusals=REFUSED) == decision


def test_the_last_try_is_timed_for_a_target_that_the_job_accepts() -> None:
    route = replace(TWO, targets=(replace(A, min_useful_s=10.0), B))

    decision = decide(route, Seen(left_s=30.0, min_quality=0.9), refusals={"a": 25.0})

    assert decision == Park(delay_s=10.0, why="circuit_open")


@pytest.mark.parametrize(
    ("holds", "answer"),
    [
        ({}, Take()),
        ({"ledger": 9.0}, Take()),
        ({"ledger": 10.0}, Take()),
        ({"ledger": 12.5}, Hold(for_s=2.5, why="ledger")),
        ({"ledger": 12.5, "routes": 14.0, "old": 1.0}, Hold(for_s=4.0, why="routes")),
    ],
)
def test_a_slot_receives_when_nothing_holds_it(
    holds: dict[str, float], answer: Take | Hold
) -> None:
    assert intake(holds, now=10.0) == answer


SECONDS = st.sampled_from([0.05, 0.5, 1.0, 5.0, 30.0, 120.0])
TARGETS = st.builds(
    Target,
    name=st.just("x"),
    model=st.just("m"),
    attempt_s=SECONDS,
    min_useful_s=SECONDS,
    quality=st.sampled_from([0.0, 0.5, 1.0]),
    context_tokens=st.sampled_from([0, 100, 200]),
)
ROUTES = st.builds(
    lambda targets, **more: Route(
        name="r", targets=tuple(replace(t, name=f"t{n}") for n, t in enumerate(targets)), **more
    ),
    st.lists(TARGETS, min_size=1, max_size=3),
    degraded=st.sampled_from([(), (), ("cache",)]),
    on_open=st.sampled_from(["park", "park", "degrade", "degrade_after", "fail"]),
    degrade_after_s=st.sampled_from([None, 60.0, 90_000.0]),
    park_base_s=st.sampled_from([1.0, 5.0, 60.0]),
    park_cap_s=st.sampled_from([60.0, 300.0, 5000.0]),
    park_max_s=st.sampled_from([60.0, 86_400.0]),
    retry=st.builds(RetryPolicy, attempts=st.integers(1, 4), attempts_max=st.integers(1, 6)),
)
ROLLS = st.floats(0, 1, exclude_max=True)
SOME = st.sampled_from([0.0, 1.0, 10.0, 500.0, 5000.0])


@st.composite
def situations(
    draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind)
) -> tuple[Route, Seen, dict[str, float]]:
    route = draw(ROUTES)
    names = [target.name for target in route.targets]
    faults = st.builds(
        fault, st.sampled_from(kinds), retry_after_s=st.sampled_from([0.0, 2.0, 60.0, 5000.0])
    )
    seen = Seen(
        tried=tuple(draw(st.lists(st.tuples(st.sampled_from(names), faults), max_size=4))),
        attempts=draw(st.integers(0, 8)),
        parks=draw(st.sampled_from([0, 1, 5, 5000])),
        age_s=draw(st.sampled_from([0.0, 59.0, 61.0, 86_399.0, 90_000.0])),
        left_s=draw(st.none() | st.floats(-1, 100_000) | st.sampled_from([0.0, 1.0, 3.0, 50.0])),
        min_quality=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])),
        on_open=draw(st.sampled_from([None, None, "park", "degrade", "degrade_after", "fail"])),
        degrade_after_s=draw(st.sampled_from([None, 60.0, 90_000.0])),
    )
    return route, seen, draw(st.dictionaries(st.sampled_from(names), SOME, max_size=3))


@given(situation=situations(), roll=ROLLS, budget=st.sampled_from([0.0, 0.5, 1.0, 10.0]))
def test_no_decision_breaks_a_limit(
    situation: tuple[Route, Seen, dict[str, float]], roll: float, budget: float
) -> None:
    route, seen, refusals = situation
    left_s = float("inf") if seen.left_s is None else seen.left_s

    decision = decide(route, seen, roll=roll, budget=budget, refusals=refusals)

    event(type(decision).__name__)
    match decision:
        case Call(target=target, wait_s=wait_s, bound_s=bound_s, spends=spends):
            assert wait_s + bound_s <= left_s + 1e-6
            assert 0 < bound_s <= target.attempt_s
            assert 0 <= wait_s <= route.retry.longest_wait_s
            assert target.quality >= seen.min_quality
            assert target.name not in refusals
            assert spends <= budget
            assert (spends == 0) == (not seen.tried)
            assert len(seen.tried) < route.retry.attempts
        case Park(delay_s=delay_s):
            assert 0 < delay_s <= 900
            assert delay_s < left_s
            assert (seen.on_open or route.on_open) != "fail"
        case Degrade(handler=handler):
            assert handler in route.degraded
        case Discard(reason=reason):
            assert reason
        case Release(why=why):
            assert why == Kind.LOCAL


@given(situation=situations(), roll=ROLLS, late_s=st.sampled_from([0.0, 0.1, 1000.0]))
def test_whatever_else_is_true_a_job_past_its_deadline_is_expired(
    situation: tuple[Route, Seen, dict[str, float]], roll: float, late_s: float
) -> None:
    route, seen, refusals = situation

    decision = decide(route, replace(seen, left_s=-late_s), roll=roll, refusals=refusals)

    assert decision == Discard(reason="expired")


@given(situation=situations(), roll=ROLLS)
def test_a_job_that_was_rejected_is_never_called_again(
    situation: tuple[Route, Seen, dict[str, float]], roll: float
) -> None:
    route, seen, refusals = situation
    seen = replace(seen, tried=(*seen.tried, (route.targets[0].name, fault(Kind.REJECTED))))

    decision = decide(route, seen, roll=roll, refusals=refusals)

    assert isinstance(decision, Discard)


@given(situation=situations(kinds=WAITING_KINDS), roll=ROLLS)
def test_a_job_that_is_not_to_blame_waits_until_its_time_is_over(
    situation: tuple[Route, Seen, dict[str, float]], roll: float
) -> None:
    route, seen, refusals = situation
    assume(seen.tried)
    assume((seen.on_open or route.on_open) != "fail")
    assume(any(target.quality >= seen.min_quality for target in route.targets))
    shortest_s = min(t.min_useful_s for t in route.targets if t.quality >= seen.min_quality)

    decision = decide(route, seen, roll=roll, refusals=refusals)

    if isinstance(decision, Discard):
        too_late = seen.left_s is not None and seen.left_s < 1 + 2 * shortest_s
        assert decision.reason == "expired"
        assert too_late or seen.age_s > route.park_max_s


@given(
    situation=situations(),
    rolls=st.tuples(ROLLS, ROLLS).filter(lambda pair: abs(pair[0] - pair[1]) > 0.01),
)
def test_two_jobs_that_park_together_do_not_come_back_together(
    situation: tuple[Route, Seen, dict[str, float]], rolls: tuple[float, float]
) -> None:
    route, seen, refusals = situation
    seen = replace(seen, left_s=None)

    one, other = (decide(route, seen, roll=roll, refusals=refusals) for roll in rolls)

    if isinstance(one, Park) and isinstance(other, Park):
        assert one.delay_s != other.delay_s or one.delay_s == 900


@pytest.mark.parametrize(("age_s", "decision"), [(9.9, Park), (10.0, Degrade)])
def test_a_job_that_degrades_after_a_while_waits_for_that_while(
    age_s: float, decision: type[Park | Degrade]
) -> None:
    seen = Seen(on_open="degrade_after", degrade_after_s=10.0, age_s=age_s)

    answer = decide(replace(TWO, degraded=("sorry",)), seen, refusals=REFUSED)

    assert isinstance(answer, decision)
