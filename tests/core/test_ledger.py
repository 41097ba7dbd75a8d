"""The life of a job, move by move. Lives as a whole are in test_ledger_model.py."""

from dataclasses import replace

import pytest

from worker.core.fault import Kind
from worker.core.ledger import (
    FINAL,
    HISTORY_MAX,
    LEGAL,
    WAITING,
    Attempt,
    Claim,
    Conflict,
    Ending,
    Finished,
    Record,
    RunningElsewhere,
    Stale,
    State,
    claim,
    finish,
    with_history,
)
from worker.core.trail import TRAIL_MAX, Leg, with_leg

SKEW_S = 5.0
LEASE_S = 90.0


def asking(**change: object) -> Claim:
    ask = Claim(
        job="a",
        owner="worker-1",
        nonce="n1",
        doorbell="m1",
        lease_s=LEASE_S,
        digest="d",
        sent_at=990.0,
        route="default",
        tenant="acme",
    )
    return replace(ask, **change)  # type: ignore[arg-type]


def record(state: State, **change: object) -> Record:
    known = Record(
        job="a",
        state=state,
        fence=3,
        owner="worker-1",
        nonce="n1",
        lease_until=1090.0,
        attempts=2,
        parks=4,
        interruptions=5,
        crashes=1,
        doorbells=frozenset({"m1"}),
        digest="d",
        sent_at=990.0,
    )
    return replace(known, **change)  # type: ignore[arg-type]


def running(**change: object) -> Record:
    return record(State.RUNNING, **change)


def ending(state: State, **change: object) -> Ending:
    how = Ending(state=state, attempts=2, parks=4, interruptions=5, crashes=0)
    return replace(how, **change)  # type: ignore[arg-type]


def test_a_new_job_is_claimed_by_whoever_comes_first() -> None:
    answer = claim(None, asking(), 1000.0, skew_s=SKEW_S)

    assert answer == Record(
        job="a",
        state=State.RUNNING,
        fence=1,
        owner="worker-1",
        nonce="n1",
        lease_until=1090.0,
        attempts=1,
        doorbells=frozenset({"m1"}),
        digest="d",
        sent_at=990.0,
        route="default",
        tenant="acme",
    )


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_waiting_job_is_claimed_with_all_it_has_been_through(state: State) -> None:
    old = record(state, not_before=1500.0, lease_until=0.0)
    ask = asking(owner="worker-2", nonce="n2", doorbell="m2", sent_at=999.0)

    answer = claim(old, ask, 1000.0, skew_s=SKEW_S)

    assert answer == replace(
        old,
        state=State.RUNNING,
        fence=4,
        owner="worker-2",
        nonce="n2",
        lease_until=1090.0,
        attempts=3,
        doorbells=frozenset({"m1", "m2"}),
        not_before=None,
        route="default",
        tenant="acme",
    )


@pytest.mark.parametrize("at", [1000.0, 1090.0, 1095.0])
def test_a_running_job_is_left_alone_until_its_lease_lapsed_by_any_clock(at: float) -> None:
    ask = asking(owner="worker-2", nonce="n2")

    answer = claim(running(), ask, at, skew_s=SKEW_S)

    assert answer == RunningElsewhere(running(), 1095.0 - at)


def test_a_lapsed_lease_is_a_crash_and_its_attempt_stays_charged() -> None:
    ask = asking(owner="worker-2", nonce="n2")

    answer = claim(running(), ask, 1095.001, skew_s=SKEW_S)

    assert isinstance(answer, Record)
    assert (answer.crashes, answer.attempts, answer.fence) == (2, 3, 4)


def test_a_claim_whose_answer_was_lost_is_told_again() -> None:
    answer = claim(running(), asking(), 1010.0, skew_s=SKEW_S)

    assert answer == running()


def test_a_process_that_claims_anew_is_nobody_special() -> None:
    early = claim(running(), asking(nonce="n2"), 1010.0, skew_s=SKEW_S)
    late = claim(running(), asking(nonce="n2"), 1095.001, skew_s=SKEW_S)

    assert isinstance(early, RunningElsewhere), "it may be running here, and not be known to"
    assert isinstance(late, Record)
    assert (late.crashes, late.attempts) == (2, 3), "else a job that breaks us would run for ever"


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("own", [False, True])
def test_a_late_doorbell_of_a_finished_job_changes_nothing(state: State, own: bool) -> None:  # noqa: FBT001
    old = record(state)

    answer = claim(old, asking(nonce="n2", own_doorbell=own), 9000.0, skew_s=SKEW_S)

    assert answer == Finished(old)


@pytest.mark.parametrize("state", sorted(FINAL - {State.DEAD}))
def test_another_message_for_an_answered_job_changes_nothing(state: State) -> None:
    old = record(state)

    answer = claim(old, asking(nonce="n2", doorbell="m2"), 9000.0, skew_s=SKEW_S)

    assert answer == Finished(old)


def test_a_parked_doorbell_does_not_wake_the_dead() -> None:
    old = record(State.DEAD)

    answer = claim(old, asking(nonce="n2", doorbell="m2", own_doorbell=True), 9000.0, skew_s=SKEW_S)

    assert answer == Finished(old)


