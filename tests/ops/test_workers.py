"""Who has a seat in the jury, and what each sees against what the fleet has decided."""

from dataclasses import replace

from tests.ops.room import TRIP, Room, run
from worker.core.jury import Seat, Vote
from worker.core.sightings import Sighting
from worker.core.verdict import State
from worker.ops.votes import GONE_S
from worker.ops.workers import workers
from worker.sim.clock import EPOCH

WELL = Vote(stage=0, calls=20, failures=1, slow=2)
SEEN = Sighting(of="sonnet", kind="unavailable", code="ServiceUnavailableException")


def sit(room: Room, number: int, vote: Vote, **how: object) -> None:
    seat = Seat(number=number, holder=f"w{number}", lot=0.1 * (number + 1), beat=1)
    room.breakers.seats[number] = replace(seat, votes={"sonnet": vote}, **how)  # type: ignore[arg-type]


def test_workers_agree_where_their_votes_fit_the_verdict() -> None:
    async def main() -> None:
        room = Room()
        for number in range(3):
            sit(room, number, WELL, seen_at=EPOCH - 3.0, seen=(SEEN,))

        found = await workers(room.desk)

        assert [one.worker for one in found.jurors] == ["w0", "w1", "w2"]
        first = found.jurors[0]
        assert (first.agrees, first.told_at, first.seen) == (True, EPOCH - 3.0, (SEEN,))
        assert [(one.breaker, one.fleet, one.sees) for one in first.views] == [
            ("sonnet", State.CLOSED, "agrees")
        ]
        assert (first.views[0].calls, first.views[0].failures, first.views[0].slow) == (20, 1, 2)

    run(main())


def test_who_sees_it_otherwise_comes_first() -> None:
    async def main() -> None:
        room = Room()
        for number in range(4):
            sit(room, number, replace(WELL, sick=number == 2))

        found = await workers(room.desk)

        assert (found.jurors[0].worker, found.jurors[0].agrees) == ("w2", False)
        assert found.jurors[0].views[0].sees == "sick"
        assert all(one.agrees for one in found.jurors[1:])

    run(main())


def test_who_has_not_followed_the_last_step_is_behind() -> None:
    async def main() -> None:
        room = Room()
        there = await room.give(TRIP)
        for number in range(3):
            sit(room, number, replace(WELL, stage=there.stage - (number == 1)))

        found = await workers(room.desk)

        assert (found.jurors[0].worker, found.jurors[0].views[0].sees) == ("w1", "behind")
        assert found.jurors[0].views[0].fleet is State.OPEN

    run(main())


def test_workers_that_are_long_gone_and_empty_seats_are_left_out() -> None:
    async def main() -> None:
        room = Room()
        sit(room, 0, WELL, seen_at=EPOCH)
        sit(room, 1, WELL, seen_at=EPOCH - GONE_S - 1)
        sit(room, 2, WELL, holder="")

        found = await workers(room.desk)

        assert [one.worker for one in found.jurors] == ["w0"]

    run(main())


def test_of_nobody_nothing_is_said() -> None:
    async def main() -> None:
        found = await workers(Room().desk)

        assert (found.about, found.jurors) == (None, ())

    run(main())
