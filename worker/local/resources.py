"""The queues, the tables and the bucket that a worker needs, made ready.

For tests, the demo and `inference-worker local up`. In an AWS account these
resources belong to the deployment's template; this makes the same ones.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from worker.aws.dead_letters import DEAD_INDEX_KEYS, dead_index

_RETENTION_S: Final = 14 * 24 * 3600
_MESSAGE_MAX_BYTES: Final = 1024 * 1024
_CRASH_BACKSTOP: Final = 100
"""maxReceiveCount: only a job that crashes its workers comes so far."""


class Session(Protocol):
    """What is used of `aiobotocore.session.AioSession`."""

    def create_client(self, service_name: str, /, **kwargs: Any) -> Any:
        """An async context manager that yields a client."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where everything is. `replies_url` is None if no reply queue was asked for."""

    name: str
    jobs_url: str
    jobs_arn: str
    parked_url: str
    parked_arn: str
    dead_url: str
    dead_arn: str
    replies_url: str | None
    table: str
    breakers_table: str
    cache_table: str
    bucket: str


async def create_resources(
    session: Session,
    name: str,
    *,
    visibility_timeout_s: int = 90,
    replies: bool = False,
    endpoint_url: str | None = None,
) -> Resources:
    """Make `<name>-jobs`, `-parked`, `-dead`, `-replies`, the three tables and the bucket.

    What is there already is left as it is, so this may be called again.

    Args:
        session: An aiobotocore session with credentials and a Region.
        name: Lower-case letters, digits and hyphens; the bucket's name allows no more.
        visibility_timeout_s: How long a delivery is its receiver's.
        replies: Whether to make a reply queue too.
        endpoint_url: Where to make them; the SDK's own environment when None.

    Raises:
        botocore.exceptions.ClientError: A resource is there with other attributes,
            or cannot be made.
    """
    where = {} if endpoint_url is None else {"endpoint_url": endpoint_url}
    async with session.create_client("sqs", **where) as sqs:
        plain = {
            "MessageRetentionPeriod": str(_RETENTION_S),
            "MaximumMessageSize": str(_MESSAGE_MAX_BYTES),
            "VisibilityTimeout": str(visibility_timeout_s),
        }
        dead_url, dead_arn = await _queue(sqs, f"{name}-dead", plain)
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": _CRASH_BACKSTOP}
        backed = plain | {"RedrivePolicy": json.dumps(redrive)}
        jobs_url, jobs_arn = await _queue(sqs, f"{name}-jobs", backed)
        parked_url, parked_arn = await _queue(sqs, f"{name}-parked", backed)
        replies_url = (await _queue(sqs, f"{name}-replies", plain))[0] if replies else None
    async with session.create_client("dynamodb", **where) as dynamodb:
        await _table(dynamodb, f"{name}-jobs", "job", index=dead_index())
        await _table(dynamodb, f"{name}-breakers", "pk", "sk")
        await _table(dynamodb, f"{name}-cache", "key")
    async with session.create_client("s3", **where) as s3:
        await _bucket(s3, f"{name}-payloads")
    return Resources(
        name=name,
        jobs_url=jobs_url,
        jobs_arn=jobs_arn,
        parked_url=parked_url,
        parked_arn=parked_arn,
        dead_url=dead_url,
        dead_arn=dead_arn,
        replies_url=replies_url,
        table=f"{name}-jobs",
        breakers_table=f"{name}-breakers",
        cache_table=f"{name}-cache",
        bucket=f"{name}-payloads",
    )


async def _queue(sqs: Any, name: str, attributes: dict[str, str]) -> tuple[str, str]:
    made = await sqs.create_queue(QueueName=name, Attributes=attributes)
    url = made["QueueUrl"]
    asked = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, asked["Attributes"]["QueueArn"]


async def _table(
    dynamodb: Any, name: str, *keys: str, index: Mapping[str, Any] | None = None
) -> None:
    """Make a table; its `keys` are texts, the partition's first. `index` is of `dead_index`'s form.

    A table that is there gets no index: that takes time, and is an operator's to do.
    """
    kinds = dict.fromkeys(keys, "S") | (DEAD_INDEX_KEYS if index else {})
    indexed = {"GlobalSecondaryIndexes": [index]} if index else {}
    try:
        await dynamodb.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": key, "AttributeType": kind} for key, kind in kinds.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            **indexed,
        )
    except dynamodb.exceptions.ResourceInUseException:
        return
    await dynamodb.get_waiter("table_exists").wait(TableName=name)
    await dynamodb.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )


async def _bucket(s3: Any, name: str) -> None:
    region = s3.meta.region_name
    # us-east-1 is the one Region that must not be named.
    where = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    try:
        await s3.create_bucket(Bucket=name, **where)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
