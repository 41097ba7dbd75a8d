"""The breaker of one process: when it opens, how it probes, what it never believes."""

import pytest

from worker.core.breaker import Breaker, Permit, Refusal, draw
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State
from worker.core.window import Outcome

POLICY = BreakerPolicy(jitter=0.0, stuck_s=15.0, probe_s=15.0)
FAIL, OK = Outcome.FAILURE, Outcome.SUCCESS


def breaker(policy: BreakerPolicy = POLICY, *, slots: int = 8) -> Breaker:
    return Breaker("a", policy, slots=slots, salt="w", now=0.0)


def permit_of(answer: Permit | Refusal) -> Permit:
    assert isinstance(answer, Permit), answer
    return answer


def call(one: Breaker, outcome: Outcome, now: float) -> Permit:
    permit = permit_of(one.admit(now))
    one.settle(permit, outcome, now)
    return permit


def tripped(policy: BreakerPolicy = POLICY) -> Breaker:
    one = breaker(policy)
    for _ in range(8):
        call(one, FAIL, 1.0)
    assert one.state is State.OPEN
    return one


def states(one: Breaker) -> list[State]:
    return [move.new for move in one.take_moves()]


def test_it_opens_when_calls_surely_fail() -> None:
    one = breaker()
    for _ in range(7):
        call(one, FAIL, 1.0)
    before = one.state

    call(one, FAIL, 1.0)

    assert before is State.CLOSED, "too few calls to judge"
    assert one.state is State.OPEN
    assert one.why == "8 of 8 calls failed, 0 of them stuck"
    assert one.admit(1.5) == Refusal("open", 3.0)
    assert one.rests_until == 3.0
    assert states(one) == [State.OPEN]


def test_most_calls_may_fail_where_there_is_nowhere_else_to_go() -> None:
    one = breaker()
    for n in range(200):
        call(one, OK if n % 10 < 3 else FAIL, n / 10)

    assert one.state is State.CLOSED


def test_calls_that_hang_open_it_without_one_that_ended() -> None:
    one = breaker()
    for _ in range(8):
        one.admit(0.0)

    one.look(15.5)
    one.look(15.6)
    early = one.state
    one.look(16.0)

    assert (early, one.state) == (State.CLOSED, State.OPEN)
    assert "8 of them stuck" in one.why


def test_the_newest_calls_open_it_although_most_of_the_window_is_good() -> None:
    one = breaker()
    for n in range(100):
        call(one, OK, 1.0 + n / 100)
    for n in range(12):
        call(one, FAIL, 10.0 + n / 100)

    assert one.state is State.OPEN
    assert one.why == "12 of the last 12 calls failed"


def test_slow_calls_open_it_only_where_that_was_asked_for() -> None:
    plain, strict = breaker(), breaker(BreakerPolicy(slow_rate=0.5))
    for one in (plain, strict):
        for _ in range(8):
            call(one, Outcome.SLOW, 1.0)

    assert (plain.state, strict.state) == (State.CLOSED, State.OPEN)
    assert strict.why == "8 of 8 calls were slow"
    assert plain.successes == 0 or plain.limit < 8


def test_a_few_slow_calls_are_no_reason() -> None:
    one = breaker(BreakerPolicy(slow_rate=0.5))
    for n in range(20):
        call(one, Outcome.SLOW if n % 5 == 0 else OK, 1.0)

    assert one.state is State.CLOSED


def test_one_probe_at_a_time_and_a_good_one_closes_slowly() -> None:
    one = tripped()

    probe = permit_of(one.admit(3.0))
    second = one.admit(3.1)
    room = one.room(3.1)
    one.settle(probe, OK, 4.0)

    assert second == Refusal("probing", 18.0)
    assert room == 0
    assert one.state is State.CLOSED
    assert (one.limit, one.room(4.0)) == (1.0, 1)
    assert states(one) == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_after_a_recovery_the_limit_grows_with_successes() -> None:
    one = tripped()
    one.settle(permit_of(one.admit(3.0)), Outcome.SLOW, 4.0)
    first = permit_of(one.admit(4.0))

    full = one.admit(4.0)
    one.settle(first, OK, 5.0)
    for _ in range(13):
        call(one, OK, 5.0)

    assert full == Refusal("full", 4.5)
    assert one.limit == 8.0
    assert one.room(5.0) == 8


