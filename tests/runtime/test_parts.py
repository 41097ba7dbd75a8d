"""The small parts on their own: permits, acknowledgements, protection, letters."""

import asyncio

import pytest

from worker.core.events import IntakeHeld, StoreFailed
from worker.core.gate import Gate
from worker.core.intake import Hold, Take
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.runtime.acks import Acks
from worker.runtime.gates import Gates, Refused, Ticket
from worker.runtime.holds import Holds
from worker.runtime.letters import MESSAGE_BYTES_MAX
from worker.runtime.permits import Permits
from worker.sim.clock import in_virtual_time
from worker.sim.memory import (
    Call,
    MemoryProtection,
    MemoryQueue,
    Mishap,
    Told,
    Wire,
    always,
    answer,
)
from worker.sim.world import LivingWorker, World, until_quiet

MIB = 1_048_576


def test_a_permit_is_waited_for_and_given_in_order() -> None:
    async def main() -> list[str]:
        permits, order = Permits(1, MIB, message_bytes=MIB), []

        async def poller(name: str) -> None:
            assert await permits.reserve(10, linger_s=0.0) == 1
            order.append(name)
            permits.settle_reservation(1, [])

        assert await permits.reserve(10, linger_s=0.0) == 1
        waiting = [asyncio.create_task(poller(name)) for name in "abc"]
        await asyncio.sleep(1)
        permits.settle_reservation(1, [])
        await asyncio.gather(*waiting)
        return order

    assert in_virtual_time(main()) == ["a", "b", "c"]


def test_a_reservation_lingers_for_a_fuller_batch_and_no_longer() -> None:
    async def main() -> tuple[int, float]:
        permits = Permits(10, 10 * MIB, message_bytes=MIB)
        assert await permits.reserve(9, linger_s=0.0) == 9
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, lambda: permits.give_back(slots=3, size_bytes=3 * MIB))
        loop.call_later(5.0, lambda: permits.give_back(slots=3, size_bytes=3 * MIB))
        return await permits.reserve(10, linger_s=0.1), loop.time()

    assert in_virtual_time(main()) == (4, 0.1)


def test_payloads_wait_for_memory_in_order_and_go_before_pollers_that_have_their_batch() -> None:
    async def main() -> list[str]:
        permits, order = Permits(20, 13 * MIB, message_bytes=MIB), []
        assert await permits.reserve(13, linger_s=0.0) == 13

        async def poller() -> None:
            taken = await permits.reserve(10, linger_s=0.0)
            order.append(f"poller {taken}")
            permits.settle_reservation(taken, [])

        async def payload(mib: int) -> None:
            await permits.reserve_bytes(mib * MIB)
            order.append(f"payload {mib}")
            await asyncio.sleep(1)
            permits.give_back_payload(mib * MIB)

        waiting = [asyncio.create_task(one) for one in (poller(), payload(2), payload(1))]
        for _ in range(3):
            await asyncio.sleep(10)
            permits.settle_reservation(1, [])
        await asyncio.gather(*waiting)
        return order

    assert in_virtual_time(main()) == ["payload 2", "payload 1", "poller 1"]


def test_a_batch_of_messages_is_the_pollers_own_whatever_payloads_want() -> None:
    async def main() -> tuple[int, bool, int]:
        permits = Permits(20, 13 * MIB, message_bytes=MIB)
        await permits.reserve_bytes(3 * MIB)
        payload = asyncio.create_task(permits.reserve_bytes(MIB))
        await asyncio.sleep(1)
        taken = await permits.reserve(20, linger_s=0.0)
        waits = not payload.done()
        permits.give_back_payload(3 * MIB)
        await payload
        return taken, waits, await permits.reserve(20, linger_s=0.0)

    assert in_virtual_time(main()) == (10, True, 2)


