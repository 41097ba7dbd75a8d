"""The peers: what a careful engineer would write by hand with aiobotocore, and no more.

    bare       receive 10, Converse, delete 10
    pipeline   the same, with two conditional UpdateItem calls per job around Converse

Both use the stock client settings but for the connection pool, which has room
for every slot: on the default pool of 10 the slots would wait for each other.
Neither retries, renews a lease, nor tells a metric.

    python -m bench.peers bare --slots 100
"""

import argparse
import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from bench.scene import MAX_TOKENS, MODEL

BATCH: Final = 10


class Peer:
    """One process of `slots` jobs at a time."""

    def __init__(self, sqs: Any, bedrock: Any, dynamodb: Any | None) -> None:
        self._sqs = sqs
        self._bedrock = bedrock
        self._dynamodb = dynamodb
        self._queue = os.environ["BENCH_QUEUE_URL"]
        self._table = os.environ["BENCH_TABLE"]
        self._owner = uuid.uuid4().hex

    async def loop(self) -> None:
        """Take ten, work on them side by side, delete the ten."""
        while True:
            answer = await self._sqs.receive_message(
                QueueUrl=self._queue,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=20,
                VisibilityTimeout=90,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )
            messages = answer.get("Messages", [])
            if not messages:
                continue
            await asyncio.gather(*(self._work(message) for message in messages))
            entries = [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages)
            ]
            await self._sqs.delete_message_batch(QueueUrl=self._queue, Entries=entries)

    async def _work(self, message: Mapping[str, Any]) -> None:
        job = orjson.loads(message["Body"])
        if self._dynamodb is None:
            await self._call(job["prompt"])
            return
        nonce = uuid.uuid4().hex
        await self._claim(message, nonce)
        answer = await self._call(job["prompt"])
        await self._finish(message["MessageId"], nonce, answer)

    async def _call(self, prompt: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self._bedrock.converse(
            modelId=MODEL,
            messages=[{"role": "user", "content": [{"text": prompt}]}],
            inferenceConfig={"maxTokens": MAX_TOKENS},
        )
        return answer

    async def _claim(self, message: Mapping[str, Any], nonce: str) -> None:
        assert self._dynamodb is not None
        await self._dynamodb.update_item(
            TableName=self._table,
            Key={"job": {"S": message["MessageId"]}},
            UpdateExpression=(
                "SET #s = :running, #o = :owner, nonce = :nonce, lease_until = :lease, "
                "fence = if_not_exists(fence, :zero) + :one, "
                "attempts = if_not_exists(attempts, :zero) + :one, sent_at = :sent"
            ),
            ConditionExpression="attribute_not_exists(#s) OR #s IN (:queued, :parked)",
            ExpressionAttributeNames={"#s": "state", "#o": "owner"},
            ExpressionAttributeValues={
                ":running": {"S": "running"},
                ":queued": {"S": "queued"},
                ":parked": {"S": "parked"},
                ":owner": {"S": self._owner},
                ":nonce": {"S": nonce},
                ":lease": {"N": str(int(time.time()) + 90)},
                ":sent": {"N": message["Attributes"]["SentTimestamp"]},
                ":zero": {"N": "0"},
                ":one": {"N": "1"},
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    async def _finish(self, job: str, nonce: str, answer: Mapping[str, Any]) -> None:
        assert self._dynamodb is not None
        result = {
            "v": 1,
            "job_id": job,
            "status": "ok",
            "output": answer["output"],
            "usage": answer["usage"],
        }
        await self._dynamodb.update_item(
            TableName=self._table,
            Key={"job": {"S": job}},
            UpdateExpression="SET #s = :state, #r = :result, finished_at = :at, expires_at = :ttl",
            ConditionExpression="nonce = :nonce AND #s = :running",
            ExpressionAttributeNames={"#s": "state", "#r": "result"},
            ExpressionAttributeValues={
                ":state": {"S": "answered"},
                ":running": {"S": "running"},
                ":nonce": {"S": nonce},
                ":result": {"S": orjson.dumps(result).decode()},
                ":at": {"N": str(int(time.time()))},
                ":ttl": {"N": str(int(time.time()) + 604_800)},
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )


async def run(kind: str, slots: int) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    session, config = get_session(), AioConfig(max_pool_connections=slots)
    async with AsyncExitStack() as stack:
        sqs = await stack.enter_async_context(session.create_client("sqs", config=config))
        bedrock = await stack.enter_async_context(
            session.create_client("bedrock-runtime", config=config)
        )
        dynamodb = None
        if kind == "pipeline":
            dynamodb = await stack.enter_async_context(
                session.create_client("dynamodb", config=config)
            )
        peer = Peer(sqs, bedrock, dynamodb)
        loops = [asyncio.create_task(peer.loop()) for _ in range(slots // BATCH)]
        stopped = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, *loops):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert stopped in ended, "a loop ended before it was told to"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["bare", "pipeline"])
    parser.add_argument("--slots", type=int, default=100)
    args = parser.parse_args()
    asyncio.run(run(args.kind, args.slots))


if __name__ == "__main__":
    main()
