"""Every move of a verdict: when it holds, what it changes, and that old orders find nothing."""

from dataclasses import replace

import pytest

from worker.core.moves import (
    MOVES,
    RESTORE_STEP,
    WHY_MAX,
    BeginRound,
    ClaimTicket,
    Conclude,
    Hold,
    Order,
    Release,
    Report,
    Restore,
    StepDown,
    StepUp,
    Trip,
    moved,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, Override, State, Verdict, is_behind, transition

POLICY = BreakerPolicy(jitter=0.0, probes=3, probes_good=1, ramp=(0.2, 0.5))
CLOSED = Verdict(name="a", version=7, stage=4, epoch=1, round=2)
OPEN = replace(CLOSED, state=State.OPEN, share=0.0, stage=5, epoch=2, cooldown_s=2.0, why="bad")
HALF = replace(OPEN, state=State.HALF_OPEN, stage=6, round=3, tickets=3)
RAMP = replace(HALF, state=State.RAMP, stage=7, share=0.2, tickets=0)
HELD = Override(mode=Mode.HOLD_OPEN, for_s=60.0, until_at=1e9, author="ann", reason="a drill")


def after(verdict: Verdict, *orders: Order, policy: BreakerPolicy = POLICY) -> Verdict:
    for order in orders:
        new = moved(verdict, order, policy, writer="w", nonce="n", at=5.0)
        assert new is not None, f"{order} holds"
        verdict = new
    return verdict


def claim(name: str, verdict: Verdict = HALF) -> ClaimTicket:
    return ClaimTicket(epoch=verdict.epoch, round=verdict.round, claim=name)


def report(name: str, *, good: bool, verdict: Verdict = HALF) -> Report:
    return Report(epoch=verdict.epoch, round=verdict.round, claim=name, good=good)


def conclude(*, overdue: bool = False, stage: int = HALF.stage) -> Conclude:
    return Conclude(stage=stage, overdue=overdue, roll=0.5)


def test_a_trip_begins_an_epoch_and_a_rest() -> None:
    tripped = after(CLOSED, Trip(stage=4, why="x" * 300, roll=0.5))

    assert (tripped.state, tripped.share, tripped.cooldown_s) == (State.OPEN, 0.0, 2.0)
    assert (tripped.version, tripped.stage, tripped.epoch, tripped.round) == (8, 5, 2, 2)
    assert (tripped.writer, tripped.nonce, tripped.at) == ("w", "n", 5.0)
    assert len(tripped.why) == WHY_MAX


@pytest.mark.parametrize(("calm_s", "level"), [(0.0, 3), (119.0, 3), (120.0, 2), (9e9, 0)])
def test_calm_times_forgive_the_growth_of_the_rest(calm_s: float, level: int) -> None:
    tripped = after(replace(CLOSED, level=3), Trip(stage=4, why="", roll=0.5, calm_s=calm_s))

    assert tripped.level == level


@pytest.mark.parametrize(
    ("verdict", "order"),
    [
        (CLOSED, Trip(stage=3, why="", roll=0.5)),
        (OPEN, Trip(stage=5, why="", roll=0.5)),
        (OPEN, BeginRound(stage=4)),
        (HALF, BeginRound(stage=6)),
        (OPEN, claim("c", OPEN)),
        (HALF, ClaimTicket(epoch=1, round=3, claim="c")),
        (HALF, ClaimTicket(epoch=2, round=2, claim="c")),
        (replace(HALF, claims=("c",), outcomes=(None,)), claim("c")),
        (replace(HALF, tickets=1, claims=("b",), outcomes=(None,)), claim("c")),
        (HALF, report("c", good=True)),
        (replace(HALF, claims=("c",), outcomes=(True,)), report("c", good=False)),
        (
            replace(HALF, claims=("c",), outcomes=(None,)),
            Report(epoch=2, round=2, claim="c", good=True),
        ),
        (HALF, conclude()),
        (HALF, conclude(overdue=True, stage=5)),
        (replace(HALF, claims=("c",), outcomes=(False,)), conclude()),
        (RAMP, StepUp(stage=6, why="")),
        (RAMP, StepDown(stage=6, why="", roll=0.5)),
        (CLOSED, StepUp(stage=4, why="")),
        (replace(CLOSED, orders=1), Hold(override=HELD, number=0)),
        (CLOSED, Release(number=0)),
        (replace(CLOSED, override=HELD), Release(number=2)),
        (CLOSED, Restore(known=CLOSED)),
        (CLOSED, Restore(known=replace(CLOSED, name="b", version=9))),
    ],
)
def test_an_order_about_another_time_finds_nothing(verdict: Verdict, order: Order) -> None:
    assert moved(verdict, order, POLICY) is None


def test_a_round_gives_out_its_tickets_once() -> None:
    half = after(OPEN, BeginRound(stage=5))

    full = after(half, claim("a"), claim("b"), claim("c"))

    assert (half.state, half.round, half.tickets_left) == (State.HALF_OPEN, 3, 3)
    assert full.tickets_left == 0
    assert full.stage == half.stage, "a ticket is no new stage"
    assert moved(full, claim("d"), POLICY) is None


def test_one_good_probe_of_three_begins_the_ramp() -> None:
    half = after(HALF, claim("a"), claim("b"), report("b", good=True))

    ramp = after(half, conclude())

    assert (half.good, half.bad, half.outcomes) == (1, 0, (None, True))
    assert (ramp.state, ramp.share, ramp.claims) == (State.RAMP, 0.2, ())
    assert ramp.level == half.level


def test_when_no_probe_can_be_good_any_more_the_rest_begins_again_and_is_longer() -> None:
    names = ("a", "b", "c")
    half = after(HALF, *map(claim, names), *(report(name, good=False) for name in names))

    rested = after(half, conclude())

    assert (rested.state, rested.level, rested.cooldown_s) == (State.OPEN, 1, 3.0)
    assert (rested.epoch, rested.round) == (HALF.epoch, HALF.round), "the incident is the same"


@pytest.mark.parametrize(("bad", "level"), [(False, 0), (True, 1)])
def test_an_overdue_round_ends_and_only_a_bad_probe_makes_the_rest_longer(
    *, bad: bool, level: int
) -> None:
    half = after(HALF, claim("a"), *([report("a", good=False)] if bad else []))

    rested = after(half, conclude(overdue=True))

    assert (rested.state, rested.level) == (State.OPEN, level)


def test_the_ramp_is_climbed_step_by_step() -> None:
    middle = after(RAMP, StepUp(stage=7, why="good"))
    closed = after(middle, StepUp(stage=8, why="good"))

    assert (middle.state, middle.share, middle.stage) == (State.RAMP, 0.5, 8)
    assert (closed.state, closed.share, closed.stage) == (State.CLOSED, 1.0, 9)
    assert closed.level == RAMP.level, "calm times forgive, not the close"


def test_a_bad_step_falls_back_and_the_first_one_opens() -> None:
    fallen = after(replace(RAMP, share=0.5), StepDown(stage=7, why="bad", roll=0.5))
    opened = after(fallen, StepDown(stage=8, why="bad", roll=0.5))

    assert (fallen.state, fallen.share) == (State.RAMP, 0.2)
    assert (opened.state, opened.epoch, opened.level) == (State.OPEN, 3, 1)


def test_an_override_changes_no_state_and_is_numbered() -> None:
    held = after(HALF, Hold(override=HELD, number=0))
    again = after(held, Hold(override=replace(HELD, mode=Mode.OBSERVE), number=1))
    free = after(again, Release(number=2))

    assert (held.state, held.stage, held.tickets) == (HALF.state, HALF.stage, HALF.tickets)
    assert again.override is not None
    assert (again.override.number, again.override.mode) == (2, Mode.OBSERVE)
    assert (free.override, free.orders) == (None, 2)


@pytest.mark.parametrize(
    ("at", "seen_for_s", "holds"),
    [(9.0, 1.0, True), (10.0, 1.0, False), (9.0, 60.0, False)],
)
def test_an_override_ends_by_the_first_of_two_clocks(
    *, at: float, seen_for_s: float, holds: bool
) -> None:
    assert replace(HELD, until_at=10.0).holds(at=at, seen_for_s=seen_for_s) is holds


@pytest.mark.parametrize("there", [Verdict(name="a"), replace(OPEN, version=90, stage=1)])
def test_what_the_store_forgot_comes_back_newer_than_anybody_knows(there: Verdict) -> None:
    restored = after(there, Restore(known=OPEN))

    assert restored.version == max(there.version, OPEN.version) + RESTORE_STEP + 1
    assert (restored.state, restored.share) == (State.OPEN, 0.0)
    assert (restored.level, restored.cooldown_s) == (OPEN.level, OPEN.cooldown_s)
    assert restored.why == "restored after a loss: bad"
    for number in ("stage", "epoch", "round"):
        known = max(getattr(there, number), getattr(OPEN, number))
        assert getattr(restored, number) == known + RESTORE_STEP, "what is old finds nothing"


def test_what_is_restored_twice_says_so_once() -> None:
    once = after(Verdict(name="a"), Restore(known=OPEN))

    twice = after(Verdict(name="a"), Restore(known=once))

    assert twice.why == once.why == "restored after a loss: bad"


def test_what_an_operator_ordered_of_an_empty_store_outlives_the_restore() -> None:
    known = after(OPEN, Hold(override=replace(HELD, mode=Mode.OBSERVE), number=0))
    there = after(Verdict(name="a"), Hold(override=HELD, number=0))

    restored, plain = (after(v, Restore(known=known)) for v in (there, Verdict(name="a")))

    assert restored.override == replace(HELD, number=2), "newer than the one that was lost"
    assert (restored.orders, restored.state) == (2, State.OPEN)
    assert plain.override == known.override, "and without one the known one goes on"
    assert plain.orders == 1


def test_a_restore_is_history_of_its_own_and_nobodys_order() -> None:
    known = after(OPEN, Hold(override=HELD, number=0))
    nothing = Verdict(name="a")

    row = transition(nothing, after(nothing, Restore(known=known)), 5.0)

    assert row is not None
    assert (row.old, row.new, row.mode) == (State.CLOSED, State.OPEN, Mode.HOLD_OPEN)
    assert (row.why, row.by, row.for_s) == ("restored after a loss: bad", "w", 0.0)


def test_a_forgotten_round_does_not_give_out_its_tickets_again() -> None:
    restored = after(Verdict(name="a"), Restore(known=after(HALF, claim("a"))))

    assert (restored.state, restored.tickets, restored.claims) == (State.OPEN, 0, ())
    assert restored.round == HALF.round + RESTORE_STEP, "and no old report counts for it"


def test_a_store_that_knows_less_is_behind() -> None:
    assert is_behind(Verdict(name="a"), CLOSED)
    assert is_behind(replace(CLOSED, version=99, stage=3), CLOSED)
    assert is_behind(replace(CLOSED, nonce="another"), CLOSED), "the same version, another write"
    assert not is_behind(CLOSED, CLOSED)


def test_only_what_people_want_to_know_becomes_history() -> None:
    claimed = after(HALF, claim("a"))
    row = transition(CLOSED, after(CLOSED, Trip(stage=4, why="bad", roll=0.5)), at=9.0)

    assert transition(HALF, claimed, at=9.0) is None
    assert row is not None
    assert (row.old, row.new, row.why, row.by, row.at) == (
        State.CLOSED,
        State.OPEN,
        "bad",
        "w",
        9.0,
    )
    assert row.mode is Mode.ENFORCE


def test_an_operators_order_and_its_end_are_history_too() -> None:
    held = after(CLOSED, Hold(override=HELD, number=0))
    ordered = transition(CLOSED, held, at=9.0)
    ended = transition(held, after(held, Release(number=1)), at=10.0)

    assert ordered is not None
    assert (ordered.by, ordered.why, ordered.mode, ordered.for_s) == (
        "ann",
        "a drill",
        Mode.HOLD_OPEN,
        60.0,
    )
    assert ended is not None
    assert (ended.why, ended.mode, ended.by, ended.for_s) == ("released", Mode.ENFORCE, "w", 0.0)


def test_every_move_leads_somewhere_and_says_when() -> None:
    for move in MOVES.values():
        assert move.states
        assert move.leads_to
        assert move.when
        assert move.then
