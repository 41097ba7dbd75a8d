"""A whole worker on an `aioboto3.Session`: run by `.ci/aioboto3`, against a stack outside."""

import asyncio
from uuid import uuid4

import aioboto3
from aiobotocore.session import get_session

from worker.client import Client, Result
from worker.local.resources import create_resources
from worker.runtime.supervisor import Drain
from worker.settings import load
from worker.wiring import serve

PROMPTS = ["Why is the sky blue?", "long story " * 40_000]


def test_a_worker_takes_answers_and_leaves_on_aioboto3() -> None:
    async def scene() -> tuple[list[Result], Drain]:
        session, stop = aioboto3.Session(), asyncio.Event()
        resources = await create_resources(get_session(), f"aioboto3-{uuid4().hex[:8]}")
        settings = load(
            {
                "WORKER_QUEUE__URL": resources.jobs_url,
                "WORKER_QUEUE__WAIT_S": "1",
                "WORKER_LEDGER__TABLE": resources.table,
                "WORKER_PAYLOADS__BUCKET": resources.bucket,
                "WORKER_MODEL__ID": "amazon.nova-lite-v1:0",
            }
        )
        worker = asyncio.create_task(serve(settings, stop=stop, session=session))
        async with Client.open(
            resources.jobs_url, resources.table, bucket=resources.bucket, session=session
        ) as client:
            sent = [await client.submit(prompt) for prompt in PROMPTS]
            results = [result async for result in client.as_completed(sent, timeout_s=60)]
        stop.set()
        return results, await worker

    results, drain = asyncio.run(scene())

    assert [result.status for result in results] == ["ok", "ok"]
    assert all(result.text for result in results)
    assert drain is Drain.CLEAN
