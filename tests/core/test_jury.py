"""What votes say together, and who may vote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.jury import (
    QUORUM_MIN,
    SEATS,
    Seat,
    Vote,
    finding,
    fleet_size,
    lower_bound,
    seat_for,
    tally,
)
from worker.core.moves import StepDown, StepUp, Trip
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State, Verdict

POLICY = BreakerPolicy()
SENSITIVE = BreakerPolicy(failure_rate=0.2)


def vote(calls: int, failures: int, *, successes: int = 0, stage: int = 0, slow: int = 0) -> Vote:
    return Vote(stage=stage, calls=calls, failures=failures, successes=successes, slow=slow)


GOOD = vote(20, 0)
BAD = vote(20, 20)


def test_nothing_is_known_from_no_calls() -> None:
    assert lower_bound(0, 0, 1.28) == 0.0


@given(calls=st.integers(1, 1000), bad=st.integers(0, 1000))
def test_the_bound_lies_below_the_rate(calls: int, bad: int) -> None:
    bad = min(bad, calls)

    assert -1e-9 <= lower_bound(bad, calls, 1.28) <= bad / calls + 1e-9


def test_half_of_those_who_can_judge_open_the_circuit() -> None:
    found = tally([BAD] * 4 + [GOOD] * 4, 8, POLICY)

    assert found.bad
    assert not found.good
    assert found.why == "4 of 8 voters find it bad (all)"


def test_a_minority_opens_nothing() -> None:
    assert not tally([BAD] * 3 + [GOOD] * 4, 8, POLICY).bad


def test_two_bad_hosts_of_a_quiet_fleet_open_nothing() -> None:
    assert not tally([BAD] * (QUORUM_MIN - 1), 8, POLICY).bad


@pytest.mark.parametrize("live", [1, 2])
def test_a_tiny_fleet_is_its_own_quorum(live: int) -> None:
    assert tally([BAD] * live, live, POLICY).bad


def test_who_stopped_alone_counts_as_bad() -> None:
    sick = Vote(stage=0, calls=8, failures=8, sick=True)

    assert tally([sick] * 3, 8, POLICY).bad


def test_what_happened_in_the_last_seconds_counts_by_itself() -> None:
    fresh = Vote(stage=0, calls=100, failures=10, recent_calls=8, recent_failures=8)

    found = tally([fresh] * 3, 8, POLICY)

    assert found.bad
    assert "recent" in found.why


def test_single_calls_of_many_voters_are_pooled() -> None:
    found = tally([vote(1, 1)] * 24, 32, POLICY)

    assert found.bad
    assert found.why == "12 of 12 calls of 12 voters failed (all)"


def test_a_pool_of_few_calls_says_nothing() -> None:
    assert not tally([vote(1, 1)] * 12, 32, POLICY).bad


def test_a_part_outage_is_seen_in_the_pool_where_there_is_somewhere_else_to_go() -> None:
    votes = [vote(10, 3)] * 12

    assert tally(votes, 12, SENSITIVE).bad
    assert not tally(votes, 12, POLICY).bad


@given(
    liars=st.lists(st.integers(1, 1000), min_size=0, max_size=15),
    honest=st.lists(st.integers(0, 100), min_size=16, max_size=17),
)
def test_fewer_liars_than_the_quorum_open_nothing_while_the_others_see_no_failures(
    liars: list[int], honest: list[int]
) -> None:
    votes = [vote(calls, calls) for calls in liars] + [vote(max(5, calls), 0) for calls in honest]

    assert not tally(votes, len(votes), SENSITIVE).bad


def test_slow_calls_open_only_where_that_was_asked_for() -> None:
    votes = [vote(20, 0, slow=20)] * 4

    assert not tally(votes, 4, POLICY).bad
    assert tally(votes, 4, BreakerPolicy(slow_rate=0.5)).bad


def test_enough_successes_are_good() -> None:
    assert tally([vote(3, 0, successes=3)] * 2, 2, POLICY).good
    assert not tally([vote(2, 0, successes=2)] * 2, 2, POLICY).good


@pytest.mark.parametrize(
    ("state", "votes", "order"),
    [
        (State.CLOSED, [vote(20, 20, stage=3)] * 3, Trip),
        (State.CLOSED, [vote(20, 0, stage=3)] * 3, type(None)),
        (State.CLOSED, [vote(20, 20, stage=2)] * 3, type(None)),
        (State.RAMP, [vote(20, 20, stage=3)] * 3, StepDown),
        (State.RAMP, [vote(5, 0, stage=3, successes=5)], StepUp),
        (State.RAMP, [vote(1, 0, stage=3, successes=1)], type(None)),
        (State.OPEN, [vote(20, 20, stage=3)] * 3, type(None)),
        (State.HALF_OPEN, [vote(20, 20, stage=3)] * 3, type(None)),
    ],
)
def test_votes_for_this_very_stage_give_an_order(
    state: State, votes: list[Vote], order: type[object]
) -> None:
    verdict = Verdict(name="a", state=state, stage=3)

    found = finding(verdict, votes, 3, POLICY, roll=0.5, calm_s=0.0)

    assert type(found) is order
    assert found is None or found.stage == 3


def seats(count: int, *, lots: float = 0.01) -> list[Seat]:
    return [Seat(number=n, holder=f"w{n}", lot=n * lots, beat=1) for n in range(count)]


def test_free_seats_are_taken_and_workers_try_different_ones() -> None:
    assert seat_for(0.0, seats(31), frozenset()) == 31
    assert {seat_for(lot / 10, [], frozenset()) for lot in range(10)} >= {0, 3, 16, 28}


def test_a_lapsed_seat_is_free() -> None:
    assert seat_for(0.9, seats(SEATS), frozenset({5})) == 5


def test_in_a_full_jury_only_a_smaller_lot_takes_a_seat() -> None:
    assert seat_for(0.9, seats(SEATS), frozenset()) is None
    assert seat_for(0.3, seats(SEATS), frozenset()) == 31, "that of the largest lot"


def test_the_largest_lot_tells_the_fleets_size() -> None:
    assert fleet_size([]) == 1.0
    assert fleet_size(seats(7)) == 7.0
    assert fleet_size(seats(SEATS, lots=0.001)) == pytest.approx(1000.0)
    assert fleet_size(seats(SEATS, lots=0.9)) == SEATS
