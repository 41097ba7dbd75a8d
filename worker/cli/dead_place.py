"""The desk at which dead letters are reviewed, with its services behind it."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiobotocore.config import AioConfig

from worker.aws.dead_letters import DynamoDeadLetters
from worker.aws.ledger import DynamoLedger
from worker.aws.payloads import S3Payloads
from worker.aws.sqs import SqsQueue
from worker.cli.breaker import desk_of
from worker.cli.check import loaded
from worker.cli.clients import Unopened, clients
from worker.ops.dead_desk import DeadDesk, DeadLane
from worker.ops.desk import Misused
from worker.ports import Unavailable
from worker.settings import Loaded, SettingsError
from worker.words import dead as text

# A request that is repeated does no harm: claims have their nonce, all else is the same twice.
PATIENT: Final = AioConfig(
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 3},
)


def at_desk(config: Path | None, act: Callable[[DeadDesk], Awaitable[int]]) -> int:
    """Do something at the desk; 2 if it was asked wrongly, or nothing could be asked."""
    try:
        ours = loaded(config)
    except SettingsError as error:
        return _wrong(str(error))
    try:
        return asyncio.run(_open(ours, act))
    except Misused as error:
        return _wrong(f"{error}.")
    except Unavailable as error:
        return _wrong(text.unavailable(error, ours.settings.ledger_table))
    except Unopened as error:
        return _wrong(str(error))


async def _open(ours: Loaded, act: Callable[[DeadDesk], Awaitable[int]]) -> int:
    async with clients(PATIENT, "sqs", "dynamodb", "s3") as made:
        return await act(dead_desk_of(ours, **made))


def dead_desk_of(ours: Loaded, *, sqs: Any, dynamodb: Any, s3: Any) -> DeadDesk:
    """Where an operator reviews dead letters whose settings these are."""
    settings = ours.settings
    bucket, keep_s = settings.payloads.bucket, settings.ledger.keep_s
    return DeadDesk(
        ledger=DynamoLedger(
            dynamodb, settings.ledger_table, skew_s=settings.queue.clock_skew_s, keep_s=keep_s
        ),
        index=DynamoDeadLetters(dynamodb, settings.ledger_table, keep_s=keep_s),
        lanes=tuple(
            DeadLane(
                name=lane.name,
                jobs=SqsQueue(sqs, sqs, lane.url),
                dead=SqsQueue(sqs, sqs, lane.dead_url, every_attribute=True),
                routes=frozenset(lane.routes),
                parked=SqsQueue(sqs, sqs, lane.parked_url).name,
            )
            for lane in settings.all_lanes()
        ),
        circuit=desk_of(ours, dynamodb) if settings.breaker.shared else None,
        limits=settings.limits(),
        routes=settings.all_routes(),
        replies=frozenset(settings.replies),
        task_tokens=settings.task_tokens,
        payloads=S3Payloads(s3, bucket) if bucket else None,
        at=time.time,
    )


def say(message: str) -> None:
    """Tell the person, beside the results."""
    print(message, file=sys.stderr)


def _wrong(message: str) -> int:
    say(message)
    return 2