def test_a_bad_probe_makes_the_rest_longer() -> None:
    one = tripped()

    one.settle(permit_of(one.admit(3.0)), FAIL, 3.5)

    assert one.state is State.OPEN
    assert one.rests_until == 6.5


def test_a_probe_that_nobody_settles_lapses() -> None:
    one = tripped()
    lost = permit_of(one.admit(3.0))
    assert one.is_probe(lost)

    one.look(18.0)
    one.settle(lost, OK, 19.0)

    assert one.state is State.OPEN, "and what it says later is about another time"
    assert isinstance(one.admit(21.1), Permit)


def test_a_probe_that_tells_nothing_makes_room_for_the_next() -> None:
    one = tripped()

    one.settle(permit_of(one.admit(3.0)), Outcome.IGNORED, 3.5)

    assert one.state is State.HALF_OPEN
    assert one.room(3.5) == 1
    assert isinstance(one.admit(3.5), Permit)


def test_news_of_an_earlier_time_moves_nothing() -> None:
    one = breaker()
    old = [permit_of(one.admit(0.5)) for _ in range(8)]
    one.start_over(1.0, limit=8)

    for permit in old:
        one.settle(permit, FAIL, 2.0)

    assert one.state is State.CLOSED
    assert one.vote(0, 2.0).calls == 0


def test_two_denials_in_a_row_are_a_quarantine_and_the_next_one_is_twice_as_long() -> None:
    one = breaker()
    call(one, Outcome.DENIED, 1.0)
    call(one, OK, 1.0)
    call(one, Outcome.DENIED, 1.0)
    before = one.state

    call(one, Outcome.DENIED, 1.0)
    first_until = one.rests_until
    one.settle(permit_of(one.admit(301.0)), Outcome.DENIED, 302.0)

    assert before is State.CLOSED, "a success lay between them"
    assert (first_until, one.rests_until) == (301.0, 902.0)
    assert not one.vote(0, 302.0).sick, "no word against the target's health"


def test_a_slow_success_lies_between_two_denials_too() -> None:
    one = breaker()
    for outcome in (Outcome.DENIED, Outcome.SLOW, Outcome.DENIED):
        call(one, outcome, 1.0)

    assert one.state is State.CLOSED


def test_the_limit_falls_once_a_second_and_never_below_one() -> None:
    one = breaker()
    call(one, Outcome.SLOW, 1.0)
    call(one, Outcome.SLOW, 1.5)
    once = one.limit

    for second in range(2, 60):
        call(one, Outcome.SLOW, float(second))

    assert once == pytest.approx(8 * 0.9)
    assert one.limit == 1.0
    assert one.state is State.CLOSED, "slowness opens nothing unless asked to"


@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.EXHAUSTED])
def test_what_the_quota_says_changes_nothing(outcome: Outcome) -> None:
    one = breaker()

    for second in range(60):
        call(one, outcome, float(second))

    assert (one.state, one.limit, one.vote(0, 60.0).calls) == (State.CLOSED, 8.0, 0)


def test_it_knows_how_many_calls_per_second_there_were_lately() -> None:
    one = breaker(slots=100)
    for n in range(100):
        call(one, Outcome.THROTTLED if n % 2 else OK, n / 10)

    assert one.per_s(9.95, 4.0) == pytest.approx(5.0, rel=0.12)


def test_the_limit_grows_back_with_successes_until_nothing_limits() -> None:
    one = breaker(slots=2)
    call(one, Outcome.HUNG, 1.0)
    low = one.limit

    for _ in range(10):
        call(one, OK, 2.0)

    assert low == pytest.approx(1.4)
    assert one.limit == 2.0


def test_while_many_cannot_agree_a_rest_may_end_in_another_rest() -> None:
    one = tripped()
    one.odds = 0.0

    answer = one.admit(3.5)

    assert isinstance(answer, Refusal)
    assert answer.why == "resting"
    assert answer.until > 5.0
    assert one.state is State.OPEN


