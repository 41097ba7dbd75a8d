"""How the fleet's breakers look to an operator."""

import asyncio
from dataclasses import replace

import pytest

from tests.ops.room import NAMES, TRIP, Room, run
from worker.core.jury import SEATS, Seat, Vote
from worker.core.moves import BeginRound, ClaimTicket
from worker.core.verdict import Mode, State
from worker.ops.breakers import look, past
from worker.ops.desk import Misused
from worker.ops.overrides import hold, release
from worker.ops.votes import GONE_S, jurors
from worker.sim.clock import EPOCH


def test_a_breaker_without_a_record_is_closed_and_one_without_settings_is_shown() -> None:
    async def main() -> None:
        room = Room()
        await room.give(TRIP, "old-model")

        scene = await look(room.desk)

        shown = [(one.name, one.state, one.recorded, one.in_settings) for one in scene.breakers]
        assert shown == [
            ("sonnet", State.CLOSED, False, True),
            ("endpoint:eu-west-1", State.CLOSED, False, True),
            ("old-model", State.OPEN, True, False),
        ]
        assert not scene.calm
        assert (await look(room.desk, NAMES)).calm

    run(main())


def test_tickets_that_are_out_are_counted_and_claims_are_not_shown() -> None:
    async def main() -> None:
        room = Room()
        opened = await room.give(TRIP)
        await room.give(BeginRound(stage=opened.stage))
        await room.give(ClaimTicket(epoch=1, round=1, claim="secret-nonce"))

        (one,) = (await look(room.desk, ["sonnet"])).breakers

        assert (one.tickets, one.tickets_out, one.good, one.bad) == (3, 1, 0, 0)
        assert "secret-nonce" not in repr(one)

    run(main())


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    async def main() -> None:
        room = Room()

        with pytest.raises(Misused, match=r"Did you mean sonnet\? There are: sonnet, endpoint"):
            await look(room.desk, ["sonet"])
        with pytest.raises(Misused, match="there is no breaker 'x'"):
            await past(room.desk, "x", most=5)
        with pytest.raises(Misused, match="there is no breaker 'x'"):
            await release(room.desk, "x", author="alice")

    run(main())


def test_votes_are_summed_for_the_verdicts_own_stage() -> None:
    async def main() -> None:
        room = Room()
        bad = Vote(stage=0, calls=20, failures=20, recent_calls=9, recent_failures=9)
        votes = [bad, Vote(stage=0, calls=40), Vote(stage=0), Vote(stage=7, calls=500)]
        for number, vote in enumerate(votes):
            room.seat(number, vote)

        (one,) = (await look(room.desk, ["sonnet"], why=True)).breakers

        assert one.jury is not None
        found = (one.jury.seats, one.jury.voters, one.jury.bad, one.jury.good, one.jury.abstain)
        assert found == (4, 3, 1, 1, 1)
        assert (one.jury.calls, one.jury.failures, one.jury.says) == (60, 20, "")

    run(main())


def test_who_looks_twice_leaves_out_the_seats_of_workers_that_are_gone() -> None:
    async def main() -> None:
        room = Room()
        room.seat(1, Vote(stage=0, calls=60))
        room.seat(2, Vote(stage=0, calls=600))
        room.breakers.seats[3] = Seat(number=3, holder="", lot=0.1, beat=9)  # given back
        loop = asyncio.get_running_loop()
        loop.call_later(15.0, lambda: room.seat(1, Vote(stage=0, calls=60), beat=2))

        once = (await look(room.desk, ["sonnet"], why=True)).breakers[0].jury
        twice = (await look(room.desk, ["sonnet"], why=True, look_s=20.0)).breakers[0].jury

        assert once is not None
        assert twice is not None
        assert (once.seats, once.sure, twice.seats, twice.sure) == (2, False, 1, True)
        assert twice.calls_per_min == 120.0  # 60 calls in 30 s, of one worker

    run(main())


def test_a_seat_that_was_published_long_ago_is_counted_only_if_it_moves() -> None:
    async def main() -> None:
        room = Room()
        for number in (1, 2):
            room.seat(number, Vote(stage=0, calls=60))
        old = replace(room.breakers.seats[1], seen_at=EPOCH - GONE_S - 1)
        room.breakers.seats[1] = old
        moved = replace(old, beat=2)
        asyncio.get_running_loop().call_later(15.0, room.breakers.seats.update, {1: moved})

        once = await jurors(room.desk)
        twice = await jurors(room.desk, look_s=20.0)

        assert [one.number for one in once] == [2], "it does not say when, and is believed"
        assert twice == [moved], "its clock is wrong, and it lives"

    run(main())


def test_a_full_jury_speaks_for_a_larger_fleet() -> None:
    async def main() -> None:
        room = Room()
        for number in range(SEATS):
            room.seat(number, Vote(stage=0, calls=10))

        told = await room.hold(dry=True)

        jury = told.now.jury
        assert jury is not None
        assert jury.workers == 310.0  # the largest of 32 lots is 0.1
        assert jury.calls_per_min == 310 * 10 / 30 * 60

    run(main())


def test_history_of_all_breakers_is_in_order_of_time() -> None:
    async def main() -> None:
        room = Room()
        for name in (*NAMES, "sonnet"):
            how = {"for_s": 5, "author": "alice", "reason": name}
            await hold(room.desk, name, Mode.OBSERVE, **how)  # type: ignore[arg-type]
            await asyncio.sleep(10)

        rows = (await past(room.desk, None, most=2)).rows

        assert [(row.name, row.version) for row in rows] == [
            ("sonnet", 2),
            ("endpoint:eu-west-1", 1),
        ]

    run(main())