def test_a_payload_that_waits_no_longer_stands_in_nobodys_way() -> None:
    async def main() -> tuple[int, int]:
        permits = Permits(20, 13 * MIB, message_bytes=MIB)
        large = asyncio.create_task(permits.reserve_bytes(9 * MIB))
        small = asyncio.create_task(permits.reserve_bytes(MIB))
        await asyncio.sleep(1)
        first = await permits.reserve(20, linger_s=0.0)
        assert not small.done()
        large.cancel()
        await small
        return first, await permits.reserve(20, linger_s=0.0)

    assert in_virtual_time(main()) == (10, 2)


def test_closed_permits_let_everybody_go_and_keep_nothing() -> None:
    async def main() -> tuple[list[int], int]:
        permits = Permits(3, 3 * MIB, message_bytes=MIB)
        assert await permits.reserve(1, linger_s=0.0) == 1
        lingering = asyncio.create_task(permits.reserve(10, linger_s=60.0))
        waiting = asyncio.create_task(permits.reserve(1, linger_s=0.0))
        await asyncio.sleep(1)
        permits.close()
        return [await lingering, await waiting], permits.free

    assert in_virtual_time(main()) == ([0, 0], 2)


def test_deletes_go_ten_at_a_time_or_after_a_moment() -> None:
    async def main() -> Wire:
        queue, wire, acks = MemoryQueue(), Wire(), Acks(Told())
        handle = queue.seen_by(wire)
        for _ in range(23):
            queue.put(b"{}")
        for _ in range(3):
            for delivery in await handle.receive(10, wait_s=0, lease_s=30):
                acks.delete(handle, delivery)
        await asyncio.sleep(0.1)
        assert wire.calls["queue:jobs", "delete"] == 2
        await asyncio.sleep(0.2)
        assert not queue.peek()
        return wire

    assert in_virtual_time(main()).calls["queue:jobs", "delete"] == 3


def test_a_delete_that_fails_is_tried_again_and_then_remembered() -> None:
    async def main() -> tuple[int, bool, list[StoreFailed]]:
        told = Told()
        queue, acks = MemoryQueue(), Acks(told)
        wire = Wire(plan=lambda call: Mishap(when="before") if call.operation == "delete" else None)
        handle = queue.seen_by(wire)
        message_id = queue.put(b"{}")
        (delivery,) = await handle.receive(10, wait_s=0, lease_s=30)
        acks.delete(handle, delivery)
        await acks.flush()
        tries = wire.calls["queue:jobs", "delete"]
        return tries, acks.remembers(message_id), told.of(StoreFailed)

    tries, remembered, failed = in_virtual_time(main())

    assert (tries, remembered) == (4, True)
    assert [(event.operation, event.store) for event in failed] == [("delete", "jobs")]


def test_a_hold_grows_while_its_cause_lasts_and_is_told_once() -> None:
    async def main() -> tuple[list[int], list[Take | Hold]]:
        told = Told()
        holds, lengths = Holds(told), []
        for _ in range(6):
            length = holds.hold("ledger")
            again = holds.hold("ledger")
            assert round(again, 6) == round(length, 6), "the same outage, seen by another job"
            lengths.append(round(length))
            await asyncio.sleep(length)
        asked = [holds.ask()]
        holds.hold("ledger")
        asked.append(holds.ask())
        holds.lift("ledger")
        asked.append(holds.ask())
        assert len(told.of(IntakeHeld)) == 7
        return lengths, asked

    lengths, asked = in_virtual_time(main())

    assert lengths == [2, 4, 8, 16, 30, 30]
    assert [type(said) for said in asked] == [Take, Hold, Take]


def test_only_a_job_that_can_outlast_the_grace_protects_its_task() -> None:
    def changes(attempt_s: float) -> list[int]:
        route = Route(name="default", targets=(Target(name="a", model="m", attempt_s=attempt_s),))
        world, task = World(routes={"default": route}), MemoryProtection()
        world.model.mood = always(answer(), 20.0)

        async def main() -> None:
            world.submit()
            worker = LivingWorker(world, "w1", house={"protection": task.seen_by()})
            await until_quiet(world)
            await asyncio.sleep(20)
            await worker.drain()

        in_virtual_time(main())
        return task.changes

    assert changes(attempt_s=5.0) == []
    assert changes(attempt_s=300.0) == [25, 0]


