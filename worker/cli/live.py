"""`check --live`: whether queues, table and bucket are there, and as a worker needs them.

Reads attributes and changes nothing. What is missing is told with the command
that mends it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from worker.aws.dead_letters import DEAD_INDEX_KEYS, dead_index, index_command
from worker.settings import Lane, Problem, Settings

RECEIVES_MIN: Final = 20
MESSAGE_BYTES: Final = 1_048_576
_CONFIG: Final = AioConfig(
    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2}
)
_MISSING: Final = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "NoSuchBucket",
        "404",
    }
)
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "403", "AWS.SimpleQueueService.AccessDenied"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableKind:
    """What a table of ours must be: its keys, and what to say where it is not."""

    keys: tuple[tuple[str, str], ...]
    setting: str
    causes: str
    keeps: str
    index: Mapping[str, Any] | None = None  # the one that people's commands ask

    @property
    def named(self) -> str:
        """Its key, for a sentence."""
        return " and ".join(f"`{name}`" for name, _ in self.keys)

    @property
    def definitions(self) -> str:
        """For `--attribute-definitions`."""
        kinds = dict.fromkeys((name for name, _ in self.keys), "S")
        kinds |= DEAD_INDEX_KEYS if self.index else {}
        return " ".join(f"AttributeName={name},AttributeType={k}" for name, k in kinds.items())

    @property
    def schema(self) -> str:
        """For `--key-schema`."""
        return " ".join(f"AttributeName={name},KeyType={kind}" for name, kind in self.keys)

    @property
    def indexes(self) -> str:
        """What makes its index with it, "" for none."""
        given = orjson.dumps([self.index]).decode()
        return f" --global-secondary-indexes '{given}'" if self.index else ""


LEDGER: Final = TableKind(
    keys=(("job", "HASH"),),
    setting="WORKER_LEDGER__TABLE",
    causes="No job could be claimed.",
    keeps="finished jobs",
    index=dead_index(),
)
BREAKERS: Final = TableKind(
    keys=(("pk", "HASH"), ("sk", "RANGE")),
    setting="WORKER_BREAKER__TABLE",
    causes="Each process would decide alone when to stop calling a model.",
    keeps="the history of circuits",
)


CACHE: Final = TableKind(
    keys=(("key", "HASH"),),
    setting="WORKER_CACHE__TABLE",
    causes="Nothing could be answered from the cache.",
    keeps="cached answers",
)


async def look(settings: Settings) -> tuple[Problem, ...]:
    """What the cloud lacks."""
    session = get_session()
    try:
        async with (
            session.create_client("sqs", config=_CONFIG) as sqs,
            session.create_client("dynamodb", config=_CONFIG) as dynamodb,
            session.create_client("s3", config=_CONFIG) as s3,
        ):
            lanes = settings.all_lanes()
            looks = [_lane(sqs, lane) for lane in lanes]
            looks += [_queue(sqs, url, "reply") for url in settings.replies.values()]
            looks.append(_table(dynamodb, settings.ledger_table, LEDGER))
            if settings.breaker.shared:
                looks.append(_table(dynamodb, settings.breakers_table, BREAKERS))
            if settings.cache_table:
                looks.append(_table(dynamodb, settings.cache_table, CACHE))
            if settings.payloads.bucket:
                looks.append(_bucket(s3, settings.payloads.bucket))
            found = await asyncio.gather(*looks)
    except (BotoCoreError, ClientError) as error:
        return (unasked(error),)
    return tuple(problem for some in found for problem in some)


async def _lane(sqs: Any, lane: Lane) -> tuple[Problem, ...]:
    roles = {"jobs": lane.url, "parked": lane.parked_url, "dead-letter": lane.dead_url}
    found = await asyncio.gather(*(_queue(sqs, url, role, lane) for role, url in roles.items()))
    return tuple(problem for some in found for problem in some)


async def _queue(sqs: Any, url: str, role: str, lane: Lane | None = None) -> tuple[Problem, ...]:
    async def ask() -> tuple[Problem, ...]:
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        dead = lane.dead_url if lane and role in ("jobs", "parked") else None
        return queue_problems(url, role, answer.get("Attributes", {}), dead_url=dead)

    name = url.rpartition("/")[2]
    return await _asked(
        ask,
        what=f"the {role} queue {name}",
        right="sqs:GetQueueAttributes",
        fix=f"aws sqs create-queue --queue-name {name}",
    )


def queue_problems(
    url: str, role: str, attributes: Mapping[str, str], *, dead_url: str | None
) -> tuple[Problem, ...]:
    """What is wrong with a queue that is there; `dead_url` is where its crashes should go."""
    name = url.rpartition("/")[2]
    found = []
    if int(attributes.get("MaximumMessageSize", MESSAGE_BYTES)) < MESSAGE_BYTES:
        found.append(
            Problem(
                wrong=f"the {role} queue {name} takes small messages only.",
                facts=(("MaximumMessageSize", attributes["MaximumMessageSize"]),),
                advice="Large jobs could not be parked or dead-lettered with their story.",
                run=f"aws sqs set-queue-attributes --queue-url {url} "
                f"--attributes MaximumMessageSize={MESSAGE_BYTES}",
                fatal=False,
            )
        )
    if dead_url is None:
        return tuple(found)
    policy = orjson.loads(attributes.get("RedrivePolicy") or "{}")
    dead = dead_url.rpartition("/")[2]
    receives = int(policy.get("maxReceiveCount", 0))
    if not policy or 0 < receives < RECEIVES_MIN:
        arn = attributes.get("QueueArn", "arn:aws:sqs:<region>:<account>:x").rpartition(":")[0]
        wanted = orjson.dumps({"deadLetterTargetArn": f"{arn}:{dead}", "maxReceiveCount": "100"})
        fix = orjson.dumps({"RedrivePolicy": wanted.decode()}).decode()
        found.append(
            Problem(
                wrong=f"the {role} queue {name} gives up too early."
                if policy
                else f"the {role} queue {name} never gives up.",
                facts=(("maxReceiveCount", str(receives) if policy else "none"),),
                advice="SQS would move waiting jobs to the dead-letter queue, without a reason."
                if policy
                else "A message that kills every worker would come back for ever.",
                run=f"aws sqs set-queue-attributes --queue-url {url} --attributes '{fix}'",
                fatal=bool(policy),
            )
        )
    return tuple(found)


async def _table(dynamodb: Any, name: str, kind: TableKind) -> tuple[Problem, ...]:
    async def ask() -> tuple[Problem, ...]:
        table = (await dynamodb.describe_table(TableName=name))["Table"]
        ttl = (await dynamodb.describe_time_to_live(TableName=name)).get(
            "TimeToLiveDescription", {}
        )
        return table_problems(name, table, ttl, kind)

    return await _asked(
        ask,
        what=f"the table {name}",
        right="dynamodb:DescribeTable and dynamodb:DescribeTimeToLive",
        fix=f"aws dynamodb create-table --table-name {name} "
        f"--attribute-definitions {kind.definitions} --key-schema {kind.schema} "
        f"--billing-mode PAY_PER_REQUEST{kind.indexes}",
    )


def table_problems(
    name: str, table: Mapping[str, Any], ttl: Mapping[str, Any], kind: TableKind = LEDGER
) -> tuple[Problem, ...]:
    """What is wrong with a table that is there."""
    found = []
    keys = {(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]}
    if keys != set(kind.keys):
        found.append(
            Problem(
                wrong=f"the table {name} has another key than {kind.named}.",
                advice=f"{kind.causes} Name a table of ours in {kind.setting}; "
                "the key of a table cannot be changed.",
            )
        )
    if ttl.get("AttributeName") != "ttl" or ttl.get("TimeToLiveStatus") == "DISABLED":
        found.append(
            Problem(
                wrong=f"the table {name} keeps {kind.keeps} for ever.",
                advice="It would grow without end.",
                run=f"aws dynamodb update-time-to-live --table-name {name} "
                "--time-to-live-specification Enabled=true,AttributeName=ttl",
                fatal=False,
            )
        )
    indexes = {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", ())}
    ours = keys == set(kind.keys)
    if ours and kind.index is not None and kind.index["IndexName"] not in indexes:
        found.append(
            Problem(
                wrong=f"the table {name} has no index `{kind.index['IndexName']}`.",
                advice="Workers do without; `inference-worker dead` could not list dead letters.",
                run=index_command(name),
                fatal=False,
            )
        )
    return tuple(found)


async def _bucket(s3: Any, name: str) -> tuple[Problem, ...]:
    async def ask() -> tuple[Problem, ...]:
        await s3.head_bucket(Bucket=name)
        return ()

    return await _asked(
        ask, what=f"the bucket {name}", right="s3:ListBucket", fix=f"aws s3 mb s3://{name}"
    )


async def _asked(
    ask: Callable[[], Awaitable[tuple[Problem, ...]]], *, what: str, right: str, fix: str
) -> tuple[Problem, ...]:
    try:
        return await ask()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            return (Problem(wrong=f"{what} does not exist.", advice="Make it:", run=fix),)
        if code not in _DENIED:
            return (Problem(wrong=f"{what} cannot be looked at: {code}."),)
        return (
            Problem(
                wrong=f"{what} cannot be looked at.",
                advice=f"Whoever runs this check lacks {right}; the worker may not need it.",
                fatal=False,
            ),
        )


def unasked(error: Exception) -> Problem:
    """What to do where the SDK could not even ask."""
    name = type(error).__name__
    fixes = {
        "NoRegionError": "Set AWS_DEFAULT_REGION.",
        "TimeoutError": "Credentials took too long to come; is whoever gives them there?",
        "NoCredentialsError": "Run it where the worker runs, or sign in: aws sso login.",
        "EndpointConnectionError": "Nobody answers at the endpoint; is the network there, and is "
        "AWS_ENDPOINT_URL_SQS (or _DYNAMODB, _S3) what it should be?",
    }
    return Problem(wrong=f"AWS cannot be asked: {name}.", advice=fixes.get(name, ""))
