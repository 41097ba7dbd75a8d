"""One job from the queue to its record, and every ending that it may have."""

import asyncio
import hashlib
from typing import Any

import orjson

from worker.core.answer import Answer, Usage
from worker.core.degrade import Context
from worker.core.events import JobSettled
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.ledger import Record, State
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.ports import Delivery, Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Mishap, Reply, always, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400, message="No.")
UNAVAILABLE = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)


def play(world: World, *jobs: dict[str, Any], **worker: Any) -> list[JobSettled]:
    """Send the jobs, let one worker settle them, and return what it says of it."""

    async def main() -> list[JobSettled]:
        for job in jobs:
            world.submit(**job)
        living = LivingWorker(world, "w1", **worker)
        await until_quiet(world)
        await living.drain()
        return living.told.of(JobSettled)

    return in_virtual_time(main())


def envelope_of(world: World, job: str) -> dict[str, Any]:
    record = world.ledger.records[job]
    assert record.result is not None
    envelope: dict[str, Any] = orjson.loads(record.result)
    return envelope


def letter_of(world: World) -> tuple[Delivery, dict[str, Any]]:
    (letter,) = world.dead.peek()
    (message,) = world.dead._messages.values()
    story: dict[str, Any] = orjson.loads(message.attributes["iw-dead"])
    return letter, story


def test_a_prompt_alone_is_a_job_and_gets_its_answer() -> None:
    world = World()

    (event,) = play(world, {"prompt": "Hello."})

    (job,) = world.ledger.records
    assert (event.settlement, event.attempts, event.parks) == ("answered", 1, 0)
    assert envelope_of(world, job)["output"]["message"]["content"] == [{"text": "An answer."}]


def test_a_job_that_the_model_rejects_is_dead_at_once_and_its_letter_tells_why() -> None:
    world = World()
    world.model.mood = always(REJECTED)

    (event,) = play(world, {"id": "job-1", "prompt": "Hello.", "tenant": "acme"})

    letter, story = letter_of(world)
    assert (event.settlement, event.reason) == ("dead", "rejected")
    assert orjson.loads(letter.body) == {"id": "job-1", "prompt": "Hello.", "tenant": "acme"}
    assert (letter.job, story["code"], story["detail"]) == ("job-1", "ValidationException", "No.")
    assert (story["tenant"], len(story["history"])) == ("acme", 1)
    assert story["fingerprint"] == world.ledger.records["job-1"].fingerprint
    assert world.model.started == {"job-1": 1}


def test_what_is_no_job_is_dead_with_its_body_kept() -> None:
    world = World()

    async def main() -> None:
        world.jobs.put(b'{"promt": "Hello."}')
        worker = LivingWorker(world, "w1")
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    letter, story = letter_of(world)
    assert letter.body == b'{"promt": "Hello."}'
    assert (story["reason"], story["detail"]) == (
        "unknown_field",
        "promt: no such field in version 1",
    )
    assert not world.model.started


def test_a_throttled_job_is_parked_uncharged_and_answered_later() -> None:
    world = World()
    world.model.mood = in_turn(*[Reply(THROTTLED, 0.1)] * 3, Reply(answer(), 1.0))

    parked, answered = play(world, {"id": "job-1", "prompt": "Hello."})

    assert (parked.settlement, parked.reason, parked.attempts) == ("parked", "throttled", 0)
    assert (answered.settlement, answered.attempts, answered.parks) == ("answered", 1, 1)
    assert not world.dead.peek()


def test_an_unavailable_target_is_asked_again_in_the_same_delivery() -> None:
    world = World()
    world.model.mood = in_turn(Reply(UNAVAILABLE, 0.1), Reply(answer(), 1.0))

    (event,) = play(world, {"id": "job-1", "prompt": "Hello."})

    assert (event.settlement, event.attempts, event.parks) == ("answered", 2, 0)
    assert [row["kind"] for row in envelope_of(world, "job-1")["attempts"]] == ["unavailable", "ok"]


def test_a_full_outage_is_hardly_amplified() -> None:
    world = World(routes={"default": Route(name="default", targets=(Target(name="a", model="m"),))})
    world.model.mood = always(UNAVAILABLE, 0.1)
    jobs = 300

    async def main() -> None:
        for n in range(jobs):
            world.submit(id=f"job-{n}", prompt="Hello.")
        # The budget alone: the breaker would stop far earlier.
        deaf = {"a": BreakerPolicy(min_calls=10_000)}
        worker = LivingWorker(world, "w1", rules={"slots": 50, "policies": deaf})
        while world.statuses()["parked"] < jobs:
            await asyncio.sleep(0.1)
        await worker.drain()

    in_virtual_time(main())

    first_budget = RetryPolicy().budget_max
    first_round = world.model.started.total()
    assert first_round <= jobs * 1.1 + first_budget


