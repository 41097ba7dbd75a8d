"""An operator takes a breaker over: races, lost answers and silence included."""

import asyncio
from typing import Any

import pytest

from tests.ops.room import TRIP, Room, override_of, run
from worker.core.moves import Hold, Order, Release
from worker.core.verdict import Mode, State, Verdict
from worker.ops.breakers import look, past
from worker.ops.desk import InDoubt, Misused
from worker.ops.overrides import release
from worker.ports import Unavailable
from worker.sim.memory import Mishap


def test_an_order_is_written_and_noted_and_ends_by_itself() -> None:
    async def main() -> None:
        room = Room()

        told = await room.hold(for_s=60)
        held = await look(room.desk, ["sonnet"])
        await asyncio.sleep(61)
        over = await look(room.desk, ["sonnet"])

        assert (told.stands, told.noted) == (True, True)
        assert (held.breakers[0].mode, held.breakers[0].left_s, held.calm) == (
            Mode.HOLD_OPEN,
            60.0,
            False,
        )
        assert (over.breakers[0].mode, over.calm) == (Mode.ENFORCE, True)
        (row,) = (await past(room.desk, "sonnet", most=5)).rows
        assert (row.by, row.why, row.mode, row.for_s) == (
            "alice",
            "incident 42",
            Mode.HOLD_OPEN,
            60.0,
        )

    run(main())


def test_an_order_takes_the_place_of_one_that_was_seen_and_says_so() -> None:
    async def main() -> None:
        room = Room()
        await room.give(Hold(override=override_of("bob"), number=0))

        told = await room.hold()

        assert told.stands
        assert told.before.override is not None
        assert (told.before.override.author, told.before.left_s) == ("bob", 600.0)

    run(main())


def raced(room: Room, *orders: Order) -> None:
    """Somebody else is faster: just before our write arrives, these are carried out."""
    waiting = list(orders)
    plain = room.desk.store.swap

    async def swap(old: Verdict, new: Verdict) -> Verdict:
        if waiting:
            await room.give(waiting.pop(0))
        return await plain(old, new)

    room.desk.store.swap = swap  # type: ignore[method-assign]


def test_a_circuit_that_moves_meanwhile_does_not_stand_in_the_way() -> None:
    async def main() -> None:
        room = Room()
        raced(room, TRIP)

        told = await room.hold()

        assert told.stands
        assert (told.now.state, told.now.mode) == (State.OPEN, Mode.HOLD_OPEN)

    run(main())


def test_an_order_that_we_did_not_know_of_is_not_overwritten() -> None:
    async def main() -> None:
        room = Room()
        raced(room, Hold(override=override_of("bob"), number=0))

        told = await room.hold()

        assert not told.stands
        assert told.now.override is not None
        assert told.now.override.author == "bob"
        assert room.breakers.verdicts["sonnet"].orders == 1

    run(main())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_write_that_was_lost_on_the_way_stands_once(when: Any) -> None:
    async def main() -> None:
        lost = Mishap(when=when, error=Unavailable("breakers", "ReadTimeoutError"))
        room = Room(swap=lost)

        told = await room.hold()

        assert told.stands
        assert room.breakers.verdicts["sonnet"].orders == 1
        assert len(room.breakers.rows["sonnet"]) == 1

    run(main())


def test_a_write_whose_answer_was_lost_is_ours_though_somebody_wrote_on_top() -> None:
    async def main() -> None:
        room = Room(swap=Mishap(when="after", error=Unavailable("breakers", "ReadTimeoutError")))
        plain = room.desk.store.read

        async def read(*, consistent: bool = False) -> Any:
            if "sonnet" in room.breakers.verdicts:
                await room.give(TRIP)
            return await plain(consistent=consistent)

        room.desk.store.read = read  # type: ignore[method-assign]

        told = await room.hold()

        assert told.stands
        assert (told.now.state, told.now.mode) == (State.OPEN, Mode.HOLD_OPEN)

    run(main())