def test_protection_ends_with_the_stop() -> None:
    route = Route(name="default", targets=(Target(name="a", model="m", attempt_s=900.0),))
    world, task = World(routes={"default": route}), MemoryProtection()
    world.model.mood = always(answer(), 800.0)

    async def main() -> bool:
        world.submit()
        worker = LivingWorker(world, "w1", house={"protection": task.seen_by()})
        await asyncio.sleep(40)
        assert task.protected
        worker.stop.set()
        await asyncio.sleep(0.1)
        protected = task.protected
        await worker.task
        return protected

    assert in_virtual_time(main()) is False


def test_a_body_that_leaves_no_room_for_its_story_is_set_aside() -> None:
    world = World()
    body = b'{"prompt": "' + b"x" * (MESSAGE_BYTES_MAX - 14) + b'"}'

    async def main() -> None:
        world.jobs.put(body)
        worker = LivingWorker(world, "w1")
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    (letter,) = world.dead._messages.values()
    assert letter.attributes["iw-reason"] == "too_large"
    assert list(world.payloads.objects.values()) == [body]
    assert letter.body.startswith(b'{"raw_body":{"uri":"s3://payloads/')


def test_without_a_bucket_the_body_is_kept_and_the_ledger_has_the_story() -> None:
    world = World()
    body = b"x" * MESSAGE_BYTES_MAX

    async def main() -> None:
        world.jobs.put(body)
        worker = LivingWorker(world, "w1", house={"payloads": None})
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    (letter,) = world.dead._messages.values()
    (record,) = world.ledger.records.values()
    assert letter.body == body
    assert letter.attributes == {}
    assert record.reason == "too_large"


def test_a_stall_of_every_call_is_no_reason_to_forget_one() -> None:
    world = World()

    async def main() -> None:
        for _ in range(5):
            world.submit()
        worker = LivingWorker(world, "w1")
        failing = {"send", "delete", "finish", "mark_told"}

        def trouble(call: Call) -> Mishap | None:
            early = asyncio.get_running_loop().time() < 60
            return Mishap(when="after") if early and call.operation in failing else None

        worker.wire.plan = trouble
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert world.statuses() == {"answered": 5}
    assert world.model.started.total() == 5


class CountedTickets:
    """Port `Tickets` that always has one."""

    def __init__(self) -> None:
        self.claims = 0

    async def claim(self, gate: Gate, stage: int) -> Ticket:
        del stage
        self.claims += 1
        return Ticket(breaker=gate.local.name, epoch=1, round=1, claim=str(self.claims))

    def report(self, ticket: Ticket, *, good: bool) -> None:
        """Nobody asks."""


def test_no_ticket_of_an_endpoint_is_taken_for_a_call_that_its_target_keeps_back() -> None:
    target, tickets = Target(name="model-a", model="m", region="eu-west-1"), CountedTickets()
    round_1 = Verdict(
        name="endpoint:eu-west-1",
        state=State.HALF_OPEN,
        version=2,
        stage=2,
        epoch=1,
        round=1,
        tickets=3,
    )

    async def main() -> None:
        policies = {"model-a": BreakerPolicy()}
        gates = Gates(
            worker="w", slots=8, targets=[target], policies=policies, tell=Told(), now=0.0
        )
        gates.share(tickets, lambda: None)
        endpoint, own = sorted(gates, key=lambda gate: gate.local.name)
        own.local.start_over(0.0, limit=1.0)
        await gates.enter(target)
        endpoint.seat(0.0, juror=True)
        assert endpoint.adopt(round_1, 0.0, 0.0)
        with pytest.raises(Refused) as refused:
            await gates.enter(target)
        assert (refused.value.breaker, refused.value.refusal.why) == ("model-a", "full")

    in_virtual_time(main())

    assert tickets.claims == 0
