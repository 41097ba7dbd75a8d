"""What happens seldom, and once lost a job or stopped a worker."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from worker.core.events import JobSettled
from worker.core.fault import Fault, Kind
from worker.core.ledger import State
from worker.core.route import Route
from worker.core.target import Target
from worker.ports import Outgoing, Unavailable
from worker.sim.clock import in_virtual_time
from worker.sim.memory import (
    Call,
    MemoryProtection,
    Mishap,
    QueueHandle,
    Reply,
    Wire,
    always,
    answer,
    in_turn,
)
from worker.sim.world import LivingWorker, World, until_quiet

Send = Callable[[Outgoing], Coroutine[Any, Any, str]]
REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", retry_after_s=6.0)


def test_a_doorbell_that_rings_before_its_sending_was_confirmed_lives() -> None:
    world = World()
    world.model.mood = in_turn(Reply(THROTTLED, 0.1), Reply(answer(), 0.1))

    def slow(
        send: Callable[[Outgoing], Coroutine[Any, Any, str]],
    ) -> Callable[[Outgoing], Coroutine[Any, Any, str]]:
        async def sent(message: Outgoing) -> str:
            message_id = await send(message)
            await asyncio.sleep(9.0)  # longer than the doorbell's delay
            return message_id

        return sent

    async def main() -> None:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1", rules={"slots": 32})
        parked = worker.supervisor._house.lanes[0].parked
        assert isinstance(parked, QueueHandle)
        parked.send = slow(parked.send)  # type: ignore[assignment, method-assign]
        await asyncio.sleep(600)
        await worker.drain()

    in_virtual_time(main())

    assert world.ledger.records["job-1"].state is State.ANSWERED


def test_an_impostor_under_way_does_not_make_an_impostor_of_the_true_job() -> None:
    world = World()
    unavailable = Fault(kind=Kind.EXHAUSTED, code="Quota")
    world.model.mood = always(unavailable, 0.1)

    async def main() -> dict[str, str]:
        world.submit(id="job-1", prompt="The true job.")
        worker = LivingWorker(world, "w1", rules={"slots": 32})
        while world.statuses()["parked"] < 1:
            await asyncio.sleep(1)
        world.model.mood = always(answer(), 0.1)
        (doorbell,) = world.parked.peek()
        worker.wire.latency_s = 2.0  # the impostor is still being looked at
        world.submit(id="job-1", prompt="An impostor.")
        await asyncio.sleep(1.0)
        world.parked.deliver_again(doorbell.message_id)
        await until_quiet(world)
        await worker.drain()
        return {e.job: e.reason for e in worker.told.of(JobSettled) if e.settlement != "parked"}

    reasons = in_virtual_time(main())

    assert reasons.pop("job-1") == ""
    assert set(reasons.values()) == {"id_conflict"}


def test_a_silly_attribute_stops_no_worker() -> None:
    world = World()

    async def main() -> None:
        for text in ("9" * 400, "9" * 5000, "soon"):
            world.jobs.put(b'{"prompt": "Hello."}', attributes={"iw-sent-ms": text})
        worker = LivingWorker(world, "w1")
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert world.statuses() == {"answered": 3}


def test_a_job_whose_payload_cannot_be_had_waits_no_longer_than_its_deadline() -> None:
    world = World()
    ref = {"uri": "s3://payloads/in/1", "sha256": "0" * 64, "bytes": 10}

    async def main() -> JobSettled:
        world.jobs.put(orjson.dumps({"id": "job-1", "payload_ref": ref, "deadline_s": 60}))
        worker = LivingWorker(world, "w1")
        worker.wire.plan = lambda call: (
            Mishap(when="before", error=Unavailable("payloads", "SlowDown"))
            if call.port == "payloads" and call.operation == "get"
            else None
        )
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)[-1]

    event = in_virtual_time(main())

    assert (event.settlement, event.reason) == ("dead", "expired")


def test_local_trouble_at_the_payload_store_is_over_with_the_next_answer() -> None:
    world = World()
    ref = {"uri": "s3://payloads/in/1", "sha256": "0" * 64, "bytes": 10}

    async def main() -> bool:
        world.jobs.put(orjson.dumps({"id": "job-1", "payload_ref": ref}))
        worker = LivingWorker(world, "w1")
        troubles = iter([Mishap(when="before", error=Unavailable("payloads", "No", local=True))])

        def once(call: Call) -> Mishap | None:
            return next(troubles, None) if call.port == "payloads" else None

        worker.wire.plan = once
        await asyncio.sleep(20)
        world.submit(id="job-2", prompt="Hello.")
        await until_quiet(world)
        await worker.drain()
        return worker.supervisor._holds.anxious

    assert in_virtual_time(main()) is False


def test_a_leaving_task_is_never_protected_again() -> None:
    route = Route(name="default", targets=(Target(name="a", model="m", attempt_s=900.0),))
    world, task = World(routes={"default": route}), MemoryProtection()
    world.model.mood = always(answer(), 800.0)

    async def main() -> None:
        world.submit()
        rules = {"grace_s": 100.0}
        worker = LivingWorker(world, "w1", house={"protection": task.seen_by()}, rules=rules)
        await asyncio.sleep(40)
        await worker.drain()

    in_virtual_time(main())

    assert task.changes == [55, 0]


def test_a_worker_with_few_slots_does_not_linger_for_more_than_it_has() -> None:
    world = World()
    world.model.mood = always(answer(), 0.2)

    async def main() -> float:
        for _ in range(400):
            world.submit()
        worker = LivingWorker(world, "w1", rules={"slots": 8})
        await until_quiet(world)
        at = asyncio.get_running_loop().time()
        await worker.drain()
        return at

    assert in_virtual_time(main()) < 12.0, "10 s are the least that 50 rounds of 0.2 s take"


def test_a_redrive_that_comes_while_the_death_is_still_told_runs() -> None:
    """The letter is out, the reply not yet: who redrives so soon must not be taken along."""
    world = World()
    world.model.mood = in_turn(Reply(REJECTED, 0.1), Reply(answer(), 0.1))
    wire = Wire()
    wire.plan = lambda call: Mishap(when="before") if fails(call) else None
    left = [1]

    def fails(call: Call) -> bool:
        if (call.port, call.operation) != ("queue:replies", "send") or not left[0]:
            return False
        left[0] -= 1
        return True

    async def main() -> None:
        worker = LivingWorker(world, "w1", wire=wire)
        world.submit(id="job-1", prompt="Hello.", reply_to="answers")
        while not world.dead.peek():
            await asyncio.sleep(0.01)
        (letter,) = world.dead.peek()
        world.jobs.put(letter.body, attributes={"iw-job": "job-1"})
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    record = world.ledger.records["job-1"]
    assert (record.state, record.generation) == (State.ANSWERED, 1)
