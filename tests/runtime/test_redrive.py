"""An operator's redrive asks for one life of a job, and a worker gives it that one."""

from collections.abc import Sequence

import pytest

from tests.runtime.test_main_path import REJECTED
from worker.core.events import JobRedriven
from worker.core.fault import Fault, Kind
from worker.core.ledger import State
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Reply, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

BODY = b'{"id": "job-1", "prompt": "Hello."}'


def lives(asked: Sequence[str | None], *replies: Reply) -> World:
    """A job dies; then messages arrive for it, each asking for a generation or for none."""
    world = World()
    world.model.mood = in_turn(Reply(REJECTED), *replies)

    async def main() -> None:
        worker = LivingWorker(world, "w1", rules={"slots": 1})
        world.jobs.put(BODY)
        await until_quiet(world)
        for generation in asked:
            attributes = {} if generation is None else {"iw-redrive": generation}
            world.jobs.put(BODY, attributes={"iw-job": "job-1", **attributes})
            await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())
    return world


def test_of_two_messages_that_ask_for_one_life_the_second_runs_nothing() -> None:
    world = lives(["1", "1"], Reply(REJECTED), Reply(answer()))

    record = world.ledger.records["job-1"]
    assert (record.state, record.generation) == (State.DEAD, 1)
    assert world.model.started == {"job-1": 2}
    assert world.jobs.peek() == []


@pytest.mark.parametrize("asked", [["1", "2"], [None, None], ["1", None]])
def test_the_next_life_is_given_to_who_asks_for_it_or_for_none(asked: list[str | None]) -> None:
    world = lives(asked, Reply(REJECTED), Reply(answer()))

    record = world.ledger.records["job-1"]
    assert (record.state, record.generation) == (State.ANSWERED, 2)
    assert world.model.started == {"job-1": 3}


def test_each_new_life_is_told_once_however_often_it_is_taken_up() -> None:
    world = World()
    throttled = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
    world.model.mood = in_turn(
        Reply(REJECTED), Reply(throttled), Reply(throttled), Reply(throttled), Reply(answer())
    )

    async def main() -> list[JobRedriven]:
        worker = LivingWorker(world, "w1", rules={"slots": 1})
        world.jobs.put(BODY)
        await until_quiet(world)
        world.jobs.put(BODY, attributes={"iw-job": "job-1"})
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobRedriven)

    told = in_virtual_time(main())

    assert world.ledger.records["job-1"].parks > 0, "it was taken up more than once"
    assert [(one.job, one.generation) for one in told] == [("job-1", 1)]
