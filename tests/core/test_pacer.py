"""The pacer of one quota bucket: how it slows down, takes turns, and grows again."""

from collections.abc import Callable
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.breaker import Refusal
from worker.core.pacer import (
    BEYOND_S,
    CALM_S,
    DOUBLE_S,
    HOLD_MAX_S,
    JITTER,
    PER_S_MAX,
    PER_S_MIN,
    RECOVER_CALLS,
    RECOVER_MAX_S,
    RECOVER_S,
    Pace,
    PacePolicy,
    Pacer,
    Turn,
)

POLICY = PacePolicy()


def pacer(policy: PacePolicy = POLICY) -> Pacer:
    return Pacer("a", policy, salt="w")


def throttle(one: Pacer, now: float, *, per_s: float = 10.0, in_flight: int = 30) -> None:
    one.throttled(now, began=now, in_flight=in_flight, recent_per_s=per_s)


def paced(per_s: float = 10.0, *, in_flight: int = 30) -> Pacer:
    """Throttled twice: it has found its quota, and grows by even steps from time 0."""
    one = pacer()
    throttle(one, -1.0, in_flight=in_flight)
    one._top, one._saved_s = per_s / POLICY.cut, 0.0  # so far the search had come
    throttle(one, 0.0, in_flight=in_flight)
    one._saved_s = inf  # its turns are needed
    return one


def turn_of(answer: Turn | Refusal) -> Turn:
    assert isinstance(answer, Turn), answer
    return answer


def test_while_nothing_is_throttled_there_is_nothing_to_ask() -> None:
    one = pacer()

    assert not one.paced
    assert (one.per_s(1.0), one.limit(1.0), one.capacity(1.0, 500)) == (inf, None, None)
    assert turn_of(one.turn(1.0, by=0.0)).at == 1.0
    assert one.refusal(1.0, by=0.0) is None
    assert one.joins(1.0, 500)
    assert one.take_news() == ()


def test_the_first_throttle_begins_a_pace_below_what_got_through() -> None:
    one = pacer()

    throttle(one, 1.0, per_s=10.0, in_flight=30)

    assert one.take_news() == (Pace.PACED,)
    assert one.paced
    assert one.per_s(1.0) == pytest.approx(6.0)
    assert one.limit(1.0) == 38  # 0.6 of twice the 31 that were in flight


def test_who_knows_no_quota_looks_for_it_by_doubling() -> None:
    one = pacer()
    throttle(one, 0.0, per_s=0.0)
    one._saved_s = inf

    rates = [one.per_s(n * DOUBLE_S) for n in range(4)]

    assert rates == [pytest.approx(0.3 * 2**n) for n in range(4)]
    assert one.per_s(1e9) == PER_S_MAX


def test_after_that_it_grows_by_even_steps_and_beyond_by_growing_ones() -> None:
    one = paced(10.0)

    assert one.per_s(0.0) == pytest.approx(6.0)
    assert one.per_s(RECOVER_S / 2) == pytest.approx(8.0)
    assert one.per_s(RECOVER_S) == pytest.approx(10.0)
    even = 10.0 + 4.0 * BEYOND_S / RECOVER_S
    assert one.per_s(RECOVER_S + BEYOND_S) == pytest.approx(even + 10.0)
    assert (one.limit(0.0), one.limit(RECOVER_S)) == (23, 38)


def test_a_slow_pace_takes_longer_to_grow_but_not_for_ever() -> None:
    slow, slower = paced(1.5), paced(0.1)

    assert slow.per_s(RECOVER_CALLS / 1.5) == pytest.approx(1.5)
    assert slower.per_s(RECOVER_MAX_S) == pytest.approx(0.1)


def test_of_calls_that_went_out_together_one_cuts() -> None:
    one = paced(10.0)
    one.throttled(3.0, began=2.0, in_flight=9, recent_per_s=0.0)
    cut = one.per_s(3.0)

    one.throttled(3.1, began=2.9, in_flight=9, recent_per_s=0.0)

    assert cut < 6.0
    assert one.per_s(3.1) >= cut


def test_turns_are_apart_and_who_is_late_is_followed_by_one_at_once() -> None:
    one = paced(10.0)
    one.turn(0.2, by=inf)  # the first after the cut

    late = [turn_of(one.turn(0.6, by=inf)).at for _ in range(3)]

    assert late[:2] == [0.6, 0.6]
    assert late[2] == pytest.approx(0.6 + 1 / 6.24, rel=0.02)


def test_a_turn_that_would_come_too_late_is_not_taken() -> None:
    one = paced(10.0)
    first = turn_of(one.turn(0.0, by=1.0))
    refused = one.turn(0.0, by=first.at + 0.1)

    again = turn_of(one.turn(0.0, by=first.at + 1.0))

    assert refused == Refusal("paced", again.at)
    assert one.refusal(0.0, by=0.0) == Refusal("paced", again.at + again.at - first.at)


