import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from aiobotocore.session import get_session

from worker.aws.ledger import DynamoLedger
from worker.aws.payloads import S3Payloads
from worker.client import Client, NotSubmitted, Result, Submitted
from worker.core import envelope
from worker.core.job import Job, Limits, PayloadRef, Request
from worker.core.ledger import Claim, Ending, Record, State
from worker.local.faults import LoseResponse, Refuse, Rule
from worker.local.resources import Resources
from worker.local.stack import LocalStack

Run = Callable[[Any], Any]


async def received(resources: Resources) -> list[dict[str, Any]]:
    """Every message in the jobs queue, as SQS gives it."""
    messages: list[dict[str, Any]] = []
    async with get_session().create_client("sqs") as sqs:
        while True:
            answer = await sqs.receive_message(
                QueueUrl=resources.jobs_url,
                MaxNumberOfMessages=10,
                MessageSystemAttributeNames=["MessageGroupId"],
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                return messages
            messages += answer["Messages"]


async def answer_it(resources: Resources, job: str, text: str, *, in_s3: bool = False) -> None:
    """What a worker does to the ledger for one answered job."""
    told = {
        "v": 1,
        "job_id": job,
        "status": "ok",
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "quality": {"minimum": 0.0, "served": 1.0},
        "attempts_total": 1,
        "metadata": {},
    }
    result, ref = orjson.dumps(told), ""
    async with (
        get_session().create_client("dynamodb") as dynamodb,
        get_session().create_client("s3") as s3,
    ):
        if in_s3:
            put = await S3Payloads(s3, resources.bucket).put(result)
            ref = f"s3://{put.bucket}/{put.key}"
        ledger = DynamoLedger(dynamodb, resources.table, skew_s=2, keep_s=3600)
        ask = Claim(
            job=job, owner="w", nonce="n", doorbell="m", lease_s=60, digest="", sent_at=time.time()
        )
        held = await ledger.claim(ask)
        assert isinstance(held, Record)
        ending = Ending(
            state=State.ANSWERED,
            attempts=1,
            parks=0,
            interruptions=0,
            crashes=0,
            result=None if in_s3 else result,
            result_ref=ref,
        )
        await ledger.finish(held, ending)


def test_a_trace_context_goes_along_as_an_attribute(on_local_stack: Run) -> None:
    here = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def scene(_: LocalStack, resources: Resources) -> list[dict[str, Any]]:
        async with Client.open(resources.jobs_url, resources.table) as client:
            await client.submit("Why?", traceparent=here)
            with pytest.raises(ValueError, match="W3C Trace Context"):
                await client.submit("Why?", traceparent="my prompt")
        return await received(resources)

    [message] = on_local_stack(scene)

    assert message["MessageAttributes"]["traceparent"]["StringValue"] == here
    assert "traceparent" not in message["Body"]


def test_a_submitted_job_is_what_a_worker_reads(on_local_stack: Run) -> None:
    async def scene(_: LocalStack, resources: Resources) -> tuple[str, list[dict[str, Any]]]:
        async with Client.open(resources.jobs_url, resources.table) as client:
            job_id = await client.submit("Why?", tenant="acme", deadline_s=60)
        return job_id, await received(resources)

    job_id, [message] = on_local_stack(scene)

    job = envelope.parse(message["Body"].encode(), Limits())
    assert isinstance(job, Job)
    assert isinstance(job.request, Request)
    assert (job.id, job.tenant, job.deadline_s) == (job_id, "acme", 60)
    assert job.request.messages == ({"role": "user", "content": [{"text": "Why?"}]},)
    assert message["Attributes"]["MessageGroupId"] == "acme"


def test_many_jobs_go_in_full_batches(on_local_stack: Run) -> None:
    async def scene(stack: LocalStack, resources: Resources) -> tuple[Any, Any, int]:
        async with Client.open(resources.jobs_url, resources.table) as client:
            outcomes = await client.submit_many({"prompt": "a", "id": f"j{n}"} for n in range(205))
        return outcomes, await received(resources), stack.faults.calls["sqs:SendMessageBatch"]

    outcomes, messages, calls = on_local_stack(scene)

    assert [o.job_id for o in outcomes] == [f"j{n}" for n in range(205)]
    assert all(isinstance(o, Submitted) for o in outcomes)
    ids = {orjson.loads(message["Body"])["id"] for message in messages}
    assert ids == {f"j{n}" for n in range(205)}
    assert calls == 21


def test_large_jobs_go_in_as_many_batches_as_their_bytes_need(on_local_stack: Run) -> None:
    async def scene(stack: LocalStack, resources: Resources) -> tuple[Any, Any, int]:
        async with Client.open(resources.jobs_url, resources.table) as client:
            outcomes = await client.submit_many("x" * 400_000 for _ in range(5))
        return outcomes, await received(resources), stack.faults.calls["sqs:SendMessageBatch"]

    outcomes, messages, calls = on_local_stack(scene)

    assert all(isinstance(o, Submitted) for o in outcomes)
    assert len(messages) == 5
    assert calls == 3


def test_a_job_that_cannot_be_sent_holds_up_no_other(on_local_stack: Run) -> None:
    async def scene(_: LocalStack, resources: Resources) -> tuple[Any, Any]:
        async with Client.open(resources.jobs_url, resources.table) as client:
            outcomes = await client.submit_many(
                ["a", {"prompt": "b", "deadline_s": 0, "id": "j1"}, 7, "d"]  # type: ignore[list-item]
            )
        return outcomes, await received(resources)

    outcomes, messages = on_local_stack(scene)

    assert [isinstance(o, Submitted) for o in outcomes] == [True, False, False, True]
    assert (outcomes[1].index, outcomes[1].job_id) == (1, "j1")
    assert (outcomes[1].code, outcomes[2].code) == ("invalid_field", "not_json")
    assert "deadline_s" in outcomes[1].detail
    assert len(messages) == 2


def test_a_throttled_queue_gets_every_job_in_the_end(on_local_stack: Run) -> None:
    async def scene(stack: LocalStack, resources: Resources) -> tuple[Any, Any]:
        refuse = Refuse("RequestThrottled", status=400)
        stack.faults.set_rules([Rule("sqs:SendMessageBatch", refuse, count=3)])
        async with Client.open(resources.jobs_url, resources.table) as client:
            outcomes = await client.submit_many("a" for _ in range(30))
        return outcomes, await received(resources)

    outcomes, messages = on_local_stack(scene)

    assert all(isinstance(o, Submitted) for o in outcomes)
    assert len(messages) == 30


def test_a_lost_answer_costs_a_second_message_and_no_second_job(on_local_stack: Run) -> None:
    async def scene(stack: LocalStack, resources: Resources) -> tuple[str, Any]:
        stack.faults.set_rules([Rule("sqs:SendMessageBatch", LoseResponse(), count=1)])
        async with Client.open(resources.jobs_url, resources.table) as client:
            job_id = await client.submit("a")
        return job_id, await received(resources)

    job_id, messages = on_local_stack(scene)

    assert [orjson.loads(message["Body"])["id"] for message in messages] == [job_id, job_id]


def test_what_the_queue_refuses_is_not_told_as_submitted(on_local_stack: Run) -> None:
    async def scene(_: LocalStack, resources: Resources) -> list[Submitted | NotSubmitted]:
        nowhere = resources.jobs_url + "-gone"
        async with Client.open(nowhere, resources.table) as client:
            return await client.submit_many(["a", "b"])

    outcomes = on_local_stack(scene)

    assert [(o.code, o.maybe_sent) for o in outcomes] == [("NonExistentQueue", False)] * 2


def test_a_large_request_travels_through_s3(on_local_stack: Run) -> None:
    prompt = "long story " * 100_000

    async def scene(_: LocalStack, resources: Resources) -> tuple[Any, bytes]:
        async with Client.open(
            resources.jobs_url, resources.table, bucket=resources.bucket
        ) as client:
            await client.submit(prompt, tenant="acme")
        [message] = await received(resources)
        limits = Limits(payload_buckets=frozenset({resources.bucket}))
        job = envelope.parse(message["Body"].encode(), limits)
        assert isinstance(job, Job)
        assert isinstance(job.request, PayloadRef)
        ref = job.request
        async with get_session().create_client("s3") as s3:
            payload = await S3Payloads(s3, "").get(ref.bucket, ref.key, bytes_max=ref.size_bytes)
        return envelope.parse_payload(payload, ref, limits), payload

    request, payload = on_local_stack(scene)

    assert isinstance(request, Request)
    assert request.messages[0]["content"] == [{"text": prompt}]
    assert orjson.loads(payload) == {"prompt": prompt}


def test_a_producer_reads_what_a_worker_wrote(on_local_stack: Run) -> None:
    async def scene(_: LocalStack, resources: Resources) -> list[Result]:
        async with Client.open(resources.jobs_url, resources.table) as client:
            ids = [f"j{n}" for n in range(3)]
            later = asyncio.create_task(answer_it(resources, "j1", "late"))
            await answer_it(resources, "j0", "inline")
            await answer_it(resources, "j2", "large " * 10_000, in_s3=True)
            results = [r async for r in client.as_completed(ids, timeout_s=30)]
            await later
            return sorted(results, key=lambda result: result.job_id)

    results = on_local_stack(scene)

    assert [(r.job_id, r.status) for r in results] == [("j0", "ok"), ("j1", "ok"), ("j2", "ok")]
    assert [r.text for r in results] == ["inline", "late", "large " * 10_000]


def test_either_kind_of_session_opens_a_client(on_local_stack: Run) -> None:
    class LikeAioboto3:
        """`aioboto3.Session` has `client` where aiobotocore has `create_client`."""

        def client(self, service: str, **how: Any) -> Any:
            return get_session().create_client(service, **how)

    async def scene(_: LocalStack, resources: Resources) -> int:
        for session in (None, get_session(), LikeAioboto3()):
            async with Client.open(
                resources.jobs_url, resources.table, session=session, region="us-east-1"
            ) as client:
                await client.submit("a")
        return len(await received(resources))

    assert on_local_stack(scene) == 3
