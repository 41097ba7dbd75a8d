"""What the twins can do beyond their ports: tell what they hold, and let things go wrong."""

import asyncio
import math

import pytest

from worker.core.events import DeliverySkipped, IntakeHeld
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Request
from worker.core.target import Target
from worker.ports import Outgoing, Unavailable
from worker.sim.clock import in_virtual_time
from worker.sim.memory import (
    Call,
    Depth,
    MemoryLedger,
    MemoryQueue,
    Mishap,
    ModelCall,
    ModelHandle,
    Reply,
    ScriptedModel,
    Told,
    Wire,
    always,
    answer,
    in_turn,
)

TARGET = Target(name="model-a", model="test.model-a")
REQUEST = Request(messages=())
DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)


async def ask(model: ModelHandle, job: str = "j-1", bound_s: float = 60.0) -> object:
    return await model.call(TARGET, REQUEST, job=job, attempt=1, bound_s=bound_s)


def lost(when: str, **how: object) -> Wire:
    return Wire(plan=lambda _: Mishap(when=when, **how))  # type: ignore[arg-type]


# The queue.


def test_a_queue_counts_what_waits_for_what() -> None:
    async def main() -> None:
        queue = MemoryQueue()
        for delay_s in (0, 0, 0, 60):
            queue.put("{}", delay_s=delay_s)
        await queue.seen_by().receive(2, wait_s=0, lease_s=30)

        assert queue.depth() == Depth(visible=1, in_flight=2, delayed=1)
        assert queue.depth().total == len(queue.peek()) == 4

    in_virtual_time(main())


def test_a_long_poll_ends_when_its_time_is_over_and_wakes_when_a_lease_ends() -> None:
    async def main() -> list[float]:
        loop, queue = asyncio.get_running_loop(), MemoryQueue().seen_by()
        await queue.send(Outgoing(body=b"{}", delay_s=7))
        assert len(await queue.receive(1, wait_s=20, lease_s=5)) == 1
        times = [loop.time()]
        assert len(await queue.receive(1, wait_s=20, lease_s=60)) == 1
        times.append(loop.time())
        assert await queue.receive(1, wait_s=20, lease_s=60) == []
        return [*times, loop.time()]

    assert in_virtual_time(main()) == [7.0, 12.0, 32.0]


def test_a_message_can_be_delivered_twice() -> None:
    async def main() -> None:
        queue = MemoryQueue()
        message_id = queue.put("{}")
        seen = queue.seen_by()
        (first,) = await seen.receive(1, wait_s=0, lease_s=30)

        queue.deliver_again(message_id)
        (second,) = await seen.receive(1, wait_s=0, lease_s=30)

        assert (second.message_id, second.receive_count) == (message_id, 2)
        assert await seen.extend([(first.receipt, 30), (second.receipt, 30)]) == ["gone", "done"]

    in_virtual_time(main())


def test_a_delete_can_be_lost() -> None:
    async def main() -> None:
        queue = MemoryQueue()
        queue.put("{}")
        (delivery,) = await queue.seen_by().receive(1, wait_s=0, lease_s=30)
        queue.lose_deletes(1)

        assert await queue.seen_by().delete([delivery.receipt]) == ["done"]
        assert queue.depth().total == 1
        assert await queue.seen_by().delete([delivery.receipt]) == ["done"]
        assert queue.depth().total == 0

    in_virtual_time(main())


def test_no_lease_lasts_longer_than_twelve_hours_from_the_receive() -> None:
    async def main() -> None:
        queue = MemoryQueue()
        queue.put("{}")
        (delivery,) = await queue.seen_by().receive(1, wait_s=0, lease_s=3600)
        await asyncio.sleep(1800)

        assert await queue.seen_by().extend([(delivery.receipt, 43_200)]) == ["failed"]
        assert await queue.seen_by().extend([(delivery.receipt, 41_400)]) == ["done"]

    in_virtual_time(main())


def test_a_cancelled_receive_is_counted_and_takes_nothing() -> None:
    async def main() -> None:
        queue = MemoryQueue()
        poll = asyncio.create_task(queue.seen_by().receive(1, wait_s=20, lease_s=30))
        await asyncio.sleep(1)

        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        queue.put("{}")

        assert (queue.cancelled_receives, queue.depth().visible) == (1, 1)

    in_virtual_time(main())


def test_a_message_that_is_too_large_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(Unavailable, match="InvalidParameterValue"):
            await MemoryQueue().seen_by().send(Outgoing(body=b"x" * 1_048_577))

    in_virtual_time(main())


# The wire.


def test_a_lost_request_has_no_effect_and_a_lost_answer_has() -> None:
    async def main() -> None:
        for when, sent in (("before", 0), ("after", 1)):
            queue = MemoryQueue()
            with pytest.raises(Unavailable, match=f"queue: mishap_{when}") as told:
                await queue.seen_by(lost(when)).send(Outgoing(body=b"{}"))
            assert told.value.network == (when == "before")
            assert queue.depth().visible == sent

    in_virtual_time(main())


