"""One job from the queue to its record, and every ending that it may have."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest

from worker.core.events import JobSettled
from worker.core.fault import Fault, Kind
from worker.core.ledger import State
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Reply, always, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet


def settled(world: World, *workers: str) -> list[JobSettled]:
    """Run workers until no job waits, and return what they say of it."""

    async def main() -> list[JobSettled]:
        living = [LivingWorker(world, name) for name in workers or ("w1",)]
        await until_quiet(world)
        for worker in living:
            await worker.drain()
        return [event for worker in living for event in worker.told.of(JobSettled)]

    return in_virtual_time(main())


def test_a_prompt_alone_is_a_job_and_gets_its_answer() -> None:
    world = World()

    async def main() -> JobSettled:
        message_id = world.submit(prompt="Hello.")
        worker = LivingWorker(world, "w1")
        await until_quiet(world)
        await worker.drain()
        record = world.ledger.records[message_id]
        assert record.state is State.ANSWERED
        assert record.result is not None
        assert orjson.loads(record.result)["output"]["message"]["content"] == [
            {"text": "An answer."}
        ]
        return worker.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.attempts, event.parks) == ("answered", 1, 0)
