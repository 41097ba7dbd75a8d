"""The status of a fleet: what is read, what follows from it, and what if it cannot be read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.ops.room import NAMES, Room, run
from worker.core.jury import Seat, Vote
from worker.core.moves import BeginRound, Trip
from worker.core.route import Route
from worker.core.sightings import Sighting
from worker.core.target import Target
from worker.core.verdict import Mode, State
from worker.ops.causes import CauseName
from worker.ops.status import LIMIT_S, Sources, Status, Trouble, Unread, status
from worker.ops.votes import GONE_S, SKEW_S
from worker.ops.waiting import Lane
from worker.ports import Depth, Unavailable
from worker.sim.clock import EPOCH, wall_clock
from worker.sim.memory import Mishap
from worker.sim.wire import Wire

SONNET = Target(name="sonnet", model="m", region="eu-west-1")
FAR = Target(name="far", model="m", region="us-east-1")
ROUTE = Route(name="default", targets=(SONNET,))
EMPTY = Depth(visible=0, in_flight=0, delayed=0)
DOWN = Sighting(of="sonnet", region="eu-west-1", kind="unavailable", code="Oops", http=503, count=9)
THROTTLED = replace(DOWN, kind="throttled", code="ThrottlingException", http=429)
UNREACHED = replace(DOWN, kind="unreachable", code="EndpointConnectionError", http=0)
ENDPOINT = "endpoint:eu-west-1"
WELL = Vote(stage=0, calls=60)  # in 30 s

Ask = Callable[[], Awaitable[Depth]]


def holds(depth: Depth) -> Ask:
    async def ask() -> Depth:
        return depth

    return ask


async def hangs() -> Depth:
    await asyncio.sleep(3600)
    return EMPTY


async def refuses() -> Depth:
    raise Unavailable("queue", "AccessDenied")


async def answers() -> None:
    return


def sources(room: Room | None, *, route: Route = ROUTE, **queues: Ask) -> Sources:
    roles = dict.fromkeys(("jobs", "parked", "dead"), holds(EMPTY)) | queues
    return Sources(
        desk=room.desk if room else None,
        ledger=answers,
        lanes=(Lane(name="lane", routes=("default",), queues=roles),),
        routes=(route,),
        endpoints={"sonnet": "endpoint:eu-west-1", "far": "endpoint:us-east-1"},
        at=wall_clock,
    )


def seat(room: Room, number: int, vote: Vote = WELL, *seen: Sighting, name: str = "sonnet") -> None:
    room.breakers.seats[number] = Seat(
        number=number,
        holder=f"w{number}",
        lot=0.1,
        beat=1,
        votes={name: vote},
        seen=seen,
        seen_at=wall_clock(),
    )


def names(found: Status) -> list[CauseName]:
    return [one.name for one in found.causes]


def test_a_fleet_that_is_well_is_calm() -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1)
        seat(room, 2)

        found = await status(sources(room))

        assert found.calm
        assert (found.causes, found.troubles, found.dissents, found.unread) == ((), (), (), ())
        assert found.workers == 2
        assert found.ways[0].calls == ("sonnet",)
        assert found.waiting[0].drains_s == 0.0

    run(main())


def test_an_open_circuit_is_told_with_what_opened_it_and_the_next_probe() -> None:
    async def main() -> None:
        room = Room()
        opened = await room.give(Trip(stage=0, why="3 of 3: 9 x unavailable Oops", roll=0.5))
        await room.note(opened)
        seat(room, 1, Vote(stage=opened.stage), DOWN)
        await asyncio.sleep(0.5)

        found = await status(sources(room, jobs=holds(replace(EMPTY, visible=40))))

        assert found.troubles == (
            Trouble(
                name="sonnet",
                known=True,
                since_at=EPOCH,
                opened_by="3 of 3: 9 x unavailable Oops",
                probe_in_s=1.5,
            ),
        )
        assert names(found) == [CauseName.SERVICE_ERRORS]
        assert (found.ways[0].calls, found.ways[0].out) == ((), (("sonnet", "open"),))
        assert found.waiting[0].drains_s is None
        assert found.waiting[0].unknown == "no circuit of it lets calls out"
        assert not found.calm

    run(main())


def test_what_opened_a_circuit_is_the_cause_while_nobody_calls() -> None:
    async def main() -> None:
        room = Room()
        why = "3 of 3: 9 x timed_out stall_timeout 200 (stall)"
        opened = await room.give(Trip(stage=0, why=why, roll=0.5))
        await room.note(opened)
        seat(room, 1, Vote(stage=opened.stage))

        (cause,) = (await status(sources(room))).causes

        assert (cause.name, cause.of, cause.code) == (
            CauseName.STALLED,
            ("sonnet",),
            "stall_timeout 200 (stall)",
        )
        assert (cause.count, cause.workers) == (9, 0)

    run(main())


def test_where_the_history_goes_not_so_far_back_it_says_so() -> None:
    async def main() -> None:
        room = Room()
        opened = await room.give(Trip(stage=0, why="x", roll=0.5))  # and nobody noted it
        await asyncio.sleep(5)
        await room.give(BeginRound(stage=opened.stage))

        (trouble,) = (await status(sources(room))).troubles

        assert (trouble.known, trouble.since_at, trouble.opened_by) == (True, None, "")
        assert trouble.probe_in_s is None

    run(main())


def test_what_was_told_long_ago_is_no_cause_any_more() -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, WELL, DOWN)
        await asyncio.sleep(GONE_S + 1)

        found = await status(sources(room))

        assert found.calm

    run(main())


@pytest.mark.parametrize(("failures", "calm"), [(6, True), (7, False)])
def test_a_few_failures_are_told_and_are_no_trouble(*, failures: int, calm: bool) -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, Vote(stage=0, calls=60, failures=failures), DOWN)
        throttled = replace(THROTTLED, count=90)

        found = await status(sources(room))
        seat(room, 1, Vote(stage=0, calls=60, failures=failures), DOWN, throttled)
        both = await status(sources(room))

        assert (found.calm, found.causes[0].minor) == (calm, calm)
        assert (both.calm, len(both.causes)) == (False, 2)
        assert not both.causes[0].minor, "what is minor comes last"

    run(main())


@pytest.mark.parametrize(("count", "calm"), [(1, True), (13, True), (14, False)])
def test_few_throttles_are_how_the_limit_is_found(*, count: int, calm: bool) -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, WELL, replace(THROTTLED, count=count))  # of 120 calls a minute, and these

        found = await status(sources(room))

        assert (found.calm, found.causes[0].minor) == (calm, calm)

    run(main())


@pytest.mark.parametrize(
    ("endpoint", "calm"),
    [
        (Vote(stage=0, calls=100, failures=10), True),
        (Vote(stage=0, calls=100, failures=40), False),
        (Vote(stage=0), False),  # who did not reach it, and calls no more
    ],
)
def test_an_endpoint_that_is_not_reached_is_judged_by_its_own_votes(
    endpoint: Vote, *, calm: bool
) -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, WELL, UNREACHED)
        votes = {"sonnet": WELL, ENDPOINT: endpoint}
        room.breakers.seats[1] = replace(room.breakers.seats[1], votes=votes)

        found = await status(sources(room))

        assert names(found) == [CauseName.UNREACHABLE]
        assert (found.calm, found.causes[0].minor) == (calm, calm)

    run(main())


def test_an_open_circuit_of_an_endpoint_is_never_minor() -> None:
    async def main() -> None:
        room = Room()
        await room.give(Trip(stage=0, why="x", roll=0.5), name=ENDPOINT)
        seat(room, 1, WELL, UNREACHED)

        (cause,) = (await status(sources(room))).causes

        assert (cause.name, cause.minor) == (CauseName.UNREACHABLE, False)

    run(main())


@pytest.mark.parametrize("off_s", [-SKEW_S, SKEW_S])
def test_clocks_may_be_apart_as_far_as_aws_takes_them(off_s: float) -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, replace(WELL, failures=60), DOWN)
        asked = replace(sources(room), at=lambda: wall_clock() + off_s)

        found = await status(asked)

        assert names(found) == [CauseName.SERVICE_ERRORS]
        assert found.workers == 1

    run(main())


def test_workers_that_were_killed_are_no_workers() -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, WELL)
        seat(room, 2, Vote(stage=0, calls=20, failures=20, sick=True), DOWN)
        await asyncio.sleep(GONE_S + 1)
        waits = holds(replace(EMPTY, visible=5000))

        nobody = await status(sources(room, jobs=waits))
        seat(room, 3)
        one = await status(sources(room, jobs=waits))

        assert names(nobody) == [CauseName.NO_WORKER]
        assert (nobody.workers, nobody.dissents) == (0, ())
        assert nobody.waiting[0].drains_s is None
        assert (one.workers, one.causes, one.dissents) == (1, (), ())

    run(main())


def test_a_worker_that_says_no_time_is_taken_for_alive() -> None:
    async def main() -> None:
        room = Room()
        room.seat(1, WELL)  # of an earlier version
        await asyncio.sleep(GONE_S + 1)

        assert (await status(sources(room))).workers == 1

    run(main())


def test_jobs_that_wait_for_workers_who_are_not_there_are_told() -> None:
    async def main() -> None:
        room = Room()
        waits = holds(replace(EMPTY, visible=1))

        nobody = await status(sources(room, parked=waits, dead=waits))
        idle = await status(sources(room, dead=waits))
        seat(room, 1)
        somebody = await status(sources(room, parked=waits))

        assert [(one.name, one.of) for one in nobody.causes] == [
            (CauseName.NO_WORKER, ("lane parked",))
        ]
        assert (idle.calm, somebody.calm) == (True, True)

    run(main())


def test_an_endpoint_that_is_open_takes_its_targets_with_it() -> None:
    async def main() -> None:
        room = Room()
        await room.give(Trip(stage=0, why="x", roll=0.5), name="endpoint:eu-west-1")

        found = await status(sources(room, route=replace(ROUTE, targets=(SONNET, FAR))))

        assert (found.ways[0].calls, found.ways[0].out) == (("far",), (("sonnet", "open"),))

    run(main())


def test_a_held_circuit_is_a_cause_and_shuts_its_target() -> None:
    async def main() -> None:
        room = Room()
        await room.hold(Mode.HOLD_OPEN)

        found = await status(sources(room))

        assert names(found) == [CauseName.HELD_OPEN]
        assert found.ways[0].out == (("sonnet", "held_open"),)
        assert found.breakers[0].override is not None

    run(main())


def test_whoever_observes_lets_calls_pass_an_open_circuit() -> None:
    async def main() -> None:
        room = Room()
        await room.give(Trip(stage=0, why="x", roll=0.5))
        await room.hold(Mode.OBSERVE)

        found = await status(sources(room))

        assert found.ways[0].calls == ("sonnet",)

    run(main())


@pytest.mark.parametrize(("tellers", "out"), [(1, ()), (2, (("sonnet", "left_alone"),))])
def test_a_target_that_half_of_the_workers_leave_alone_is_out(
    tellers: int, out: tuple[tuple[str, str], ...]
) -> None:
    async def main() -> None:
        room = Room()
        denied = Sighting(of="sonnet", kind="misconfigured", code="AccessDeniedException")
        for number in range(4):
            seat(room, number, WELL, *([denied] if number < tellers else []))

        found = await status(sources(room))

        assert found.ways[0].out == out

    run(main())


def test_one_sick_worker_is_no_trouble_of_the_fleet() -> None:
    async def main() -> None:
        room = Room()
        for number in range(3):
            seat(room, number)
        sick = Vote(stage=0, calls=8, failures=8, sick=True)
        seat(room, 3, sick, replace(DOWN, kind="unreachable", code="EndpointConnectionError"))

        found = await status(sources(room))

        assert names(found) == [CauseName.ONE_WORKER]
        assert found.causes[0].of == ("w3", "sonnet")
        assert found.causes[0].code == "EndpointConnectionError 503"
        ((worker, sees, failures),) = [(d.worker, d.sees, d.failures) for d in found.dissents]
        assert (worker, sees, failures) == ("w3", "sick", 8)

    run(main())


def test_a_worker_that_has_not_followed_the_last_step_is_told() -> None:
    async def main() -> None:
        room = Room()
        opened = await room.give(Trip(stage=0, why="x", roll=0.5))
        seat(room, 1, Vote(stage=opened.stage))
        seat(room, 2, Vote(stage=0, calls=5))

        found = await status(sources(room))

        assert [(d.worker, d.sees) for d in found.dissents] == [("w2", "behind")]
        assert CauseName.ONE_WORKER not in names(found)

    run(main())


def test_how_long_it_takes_is_told_by_the_answers_of_late() -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, Vote(stage=0, calls=60, failures=30))  # 60 answers a minute
        seat(room, 2, Vote(stage=0, calls=30))  # and 60 more
        jobs = holds(Depth(visible=200, in_flight=10, delayed=0))

        found = await status(
            sources(room, jobs=jobs, parked=holds(Depth(visible=0, in_flight=0, delayed=30)))
        )

        (waiting,) = found.waiting
        assert (waiting.answers_per_min, waiting.drains_s) == (120.0, 120.0)

    run(main())


def test_without_calls_of_late_nobody_knows_how_long_it_takes() -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1, Vote(stage=0))

        found = await status(sources(room, jobs=holds(replace(EMPTY, visible=1))))

        assert found.waiting[0].drains_s is None
        assert found.waiting[0].unknown == "no worker has told of an answer of late"

    run(main())


def test_what_hangs_is_told_within_the_limit_and_hides_nothing_else() -> None:
    async def main() -> None:
        room = Room()
        seat(room, 1)
        loop = asyncio.get_running_loop()
        began = loop.time()

        found = await status(sources(room, jobs=hangs, dead=refuses))

        assert loop.time() - began <= LIMIT_S + 0.001
        assert found.unread == (
            Unread(what="queue lane dead", why="AccessDenied"),
            Unread(what="queue lane jobs", why="TimeoutError"),
        )
        assert [(one.name, one.of) for one in found.causes] == [
            (CauseName.STORE_DOWN, ("queue lane dead",)),
            (CauseName.STORE_DOWN, ("queue lane jobs",)),
        ]
        assert found.waiting[0].unknown == "a queue of it could not be asked"
        assert len(found.breakers) == len(NAMES)
        assert not found.calm

    run(main())


def test_a_history_is_read_beside_what_hangs() -> None:
    async def main() -> None:
        room = Room()
        opened = await room.give(Trip(stage=0, why="3 of 3: 9 x unavailable Oops", roll=0.5))
        await room.note(opened)
        # Every request takes its time, as on a network.
        room.desk = room.sit(Wire(latency_s=0.1))

        found = await status(sources(room, dead=hangs))

        assert [one.since_at for one in found.troubles] == [EPOCH]
        assert [one.what for one in found.unread] == ["queue lane dead"]
        assert names(found) == [CauseName.STORE_DOWN, CauseName.SERVICE_ERRORS]

    run(main())


def test_a_history_that_cannot_be_read_is_not_told_as_a_short_one() -> None:
    async def main() -> None:
        room = Room(history=Mishap(when="before"))
        await room.give(Trip(stage=0, why="x", roll=0.5))

        found = await status(sources(room))

        assert [(one.known, one.since_at) for one in found.troubles] == [(False, None)]
        assert [one.what for one in found.unread] == ["history"]

    run(main())


@pytest.mark.parametrize("mishap", [Mishap(when="before", hangs=True), Mishap(when="before")])
def test_a_store_that_cannot_be_read_leaves_queues_and_ledger(mishap: Mishap) -> None:
    async def main() -> None:
        room = Room()
        room.desk = room.sit(Wire(plan=lambda _: mishap))
        loop = asyncio.get_running_loop()
        began = loop.time()

        found = await status(sources(room, jobs=holds(replace(EMPTY, visible=1))))

        assert loop.time() - began <= LIMIT_S + 0.001
        assert {one.what for one in found.unread} == {"breakers"}
        assert [(one.name, one.of) for one in found.causes] == [
            (CauseName.STORE_DOWN, ("breakers",))
        ]
        assert (found.breakers, found.workers) == ((), None)
        assert not found.ways[0].known
        assert found.waiting[0].depths["jobs"] == replace(EMPTY, visible=1)
        assert found.waiting[0].unknown == "the fleet's votes are not there to count"

    run(main())


def test_where_every_process_decides_alone_no_store_is_asked() -> None:
    async def main() -> None:
        found = await status(sources(None))

        assert (found.shared, found.calm, found.breakers, found.unread) == (False, True, (), ())

    run(main())


def test_a_half_open_circuit_lets_only_probes_out() -> None:
    async def main() -> None:
        room = Room()
        opened = await room.give(Trip(stage=0, why="x", roll=0.5))
        await room.give(BeginRound(stage=opened.stage))

        found = await status(sources(room))

        assert found.breakers[0].state is State.HALF_OPEN
        assert found.ways[0].out == (("sonnet", "half_open"),)
        assert found.troubles[0].probe_in_s is None

    run(main())
