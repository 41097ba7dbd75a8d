"""Payloads and memory: who waits for it holds no slot for long, and gets it before new jobs do."""

import asyncio
import hashlib
import random
from dataclasses import replace
from typing import Any

import orjson

from worker.core.answer import Answer
from worker.core.degrade import Context
from worker.core.events import JobSettled
from worker.core.job import Job, Request
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.ports import Handler
from worker.runtime.payload import MEMORY_WAIT_S
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Reply, answer
from worker.sim.world import ROUTE, LivingWorker, World, until_quiet

MIB = 1_048_576
ROOM = 10 * MIB  # for one receive


def stored(world: World, size: int) -> dict[str, Any]:
    """A payload of about so many bytes, and the claim check for it."""
    payload = orjson.dumps({"prompt": "x" * size})
    world.payloads.objects["payloads", f"in/{size}"] = payload
    sha256 = hashlib.sha256(payload).hexdigest()
    return {"uri": f"s3://payloads/in/{size}", "sha256": sha256, "bytes": len(payload)}


def test_the_largest_payload_is_fetched_where_there_is_room_for_it_and_one_receive() -> None:
    world = World()
    ref = stored(world, 15 * MIB)

    async def main() -> float:
        worker = LivingWorker(world, "w1", rules={"bytes_max": ROOM + ref["bytes"]})
        await asyncio.sleep(1)
        world.submit(id="large", payload_ref=ref)
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)[0].worked_ms / 1000

    worked_s = in_virtual_time(main())

    assert world.statuses() == {"answered": 1}
    assert worked_s < MEMORY_WAIT_S


def test_a_job_waits_for_memory_no_longer_than_its_deadline() -> None:
    world = World()
    ref = stored(world, 15 * MIB)

    async def main() -> list[JobSettled]:
        world.submit(id="large", payload_ref=ref, deadline_s=20)
        worker = LivingWorker(world, "w1", rules={"bytes_max": ROOM})
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)

    (event,) = in_virtual_time(main())

    assert (event.settlement, event.reason) == ("dead", "expired")
    assert event.worked_ms == 20_000


def test_jobs_that_find_no_memory_are_parked_and_let_others_work() -> None:
    world = World()
    ref = stored(world, 15 * MIB)

    async def main() -> list[JobSettled]:
        for n in range(2):
            world.submit(id=f"large-{n}", payload_ref=ref)
        worker = LivingWorker(world, "w1", rules={"bytes_max": ROOM, "slots": 2})
        await asyncio.sleep(1)
        for n in range(5):
            world.submit(id=f"small-{n}", prompt="Hello.")
        await asyncio.sleep(600)
        await worker.drain()
        return worker.told.of(JobSettled)

    events = in_virtual_time(main())

    answered = [event.job for event in events if event.settlement == "answered"]
    assert sorted(answered) == [f"small-{n}" for n in range(5)]
    waits = [event for event in events if event.settlement == "parked"]
    assert {(event.job, event.reason) for event in waits} == {
        ("large-0", "memory_full"),
        ("large-1", "memory_full"),
    }
    assert max(event.worked_ms for event in waits) <= MEMORY_WAIT_S * 1000


def test_a_busy_queue_keeps_no_payload_from_its_memory() -> None:
    world = World()
    dice = random.Random(7)  # noqa: S311 - no secret
    world.model.mood = lambda _: Reply(answer(), dice.uniform(1.0, 9.0))  # never many at once
    ref = stored(world, 15 * MIB)

    async def main() -> JobSettled:
        for n in range(500):
            world.submit(id=f"small-{n}", prompt="x" * 1_000_000)
            if n == 30:
                world.submit(id="large", payload_ref=ref)
        worker = LivingWorker(world, "w1", rules={"bytes_max": ROOM + ref["bytes"], "slots": 100})
        await until_quiet(world)
        await worker.drain()
        return next(event for event in worker.told.of(JobSettled) if event.job == "large")

    event = in_virtual_time(main())

    assert (event.settlement, event.parks) == ("answered", 0)
    assert world.statuses() == {"answered": 501}


def test_a_job_that_is_too_old_to_be_parked_is_tried_wherever_its_request_lies() -> None:
    world = World(routes={"default": replace(ROUTE, park_max_s=60.0)})
    ref = stored(world, 1_000)

    async def main() -> None:
        world.submit(id="inline", prompt="Hello.")
        world.submit(id="stored", payload_ref=ref)
        await asyncio.sleep(100.0)
        worker = LivingWorker(world, "w1")
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert world.statuses() == {"answered": 2}


def test_payloads_that_fill_their_memory_keep_no_small_job_waiting() -> None:
    """Every 10 s a payload of 20 MB whose answer takes 40 s: three at a time are held."""
    world = World()
    ref = stored(world, 19_900_000)
    world.model.mood = lambda call: Reply(answer(), 40.0 if call.job.startswith("p") else 1.0)

    async def main() -> list[float]:
        worker = LivingWorker(world, "w1", rules={"bytes_max": 64 * MIB, "slots": 32})
        for n in range(300):
            world.submit(id=f"small-{n}", prompt="Hello.")
            if n % 10 == 0:
                world.submit(id=f"payload-{n}", payload_ref=ref)
            await asyncio.sleep(1.0)
        settled = worker.told.of(JobSettled)
        await worker.crash()
        return [(e.waited_ms + e.worked_ms) / 1000 for e in settled if e.job.startswith("small")]

    took_s = in_virtual_time(main())

    assert len(took_s) > 290
    assert max(took_s) < 10.0


def test_who_learns_keeps_no_payload_whose_memory_was_given_back() -> None:
    learned: list[str | None] = []

    class Learns:
        async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
            raise AssertionError((job.id, context.reason))

        async def learn(self, job: Job, request: Request, answer: Answer, target: Target) -> None:
            assert (bool(request.messages), bool(answer.content)) == (True, True), target.name
            learned.append(job.id)

    world = World(routes={"default": replace(ROUTE, degraded=("cache",))})
    ref = stored(world, 1_000)

    async def main() -> None:
        world.submit(id="inline", prompt="Hello.")
        world.submit(id="stored", payload_ref=ref)
        worker = LivingWorker(world, "w1", house={"handlers": {"cache": Handler(does=Learns())}})
        await until_quiet(world)
        await asyncio.sleep(5.0)
        await worker.drain()

    in_virtual_time(main())

    assert learned == ["inline"]
