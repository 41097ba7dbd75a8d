"""The history of breakers as stretches of one state, and as orders."""

from dataclasses import replace

import pytest

from tests.ops.room import NAMES, Room, run
from worker.core.verdict import Mode, State, Transition
from worker.ops.timeline import ROWS, Line, timeline
from worker.ports import Unavailable
from worker.sim.clock import EPOCH
from worker.sim.memory import Mishap

HOUR = 3600.0
ROW = Transition(
    name="sonnet",
    version=1,
    stage=1,
    epoch=1,
    round=1,
    old=State.CLOSED,
    new=State.OPEN,
    share=0.0,
    level=0,
    cooldown_s=5.0,
    mode=Mode.ENFORCE,
    why="a test",
    by="w1",
    at=EPOCH,
)


def row(ago_s: float, old: State, new: State, share: float = 0.0) -> Transition:
    return replace(ROW, at=EPOCH - ago_s, old=old, new=new, share=share)


def order(ago_s: float, mode: Mode, for_s: float) -> Transition:
    made = row(ago_s, State.CLOSED, State.CLOSED, 1.0)
    return replace(made, mode=mode, for_s=for_s, by="alice", why="incident 42")


async def line(*rows: Transition, span_s: float = 10 * HOUR) -> Line:
    """What a room with these rows of one breaker, the oldest first, tells of it."""
    room = Room()
    kept = {n: replace(one, version=n) for n, one in enumerate(rows, 1)}
    room.breakers.rows["sonnet"] = kept
    found = await timeline(room.desk, span_s)
    assert [one.name for one in found.lines] == list(NAMES)
    return found.lines[0]


def told(found: Line) -> list[tuple[State | None, float, float, float]]:
    """State, share, and how many hours ago each stretch began and ended."""
    return [
        (one.state, one.share, (EPOCH - one.since_at) / HOUR, (EPOCH - one.until_at) / HOUR)
        for one in found.stretches
    ]


def test_a_breaker_that_never_changed_is_one_stretch() -> None:
    async def main() -> None:
        assert told(await line()) == [(State.CLOSED, 1.0, 10, 0)]

    run(main())


def test_an_outage_is_told_from_its_opening_to_its_close() -> None:
    async def main() -> None:
        found = await line(
            row(4 * HOUR, State.CLOSED, State.OPEN),
            row(3 * HOUR, State.OPEN, State.HALF_OPEN),
            row(2 * HOUR, State.HALF_OPEN, State.RAMP, 0.2),
            row(1.5 * HOUR, State.RAMP, State.RAMP, 0.6),
            row(1 * HOUR, State.RAMP, State.CLOSED, 1.0),
        )

        assert told(found) == [
            (State.CLOSED, 1.0, 10, 4),
            (State.OPEN, 0.0, 4, 3),
            (State.HALF_OPEN, 0.0, 3, 2),
            (State.RAMP, 0.2, 2, 1.5),
            (State.RAMP, 0.6, 1.5, 1),
            (State.CLOSED, 1.0, 1, 0),
        ]
        assert found.open_s == 2 * HOUR
        assert [one.at for one in found.rows] == sorted((r.at for r in found.rows), reverse=True)

    run(main())


def test_what_began_before_the_time_that_was_asked_for_is_cut_there() -> None:
    async def main() -> None:
        found = await line(
            row(90 * HOUR, State.CLOSED, State.OPEN),
            row(1 * HOUR, State.OPEN, State.HALF_OPEN),
        )

        assert told(found) == [(State.OPEN, 0.0, 10, 1), (State.HALF_OPEN, 0.0, 1, 0)]
        assert len(found.rows) == 1, "the other was before"

    run(main())


def test_before_the_oldest_of_as_many_rows_as_are_read_nothing_is_known() -> None:
    async def main() -> None:
        moves = ((State.CLOSED, State.OPEN), (State.OPEN, State.CLOSED))
        rows = [row(6.0 * (ROWS + 1 - n), *moves[n % 2]) for n in range(ROWS + 1)]

        found = await line(*rows)

        assert found.stretches[0].state is None
        assert found.stretches[1].since_at == EPOCH - 6.0 * ROWS

    run(main())


@pytest.mark.parametrize(
    ("after", "ends_h"),
    [
        ((), 6.0),
        ((order(7 * HOUR, Mode.HOLD_OPEN, HOUR),), 7.0),
        ((replace(order(7 * HOUR, Mode.ENFORCE, 0.0), why="released"),), 7.0),
        ((replace(row(7 * HOUR, State.CLOSED, State.OPEN), mode=Mode.OBSERVE),), 6.0),
    ],
    ids=["by itself", "another order", "released", "not by a move of the circuit"],
)
def test_an_order_lasts_until_it_ends(after: tuple[Transition, ...], ends_h: float) -> None:
    async def main() -> None:
        found = await line(order(8 * HOUR, Mode.OBSERVE, 2 * HOUR), *after)

        first = found.spells[0]
        assert (first.mode, first.by, first.why) == (Mode.OBSERVE, "alice", "incident 42")
        assert (EPOCH - first.since_at) / HOUR == 8
        assert (EPOCH - first.until_at) / HOUR == ends_h

    run(main())


def test_an_order_that_goes_on_lasts_until_now_and_one_long_past_is_not_told() -> None:
    async def main() -> None:
        found = await line(
            order(50 * HOUR, Mode.HOLD_OPEN, HOUR), order(HOUR, Mode.HOLD_OPEN, 9 * HOUR)
        )

        assert [(one.since_at, one.until_at) for one in found.spells] == [(EPOCH - HOUR, EPOCH)]

    run(main())


def test_clocks_that_differ_make_no_stretch_run_backwards() -> None:
    async def main() -> None:
        found = await line(
            row(60.0, State.CLOSED, State.OPEN),
            row(62.0, State.OPEN, State.HALF_OPEN),
            row(-30.0, State.HALF_OPEN, State.RAMP, 0.2),
        )

        assert all(one.since_at < one.until_at <= EPOCH for one in found.stretches)

    run(main())


def test_a_store_that_cannot_be_asked_is_told_as_such() -> None:
    async def main() -> None:
        room = Room(history=Mishap(when="before"))

        with pytest.raises(Unavailable):
            await timeline(room.desk, HOUR)

    run(main())
