"""`inference-worker status`: how the fleet stands, in two seconds.

Exit codes: 0 all is well, 1 something is wrong or could not be read, 2 used wrongly.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from aiobotocore.config import AioConfig

from worker.aws.depths import depth
from worker.aws.ledger import DynamoLedger
from worker.cli.breaker import desk_of
from worker.cli.check import loaded
from worker.cli.clients import Unopened, clients
from worker.cli.doctor.asking import unasked
from worker.cli.in_time import left, run
from worker.ops.status import LIMIT_S, Sources, Status, status
from worker.ops.waiting import Lane
from worker.runtime.gates import endpoint_of
from worker.settings import Loaded, SettingsError
from worker.words.status import status as text

# Whoever waits for it is in a hurry: what does not answer at once is told as such.
HURRIED: Final = AioConfig(
    connect_timeout=0.8,
    read_timeout=1,
    max_pool_connections=50,
    retries={"mode": "standard", "total_max_attempts": 1},
)
OPEN_S: Final = 0.8  # for the clients, whose credentials may have to be fetched
_NOBODY: Final = "status-asks-whether-the-table-answers"  # a job's id that nobody has


def show(config: Path | None, *, why: bool, as_json: bool) -> int:
    """Print how the fleet stands; 0 if all is well."""
    try:
        ours = loaded(config)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        found = run(_asked(ours), OPEN_S + LIMIT_S)
    except Unopened as error:
        print(error, file=sys.stderr)
        return left(2)
    except TimeoutError as error:  # credentials that do not come
        print(unasked(error), file=sys.stderr)
        return left(2)
    if as_json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        print(text(found, why=why))
    return left(0 if found.calm else 1)


async def _asked(ours: Loaded) -> Status:
    async with clients(HURRIED, "dynamodb", "sqs") as made:
        return await status(sources_of(ours, made["dynamodb"], made["sqs"]))


def sources_of(ours: Loaded, dynamodb: Any, sqs: Any) -> Sources:
    """Whom to ask, behind clients that are in a hurry."""
    settings = ours.settings
    ledger = DynamoLedger(
        dynamodb,
        settings.ledger_table,
        skew_s=settings.queue.clock_skew_s,
        keep_s=settings.ledger.keep_s,
    )
    lanes = tuple(
        Lane(
            name=lane.name,
            routes=tuple(lane.routes),
            queues={
                "jobs": partial(depth, sqs, lane.url),
                "parked": partial(depth, sqs, lane.parked_url),
                "dead": partial(depth, sqs, lane.dead_url),
            },
        )
        for lane in settings.all_lanes()
    )
    return Sources(
        desk=desk_of(ours, dynamodb) if settings.breaker.shared else None,
        ledger=lambda: ledger.load([_NOBODY]),
        lanes=lanes,
        routes=tuple(settings.all_routes().values()),
        endpoints={t.name: endpoint_of(t) for t in settings.all_targets().values()},
        at=time.time,
    )
