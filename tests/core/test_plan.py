"""Where a job goes next, for every kind of fault and within every limit."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from worker.core.draw import drawn
from worker.core.fault import Fault, Kind
from worker.core.plan import (
    Call,
    Decision,
    Degrade,
    Discard,
    Park,
    Release,
    Seen,
    plan,
)
from worker.core.retry import RetryPolicy
from worker.core.route import Action, Route
from worker.core.target import Target

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
    """What `plan` says, without the `spare_s` of a call: a property below is about that."""
    decision = plan(route, seen, roll=roll, budget=budget, refusals=refusals or {})
    return replace(decision, spare_s=float("inf")) if isinstance(decision, Call) else decision


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


C = Target(name="c", model="model-c", attempt_s=30.0, quality=0.5)
SHARED = Route(name="shared", targets=(A, B, C), groups=((3.0, 1.0), (1.0,)))


@pytest.mark.parametrize(("roll", "first"), [(0.0, A), (0.74, A), (0.75, B), (0.99, B)])
def test_the_targets_of_a_group_share_the_jobs_by_their_weights(roll: float, first: Target) -> None:
    assert decide(SHARED, Seen(), roll=roll) == call(first)


@pytest.mark.parametrize("roll", [0.0, 0.5, 0.99])
def test_the_rest_of_a_group_is_tried_before_the_next_group(roll: float) -> None:
    first = decide(SHARED, Seen(), roll=roll)
    assert isinstance(first, Call)
    other = B if first.target == A else A

    second = decide(SHARED, after((first.target.name, Kind.UNAVAILABLE)), roll=roll)
    tried = after(("a", Kind.UNAVAILABLE), ("b", Kind.UNAVAILABLE), attempts=2)
    third = decide(SHARED, tried, roll=roll)

    assert (second, third) == (call(other, spends=0.5), call(C, spends=0.5))


@pytest.mark.parametrize("roll", [0.0, 0.99])
def test_what_a_refused_target_would_have_got_goes_to_the_rest_of_its_group(roll: float) -> None:
    decision = decide(SHARED, Seen(), roll=roll, refusals={"a": 9.0})

    assert decision == call(B)


@given(
    weights=st.lists(st.floats(0.001, 999_999), min_size=1, max_size=6),
    roll=st.floats(0, 1, exclude_max=True),
)
def test_a_draw_puts_everything_in_some_order(weights: list[float], roll: float) -> None:
    things = list(enumerate(weights))

    order = drawn(things, roll)

    assert sorted(order) == list(range(len(weights)))


def test_every_place_of_a_draw_follows_the_weights() -> None:
    weighted = [("a", 5.0), ("b", 3.0), ("c", 2.0)]

    orders = Counter("".join(drawn(weighted, n / 10_000)) for n in range(10_000))

    # The first place by weight; the second by the weights of what is left.
    exact = {
        "abc": 5 / 10 * 3 / 5,
        "acb": 5 / 10 * 2 / 5,
        "bac": 3 / 10 * 5 / 7,
        "bca": 3 / 10 * 2 / 7,
        "cab": 2 / 10 * 5 / 8,
        "cba": 2 / 10 * 3 / 8,
    }
    assert {order: count / 10_000 for order, count in orders.items()} == pytest.approx(
        exact, abs=0.001
    )


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
        (Kind.POOR, call(A, wait_s=0.05, spends=1.0)),
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


def test_a_poor_answer_is_asked_for_once_more_and_then_elsewhere() -> None:
    twice = after(("a", Kind.POOR), ("a", Kind.POOR), attempts=2)

    assert decide(TWO, after(("a", Kind.POOR))) == call(A, wait_s=0.05, spends=1.0)
    assert decide(TWO, twice) == call(B, spends=0.5)
    assert decide(ONE, twice) == Park(delay_s=3.75, why="poor")
    assert decide(replace(ONE, degraded=("cache",)), twice) == Degrade(handler="cache", why="poor")


def test_a_poor_answer_goes_elsewhere_at_once_where_the_budget_has_no_repair() -> None:
    assert decide(TWO, after(("a", Kind.POOR)), budget=0.5) == call(B, spends=0.5)


def test_a_repair_leaves_time_for_the_next_target() -> None:
    decision = decide(TWO, after(("a", Kind.POOR), left_s=40.0))

    assert decision == Call(target=A, wait_s=0.05, bound_s=39.95 - 20.0, spends=1.0)


@pytest.mark.parametrize(
    ("kind", "action", "decision"),
    [
        (Kind.UNAVAILABLE, Action.NEXT, call(B, spends=0.5)),
        (Kind.POOR, Action.NEXT, call(B, spends=0.5)),
        (Kind.THROTTLED, Action.PARK, Park(delay_s=3.75, why="throttled")),
        (Kind.TOO_LONG, Action.PARK, Park(delay_s=3.75, why="too_long")),
        (Kind.EXHAUSTED, Action.PARK, Park(delay_s=675.0, why="exhausted")),
        (Kind.TIMED_OUT, Action.DEGRADE, Degrade(handler="cache", why="timed_out")),
        (Kind.UNREACHABLE, Action.FAIL, Discard(reason="unreachable")),
    ],
)
def test_a_route_may_do_something_else_about_a_kind_of_fault(
    kind: Kind, action: Action, decision: Decision
) -> None:
    route = replace(TWO, degraded=("cache",), on_fault={kind: action})

    assert decide(route, after(("a", kind))) == decision


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.POOR, Kind.THROTTLED])
def test_where_only_the_next_target_is_wanted_the_same_one_is_not_asked_again(kind: Kind) -> None:
    decision = decide(replace(ONE, on_fault={kind: Action.NEXT}), after(("a", kind)))

    assert decision == Park(delay_s=3.75, why=kind)


def test_the_next_target_after_too_long_is_still_a_larger_one() -> None:
    route = replace(TWO, targets=(A, SMALL), on_fault={Kind.TOO_LONG: Action.NEXT})

    assert decide(route, after(("a", Kind.TOO_LONG))) == Discard(reason="too_long")


@pytest.mark.parametrize("on_open", ["park", "degrade", "degrade_after", "fail"])
def test_what_a_route_says_of_a_kind_goes_before_what_it_says_of_an_open_circuit(
    on_open: str,
) -> None:
    route = replace(ONE, degraded=("cache",), on_open=on_open, degrade_after_s=60.0)

    def ends(action: Action) -> Decision:
        return decide(
            replace(route, on_fault={Kind.THROTTLED: action}), after(("a", Kind.THROTTLED))
        )

    assert ends(Action.DEGRADE) == Degrade(handler="cache", why="throttled")
    assert isinstance(ends(Action.PARK), Park)


def test_a_jobs_own_wish_goes_before_what_its_route_says_of_a_kind() -> None:
    route = replace(ONE, degraded=("cache",))
    seen = after(("a", Kind.THROTTLED))

    for action, wish, decision in (
        (Action.DEGRADE, "park", Park(delay_s=3.75, why="throttled")),
        (Action.PARK, "degrade", Degrade(handler="cache", why="throttled")),
    ):
        acting = replace(route, on_fault={Kind.THROTTLED: action})
        assert decide(acting, replace(seen, on_open=wish)) == decision


def test_what_a_route_does_about_one_kind_is_not_done_about_another() -> None:
    route = replace(TWO, on_fault={Kind.THROTTLED: Action.FAIL})

    assert decide(route, after(("a", Kind.UNAVAILABLE))) == call(B, spends=0.5)


def test_too_long_goes_only_where_more_fits() -> None:
    decision = decide(replace(TWO, targets=(A, SMALL)), after(("a", Kind.TOO_LONG)))

    assert decision == Discard(reason="too_long")


def test_a_target_is_tried_again_only_where_no_other_is_left() -> None:
    seen = after(("a", Kind.UNAVAILABLE), ("b", Kind.UNAVAILABLE), attempts=2)

    decision = decide(TWO, seen)

    assert decision == call(B, wait_s=0.1, spends=1.0)


@pytest.mark.parametrize(
    ("quotas", "why"),
    [
        ({}, "circuit_open"),
        ({"a": Kind.THROTTLED, "b": Kind.THROTTLED}, "throttled"),
        ({"a": Kind.EXHAUSTED, "b": Kind.EXHAUSTED}, "exhausted"),
        ({"a": Kind.EXHAUSTED, "b": Kind.THROTTLED}, "throttled"),
        ({"b": Kind.THROTTLED}, "throttled"),
        ({"b": Kind.EXHAUSTED}, "exhausted"),
    ],
)
@pytest.mark.parametrize("on_open", ["park", "fail", "degrade"])
def test_a_refused_job_is_told_the_mildest_reason_of_all_its_targets(
    quotas: Mapping[str, Kind], why: str, on_open: str
) -> None:
    route = replace(TWO, on_open=on_open, degraded=("cache",))

    decision = plan(route, Seen(), roll=0.5, refusals=REFUSED, quotas=quotas)

    match decision:
        case Park(why=told) | Degrade(why=told) | Discard(reason=told):
            assert told == why
        case _:
            raise AssertionError(decision)


def test_only_a_target_that_may_serve_the_job_has_a_say_in_the_reason() -> None:
    decision = plan(
        TWO, Seen(min_quality=0.9), roll=0.5, refusals=REFUSED, quotas={"b": Kind.THROTTLED}
    )

    assert isinstance(decision, Park)
    assert decision.why == "circuit_open"


SAME_QUOTA = Route(
    name="quota",
    targets=(replace(A, bucket="shared"), replace(B, bucket="shared"), replace(C, bucket="other")),
)


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.EXHAUSTED])
def test_after_a_throttle_no_other_target_of_the_same_quota_is_called(kind: Kind) -> None:
    decision = decide(SAME_QUOTA, after(("a", kind)))

    assert decision == call(SAME_QUOTA.targets[2], spends=0.5)


def test_nor_after_a_further_fault_elsewhere() -> None:
    tried = after(("a", Kind.THROTTLED), ("c", Kind.UNREACHABLE))

    assert isinstance(decide(SAME_QUOTA, tried), Park)


def test_where_all_share_a_quota_the_throttled_target_is_tried_again_after_a_backoff() -> None:
    route = replace(SAME_QUOTA, targets=SAME_QUOTA.targets[:2])

    decision = decide(route, after(("a", Kind.THROTTLED)))

    assert decision == call(route.targets[0], wait_s=0.5, spends=1.0)


def test_after_any_other_fault_the_quota_does_not_matter() -> None:
    decision = decide(SAME_QUOTA, after(("a", Kind.UNAVAILABLE)))

    assert decision == call(SAME_QUOTA.targets[1], spends=0.5)


def test_no_time_is_kept_for_a_target_of_a_quota_that_is_used_up() -> None:
    first, mate = replace(A, bucket="shared"), replace(B, bucket="shared", slow_s=20.0)
    route = Route(name="quota", targets=(first, mate))

    decision = decide(route, after(("a", Kind.THROTTLED), left_s=40.5))

    assert isinstance(decision, Call)
    assert decision.bound_s == 40.0, "all that is left after the backoff"


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


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_quality": 0.91}, "below_quality"),
        ({"allow_geo": frozenset({"apac"})}, "outside_geo"),
        ({"allow_geo": frozenset({"apac"}), "min_quality": 0.91}, "outside_geo"),
    ],
)
@pytest.mark.parametrize(
    ("route_says", "job_says", "degrades"),
    [
        ("park", None, False),
        ("fail", None, False),
        ("degrade", None, True),
        ("degrade_after", None, True),  # to wait is no use
        ("degrade", "park", False),
        ("degrade", "fail", False),
        ("park", "degrade", True),
        ("fail", "degrade_after", True),
    ],
)
def test_a_job_that_no_target_may_serve_gets_a_second_best_answer_if_it_is_to_have_one(
    limits: dict[str, Any],
    reason: str,
    route_says: str,
    job_says: str | None,
    degrades: bool,  # noqa: FBT001
) -> None:
    route = replace(TWO, degraded=("faq",), on_open=route_says, degrade_after_s=60.0)
    seen = Seen(on_open=job_says, degrade_after_s=60.0, **limits)

    decision = decide(route, seen)

    dead = Discard(reason=reason)
    assert decision == (Degrade(handler="faq", why=reason) if degrades else dead)
    assert decide(replace(route, degraded=()), seen) == dead


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
    assert decide(ONE, Seen(left_s=left_s)) == decision


QUICK = replace(B, slow_s=8.0)
DEGRADING = replace(ONE, degraded=("cache",))


@pytest.mark.parametrize(
    ("route", "left_s", "bound_s"),
    [
        (TWO, 99.0, 60.0),  # enough for both
        (TWO, 80.0, 50.0),  # 30 s are kept for b: its calls are slow from then on
        (TWO, 45.0, 22.5),  # never more than half of what is left
        (replace(TWO, targets=(A, QUICK)), 45.0, 37.0),
        (replace(TWO, targets=(A, QUICK, C)), 45.0, 37.0),  # the step after it is enough
        (TWO, 2.5, 1.25),
        (TWO, 2.0, 1.0),
        (TWO, 1.9, 1.9),  # for b as well it is too short: nothing is kept
        (DEGRADING, 45.0, 44.0),
        (DEGRADING, 1.6, 1.0),  # what a call needs at least goes before
        (DEGRADING, 4.0, 3.0),
        (replace(DEGRADING, targets=(A, QUICK)), 45.0, 36.0),
        (replace(TWO, retry=RetryPolicy(attempts=1)), 45.0, 45.0),  # no second call is made
    ],
)
def test_time_is_kept_for_the_step_that_comes_next(
    route: Route, left_s: float, bound_s: float
) -> None:
    assert decide(route, Seen(left_s=left_s)) == replace(call(A), bound_s=bound_s)


def test_no_time_is_kept_for_handlers_that_had_no_answer() -> None:
    route = replace(ONE, degraded=("one", "two"), handlers_s=5.0)

    def bound_s(*declined: str) -> float:
        decision = decide(route, Seen(left_s=20.0, declined=frozenset(declined)))
        assert isinstance(decision, Call)
        return decision.bound_s

    assert (bound_s(), bound_s("one"), bound_s("one", "two")) == (15.0, 15.0, 20.0)


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (Seen(), Degrade(handler="one", why="circuit_open")),
        (Seen(declined=frozenset({"one"})), Degrade(handler="two", why="circuit_open")),
        (Seen(declined=frozenset({"one", "two"})), Park(delay_s=33.75, why="circuit_open")),
    ],
)
def test_a_handler_is_asked_once_in_a_delivery(seen: Seen, decision: Decision) -> None:
    route = replace(ONE, degraded=("one", "two"), on_open="degrade")

    assert decide(route, seen, refusals={"a": 30.0}) == decision


def test_a_park_leaves_time_for_handlers_that_had_no_answer_now() -> None:
    route = replace(ONE, degraded=("one",), on_open="degrade")
    seen = Seen(left_s=100.0, declined=frozenset({"one"}))

    assert decide(route, seen, refusals={"a": 900.0}) == Park(delay_s=91.0, why="circuit_open")


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (Seen(left_s=0.5), Degrade(handler="one", why="expired")),
        (Seen(left_s=0.5, declined=frozenset({"one"})), Discard(reason="expired")),
        (Seen(left_s=0.5, on_open="fail"), Discard(reason="expired")),
        (Seen(left_s=0.0), Discard(reason="expired")),
    ],
)
def test_a_handler_may_answer_in_time_where_no_call_can(seen: Seen, decision: Decision) -> None:
    assert decide(replace(ONE, degraded=("one",)), seen) == decision


def test_no_time_is_kept_for_a_target_that_refuses() -> None:
    decision = decide(TWO, Seen(left_s=45.0), refusals={"b": 5.0})

    assert decision == replace(call(A), bound_s=45.0)


def test_the_last_attempt_keeps_time_for_the_handlers_alone() -> None:
    route = replace(TWO, degraded=("cache",))

    decision = decide(route, after(("a", Kind.UNAVAILABLE), left_s=20.0))

    assert decision == Call(target=B, wait_s=0.0, bound_s=19.0, spends=0.5)


@given(attempt_s=st.sampled_from([20.0, 120.0, 600.0]), left_s=st.floats(2.0, 300.0))
def test_a_hung_target_never_takes_the_time_of_the_next_one(
    attempt_s: float, left_s: float
) -> None:
    route = replace(TWO, targets=(replace(A, attempt_s=attempt_s), B))

    first = decide(route, Seen(left_s=left_s))
    assert isinstance(first, Call)
    left_s -= first.bound_s
    second = decide(route, after(("a", Kind.TIMED_OUT), left_s=left_s))

    assert isinstance(second, Call)
    assert second.target == B
    assert left_s >= B.min_useful_s


HOME = replace(A, model="eu.model", region="eu-central-1")
AWAY = replace(B, model="us.model", region="us-east-1")
SPREAD = Route(name="spread", targets=(AWAY, HOME))


@pytest.mark.parametrize(
    ("route_says", "job_says", "decision"),
    [
        (None, None, call(AWAY)),
        ({"eu"}, None, call(HOME)),
        (None, {"eu"}, call(HOME)),
        ({"eu", "us"}, {"eu"}, call(HOME)),
        ({"eu"}, {"eu", "us"}, call(HOME)),
        ({"us"}, {"eu"}, Discard(reason="outside_geo")),
        (None, {"eu-central-1"}, Discard(reason="outside_geo")),
        (None, {"apac"}, Discard(reason="outside_geo")),
        (None, {"global"}, call(AWAY)),
    ],
)
def test_a_job_is_processed_only_where_it_and_its_route_allow(
    route_says: set[str] | None, job_says: set[str] | None, decision: Decision
) -> None:
    route = replace(SPREAD, allow_geo=frozenset(route_says) if route_says else None)
    seen = Seen(allow_geo=frozenset(job_says) if job_says else None)

    assert decide(route, seen) == decision


def test_the_quality_of_a_route_holds_for_every_job_of_it() -> None:
    route = replace(TWO, targets=(B, A), min_quality=0.9)

    assert decide(route, Seen()) == call(A)
    assert decide(replace(route, min_quality=0.95), Seen()) == Discard(reason="below_quality")


def test_a_target_says_where_it_is_if_its_names_do_not() -> None:
    bare = replace(A, model="some.model")

    assert decide(replace(ONE, targets=(bare,)), Seen(allow_geo=frozenset({"eu"}))) == Discard(
        reason="outside_geo"
    )
    known = replace(bare, geo="eu-central-1")
    assert decide(replace(ONE, targets=(known,)), Seen(allow_geo=frozenset({"eu"}))) == call(known)


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


SECONDS = st.sampled_from([0.05, 0.5, 1.0, 5.0, 30.0, 120.0])
TARGETS = st.builds(
    Target,
    name=st.just("x"),
    model=st.just("m"),
    attempt_s=SECONDS,
    min_useful_s=SECONDS,
    quality=st.sampled_from([0.0, 0.5, 1.0]),
    geo=st.sampled_from(["", "eu", "eu-west-1", "us", "global"]),
    context_tokens=st.sampled_from([0, 100, 200]),
    bucket=st.sampled_from(["", "", "shared"]),
)
ROUTES = st.builds(
    lambda targets, shared, **more: Route(
        name="r",
        targets=tuple(replace(t, name=f"t{n}") for n, t in enumerate(targets)),
        groups=(tuple(float(n + 1) for n in range(len(targets))),) if shared else (),
        **more,
    ),
    st.lists(TARGETS, min_size=1, max_size=3),
    st.booleans(),
    degraded=st.sampled_from([(), (), ("cache",)]),
    min_quality=st.sampled_from([0.0, 0.0, 0.5]),
    allow_geo=st.sampled_from([None, None, frozenset({"eu", "us"})]),
    on_open=st.sampled_from(["park", "park", "degrade", "degrade_after", "fail"]),
    degrade_after_s=st.sampled_from([None, 60.0, 90_000.0]),
    park_base_s=st.sampled_from([1.0, 5.0, 60.0]),
    park_cap_s=st.sampled_from([60.0, 300.0, 5000.0]),
    park_max_s=st.sampled_from([60.0, 86_400.0]),
    retry=st.builds(RetryPolicy, attempts=st.integers(1, 4), attempts_max=st.integers(1, 6)),
)
ROLLS = st.floats(0, 1, exclude_max=True)
SOME = st.sampled_from([0.0, 1.0, 10.0, 500.0, 5000.0])


# Written out, and not asked of the code: for each place that the targets have, what allows it.
ALLOWED_BY = {
    "": set[str](),
    "eu": {"eu"},
    "eu-west-1": {"eu", "eu-west-1"},
    "us": {"us"},
    "global": set[str](),
}


def may_serve(target: Target, route: Route, seen: Seen) -> bool:
    limits = [limit for limit in (route.allow_geo, seen.allow_geo) if limit is not None]
    inside = all(ALLOWED_BY[target.geo] & limit for limit in limits)
    return inside and target.quality >= max(route.min_quality, seen.min_quality)


def is_throttled_too(target: Target, route: Route, seen: Seen) -> bool:
    """Whether the target is another one of a quota that was found used up in this delivery."""
    if target.bucket == "" or any(name == target.name for name, _ in seen.tried):
        return False
    bad = [name for name, fault in seen.tried if fault.kind in (Kind.THROTTLED, Kind.EXHAUSTED)]
    return any(t.name in bad and t.bucket == target.bucket for t in route.targets)


@st.composite
def situations(
    draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind), tried_min: int = 0
) -> tuple[Route, Seen, dict[str, float]]:
    route = draw(ROUTES)
    names = [target.name for target in route.targets]
    faults = st.builds(
        fault, st.sampled_from(kinds), retry_after_s=st.sampled_from([0.0, 2.0, 60.0, 5000.0])
    )
    seen = Seen(
        tried=tuple(
            draw(
                st.lists(st.tuples(st.sampled_from(names), faults), min_size=tried_min, max_size=4)
            )
        ),
        attempts=draw(st.integers(0, 8)),
        parks=draw(st.sampled_from([0, 1, 5, 5000])),
        age_s=draw(st.sampled_from([0.0, 59.0, 61.0, 86_399.0, 90_000.0])),
        left_s=draw(st.none() | st.floats(-1, 100_000) | st.sampled_from([0.0, 1.0, 3.0, 50.0])),
        min_quality=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])),
        allow_geo=draw(st.sampled_from([None, None, frozenset({"eu"}), frozenset({"eu-west-1"})])),
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

    decision = plan(route, seen, roll=roll, budget=budget, refusals=refusals)

    event(type(decision).__name__)
    match decision:
        case Call(target=target, wait_s=wait_s, bound_s=bound_s, spare_s=spare_s, spends=spends):
            assert wait_s + spare_s <= left_s + 1e-6
            assert min(target.least_s, spare_s) <= bound_s <= spare_s
            assert 0 < bound_s <= target.attempt_s
            assert 0 <= wait_s <= route.retry.longest_wait_s
            assert may_serve(target, route, seen)
            assert target.name not in refusals
            assert spends <= budget
            assert (spends == 0) == (not seen.tried)
            assert len(seen.tried) < route.retry.attempts
            assert not is_throttled_too(target, route, seen)
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


@given(
    situation=situations(),
    steps=st.lists(
        st.tuples(
            st.sampled_from(tuple(Kind)),
            st.frozensets(st.sampled_from(["t0", "t1", "t2"])),
            ROLLS,
            st.sampled_from([0.0, 0.5, 30.0]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_no_sequence_of_faults_and_refusals_leads_below_the_floor_or_outside_the_borders(
    situation: tuple[Route, Seen, dict[str, float]],
    steps: list[tuple[Kind, frozenset[str], float, float]],
) -> None:
    route, seen, _ = situation
    seen = replace(seen, tried=(), attempts=0)
    called = 0
    for kind, refusing, roll, took_s in steps:
        refusals = {t.name: 5.0 for t in route.targets if t.name in refusing}

        decision = decide(route, seen, roll=roll, refusals=refusals)

        match decision:
            case Call(target=target):
                called += 1
                assert may_serve(target, route, seen)
                seen = replace(
                    seen,
                    tried=(*seen.tried, (target.name, fault(kind))),
                    attempts=seen.attempts + 1,
                    left_s=None if seen.left_s is None else seen.left_s - took_s,
                )
            case Park():
                seen = replace(seen, tried=(), parks=seen.parks + 1)
            case (
                Discard(reason="below_quality" | "outside_geo")
                | Degrade(why="below_quality" | "outside_geo")
            ):
                assert not any(may_serve(t, route, seen) for t in route.targets)
                break
            case _:
                break
    event(f"{called} calls")


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
    assume(may_serve(route.targets[0], route, seen))  # or it would not have been called
    seen = replace(seen, tried=(*seen.tried, (route.targets[0].name, fault(Kind.REJECTED))))

    decision = decide(route, seen, roll=roll, refusals=refusals)

    assert isinstance(decision, Discard)


@given(situation=situations(kinds=WAITING_KINDS, tried_min=1), roll=ROLLS)
def test_a_job_that_is_not_to_blame_waits_until_its_time_is_over(
    situation: tuple[Route, Seen, dict[str, float]], roll: float
) -> None:
    route, seen, refusals = situation
    assume((seen.on_open or route.on_open) != "fail")
    worthy = [t for t in route.targets if may_serve(t, route, seen)]
    assume(worthy)
    shortest_s = min(t.min_useful_s for t in worthy)

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


@pytest.mark.parametrize(("age_s", "decision"), [(9.9, Park), (10.0, Degrade)])
def test_a_route_may_wait_before_it_degrades_and_a_job_may_say_otherwise(
    age_s: float, decision: type[Park | Degrade]
) -> None:
    route = replace(TWO, on_open="degrade_after", degrade_after_s=10.0, degraded=("sorry",))

    by_route = decide(route, Seen(age_s=age_s), refusals=REFUSED)
    by_job = decide(route, Seen(age_s=age_s, on_open="park"), refusals=REFUSED)
    sooner = Seen(age_s=age_s, on_open="degrade_after", degrade_after_s=1.0)

    assert isinstance(by_route, decision)
    assert isinstance(by_job, Park)
    assert isinstance(decide(route, sooner, refusals=REFUSED), Degrade)