def test_a_job_past_its_deadline_is_dead_and_never_called() -> None:
    world = World()

    (event,) = play(world, {"id": "job-1", "prompt": "Hello.", "deadline_at": 1})

    assert (event.settlement, event.reason) == ("dead", "expired")
    assert envelope_of(world, "job-1")["status"] == "expired"
    assert not world.model.started


def test_a_call_never_outlasts_the_deadline() -> None:
    world = World()
    world.model.mood = always(answer(), 100.0)

    (event,) = play(world, {"id": "job-1", "prompt": "Hello.", "deadline_s": 10})

    assert (event.settlement, event.reason) == ("dead", "expired")
    assert 9_000 <= event.worked_ms <= 11_000


def test_an_answer_that_a_guardrail_blocked_is_an_answer() -> None:
    world = World()
    blocked = Answer(
        content=({"text": "I cannot."},), stop_reason="guardrail_intervened", usage=Usage()
    )
    world.model.mood = always(blocked)

    (event,) = play(world, {"id": "job-1", "prompt": "Hello."})

    assert (event.settlement, event.blocked) == ("answered", True)
    assert envelope_of(world, "job-1")["status"] == "blocked"


def test_a_large_answer_lies_in_the_payload_store() -> None:
    world = World()
    world.model.mood = always(answer("word " * 4000))

    play(world, {"id": "job-1", "prompt": "Hello."})

    record = world.ledger.records["job-1"]
    assert record.result is None
    assert record.result_ref.startswith("s3://payloads/payloads/")
    (stored,) = world.payloads.objects.values()
    assert orjson.loads(stored)["status"] == "ok"


def test_without_a_bucket_an_answer_that_fits_no_record_is_told_to_be_too_large() -> None:
    world = World()
    world.model.mood = always(answer("word " * 100_000))

    (event,) = play(world, {"id": "job-1", "prompt": "Hello."}, house={"payloads": None})

    assert (event.settlement, event.reason) == ("dead", "answer_too_large")
    assert len(world.dead.peek()) == 1


def test_a_reply_carries_the_envelope_and_says_its_status_outside() -> None:
    world = World()

    play(world, {"id": "job-1", "prompt": "Hello.", "reply_to": "answers", "metadata": {"n": 1}})

    (reply,) = world.replies._messages.values()
    assert orjson.loads(reply.body)["metadata"] == {"n": 1}
    assert reply.attributes == {"iw-job": "job-1", "iw-status": "ok", "iw-quality": "1.0"}
    assert world.ledger.records["job-1"].told


def test_a_dead_job_is_told_to_its_reply_queue_too() -> None:
    world = World()
    world.model.mood = always(REJECTED)

    play(world, {"id": "job-1", "prompt": "Hello.", "reply_to": "answers"})

    (reply,) = world.replies.peek()
    assert orjson.loads(reply.body)["error"]["reason"] == "rejected"
    assert len(world.dead.peek()) == 1


def test_what_a_job_names_must_be_configured() -> None:
    world = World()

    route, reply = play(
        world,
        {"id": "job-1", "prompt": "Hello.", "route": "fast"},
        {"id": "job-2", "prompt": "Hello.", "reply_to": "nowhere"},
    )

    assert (route.reason, reply.reason) == ("unknown_route", "unknown_reply_to")
    assert not world.model.started


def test_a_payload_is_fetched_checked_and_used() -> None:
    world = World()
    payload = orjson.dumps({"prompt": "A long story."})
    world.payloads.objects["payloads", "in/1"] = payload
    ref = {
        "uri": "s3://payloads/in/1",
        "sha256": hashlib.sha256(payload).hexdigest(),
        "bytes": len(payload),
    }

    good, forged, missing = play(
        world,
        {"id": "good", "payload_ref": ref},
        {"id": "forged", "payload_ref": {**ref, "sha256": "0" * 64}},
        {"id": "missing", "payload_ref": {**ref, "uri": "s3://payloads/in/2"}},
    )

    reasons = {event.job: event.reason for event in (good, forged, missing)}
    assert reasons == {"good": "", "forged": "payload_mismatch", "missing": "payload_missing"}