def test_a_redrive_starts_a_new_life_under_a_higher_fence() -> None:
    old = record(State.DEAD, result=b"{}", reason="poison", finished_at=1000.0, told=True)
    ask = asking(nonce="n2", doorbell="m2", sent_at=8990.0, digest="edited")

    answer = claim(old, ask, 9000.0, skew_s=SKEW_S)

    assert answer == Record(
        job="a",
        state=State.RUNNING,
        fence=4,
        generation=1,
        owner="worker-1",
        nonce="n2",
        lease_until=9090.0,
        attempts=1,
        doorbells=frozenset({"m1", "m2"}),
        digest="edited",
        sent_at=8990.0,
        route="default",
        tenant="acme",
        trail=(
            Leg(
                fence=3,
                owner="worker-1",
                ended="dead",
                ended_at=1000.0,
                why="poison",
                sent_at=old.sent_at,
            ),
        ),
    )


def test_a_redrive_keeps_the_trail_and_the_calls_of_the_life_before() -> None:
    call = Attempt(number=1, target="near", kind=Kind.UNAVAILABLE, fence=3, at=900.0)
    leg = Leg(fence=3, owner="worker-1", began_at=899.0, ended_at=1000.0, ended="dead")
    old = record(State.DEAD, history=(call,), trail=(Leg(fence=1), leg))

    new = claim(old, asking(nonce="n2", doorbell="m2"), 9000.0, skew_s=SKEW_S)

    assert isinstance(new, Record)
    assert new.trail == (Leg(fence=1), replace(leg, sent_at=old.sent_at))
    assert (new.past, new.history) == ((call,), ())


def test_whoever_claims_after_a_crash_writes_the_leg_of_who_died() -> None:
    old = record(State.RUNNING, lease_until=1000.0, trail=(Leg(fence=1),))

    new = claim(old, asking(nonce="n2"), 1000.0 + SKEW_S + 1, skew_s=SKEW_S)

    assert isinstance(new, Record)
    assert new.trail == (Leg(fence=1), Leg(fence=3, owner="worker-1", ended_at=1000.0))


def test_an_ending_puts_its_leg_behind_the_trail_once() -> None:
    held = record(State.RUNNING, trail=(Leg(fence=2),))
    how = ending(State.PARKED, leg=Leg(fence=3, ended="parked"))

    once = finish(held, held, how, 1000.0)
    assert isinstance(once, Record)
    twice = finish(once, held, how, 1001.0)

    assert twice is once
    assert once.trail == (Leg(fence=2), Leg(fence=3, ended="parked"))


def test_an_ending_without_a_leg_leaves_the_trail_alone() -> None:
    held = record(State.RUNNING, trail=(Leg(fence=2),))

    done = finish(held, held, ending(State.ANSWERED), 1000.0)

    assert isinstance(done, Record)
    assert done.trail == held.trail


def test_a_trail_keeps_its_first_leg_and_the_latest() -> None:
    trail: tuple[Leg, ...] = ()
    for fence in range(1, TRAIL_MAX + 3):
        trail = with_leg(trail, Leg(fence=fence))

    assert [leg.fence for leg in trail] == [1, *range(4, TRAIL_MAX + 3)]


def test_a_redrive_that_asks_for_the_next_life_gets_it() -> None:
    dead = record(State.DEAD, generation=1)

    answer = claim(dead, asking(nonce="n2", doorbell="m2", redrive=2), 9000.0, skew_s=SKEW_S)

    assert isinstance(answer, Record)
    assert (answer.generation, answer.attempts) == (2, 1)


@pytest.mark.parametrize("redrive", [1, 2, 4])
def test_a_redrive_that_asks_for_another_life_than_the_next_had_its_run(redrive: int) -> None:
    dead = record(State.DEAD, generation=2)
    ask = asking(nonce="n2", doorbell="m2", redrive=redrive)
    edited = replace(ask, digest="edited")

    assert claim(dead, ask, 9000.0, skew_s=SKEW_S) == Finished(dead)
    assert claim(dead, edited, 9000.0, skew_s=SKEW_S) == Conflict(dead), "it had no run"


def test_of_two_redrives_that_ask_for_the_same_life_one_runs() -> None:
    first = claim(
        record(State.DEAD), asking(nonce="n2", doorbell="m2", redrive=1), 9000.0, skew_s=SKEW_S
    )
    assert isinstance(first, Record)
    second = asking(nonce="n3", doorbell="m3", redrive=1)

    during = claim(first, second, 9001.0, skew_s=SKEW_S)
    ended = [finish(first, first, ending(s), 9002.0) for s in (State.ANSWERED, State.DEAD)]
    after = [claim(end, second, 9003.0, skew_s=SKEW_S) for end in ended if isinstance(end, Record)]

    assert isinstance(during, RunningElsewhere)
    assert after == [Finished(end) for end in ended if isinstance(end, Record)]
    assert len(after) == 2


