"""Tasks of state machines that wait for jobs: each is answered, whatever befalls who answers."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from tests.runtime.test_crashes import Apology
from tests.runtime.test_main_path import REJECTED, THROTTLED, UNAVAILABLE
from worker.core.callback import OUTPUT_BYTES_MAX, Failed, Succeeded
from worker.core.events import DeliverySkipped, Event, JobSettled, StoreFailed, TaskAnswered
from worker.core.ledger import State
from worker.core.retry import RetryPolicy
from worker.core.upgrade import upgraded
from worker.ports import Callbacks, Handler, TaskRefused, Unavailable
from worker.runtime.callbacks import REST_MAX_S
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Call, Mishap, Reply, Wire, always, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAf+/="


def ask(world: World, token: str = TOKEN, **job: Any) -> str:
    """What a state machine does: a task begins to wait, and its message is sent."""
    asked = {"task_token": world.tasks.wait(token)} if token else {}
    return world.submit(**{"id": "job-1", "prompt": "Hello."} | asked | job)


def play(
    world: World, *asks: dict[str, Any], wire: Wire | None = None, **worker: Any
) -> list[Event]:
    """Let tasks ask, and one worker settle what they ask; what it told."""

    async def main() -> list[Event]:
        for job in asks:
            ask(world, **job)
        living = LivingWorker(world, "w1", wire=wire or Wire(), **worker)
        await until_quiet(world, within_s=100_000.0)
        await living.drain()
        return living.told.events

    return in_virtual_time(main(), limit_s=200_000)


def told_of(events: list[Event]) -> list[TaskAnswered]:
    return [event for event in events if isinstance(event, TaskAnswered)]


def output_of(world: World, token: str = TOKEN) -> dict[str, Any]:
    told = world.tasks.answers[token]
    assert isinstance(told, Succeeded)
    output: dict[str, Any] = orjson.loads(told.output)
    return output


def error_of(world: World, token: str = TOKEN) -> str:
    told = world.tasks.answers[token]
    assert isinstance(told, Failed)
    return told.error


def ill(error: BaseException, calls: int) -> Callable[[Call], Mishap | None]:
    """Step Functions fails the first so many calls."""
    left = calls

    def plan(call: Call) -> Mishap | None:
        nonlocal left
        if call.port != "tasks" or not left:
            return None
        left -= 1
        return Mishap(when="before", error=error)

    return plan


def test_a_task_gets_the_result_of_its_job() -> None:
    world = World()

    events = play(world, {"metadata": {"order": 17}})

    record = world.ledger.records["job-1"]
    assert record.result is not None
    assert output_of(world) == orjson.loads(record.result)
    assert output_of(world)["metadata"] == {"order": 17}
    assert told_of(events) == [TaskAnswered(job="job-1", succeeded=True, waited=True, error="")]
    assert world.tasks.late == []


def test_a_large_result_is_told_by_where_it_lies() -> None:
    world = World()
    world.model.mood = always(answer("word " * OUTPUT_BYTES_MAX))

    play(world, {})

    output = output_of(world)
    assert output["output"] is None
    assert output["output_ref"] == world.ledger.records["job-1"].result_ref
    assert output["status"] == "ok"


def test_a_dead_job_fails_its_task_and_is_a_dead_letter_all_the_same() -> None:
    world = World()
    world.model.mood = always(REJECTED)

    play(world, {})

    assert error_of(world) == "InferenceWorker.rejected"
    assert len(world.dead.peek()) == 1


@pytest.mark.parametrize(
    ("job", "error"),
    [
        ({"prompt": 7}, "invalid_field"),
        ({"promt": "typo"}, "unknown_field"),
        ({"v": 2}, "schema"),
        ({"route": "nowhere"}, "unknown_route"),
    ],
)
def test_what_is_no_job_fails_its_task_at_once(job: dict[str, Any], error: str) -> None:
    world = World()

    play(world, job)

    assert error_of(world) == f"InferenceWorker.{error}"
    assert not world.model.started


def test_a_message_under_the_id_of_another_job_fails_its_task() -> None:
    world = World()

    play(world, {"token": "token-1"}, {"token": "token-2", "prompt": "Else."}, rules={"slots": 1})

    assert output_of(world, "token-1")["job_id"] == "job-1"
    assert error_of(world, "token-2") == "InferenceWorker.id_conflict"


def test_a_worker_without_task_tokens_gives_such_a_job_up_before_it_costs_a_call() -> None:
    world = World()

    events = play(world, {}, house={"callbacks": None})

    (event,) = [event for event in events if isinstance(event, JobSettled)]
    assert (event.settlement, event.reason) == ("dead", "task_tokens_off")
    assert not world.model.started
    assert world.tasks.waiting == {TOKEN}


def test_every_task_that_sent_the_same_job_is_answered_by_its_one_run() -> None:
    world = World()
    world.model.mood = always(answer(), latency_s=5.0)

    play(world, {"token": "token-1"}, {"token": "token-2"})

    assert world.model.started == {"job-1": 1}
    assert output_of(world, "token-1") == output_of(world, "token-2")


def test_a_task_that_asks_again_gets_the_answer_that_is_there() -> None:
    world = World()

    async def main() -> None:
        worker = LivingWorker(world, "w1")
        for token in ("token-1", "token-2"):
            ask(world, token)
            await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert world.model.started == {"job-1": 1}
    assert output_of(world, "token-1") == output_of(world, "token-2")
    assert world.tasks.late == [], "each was told once"


def test_a_task_that_asks_again_after_a_death_begins_a_new_life() -> None:
    world = World()
    world.model.mood = in_turn(Reply(REJECTED), Reply(answer()))

    async def main() -> None:
        worker = LivingWorker(world, "w1")
        for token in ("token-1", "token-2"):
            ask(world, token)
            await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert error_of(world, "token-1") == "InferenceWorker.rejected"
    assert output_of(world, "token-2")["status"] == "ok"
    assert world.ledger.records["job-1"].generation == 1


def test_a_park_keeps_the_token_of_every_task() -> None:
    world = World()
    throttles = [Reply(THROTTLED, 0.1)] * 6
    world.model.mood = in_turn(*throttles, Reply(answer(), 1.0))
    plain = {"token": "", "prompt": "Hello."}

    events = play(world, plain, {"token": "token-1"}, {"token": "token-2"}, plain)

    assert [e for e in events if isinstance(e, JobSettled) and e.settlement == "parked"]
    assert output_of(world, "token-1") == output_of(world, "token-2")
    assert world.tasks.waiting == set()


def test_a_redrive_of_a_letter_whose_task_has_failed_does_no_harm() -> None:
    world = World()
    world.model.mood = in_turn(Reply(REJECTED), Reply(answer()))

    async def main() -> list[Event]:
        worker = LivingWorker(world, "w1")
        ask(world)
        await until_quiet(world)
        (letter,) = world.dead.peek()
        world.jobs.put(letter.body, attributes={"iw-job": "job-1"})
        await until_quiet(world)
        await worker.drain()
        return worker.told.events

    events = in_virtual_time(main())

    assert world.ledger.records["job-1"].state is State.ANSWERED
    assert error_of(world) == "InferenceWorker.rejected", "the first answer counts"
    assert [(e.succeeded, e.waited) for e in told_of(events)] == [(False, True), (True, False)]


def test_a_task_that_has_timed_out_counts_as_told() -> None:
    world = World()
    world.tasks.time_out(world.tasks.wait("old"))

    events = play(world, {"token": "", "task_token": "old"})

    assert [event.waited for event in told_of(events)] == [False]
    assert world.ledger.records["job-1"].state is State.ANSWERED


def test_a_task_is_told_later_while_step_functions_is_out_of_order() -> None:
    world = World()
    wire = Wire(plan=ill(Unavailable("tasks", "ThrottlingException"), 5))

    events = play(world, {"reply_to": "answers"}, wire=wire)

    failed = [event for event in events if isinstance(event, StoreFailed)]
    assert {(e.store, e.operation, e.why) for e in failed} == {
        ("tasks", "answer", "ThrottlingException")
    }
    assert len(failed) == 5
    assert output_of(world)["status"] == "ok"
    assert world.model.started == {"job-1": 1}
    assert len(world.replies.peek()) == 1, "what was sent is not sent again with each try"


def test_an_ill_step_functions_costs_other_jobs_next_to_nothing() -> None:
    """It hangs for an hour: at most one slot at a time waits for it."""
    world = World()
    world.model.mood = always(answer(), latency_s=1.0)
    hangs_s = 5.0
    asked: list[float] = []

    def plan(call: Call) -> Mishap | None:
        now = asyncio.get_running_loop().time()
        if call.port != "tasks" or now > 3600:
            return None
        asked.append(now)
        return Mishap(when="before", late_s=hangs_s, error=Unavailable("tasks", "TimeoutError"))

    async def main() -> float:
        worker = LivingWorker(world, "w1", wire=Wire(plan=plan), rules={"slots": 4})
        for n in range(12):
            ask(world, f"token-{n}", id=f"asked-{n}")
        await asyncio.sleep(60.0)
        began = asyncio.get_running_loop().time()
        for n in range(400):
            world.submit(id=f"plain-{n}", prompt="Hello.")
        while world.statuses()["answered"] < 412:
            await asyncio.sleep(1.0)
        took_s = asyncio.get_running_loop().time() - began
        await until_quiet(world, within_s=20_000.0)
        await worker.drain()
        return took_s

    took_s = in_virtual_time(main(), limit_s=40_000)

    assert took_s < 400 / 4 * 1.4, "a hundred seconds of work, and little more"
    assert world.tasks.waiting == set()
    later = [b - a for a, b in pairwise(asked) if a > 300]
    assert later
    assert min(later) >= REST_MAX_S, "one asks for all, ever more rarely"


@pytest.mark.parametrize(
    ("port", "operation", "error"),
    [
        ("tasks", "fail", TaskRefused("KmsAccessDeniedException")),
        ("payloads", "get", Unavailable("payloads", "SlowDown")),
    ],
)
def test_what_concerns_some_tasks_alone_keeps_no_other_from_being_told(
    port: str, operation: str, error: Unavailable
) -> None:
    """Eight tasks cannot be told for an hour: of unreadable jobs, and of a result in S3."""
    world = World()
    world.model.mood = lambda call: Reply(answer("word " * (4000 if call.job == "large" else 1)))

    def plan(call: Call) -> Mishap | None:
        ill = (call.port, call.operation) == (port, operation)
        hour = 60 <= asyncio.get_running_loop().time() < 3600
        return Mishap(when="before", error=error) if ill and hour else None

    async def main() -> int:
        worker = LivingWorker(world, "w1", wire=Wire(plan=plan))
        ask(world, "first", id="large")
        await asyncio.sleep(60.0)
        for n in range(8):
            ask(world, f"late-{n}", **({"v": 2} if port == "tasks" else {"id": "large"}))
        await asyncio.sleep(5.0)
        for n in range(20):
            ask(world, f"token-{n}", id=f"job-{n}")
        await asyncio.sleep(5.0)
        told = len(world.tasks.answers)
        await until_quiet(world, within_s=20_000.0)
        await worker.drain()
        assert port in {event.store for event in worker.told.of(StoreFailed)}
        return told

    assert in_virtual_time(main(), limit_s=40_000) == 1 + 20
    assert len(world.tasks.answers) == 1 + 20 + 8


class Slow:
    """Step Functions takes its time over the first answer."""

    def __init__(self, real: Callbacks, lasts_s: float) -> None:
        self._real = real
        self._lasts_s = lasts_s

    async def succeed(self, token: str, output: str) -> bool:
        lasts_s, self._lasts_s = self._lasts_s, 0.0
        await asyncio.sleep(lasts_s)
        return await self._real.succeed(token, output)

    async def fail(self, token: str, error: str, cause: str) -> bool:
        return await self._real.fail(token, error, cause)


def test_a_doorbell_that_comes_while_a_token_is_answered_has_its_own_answered_too() -> None:
    world = World()
    world.model.mood = in_turn(*[Reply(THROTTLED, 0.1)] * 3, Reply(answer(), 0.1))

    async def main() -> list[Event]:
        slow = Slow(world.tasks.seen_by(), 600.0)
        worker = LivingWorker(world, "w1", house={"callbacks": slow})
        ask(world, "token-1")
        while world.statuses()["parked"] == 0:
            await asyncio.sleep(0.05)
        ask(world, "token-2")
        await until_quiet(world)
        await worker.drain()
        return worker.told.events

    events = in_virtual_time(main())

    skipped = [event.why for event in events if isinstance(event, DeliverySkipped)]
    assert "running_here" in skipped, "the doorbell joined the flight"
    assert output_of(world, "token-1") == output_of(world, "token-2")


def test_an_upgrade_answers_no_task_for_its_task_has_the_degraded_answer() -> None:
    world = World()
    route = world.routes["default"]
    world.routes["default"] = replace(
        route, degraded=("sorry",), upgrade_later=True, retry=RetryPolicy(attempts=1)
    )
    world.model.mood = lambda call: Reply(answer() if upgraded(call.job) else UNAVAILABLE, 0.5)

    play(world, {}, house={"handlers": {"sorry": Handler(does=Apology())}})

    assert output_of(world)["status"] == "degraded"
    assert world.ledger.records["job-1+upgrade"].state is State.ANSWERED
    assert world.tasks.late == []


def test_a_result_that_was_removed_fails_the_task_that_asks_for_it() -> None:
    world = World()
    world.model.mood = always(answer("word " * 4000))

    async def main() -> None:
        worker = LivingWorker(world, "w1")
        ask(world, "token-1")
        await until_quiet(world)
        world.payloads.objects.clear()
        ask(world, "token-2")
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert output_of(world, "token-1")["status"] == "ok"
    assert error_of(world, "token-2") == "InferenceWorker.result_missing"


def test_no_token_is_in_anything_that_is_told() -> None:
    world = World()
    world.model.mood = in_turn(Reply(THROTTLED), Reply(REJECTED), Reply(answer()))
    asks: list[dict[str, Any]] = [
        {"token": TOKEN},
        {"token": TOKEN + "2", "v": 2},
        {"token": TOKEN + "3", "id": "job-3"},
    ]
    wire = Wire(plan=ill(Unavailable("tasks", "ThrottlingException"), 2))

    events = play(world, *asks, wire=wire)

    assert TOKEN not in repr(events)
    assert TOKEN not in repr(world.ledger.records)
    letters = [message.attributes for message in world.dead._messages.values()]
    assert letters
    assert TOKEN not in repr(letters)
    assert TOKEN not in repr(list(world.tasks.answers.values()))


def test_a_job_is_reported_though_its_token_is_still_told_at_the_firm_end() -> None:
    world = World()

    async def main() -> list[Event]:
        slow = Slow(world.tasks.seen_by(), 6000.0)
        worker = LivingWorker(world, "w1", house={"callbacks": slow})
        ask(world)
        await asyncio.sleep(10.0)
        await worker.drain()
        return worker.told.events

    events = in_virtual_time(main(), limit_s=5000)

    assert world.tasks.waiting == {TOKEN}
    assert [event.settlement for event in events if isinstance(event, JobSettled)] == ["answered"]


def test_a_death_that_one_of_two_tasks_cannot_be_told_of_begins_no_new_life() -> None:
    world = World()
    world.model.mood = lambda _: Reply(REJECTED, 5.0)
    calls = 0

    def plan(call: Call) -> Mishap | None:
        nonlocal calls
        calls += call.port == "tasks"
        ill = call.port == "tasks" and calls in (2, 3)
        return Mishap(when="before", error=Unavailable("tasks", "Hiccup")) if ill else None

    play(world, {"token": "token-1"}, {"token": "token-2"}, wire=Wire(plan=plan))

    assert world.model.started == {"job-1": 1}
    assert error_of(world, "token-1") == error_of(world, "token-2")
    assert len(world.dead.peek()) == 1