def test_a_cut_moves_the_turns_that_were_given_apart() -> None:
    one = paced(10.0)
    turns = [turn_of(one.turn(0.0, by=inf)) for _ in range(5)]
    before = [turn.at for turn in turns]

    one.throttled(0.3, began=0.2, in_flight=3, recent_per_s=0.0)

    after = [turn.at for turn in turns]
    assert after[0] == before[0], "it has come"
    assert all(b - a >= 1 / 3.7 for a, b in pairwise(after[1:]))
    assert all(moved >= was for moved, was in zip(after, before, strict=True))


def test_the_service_may_say_how_long_to_wait() -> None:
    one = paced(10.0)
    waiting = turn_of(one.turn(0.0, by=inf))

    one.throttled(0.1, began=0.05, in_flight=3, recent_per_s=0.0, retry_after_s=7.0)
    throttle(one, 0.2)  # a call from before the wait

    assert waiting.at >= 7.1
    refused = one.turn(1.0, by=6.0)
    assert isinstance(refused, Refusal)
    assert refused.until > waiting.at
    assert one.capacity(1.0, 2) == 2, "nobody else is worth having in hand"
    assert one.per_s(7.1) == one.per_s(0.2), "it grows from then on"


def test_a_wait_of_a_day_is_not_believed() -> None:
    one = pacer()
    one.throttled(0.0, began=0.0, in_flight=0, recent_per_s=1.0, retry_after_s=86_400.0)

    refused = one.refusal(0.0, by=0.0)

    assert refused is not None
    assert HOLD_MAX_S <= refused.until <= HOLD_MAX_S + 10


def test_a_turn_that_was_moved_too_far_is_given_up_and_told() -> None:
    one = paced(10.0)
    first, second = (turn_of(one.turn(0.0, by=inf)) for _ in range(2))
    one.exhausted(0.05)

    refusal = one.give_up(first, 0.1)
    again = one.give_up(first, 0.1)

    assert refusal == again == Refusal("exhausted", first.at)
    assert second.at > first.at >= 0.05 + POLICY.quarantine_s * (1 - JITTER)


def test_no_more_calls_are_in_flight_than_the_limit_allows() -> None:
    one = paced(10.0, in_flight=4)
    limit = one.limit(0.0)
    assert limit is not None

    assert one.joins(0.0, limit - 1)
    assert not one.joins(0.0, limit)
    assert one.capacity(0.0, limit) == limit


def test_a_throttle_that_ends_the_search_cuts_what_the_search_had_come_to() -> None:
    one = pacer()
    throttle(one, 0.0)
    one._saved_s = inf
    one.joins(20.0, 100)
    rate, limit = one.per_s(20.0), one.limit(20.0)

    throttle(one, 20.0, in_flight=99)

    assert limit is not None
    assert one.per_s(20.0) == pytest.approx(rate * POLICY.cut)
    assert one.limit(20.0) == 122, "0.6 of twice the 101 that were in flight"


def test_a_limit_that_was_reached_is_cut_too() -> None:
    one = paced(10.0, in_flight=4)
    limit = one.limit(1.0)
    assert limit is not None
    one.joins(1.0, limit - 1)

    throttle(one, 1.0, in_flight=limit)

    assert one.limit(1.0) == pytest.approx(limit * POLICY.cut, abs=1)


def test_jobs_are_taken_a_little_before_their_turn() -> None:
    slow, fast = paced(0.4), paced(10.0, in_flight=90)

    assert slow.capacity(0.0, 0) == 1
    assert fast.capacity(0.0, 5) == 5 + 1 + 18


@pytest.mark.parametrize(("every_s", "grows"), [(0.1, True), (2.0, False)])
def test_the_pace_grows_only_while_it_is_needed(every_s: float, *, grows: bool) -> None:
    one, now = paced(10.0), 0.0
    one._saved_s = 0.0
    while now < 60.0:
        now = max(now + every_s, turn_of(one.turn(now, by=inf)).at)

    assert (one.per_s(60.0) > 10.0) is grows
    assert one.per_s(60.0) >= 6.0


def test_where_the_limit_keeps_calls_back_the_pace_still_grows() -> None:
    one = paced(10.0)
    for now in range(60):
        one.turn(float(now), by=inf)
        one.joins(float(now), 10_000)

    assert one.per_s(60.0) > 10.0


def test_after_a_long_calm_there_is_no_pace() -> None:
    one = paced(10.0)

    one.look(CALM_S - 0.1)
    before = one.pace
    turn = turn_of(one.turn(CALM_S, by=0.0))

    assert (before, one.pace, turn.at) == (Pace.PACED, Pace.FREE, CALM_S)
    assert one.take_news() == (Pace.PACED, Pace.FREE)


