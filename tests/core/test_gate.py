"""The gate: what the process, the fleet and the operator allow together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.breaker import Permit, Refusal
from worker.core.gate import (
    PATIENCE_S,
    ROUND_MARGIN_S,
    STEP_SPREAD_S,
    Gate,
    NeedsTicket,
    slots_admitted,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, Override, State, Verdict
from worker.core.window import Outcome

POLICY = BreakerPolicy(jitter=0.0, stuck_s=15.0, probe_s=15.0)
AT = 1000.0
OPEN = Verdict(name="a", state=State.OPEN, share=0.0, version=1, stage=1, epoch=1, cooldown_s=2.0)
HALF = replace(OPEN, state=State.HALF_OPEN, version=2, stage=2, round=1, tickets=3)
RAMP = replace(HALF, state=State.RAMP, version=3, stage=3, share=0.5, tickets=0)
CLOSED = replace(RAMP, state=State.CLOSED, version=4, stage=4, share=1.0)


def gate(*verdicts: Verdict, juror: bool = True, now: float = 10.0) -> Gate:
    one = Gate("a", POLICY, slots=8, worker="w", now=0.0)
    one.seat(0.0, juror=juror)
    for verdict in verdicts:
        assert one.adopt(verdict, now, AT)
    return one


def held(mode: Mode, verdict: Verdict = CLOSED, *, for_s: float = 60.0) -> Verdict:
    override = Override(mode=mode, for_s=for_s, until_at=AT + 60.0, author="ann", reason="x")
    return replace(verdict, override=override, version=verdict.version + 10)


def test_without_a_verdict_the_process_decides() -> None:
    one = gate()

    permit = one.admit(1.0)

    assert isinstance(permit, Permit)
    assert one.room(1.0) == 7
    assert one.refusal(1.0) is None
    one.settle(permit, Outcome.SUCCESS, 1.5)
    assert one.room(1.5) == 8


def test_only_newer_verdicts_are_adopted() -> None:
    one = gate(HALF)

    assert not one.adopt(HALF, 11.0, AT)
    assert not one.adopt(OPEN, 11.0, AT)
    assert not one.adopt(replace(OPEN, version=99), 11.0, AT), "a store that forgot is no news"
    assert one.verdict == HALF


def test_an_open_circuit_rests_by_our_own_clock_and_then_wants_a_ticket() -> None:
    one = gate(OPEN)

    assert one.admit(10.0) == Refusal("open", 12.0)
    assert one.admit(11.0) is one.admit(11.5), "one refusal for the whole rest"
    assert (one.room(11.9), one.refusal(11.9)) == (0, Refusal("open", 12.0))
    assert one.admit(12.0) == NeedsTicket(1)
    assert (one.room(12.0), one.refusal(12.0)) == (1, None)


def test_who_has_no_seat_waits_for_those_who_have() -> None:
    one = gate(OPEN, juror=False)

    assert one.admit(12.0) == Refusal("open", 12.0 + PATIENCE_S)
    assert one.admit(12.0 + PATIENCE_S) == NeedsTicket(1)


def test_tickets_are_asked_for_while_there_are_some() -> None:
    left, gone = gate(HALF), gate(replace(HALF, claims=("x", "y", "z"), outcomes=(None,) * 3))
    seatless = gate(HALF, juror=False)

    assert left.admit(10.0) == NeedsTicket(2)
    assert gone.admit(10.0) == Refusal("probing", 11.0)
    assert gone.room(10.0) == 0
    assert isinstance(seatless.admit(10.5), Refusal)
    assert seatless.admit(11.0) == NeedsTicket(2)


def test_a_ramp_admits_its_share_of_the_slots() -> None:
    one = gate(RAMP)

    room = one.room(10.0)
    taken = [one.admit(10.0) for _ in range(4)]
    refused = one.admit(10.0)

    assert all(isinstance(answer, Permit) for answer in taken)
    assert room == 4
    assert refused == Refusal("full", 10.5)
    assert (one.room(10.0), one.refusal(10.0)) == (0, Refusal("full", 10.5))
    assert one.local.in_flight == 4


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_part_of_a_slot_comes_to_every_worker_in_turn(slots: int) -> None:
    names = [f"w-{number}" for number in range(200)]
    ramp = replace(RAMP, share=0.2)

    def admitted(worker: str) -> list[int]:
        one = Gate("a", POLICY, slots=slots, worker=worker, now=0.0)
        assert one.adopt(ramp, 10.0, AT)
        return [one.room(10.0 + turn * POLICY.stuck_s) for turn in range(5)]

    found = {name: admitted(name) for name in names}

    assert all(sum(turns) >= 1 for turns in found.values()), "no fleet waits for ever"
    for turn in range(5):
        at_once = sum(turns[turn] for turns in found.values())
        assert at_once == pytest.approx(200 * slots * 0.2, rel=0.35), "and none is let in as a herd"


def test_a_close_leaves_the_last_part_of_the_slots_to_be_earned() -> None:
    one, now = gate(RAMP, CLOSED), 10.0 + STEP_SPREAD_S

    first = one.room(now)
    for _ in range(4):
        permit = one.admit(now)
        assert isinstance(permit, Permit)
        one.settle(permit, Outcome.SUCCESS, now)
    last = one.room(now)

    assert (first, last) == (6, 8), "half way from the last step of the ramp"
    assert one.calm_s(15.0) == 5.0
    assert gate(OPEN).calm_s(99.0) == 0.0


def test_workers_take_a_step_of_the_recovery_at_moments_of_their_own() -> None:
    first, second = replace(RAMP, share=0.25), replace(RAMP, version=4, stage=4)

    def rooms(after_s: float) -> set[int]:
        found = set()
        for number in range(20):
            one = Gate("a", POLICY, slots=8, worker=f"w-{number}", now=0.0)
            one.seat(0.0, juror=True)
            assert one.adopt(HALF, 9.0, AT)
            assert one.adopt(first, 9.0, AT)
            assert one.adopt(second, 10.0, AT)
            found.add(one.room(10.0 + after_s))
        return found

    assert rooms(0.0) == {2}
    assert rooms(STEP_SPREAD_S / 2) == {2, 4}
    assert rooms(STEP_SPREAD_S) == {4}


def test_calls_that_hang_leave_their_share_of_the_ramp_to_others() -> None:
    one, now = gate(replace(RAMP, share=0.25)), 20.0
    for _ in range(2):
        one.admit(now)

    before = one.room(now)
    after = one.room(now + POLICY.stuck_s + 1)

    assert (before, after) == (0, 2), "or nobody would ever show that it is well, or is not"
    assert isinstance(one.admit(now + POLICY.stuck_s + 1), Permit)


def test_an_open_circuit_is_rested_when_its_cooldown_is_over() -> None:
    one = gate(OPEN)

    assert [one.rested(10.0 + after_s) for after_s in (0.0, 1.9, 2.0)] == [False, False, True]
    assert not gate(HALF).rested(99.0)


def test_calls_of_the_step_before_are_in_flight_still() -> None:
    one, now = gate(replace(RAMP, share=0.25)), 20.0
    permits = [one.admit(now) for _ in range(2)]

    assert one.adopt(replace(RAMP, version=4, stage=4), now, AT)
    assert one.adopt(replace(CLOSED, version=5, stage=5), now, AT)
    now += STEP_SPREAD_S
    before = one.room(now)
    for permit in permits:
        assert isinstance(permit, Permit)
        one.settle(permit, Outcome.FAILURE, now)

    assert (before, one.room(now)) == (4, 6), "six may be in flight after the close"
    assert one.local.vote(5, now).failures == 0, "but they are no evidence"


def test_calls_of_the_step_before_that_hang_stand_in_nobodys_way() -> None:
    one, now = gate(RAMP), 20.0
    permits = [one.admit(now) for _ in range(4)]
    assert one.adopt(replace(RAMP, share=0.25, version=4, stage=4), now, AT), "a step down"

    def room(after_s: float) -> int:
        one.local.look(now + after_s)
        return one.room(now + after_s)

    assert all(isinstance(permit, Permit) for permit in permits)
    assert room(POLICY.stuck_s - 0.1) == 0
    assert room(POLICY.stuck_s) == 2, "who waits for them makes no call that could end the step"


def test_who_missed_the_ramp_begins_half_way_from_its_last_step_too() -> None:
    assert gate(OPEN, CLOSED).room(10.0) == 6


def test_our_own_breaker_stands_behind_a_closed_verdict() -> None:
    one = gate()
    for _ in range(8):
        permit = one.admit(1.0)
        assert isinstance(permit, Permit)
        one.settle(permit, Outcome.FAILURE, 1.0)

    assert one.admit(1.5) == Refusal("open", 3.0)
    assert one.refusal(1.5) == Refusal("open", 3.0)
    assert one.suspicious(1.5)


def test_a_limit_of_our_own_is_no_rest() -> None:
    one = gate()
    one.local.start_over(0.0, limit=1.0)
    one.admit(1.0)

    assert one.refusal(1.0) == Refusal("full", 1.5)


@pytest.mark.parametrize("verdict", [CLOSED, OPEN, HALF, RAMP])
def test_an_operator_holds_it_open_whatever_the_fleet_thinks(verdict: Verdict) -> None:
    one = gate(held(Mode.HOLD_OPEN, verdict))

    assert one.admit(20.0) == Refusal("held", 70.0)
    assert one.admit(21.0) == Refusal("held", 70.0)
    assert (one.room(20.0), one.refusal(20.0)) == (0, Refusal("held", 70.0))
    assert one.mode(70.0) is Mode.ENFORCE


@pytest.mark.parametrize("verdict", [CLOSED, OPEN, HALF, RAMP])
def test_an_operator_holds_it_closed_whatever_the_fleet_thinks(verdict: Verdict) -> None:
    one = gate(held(Mode.HOLD_CLOSED, verdict))

    assert all(isinstance(one.admit(20.0), Permit) for _ in range(20))
    assert one.room(20.0) == 8


def test_observing_lets_calls_pass_and_still_asks_for_tickets() -> None:
    resting, probing, closed = (gate(held(Mode.OBSERVE, v)) for v in (OPEN, HALF, CLOSED))

    assert isinstance(resting.admit(10.5), Permit)
    assert resting.admit(12.0) == NeedsTicket(1)
    assert probing.admit(10.0) == NeedsTicket(2)
    assert isinstance(closed.admit(10.0), Permit)


@pytest.mark.parametrize(
    ("verdict", "blind", "expected"),
    [
        (CLOSED, False, False),
        (replace(CLOSED, state=State.OPEN, version=2, stage=2), False, True),
        (replace(CLOSED, state=State.RAMP, share=0.5, version=2, stage=2), False, True),
        (replace(CLOSED, state=State.OPEN, version=2, stage=2), True, False),
        (held(Mode.HOLD_OPEN), True, True),
        (held(Mode.HOLD_CLOSED), False, False),
    ],
)
def test_what_holds_calls_back_is_the_fleet_an_operator_or_we_alone(
    verdict: Verdict, *, blind: bool, expected: bool
) -> None:
    one = gate(verdict)
    if blind:
        one.go_blind(20.0, 10.0)

    assert one.held_for_all(20.0) is expected


def test_an_override_ends_by_itself() -> None:
    short = gate(held(Mode.HOLD_OPEN, for_s=5.0))
    opened = gate(held(Mode.HOLD_CLOSED, OPEN, for_s=5.0))

    assert short.admit(14.9) == Refusal("held", 15.0)
    assert isinstance(short.admit(15.0), Permit)
    assert isinstance(short.admit(16.0), Permit)
    assert isinstance(opened.admit(10.5), Permit)
    assert opened.admit(15.0) == NeedsTicket(1), "the fleet's rest was over long ago"


def test_a_released_override_ends_at_once_and_the_same_one_begins_only_once() -> None:
    ordered = held(Mode.HOLD_OPEN, for_s=5.0)
    one = gate(ordered)

    one.adopt(replace(ordered, version=99), 14.0, AT)
    still = one.admit(14.0)
    one.adopt(replace(ordered, version=100, override=None), 14.5, AT)

    assert still == Refusal("held", 15.0), "another write does not lengthen it"
    assert isinstance(one.admit(14.5), Permit)


def test_without_the_store_an_open_circuit_becomes_our_own() -> None:
    one = gate(OPEN)

    one.go_blind(10.5, fleet_size=3.0)
    one.go_blind(10.6, fleet_size=3.0)

    assert one.admit(11.0) == Refusal("open", 12.0)
    assert isinstance(one.admit(12.0), Permit), "a probe that nobody had to allow"
    assert one.local.state is State.HALF_OPEN
    assert (one.room(12.0), one.probing) == (0, False)


def test_in_a_large_fleet_a_blind_probe_is_rare() -> None:
    one = gate(OPEN)

    one.go_blind(10.5, fleet_size=1000.0)

    assert one.local.odds == pytest.approx(3 / 1000)


def test_without_the_store_a_closed_circuit_stays_closed() -> None:
    one = gate()

    one.go_blind(1.0, fleet_size=5.0)

    assert isinstance(one.admit(1.0), Permit)


def test_when_the_store_is_back_the_verdict_counts_again() -> None:
    one = gate(OPEN)
    one.see_again(10.1)
    one.go_blind(10.5, fleet_size=3.0)

    one.see_again(11.0)

    assert one.admit(12.0) == NeedsTicket(1)
    assert one.local.odds == 1.0


def test_a_verdict_that_comes_through_to_the_blind_is_rested_upon() -> None:
    one = gate()
    one.go_blind(1.0, fleet_size=1.0)

    one.adopt(OPEN, 10.0, AT)

    assert one.admit(11.0) == Refusal("open", 12.0)


def test_a_round_is_overdue_when_its_probes_cannot_come_back_any_more() -> None:
    one = gate(HALF)
    late = 10.0 + POLICY.probe_s + ROUND_MARGIN_S

    assert not one.overdue(late - 0.1)
    assert one.overdue(late)
    assert not gate(OPEN).overdue(late)


def test_one_recent_failure_is_worth_a_look() -> None:
    one = gate()
    calm = one.suspicious(1.0)
    permit = one.admit(1.0)
    assert isinstance(permit, Permit)

    one.settle(permit, Outcome.FAILURE, 1.0)

    assert not calm
    assert one.suspicious(1.0)
    assert not one.suspicious(20.0)
    assert gate(OPEN).suspicious(10.0)


def test_another_policy_is_followed() -> None:
    one = gate()

    one.follow(replace(POLICY, min_calls=3))

    assert one.policy.min_calls == 3


@given(
    slots=st.integers(1, 64),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
    worker=st.text(max_size=5),
)
def test_a_larger_share_never_admits_less(slots: int, low: float, high: float, worker: str) -> None:
    low, high = sorted((low, high))

    few, many = (slots_admitted(slots, share, worker, 1) for share in (low, high))

    assert 0 <= few <= many <= slots


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("verdict", [OPEN, HALF, RAMP, CLOSED])
def test_a_circuit_stands_as_calls_meet_it(mode: Mode, verdict: Verdict) -> None:
    one = gate(held(mode, verdict))
    meets = {
        Mode.ENFORCE: verdict.state,
        Mode.HOLD_OPEN: State.OPEN,
        Mode.OBSERVE: State.CLOSED,
        Mode.HOLD_CLOSED: State.CLOSED,
    }

    assert one.standing(11.0, alone=False) is meets[mode]
    assert one.standing(99.0, alone=False) is verdict.state, "an override ends by itself"


def test_where_no_fleet_decides_a_circuit_stands_as_the_process_has_it() -> None:
    one = gate(OPEN)

    assert one.standing(11.0, alone=True) is State.CLOSED
    one.local.rest(11.0, 5.0, why="a test")
    assert one.standing(11.0, alone=True) is State.OPEN
    one.go_blind(11.0, 1.0)
    assert one.standing(11.0, alone=False) is State.OPEN


def test_trouble_lasts_from_when_the_circuit_left_closed_until_it_is_closed_again() -> None:
    one = gate()
    assert one.troubled_s(5.0) == 0.0

    for now, verdict in ((10.0, OPEN), (12.0, HALF), (20.0, RAMP)):
        assert one.adopt(verdict, now, AT)
        assert one.troubled_s(30.0) == 20.0
    assert one.adopt(CLOSED, 40.0, AT)

    assert one.troubled_s(50.0) == 0.0
    assert one.adopt(replace(OPEN, version=5, stage=5), 60.0, AT)
    assert one.troubled_s(61.0) == 1.0