def test_a_plan_sees_every_call_and_may_raise_what_it_likes() -> None:
    seen: list[Call] = []

    def plan(call: Call) -> Mishap | None:
        seen.append(call)
        boom = LookupError("boom")
        return Mishap(when="after", error=boom, late_s=3) if call.number == 2 else None

    async def main() -> float:
        wire = Wire(plan=plan, latency_s=0.5)
        queue, ledger = MemoryQueue(name="jobs").seen_by(wire), MemoryLedger().seen_by(wire)
        await queue.send(Outgoing(body=b"{}"))
        with pytest.raises(LookupError, match="boom"):
            await ledger.load(["j-1"])
        assert wire.calls == {("queue:jobs", "send"): 1, ("ledger", "load"): 1}
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == 4.0
    assert seen == [Call(1, "queue:jobs", "send"), Call(2, "ledger", "load")]


def test_a_worker_whose_wire_is_cut_takes_nothing_while_others_go_on() -> None:
    async def main() -> None:
        queue, dying = MemoryQueue(), Wire()
        poll = asyncio.create_task(queue.seen_by(dying).receive(1, wait_s=20, lease_s=600))
        await asyncio.sleep(1)

        dying.cut()
        queue.put("{}")
        await asyncio.sleep(1)

        assert not poll.done()
        assert queue.depth().visible == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await queue.seen_by(dying).send(Outgoing(body=b"{}"))
        assert len(await queue.seen_by().receive(10, wait_s=0, lease_s=30)) == 1
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)

    in_virtual_time(main())


# The model.


def test_a_model_has_moods_and_counts_its_calls() -> None:
    async def main() -> None:
        model = ScriptedModel(in_turn(Reply(DOWN, 0.1), Reply(answer("Well."), 2.0)))
        seen = model.seen_by()

        outcomes = [await ask(seen), await ask(seen), await ask(seen), await ask(seen, "j-2")]

        assert outcomes == [DOWN, answer("Well."), answer("Well."), DOWN]
        assert model.started == model.completed == {"j-1": 3, "j-2": 1}
        assert model.targets == ["model-a"] * 4
        model.mood = always(DOWN)
        assert await ask(seen) == DOWN

    in_virtual_time(main())


def test_a_mood_sees_the_time_and_who_else_is_calling() -> None:
    calls: list[ModelCall] = []

    def mood(call: ModelCall) -> Reply:
        calls.append(call)
        return Reply(answer(), 5.0)

    async def main() -> int:
        model = ScriptedModel(mood)
        await asyncio.sleep(3)
        await asyncio.gather(*(ask(model.seen_by(), f"j-{n}") for n in range(3)))
        assert model.in_flight == 0
        return model.in_flight_max

    assert in_virtual_time(main()) == 3
    assert [(call.now, call.in_flight) for call in calls] == [(3.0, 1), (3.0, 2), (3.0, 3)]


def test_a_hanging_model_is_over_when_the_bound_is() -> None:
    async def main() -> tuple[object, float]:
        model = ScriptedModel(always(answer(), math.inf))
        outcome = await ask(model.seen_by(), bound_s=30)
        return outcome, asyncio.get_running_loop().time()

    outcome, now = in_virtual_time(main())

    assert isinstance(outcome, Fault)
    assert (outcome.kind, outcome.timer, outcome.billed) == (Kind.TIMED_OUT, "attempt", "maybe")
    assert now == 30.0


def test_a_cancelled_call_leaves_nothing_behind() -> None:
    async def main() -> None:
        model = ScriptedModel()
        call = asyncio.create_task(ask(model.seen_by()))
        await asyncio.sleep(0.5)

        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        assert (model.in_flight, model.cancelled) == (0, 1)
        assert (model.started["j-1"], model.completed["j-1"]) == (1, 0)

    in_virtual_time(main())


def test_on_the_models_wire_mishaps_are_faults() -> None:
    async def main() -> None:
        model = ScriptedModel()

        assert await ask(model.seen_by(lost("before"))) == Fault(
            kind=Kind.UNREACHABLE, code="EndpointConnectionError"
        )
        assert model.started["j-1"] == 0
        assert await ask(model.seen_by(lost("after"))) == Fault(
            kind=Kind.UNAVAILABLE, code="ConnectionClosedError", billed=Billed.MAYBE
        )
        late = await ask(model.seen_by(lost("after", hangs=True)))
        assert isinstance(late, Fault)
        assert (late.kind, late.billed) == (Kind.TIMED_OUT, Billed.MAYBE)
        assert (model.started["j-1"], model.completed["j-1"]) == (2, 0)

    in_virtual_time(main())


# Events.


def test_what_was_told_is_kept_by_class() -> None:
    told = Told()
    held = IntakeHeld(why="no slot", for_s=1.0)
    skipped = DeliverySkipped(job="j-1", why="finished")

    told(held)
    told(skipped)

    assert told.events == [held, skipped]
    assert told.of(DeliverySkipped) == [skipped]