def test_a_message_of_an_earlier_life_is_no_redrive_of_a_later_one() -> None:
    redriven = claim(record(State.DEAD), asking(nonce="n2", doorbell="m2"), 9000.0, skew_s=SKEW_S)
    assert isinstance(redriven, Record)
    dead_again = finish(redriven, redriven, ending(State.DEAD), 9001.0)
    assert isinstance(dead_again, Record)

    answer = claim(dead_again, asking(nonce="n3", doorbell="m1"), 9002.0, skew_s=SKEW_S)

    assert answer == Finished(dead_again)


@pytest.mark.parametrize("state", sorted(set(State) - {State.DEAD}))
def test_an_id_cannot_be_taken_for_another_request(state: State) -> None:
    old = record(state)

    answer = claim(old, asking(nonce="n2", doorbell="m2", digest="e"), 1000.0, skew_s=SKEW_S)

    assert answer == Conflict(old)


def test_a_record_without_a_digest_conflicts_with_nothing() -> None:
    answer = claim(record(State.QUEUED, digest=""), asking(nonce="n2"), 1000.0, skew_s=SKEW_S)

    assert isinstance(answer, Record)
    assert answer.digest == "d"


@pytest.mark.parametrize("state", [State.ANSWERED, State.DEGRADED, State.DEAD])
def test_the_holder_writes_the_final_record(state: State) -> None:
    how = ending(
        state,
        attempts=7,
        history=(Attempt(number=1, target="t"),),
        reason="why",
        fingerprint="f",
        result=b"{}",
        result_ref="r",
        told=False,
    )

    answer = finish(running(), running(), how, 1050.0)

    assert answer == record(
        state,
        attempts=7,
        crashes=0,
        history=(Attempt(number=1, target="t"),),
        reason="why",
        fingerprint="f",
        result=b"{}",
        result_ref="r",
        lease_until=0.0,
        finished_at=1050.0,
    )


@pytest.mark.parametrize("state", [State.PARKED, State.INTERRUPTED])
def test_an_ending_for_now_is_not_final(state: State) -> None:
    how = ending(state, parks=5, interruptions=6, attempts=1, not_before=1100.0)

    answer = finish(running(), running(), how, 1050.0)

    assert isinstance(answer, Record)
    assert (answer.state, answer.finished_at, answer.not_before) == (state, None, 1100.0)
    assert (answer.parks, answer.interruptions, answer.attempts) == (5, 6, 1)


@pytest.mark.parametrize(
    "change", [{"fence": 4}, {"nonce": "n2"}, {"fence": 4, "nonce": "n2"}], ids=str
)
@pytest.mark.parametrize("state", [State.RUNNING, State.ANSWERED])
def test_a_zombie_cannot_write(state: State, change: dict[str, object]) -> None:
    current = record(state, **change)

    answer = finish(current, running(), ending(State.ANSWERED), 1050.0)

    assert answer == Stale(current)


def test_nothing_is_finished_where_no_record_is() -> None:
    answer = finish(None, running(), ending(State.ANSWERED), 1050.0)

    assert answer == Stale(None)


def test_the_same_ending_twice_is_one() -> None:
    once = finish(running(), running(), ending(State.PARKED), 1050.0)
    assert isinstance(once, Record)

    twice = finish(once, running(), ending(State.PARKED), 1060.0)

    assert twice == once


def test_a_holder_cannot_change_its_mind() -> None:
    once = finish(running(), running(), ending(State.PARKED), 1050.0)
    assert isinstance(once, Record)

    again = finish(once, running(), ending(State.ANSWERED), 1060.0)

    assert again == Stale(once)


@pytest.mark.parametrize("state", [State.QUEUED, State.CANCELLED])
def test_no_run_ends_as_what_only_a_producer_can_make_of_a_job(state: State) -> None:
    with pytest.raises(AssertionError, match=f"a: cannot end as {state}"):
        finish(running(), running(), ending(state), 1050.0)


def test_a_state_that_nobody_knows_is_not_guessed_at() -> None:
    old = record(State.QUEUED)
    object.__setattr__(old, "state", "melted")

    with pytest.raises(AssertionError, match="melted"):
        claim(old, asking(nonce="n2"), 1000.0, skew_s=SKEW_S)


def test_a_state_is_waiting_or_running_or_final() -> None:
    waiting = {state for state in State if state.waiting}
    final = {state for state in State if state.final}

    assert waiting | final == set(State) - {State.RUNNING}
    assert not waiting & final


def test_every_move_goes_through_running() -> None:
    moves = [(old, new) for old, new in LEGAL if State.RUNNING not in (old, new)]

    assert moves == []


def test_history_keeps_the_cause_and_the_latest() -> None:
    old = tuple(Attempt(number=n, target="t") for n in range(1, 16))
    new = tuple(Attempt(number=n, target="t") for n in range(16, 31))

    kept = with_history(old, new)

    assert [attempt.number for attempt in kept] == [1, *range(12, 31)]
    assert len(kept) == HISTORY_MAX


def test_a_short_history_is_kept_whole() -> None:
    old = (Attempt(number=1, target="t"),)
    new = tuple(Attempt(number=n, target="t") for n in range(2, 21))

    kept = with_history(old, new)

    assert kept == (*old, *new)
