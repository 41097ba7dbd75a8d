"""The client on an `aioboto3.Session`: run by `.ci/aioboto3`, against a stack outside."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aioboto3
import aiobotocore
import orjson
from aiobotocore.session import get_session

from worker.aws.ledger import DynamoLedger
from worker.client import Client, Submitted
from worker.core.ledger import Claim, Ending, Record, State
from worker.local.resources import Resources, create_resources


@asynccontextmanager
async def producer(session: Any) -> AsyncIterator[tuple[Client, Resources]]:
    resources = await create_resources(get_session(), f"aioboto3-{uuid4().hex[:8]}")
    async with Client.open(
        resources.jobs_url, resources.table, bucket=resources.bucket, session=session
    ) as client:
        yield client, resources


async def answer_it(session: Any, resources: Resources, job: str) -> None:
    told = {
        "v": 1,
        "job_id": job,
        "status": "ok",
        "output": {"message": {"role": "assistant", "content": [{"text": "Because."}]}},
        "quality": {"minimum": 0.0, "served": 1.0},
        "attempts_total": 1,
        "metadata": {},
    }
    ask = Claim(
        job=job, owner="w", nonce="n", doorbell="m", lease_s=60, digest="", sent_at=time.time()
    )
    ending = Ending(
        state=State.ANSWERED,
        attempts=1,
        parks=0,
        interruptions=0,
        crashes=0,
        result=orjson.dumps(told),
    )
    async with session.client("dynamodb") as dynamodb:
        ledger = DynamoLedger(dynamodb, resources.table, skew_s=2, keep_s=3600)
        held = await ledger.claim(ask)
        assert isinstance(held, Record)
        await ledger.finish(held, ending)


def test_these_tests_run_on_what_aioboto3_brings() -> None:
    assert aiobotocore.__version__.startswith("2.")


def test_a_job_is_submitted_and_waited_for() -> None:
    async def scene() -> str | None:
        session = aioboto3.Session()
        async with producer(session) as (client, resources):
            job_id = await client.submit("Why is the sky blue?", tenant="acme")
            await answer_it(session, resources, job_id)
            return (await client.wait(job_id, timeout_s=30)).text

    assert asyncio.run(scene()) == "Because."


def test_large_and_small_jobs_are_submitted_together() -> None:
    async def scene() -> list[Any]:
        async with producer(aioboto3.Session()) as (client, _):
            return await client.submit_many(["small", "large " * 100_000] * 8)

    assert all(isinstance(outcome, Submitted) for outcome in asyncio.run(scene()))
