"""The desk at which dead letters are reviewed, with its services behind it."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError

from worker.aws.breakers import DynamoBreakers
from worker.aws.dead_letters import DynamoDeadLetters
from worker.aws.ledger import DynamoLedger
from worker.aws.payloads import S3Payloads
from worker.aws.sqs import SqsQueue
from worker.cli import dead_text as text
from worker.cli.breaker import policies_of
from worker.cli.check import loaded
from worker.ops.dead_desk import DeadDesk, DeadLane
from worker.ops.desk import Desk, Misused
from worker.ports import Unavailable
from worker.settings import Settings, SettingsError

# A request that is repeated does no harm: claims have their nonce, all else is the same twice.
_CONFIG: Final = AioConfig(
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 3},
)


def at_desk(config: Path | None, act: Callable[[DeadDesk], Awaitable[int]]) -> int:
    """Do something at the desk; 2 if it was asked wrongly, or nothing could be asked."""
    try:
        settings = loaded(config).settings
    except SettingsError as error:
        return _wrong(str(error))
    try:
        return asyncio.run(_open(settings, act))
    except Misused as error:
        return _wrong(f"{error}.")
    except Unavailable as error:
        return _wrong(text.unavailable(error, settings.ledger_table))
    except BotoCoreError as error:  # the SDK could not even make a client
        wrong = Unavailable("ledger", type(error).__name__, local=True)
        return _wrong(text.unavailable(wrong, settings.ledger_table))


async def _open(settings: Settings, act: Callable[[DeadDesk], Awaitable[int]]) -> int:
    session = get_session()
    async with (
        session.create_client("sqs", config=_CONFIG) as sqs,
        session.create_client("dynamodb", config=_CONFIG) as dynamodb,
        session.create_client("s3", config=_CONFIG) as s3,
    ):
        bucket, keep_s = settings.payloads.bucket, settings.ledger.keep_s
        circuit = None
        if settings.breaker.shared:
            circuit = Desk(
                store=DynamoBreakers(dynamodb, settings.breakers_table, service=settings.service),
                policies=policies_of(settings),
                at=time.time,
            )
        desk = DeadDesk(
            ledger=DynamoLedger(
                dynamodb,
                settings.ledger_table,
                skew_s=settings.queue.clock_skew_s,
                keep_s=keep_s,
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
            circuit=circuit,
            limits=settings.limits(),
            routes=settings.all_routes(),
            replies=frozenset(settings.replies),
            payloads=S3Payloads(s3, bucket) if bucket else None,
            at=time.time,
        )
        return await act(desk)


def say(message: str) -> None:
    """Tell the person, beside the results."""
    print(message, file=sys.stderr)


def _wrong(message: str) -> int:
    say(message)
    return 2