def test_the_same_id_twice_is_one_job() -> None:
    world = World()

    (event,) = play(world, *[{"id": "job-1", "prompt": "Hello."}] * 3)

    assert event.settlement == "answered"
    assert world.model.started == {"job-1": 1}


def test_another_request_under_a_taken_id_is_not_swallowed() -> None:
    world = World()

    events = play(
        world, {"id": "job-1", "prompt": "Hello."}, {"id": "job-1", "prompt": "Something else."}
    )

    letter, story = letter_of(world)
    assert sorted(event.settlement for event in events) == ["answered", "dead"]
    assert story["reason"] == "id_conflict"
    assert world.ledger.records["job-1"].state is State.ANSWERED
    assert letter.job != "job-1"


def test_another_request_under_the_id_of_a_finished_job_is_not_swallowed_either() -> None:
    world = World()

    async def main() -> list[str]:
        worker = LivingWorker(world, "w1")
        world.submit(id="job-1", prompt="Hello.")
        await until_quiet(world)
        world.submit(id="job-1", prompt="Something else.")
        await until_quiet(world)
        await worker.drain()
        return [event.reason for event in worker.told.of(JobSettled)]

    assert in_virtual_time(main()) == ["", "id_conflict"]


def test_a_dead_letter_that_is_sent_back_is_the_same_job_in_its_next_generation() -> None:
    world = World()
    world.model.mood = in_turn(Reply(REJECTED, 0.1), Reply(answer(), 0.1))

    async def main() -> Record:
        worker = LivingWorker(world, "w1")
        message_id = world.submit(prompt="Hello.")
        await until_quiet(world)
        (letter,) = world.dead._messages.values()
        world.jobs.put(letter.body, attributes=letter.attributes)
        await until_quiet(world)
        await worker.drain()
        return world.ledger.records[message_id]

    record = in_virtual_time(main())

    assert (record.state, record.generation, record.attempts) == (State.ANSWERED, 1, 1)


def test_a_route_with_a_handler_degrades_instead_of_parking() -> None:
    class Apology:
        async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
            assert context.request.messages
            return None if job.id == "job-2" else DegradedAnswer.saying("Sorry.")

    route = Route(name="default", targets=(Target(name="a", model="m"),), degraded=("sorry",))
    world = World(routes={"default": route})
    world.model.mood = in_turn(*[Reply(THROTTLED, 0.1)] * 3, Reply(answer(), 0.1))

    events = play(
        world,
        {"id": "job-1", "prompt": "Hello."},
        {"id": "job-2", "prompt": "Hello."},
        house={"handlers": {"sorry": Handler(does=Apology())}},
    )

    told = [(event.job, event.settlement) for event in events]
    assert told == [("job-1", "degraded"), ("job-2", "parked"), ("job-2", "answered")]
    assert envelope_of(world, "job-1")["degraded"]["reason"] == "throttled"


def test_a_claim_whose_answer_was_lost_is_asked_for_again_and_costs_nothing() -> None:
    world = World()

    async def main() -> JobSettled:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        claims = iter([Mishap(when="after")])
        worker.wire.plan = lambda call: next(claims, None) if call.operation == "claim" else None
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.attempts, event.crashes) == ("answered", 1, 0)
    assert world.ledger.records["job-1"].fence == 1


def test_a_claim_that_was_given_up_may_stand_and_is_taken_up_again() -> None:
    world = World()

    async def main() -> JobSettled:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        claims = iter([Mishap(when="after"), Mishap(when="after")])
        worker.wire.plan = lambda call: next(claims, None) if call.operation == "claim" else None
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.attempts, event.crashes) == ("answered", 1, 0)
    assert world.ledger.records["job-1"].fence == 1


def test_five_rejections_in_a_row_speak_against_the_target_and_not_the_jobs() -> None:
    world = World()
    world.model.mood = always(REJECTED, 0.1)

    async def main() -> None:
        worker = LivingWorker(world, "w1", rules={"slots": 1})
        for n in range(20):
            world.submit(id=f"job-{n}", prompt="Hello.")
        await asyncio.sleep(60)
        await worker.drain()

    in_virtual_time(main())

    assert world.statuses() == {"dead": 4, "parked": 2}
    assert len(world.jobs.peek()) == 14, "denied twice, the target is left alone"