def test_workers_with_names_alike_draw_apart() -> None:
    for round_ in range(20):
        drawn = sorted(draw(f"ip-10-0-0-{n}", round_) for n in range(40))
        assert drawn[-5] - drawn[4] > 0.4, "a fleet that draws alike acts at once"


def test_odds_are_drawn_alike_for_everybody_and_evenly() -> None:
    drawn = [draw("w", n) for n in range(1000)]

    assert drawn == [draw("w", n) for n in range(1000)]
    assert 400 < sum(one < 0.5 for one in drawn) < 600


def test_the_fleets_decision_voids_our_own() -> None:
    one = tripped()

    one.start_over(1.5, limit=4.0, ramping=True)
    call(one, OK, 2.0)
    call(one, OK, 2.0)

    assert one.state is State.CLOSED
    assert one.vote(7, 2.0).successes == 2
    assert one.room(2.0) == 5
    assert one.in_flight == 0


def test_in_a_ramp_every_success_is_counted_even_without_a_limit() -> None:
    one = breaker(slots=1)
    one.start_over(1.0, limit=1.0, ramping=True)

    for _ in range(5):
        call(one, OK, 2.0)

    assert one.vote(0, 2.0).successes == 5


def test_a_rest_from_outside_is_a_rest_and_an_open_breaker_needs_none() -> None:
    one = breaker()

    one.rest(1.0, 5.0, why="the fleet's circuit is open")
    one.rest(2.0, 50.0, why="again")

    assert one.rests_until == 6.0
    assert not one.vote(0, 2.0).sick


def test_another_policy_loses_no_count() -> None:
    one = breaker(BreakerPolicy(min_calls=100))
    for _ in range(20):
        call(one, FAIL, 1.0)
    before = one.state

    one.follow(POLICY)
    call(one, FAIL, 1.0)

    assert (before, one.state) == (State.CLOSED, State.OPEN)
    assert one.why.startswith("21 of 21")


def test_who_stopped_alone_tells_the_jury_why() -> None:
    vote = tripped().vote(3, 2.0)

    assert (vote.stage, vote.calls, vote.failures, vote.sick) == (3, 8, 8, True)


def test_a_held_breaker_goes_on_judging() -> None:
    one = tripped()

    one.settle(one.admit_anyway(1.5), OK, 1.6)
    still = one.state
    one.settle(one.admit_anyway(3.0), OK, 3.1)

    assert (still, one.state) == (State.OPEN, State.CLOSED)


def test_a_long_calm_forgives_the_growth_of_the_rest() -> None:
    one = tripped()
    one.settle(permit_of(one.admit(3.0)), FAIL, 3.0)
    one.settle(permit_of(one.admit(6.0)), OK, 6.0)
    for _ in range(8):
        call(one, FAIL, 500.0)

    assert one.rests_until == 502.0


def test_there_is_no_room_while_it_rests() -> None:
    one = tripped()

    assert (one.room(2.0), one.room(3.0)) == (0, 1)
    assert breaker().rests_until < 0


def test_after_two_failures_in_a_row_no_call_is_worth_a_second_try_until_one_ends_well() -> None:
    one = breaker()
    call(one, FAIL, 1.0)
    call(one, FAIL, 1.1)
    after_two = one.suspected

    call(one, OK, 1.2)

    assert after_two
    assert not one.suspected
    call(one, FAIL, 1.3)
    assert not one.suspected, "one failure may be an accident"


def test_throttled_and_ignored_calls_raise_no_suspicion() -> None:
    one = breaker()

    for outcome in (Outcome.THROTTLED, Outcome.IGNORED, Outcome.THROTTLED, Outcome.IGNORED):
        call(one, outcome, 1.0)

    assert not one.suspected


def test_a_new_verdict_of_the_fleet_ends_all_suspicion() -> None:
    one = breaker()
    call(one, FAIL, 1.0)
    call(one, FAIL, 1.0)

    one.start_over(2.0, limit=8.0)

    assert not one.suspected