def test_a_used_up_quota_leaves_the_bucket_alone_for_longer_each_time() -> None:
    one, now, rests = pacer(), 0.0, []
    for _ in range(6):
        one.exhausted(now)
        one.exhausted(now + 0.1)  # a call from before
        refused = one.refusal(now, by=now)
        assert refused is not None
        assert refused.why == "exhausted"
        rests.append(refused.until - now)
        now = refused.until

    wanted = [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]
    assert rests == [pytest.approx(rest_s, rel=JITTER + 0.001) for rest_s in wanted]


def test_after_a_quarantine_it_begins_with_almost_nothing() -> None:
    one = pacer()
    one.exhausted(0.0)
    refused = one.refusal(0.0, by=0.0)
    assert refused is not None
    end = refused.until

    first = turn_of(one.turn(end, by=end))

    assert first.at == end
    assert one.take_news() == (Pace.EXHAUSTED, Pace.PACED)
    assert (one.limit(end), one.capacity(end, 0)) == (1, 1)
    assert one.per_s(end) == pytest.approx(0.3)
    one._saved_s = inf
    assert one.per_s(end + 20.0) == pytest.approx(0.3 * 2**5)


def test_a_calm_after_a_quarantine_forgives_the_ones_before() -> None:
    one = pacer()
    for at in (0.0, 400.0):
        one.exhausted(at)
    one.look(1200.0)
    one.look(1200.0 + 2 * CALM_S)

    one.exhausted(2000.0)

    refused = one.refusal(2000.0, by=0.0)
    assert refused is not None
    assert refused.until - 2000.0 < 400.0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"cut": 1.0}, r"cut must be from 0.1 to 0.95, not 1"),
        ({"wait_s": 0.0}, "wait_s"),
        ({"quarantine_s": 0.0}, "quarantine_s"),
        ({"quarantine_s": 20.0, "quarantine_max_s": 10.0}, "must not be above quarantine_max_s"),
    ],
)
def test_a_policy_that_cannot_work_is_none(values: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PacePolicy(**values)


# --- whatever happens --------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["turn", "throttle", "old", "retry_after", "exhausted", "join"]),
        st.floats(0.0, 400.0) | st.floats(0.0, 1.0),
        st.integers(0, 50),
    ),
    max_size=60,
)
Check = Callable[[Pacer, str, float, float, float], None]


def live(steps: list[tuple[str, float, int]], check: Check) -> tuple[Pacer, list[Turn], float]:
    """Live through the steps; `check` gets the rate before and after each."""
    one, now, turns = pacer(), 0.0, []
    for what, wait_s, number in steps:
        now += wait_s
        one.look(now)
        before = one.per_s(now)
        if what == "turn":
            answer = one.turn(now, by=now + 5.0)
            if isinstance(answer, Turn) and one.paced:
                turns.append(answer)
        elif what == "join":
            one.joins(now, number)
        elif what == "exhausted":
            one.exhausted(now)
        else:
            one.throttled(
                now,
                began=now if what != "old" else -inf,
                in_flight=number,
                recent_per_s=float(number),
                retry_after_s=float(number) if what == "retry_after" else None,
            )
        check(one, what, now, before, one.per_s(now))
    return one, turns, now


@given(STEPS)
@settings(deadline=None)
def test_rate_and_limit_stay_within_their_bounds(steps: list[tuple[str, float, int]]) -> None:
    def check(one: Pacer, _: str, now: float, __: float, rate: float) -> None:
        assert PER_S_MIN <= rate <= PER_S_MAX or not one.paced
        limit = one.limit(now)
        assert limit is None or limit >= 1

    live(steps, check)


@given(STEPS)
@settings(deadline=None)
def test_no_throttle_raises_the_rate_and_no_old_one_cuts_it(
    steps: list[tuple[str, float, int]],
) -> None:
    def check(_: Pacer, what: str, __: float, before: float, rate: float) -> None:
        if what in ("throttle", "retry_after", "exhausted"):
            assert rate <= before + 1e-9
        if what == "old" and before < inf:
            assert rate == before

    live(steps, check)


@given(STEPS, st.floats(0.0, 3000.0))
@settings(deadline=None)
def test_without_trouble_the_rate_never_falls(
    steps: list[tuple[str, float, int]], later_s: float
) -> None:
    one, _, now = live(steps, lambda *_: None)

    assert one.per_s(now + later_s) >= one.per_s(now)


@given(STEPS)
@settings(deadline=None)
def test_turns_come_in_the_order_in_which_they_were_asked_for(
    steps: list[tuple[str, float, int]],
) -> None:
    _, turns, _ = live(steps, lambda *_: None)

    assert [turn.at for turn in turns] == sorted(turn.at for turn in turns)


@given(STEPS)
@settings(deadline=None)
def test_nobody_starves(steps: list[tuple[str, float, int]]) -> None:
    one, _, now = live(steps, lambda *_: None)
    longest_s = POLICY.quarantine_max_s * (1 + JITTER) + HOLD_MAX_S

    later = now + longest_s + 6 / PER_S_MIN
    turn = one.turn(later, by=later + POLICY.wait_s)

    assert isinstance(turn, Turn)
    assert one.joins(later, 0)
