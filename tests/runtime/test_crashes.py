"""A crash before, after, and in the middle of every call on the path of a job."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from tests.runtime.promises import check, watched
from worker.core.callback import Failed, Succeeded
from worker.core.degrade import Context
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.retry import RetryPolicy
from worker.core.settlement import DegradedAnswer
from worker.core.upgrade import upgrade_id, upgraded
from worker.ports import Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Call, Mishap, Reply, always, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)


def small(world: World, **job: str) -> str:
    world.submit(id="job-1", prompt="Hello.", **job)
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


def parked_first(world: World, **job: str) -> str:
    throttles = [Reply(THROTTLED, 0.1)] * 3
    world.model.mood = in_turn(*throttles, Reply(answer(), 1.0))
    return small(world, **job)


def upgraded_later(world: World) -> str:
    """Calls for the job fail, so it degrades; those for its upgrade do not."""
    route = world.routes["default"]
    world.routes["default"] = replace(
        route, degraded=("sorry",), upgrade_later=True, retry=RetryPolicy(attempts=1)
    )
    world.model.mood = lambda call: Reply(answer() if upgraded(call.job) else DOWN, 0.5)
    return with_reply(world)


def asked_by_a_task(world: World) -> str:
    world.tasks.wait("token-1")
    world.submit(id="job-1", prompt="Hello.", task_token="token-1")
    return "job-1"


def asked_by_two_tasks_and_parked(world: World) -> str:
    """The second asks again, as a task does whose first try has timed out."""
    job = parked_first(world, task_token=world.tasks.wait("token-1"))
    world.submit(id=job, prompt="Hello.", task_token=world.tasks.wait("token-2"))
    return job


def asked_and_rejected(world: World) -> str:
    world.model.mood = always(REJECTED)
    return asked_by_a_task(world)


def asked_by_a_typo(world: World) -> str:
    world.tasks.wait("token-1")
    return world.jobs.put(b'{"promt": "Hello.", "task_token": "token-1"}')


def malformed(world: World) -> str:
    return world.jobs.put(b'{"prompt": ')


KINDS: list[Callable[[World], str]] = [
    small,
    with_reply,
    with_payload,
    with_large_answer,
    rejected,
    parked_first,
    upgraded_later,
    asked_by_a_task,
    asked_by_two_tasks_and_parked,
    asked_and_rejected,
    asked_by_a_typo,
    malformed,
]


class Apology:
    """A handler that has an answer for everybody."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id == context.job
        return DegradedAnswer.saying("Sorry.", quality=0.4)


def employ(world: World, name: str) -> LivingWorker:
    return LivingWorker(world, name, house={"handlers": {"sorry": Handler(does=Apology())}})


def calls_of(kind: Callable[[World], str]) -> list[Call]:
    """Every call that one undisturbed job of this kind makes."""
    calls: list[Call] = []

    async def main() -> None:
        world = World()
        kind(world)
        worker = employ(world, "w1")
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
        first = employ(world, "w1")
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
        better = upgrade_id(job)
        for name in (job, better):
            record = world.ledger.records.get(name)
            in_flight = world.model.started[name] and not (record and record.state.final)
            repeats[name] += operation == "model.call" or (mishap.hangs and bool(in_flight))
        if mishap.hangs:
            await first.crash()
        second = employ(world, "w2")
        await until_quiet(world)
        await second.drain()
        if not mishap.hangs:
            await first.drain()
        if kind is upgraded_later:
            check(world, witness, {job, better}, repeats)
            told = {reply.job: orjson.loads(reply.body) for reply in world.replies.peek()}
            assert {name: one["status"] for name, one in told.items()} == {
                job: "degraded",
                better: "ok",
            }
        elif kind not in (parked_first, asked_by_two_tasks_and_parked):
            check(world, witness, {job}, repeats)
        else:
            # Its three throttled calls are calls as well, and none of them an attempt.
            assert world.ledger.records[job].state.value == "answered"
            assert set(witness.finals.values()) == {1}
            assert world.model.started[job] <= 4 + 3 * repeats[job]
        answered(world, job)
        return operation

    return in_virtual_time(main())


def answered(world: World, job: str) -> None:
    """Every task was told, and by what the record says."""
    assert world.tasks.waiting == set()
    record = world.ledger.records[job]
    for told in world.tasks.answers.values():
        match told:
            case Succeeded(output=output):
                assert record.result is not None
                assert orjson.loads(output) == orjson.loads(record.result)
            case Failed(error=error):
                assert error == f"InferenceWorker.{record.reason}"


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
