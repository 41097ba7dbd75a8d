"""A crash before, after, and in the middle of every call on the path of a job."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable

import orjson
import pytest

from tests.runtime.promises import check, watched
from worker.core.fault import Fault, Kind
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Call, Mishap, Reply, always, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)


def small(world: World) -> str:
    world.submit(id="job-1", prompt="Hello.")
    return "job-1"


def with_reply(world: World) -> str:
    world.submit(id="job-1", prompt="Hello.", reply_to="answers")
    return "job-1"


def with_payload(world: World) -> str:
    payload = orjson.dumps({"prompt": "A long story."})
    sha256 = hashlib.sha256(payload).hexdigest()
    world.payloads.objects["payloads", "in/1"] = payload
    ref = {"uri": "s3://payloads/in/1", "sha256": sha256, "bytes": len(payload)}
    world.submit(id="job-1", payload_ref=ref)
    return "job-1"


def with_large_answer(world: World) -> str:
    world.model.mood = always(answer("word " * 4000))
    return small(world)


def rejected(world: World) -> str:
    world.model.mood = always(REJECTED)
    return with_reply(world)


def parked_first(world: World) -> str:
    throttles = [Reply(THROTTLED, 0.1)] * 3
    world.model.mood = in_turn(*throttles, Reply(answer(), 1.0))
    return small(world)


def malformed(world: World) -> str:
    return world.jobs.put(b'{"prompt": ')


KINDS: list[Callable[[World], str]] = [
    small,
    with_reply,
    with_payload,
    with_large_answer,
    rejected,
    parked_first,
    malformed,
]


def calls_of(kind: Callable[[World], str]) -> list[Call]:
    """Every call that one undisturbed job of this kind makes."""
    calls: list[Call] = []

    async def main() -> None:
        world = World()
        kind(world)
        worker = LivingWorker(world, "w1")
        worker.wire.plan = calls.append
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())
    return calls


def crash_at(kind: Callable[[World], str], number: int, mishap: Mishap) -> str:
    """Let the first worker have its mishap, and a second one finish; returns what was hit."""

    async def main() -> str:
        world = World()
        witness = watched(world)
        job = kind(world)
        first = LivingWorker(world, "w1")
        hit = asyncio.Event()
        operation = ""
        repeats: Counter[str] = Counter()

        def plan(call: Call) -> Mishap | None:
            nonlocal operation
            if call.number != number:
                return None
            operation = f"{call.port}.{call.operation}"
            hit.set()
            return mishap

        first.wire.plan = plan
        async with asyncio.timeout(600):
            await hit.wait()
        await asyncio.sleep(0.01)
        unfinished = (
            not world.ledger.records[job].state.final if job in world.ledger.records else True
        )
        if operation == "model.call" or (mishap.hangs and world.model.started[job] and unfinished):
            repeats[job] += 1
        if mishap.hangs:
            await first.crash()
        second = LivingWorker(world, "w2")
        await until_quiet(world)
        await second.drain()
        if not mishap.hangs:
            await first.drain()
        if kind is not parked_first:
            check(world, witness, {job}, repeats)
        else:
            # Its three throttled calls are calls as well, and none of them an attempt.
            assert world.ledger.records[job].state.value == "answered"
            assert set(witness.finals.values()) == {1}
            assert world.model.started[job] <= 4 + 3 * repeats[job]
        return operation

    return in_virtual_time(main())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_crash_anywhere_loses_nothing_and_repeats_at_most_the_call_in_flight(
    kind: Callable[[World], str],
) -> None:
    calls = calls_of(kind)
    mishaps = {
        "before": Mishap(when="before", hangs=True),
        "after": Mishap(when="after", hangs=True),
        "lost": Mishap(when="after"),
        "refused": Mishap(when="before"),
    }

    hit = {crash_at(kind, call.number, mishap) for call in calls for mishap in mishaps.values()}

    assert {"queue:jobs.receive", "ledger.claim", "ledger.finish", "queue:jobs.delete"} <= hit