def test_behind_a_network_error_may_be_a_try_that_came_through() -> None:
    gone = Unavailable("breakers", "EndpointConnectionError", network=True)

    async def main() -> None:
        looked_up = Room(swap=Mishap(when="after", error=gone))
        doubt = Room(swap=Mishap(when="after", error=gone))
        quiet = doubt.desk.store.read

        async def read(*, consistent: bool = False) -> Any:
            if doubt.breakers.verdicts:
                raise gone
            return await quiet(consistent=consistent)

        doubt.desk.store.read = read  # type: ignore[method-assign]

        assert (await looked_up.hold()).stands
        with pytest.raises(InDoubt):
            await doubt.hold()

    run(main())


def test_silence_after_a_write_leaves_it_in_doubt_and_silence_before_it_does_not() -> None:
    async def main() -> None:
        doubt = Room(swap=Mishap(when="after", hangs=True))
        unreachable = Room(read=Mishap(when="before"))
        silent = Room(read=Mishap(when="before", hangs=True))

        quiet = doubt.desk.store.read
        reads = 0

        async def read(*, consistent: bool = False) -> Any:
            nonlocal reads
            reads += 1
            if reads > 1:
                await asyncio.Event().wait()
            return await quiet(consistent=consistent)

        doubt.desk.store.read = read  # type: ignore[method-assign]

        with pytest.raises(InDoubt):
            await doubt.hold()
        for room in (unreachable, silent):
            with pytest.raises(Unavailable) as caught:
                await room.hold()
            assert not isinstance(caught.value, InDoubt)
            assert room.breakers.verdicts == {}

    run(main())


def test_an_order_stands_though_its_row_could_not_be_noted() -> None:
    async def main() -> None:
        room = Room(note=Mishap(when="before"))

        told = await room.hold()

        assert (told.stands, told.noted) == (True, False)

    run(main())


def test_the_end_of_an_override_is_noted_with_its_reason() -> None:
    async def main() -> None:
        room = Room()
        await room.hold()

        told = await release(room.desk, "sonnet", author="bob", reason="all is well")

        assert (told.stands, told.now.mode, told.now.override) == (True, Mode.ENFORCE, None)
        row = (await past(room.desk, "sonnet", most=1)).rows[0]
        assert (row.by, row.why, row.mode) == ("bob", "released: all is well", Mode.ENFORCE)

    run(main())


def test_there_may_be_nothing_to_end() -> None:
    async def main() -> None:
        room = Room()
        never = await release(room.desk, "sonnet", author="bob")
        await room.hold()
        raced(room, Release(number=1))

        meanwhile = await release(room.desk, "sonnet", author="bob")

        assert [(told.stands, told.needless) for told in (never, meanwhile)] == [(True, True)] * 2

    run(main())


def test_an_override_that_we_did_not_know_of_is_not_ended() -> None:
    async def main() -> None:
        room = Room()
        await room.hold()
        raced(room, Hold(override=override_of("carol"), number=1))

        told = await release(room.desk, "sonnet", author="bob")

        assert (told.stands, told.needless) == (False, False)
        assert told.now.override is not None
        assert told.now.override.author == "carol"

    run(main())


def test_a_dry_run_writes_nothing() -> None:
    async def main() -> None:
        room = Room()
        await room.hold(dry=True)
        await release(room.desk, "sonnet", author="bob", dry=True)
        await room.amend({"probes": 5}, dry=True)

        assert not room.breakers.verdicts
        assert not room.breakers.policies
        assert not room.breakers.rows

    run(main())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"for_s": 0.5}, "from 1 s to 7 d"),
        ({"for_s": 8 * 86_400}, "from 1 s to 7 d"),
        ({"for_s": float("nan")}, "from 1 s to 7 d"),
        ({"reason": " "}, "give a reason of 1 to 200"),
        ({"reason": "x" * 201}, "give a reason of 1 to 200"),
        ({"reason": "two\nlines"}, "printable"),
        ({"author": "\x1b[2J"}, "give an author of 1 to 80 printable"),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused(how: dict[str, Any], says: str) -> None:
    async def main() -> None:
        room = Room()

        with pytest.raises(Misused, match=says):
            await room.hold(**how)

        assert not room.wire.calls

    run(main())
