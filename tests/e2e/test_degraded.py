"""A whole worker on the local stack: answers go into the table, and come out in an outage."""

import asyncio
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from aiobotocore.session import get_session

from worker.client import Client, Result
from worker.degraded import Context, DegradedAnswer, Job
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Fail
from worker.local.resources import create_resources
from worker.local.stack import LocalStack
from worker.settings import Settings
from worker.wiring import serve

MODEL = "amazon.nova-lite-v1:0"


async def sorry(job: Job, context: Context) -> DegradedAnswer | None:
    return DegradedAnswer.saying(f"Sorry, {job.tenant}: {context.reason}.")


async def play() -> list[Result]:
    async with LocalStack() as stack:
        with patch.dict("os.environ", stack.environment()):
            made = await create_resources(get_session(), f"degraded-{uuid4().hex[:8]}")
            given: Any = dict(  # noqa: C408 - reads as the settings do
                queue={"url": made.jobs_url, "wait_s": 1},
                model={"id": MODEL, "quality": 0.9},
                ledger={"table": made.table},
                breaker={"shared": False},
                cache={"table": made.cache_table},
                degraded={"before": {"kind": "cache"}, "sorry": {"kind": "plugin"}},
                routes={
                    "default": {
                        "targets": ["default"],
                        "degraded": ["before", "sorry"],
                        "on_open": "degrade",
                        "upgrade_later": True,
                    }
                },
                retry={"attempts": 1},
            )
            settings = Settings(**given)
            stop = asyncio.Event()
            worker = asyncio.create_task(serve(settings, stop=stop, handlers={"sorry": sorry}))
            try:
                async with Client.open(made.jobs_url, made.table) as client:

                    async def asked(tenant: str) -> Result:
                        job = await client.submit({"prompt": "Why?", "tenant": tenant})
                        return await client.wait(job, timeout_s=60)

                    stack.bedrock.set_mood(Mood(text="Because."))
                    well = await asked("acme")
                    async with asyncio.timeout(30):
                        while not await kept(made.cache_table):
                            await asyncio.sleep(0.05)
                    down = Mood(chances=(Chance(1.0, Fail("ServiceUnavailableException")),))
                    stack.bedrock.set_mood(down)
                    again, other = await asked("acme"), await asked("other")
                    stack.bedrock.set_mood(Mood(text="Because indeed."))
                    return [well, again, other, await client.upgrade(other.job_id, timeout_s=120)]
            finally:
                stop.set()
                await worker


async def kept(table: str) -> int:
    async with get_session().create_client("dynamodb") as dynamodb:
        count: int = (await dynamodb.scan(TableName=table))["Count"]
        return count


def test_a_worker_answers_from_its_cache_then_by_its_plugin_and_later_by_its_model() -> None:
    well, again, other, better = asyncio.run(play())

    assert (well.status, well.text, well.quality) == ("ok", "Because.", 0.9)
    assert (again.status, again.text, again.quality) == ("degraded", "Because.", 0.9)
    assert again.envelope["degraded"]["handler"] == "before"
    assert again.notice.endswith("it may be out of date.")
    # Another tenant's answer is not his.
    assert (other.status, other.quality) == ("degraded", 0.5)
    assert other.text == "Sorry, other: unavailable."
    # The model is as good as what the first one got from the cache, and better than a handler.
    assert other.will_upgrade
    assert (better.status, better.text, better.upgrades) == ("ok", "Because indeed.", other.job_id)
