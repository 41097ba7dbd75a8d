"""Which rights lack: each action is tried in a form that can do nothing.

    sqs:ReceiveMessage               for 11 messages, one more than SQS gives
    sqs:DeleteMessage, Change…       by a receipt that is none
    sqs:SendMessage                  as a batch of none
    dynamodb:PutItem, UpdateItem     under a condition that contradicts itself
    dynamodb:Get…, Query             of a key that nobody has
    s3:GetObject                     of a key that nobody has
    s3:PutObject                     as a part of an upload that nobody began
    states:SendTaskSuccess, …Failure by a token that is none

A service that asks for the right first, as SQS says of itself, and then refuses the form,
has not denied it; more cannot be told without an effect. Unlike a simulation of policies,
it takes everything in: boundaries, organisation, endpoint, bucket.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from botocore.exceptions import ClientError

from worker.aws.trouble import FOREIGN, code_of
from worker.cli.doctor.asking import granting, is_denied, is_missing, trouble_of
from worker.cli.doctor.finding import Finding, green, red, yellow
from worker.cli.doctor.place import Place
from worker.cli.doctor.tables import TableKind

NOBODY: Final = "doctor-asks-whether-it-may"  # a receipt, a key, a job's id that nobody has
NEVER: Final = "attribute_exists(#key) AND attribute_not_exists(#key)"
# Refused by SQS, and by what takes its place at a desk, some of which read 0 as 1. Were it
# not, no message would be hidden from workers.
TOO_MANY: Final = 11
_BUSY: Final = frozenset({"RequestLimitExceeded", "SlowDown"})

Try = Callable[[], Awaitable[object]]


class Leave(StrEnum):
    """What a try tells of a right."""

    GIVEN = "given"
    DENIED = "denied"
    UNKNOWN = "unknown"


def of_queue(sqs: Any, url: str, *, receives: bool, sends: bool) -> dict[str, Try]:
    """What a worker does with a queue."""
    tries: dict[str, Try] = {}
    if receives:
        tries |= {
            "sqs:ReceiveMessage": partial(
                sqs.receive_message,
                QueueUrl=url,
                MaxNumberOfMessages=TOO_MANY,
                WaitTimeSeconds=0,
                VisibilityTimeout=0,
            ),
            "sqs:DeleteMessage": partial(sqs.delete_message, QueueUrl=url, ReceiptHandle=NOBODY),
            "sqs:ChangeMessageVisibility": partial(
                sqs.change_message_visibility,
                QueueUrl=url,
                ReceiptHandle=NOBODY,
                VisibilityTimeout=0,
            ),
        }
    if sends:
        tries["sqs:SendMessage"] = partial(sqs.send_message_batch, QueueUrl=url, Entries=[])
    return tries


def of_table(dynamodb: Any, name: str, kind: TableKind) -> dict[str, Try]:
    """What a worker does with a table."""
    key = {part: {"S": NOBODY} for part, _ in kind.keys}
    first = kind.keys[0][0]
    never: dict[str, Any] = {
        "TableName": name,
        "ConditionExpression": NEVER,
        "ExpressionAttributeNames": {"#key": first},
    }
    tries: Mapping[str, Try] = {
        "GetItem": partial(dynamodb.get_item, TableName=name, Key=key),
        "BatchGetItem": partial(dynamodb.batch_get_item, RequestItems={name: {"Keys": [key]}}),
        "Query": partial(
            dynamodb.query,
            TableName=name,
            KeyConditionExpression="#key = :nobody",
            ExpressionAttributeNames={"#key": first},
            ExpressionAttributeValues={":nobody": {"S": NOBODY}},
            Limit=1,
        ),
        "PutItem": partial(dynamodb.put_item, Item=key, **never),
        "UpdateItem": partial(dynamodb.update_item, Key=key, **never),
    }
    return {f"dynamodb:{action}": tries[action] for action in kind.rights}


def of_bucket(s3: Any, name: str, *, writes: bool) -> dict[str, Try]:
    """What a worker does with a bucket."""
    tries: dict[str, Try] = {"s3:GetObject": partial(s3.get_object, Bucket=name, Key=NOBODY)}
    if writes:
        tries["s3:PutObject"] = partial(
            s3.upload_part, Bucket=name, Key=NOBODY, UploadId=NOBODY, PartNumber=1, Body=b""
        )
    return tries


def of_tasks(tasks: Any) -> dict[str, Try]:
    """What a worker does with tasks of state machines."""
    return {
        "states:SendTaskSuccess": partial(tasks.send_task_success, taskToken=NOBODY, output="{}"),
        "states:SendTaskFailure": partial(
            tasks.send_task_failure, taskToken=NOBODY, error="", cause=""
        ),
    }


async def rights(
    of: str, tries: Mapping[str, Try], arn: str, place: Place, *, causes: str, listed: bool = True
) -> list[Finding]:
    """What is denied of it.

    Args:
        of: What is worked with: `queue chat-jobs`.
        tries: The actions, and how each is tried.
        arn: What a statement must name.
        place: Who asks.
        causes: What follows for workers that lack one.
        listed: Whether S3 would tell a key that is not there from one that is denied. Only
            those who may list a bucket are told.
    """
    service = next(iter(tries)).partition(":")[0]
    told = await asyncio.gather(*(_leave(ask, service, place) for ask in tries.values()))
    found = dict(zip(tries, told, strict=True))
    common = [trouble for _, trouble in told if trouble is not None]
    denied = tuple(action for action, (leave, _) in found.items() if leave is Leave.DENIED)
    unsure = () if listed else tuple(a for a in denied if a == "s3:GetObject")
    sure = tuple(action for action in denied if action not in unsure)
    if all(leave is Leave.GIVEN for leave, _ in told):
        return [green(of, f"not denied: {', '.join(action.partition(':')[2] for action in tries)}")]
    return [*common, *_lacking(of, sure, causes, arn, place), *_unsure(of, unsure, place)]


def _lacking(
    of: str, denied: tuple[str, ...], causes: str, arn: str, place: Place
) -> Iterator[Finding]:
    if denied:
        yield red(
            of,
            f"the right to {of} lacks: {', '.join(denied)} is denied.",
            f"{causes} Or whoever runs this is not the worker's role.",
            *granting(denied, (arn,), place),
        )


def _unsure(of: str, actions: tuple[str, ...], place: Place) -> Iterator[Finding]:
    if actions:
        bucket = (place.bucket_arn(of.rpartition(" ")[2]),)
        yield yellow(
            of,
            f"whether {', '.join(actions)} is allowed on {of} cannot be told.",
            "Without s3:ListBucket, S3 denies what is not there.",
            *granting(("s3:ListBucket",), bucket, place),
        )


async def _leave(ask: Try, service: str, place: Place) -> tuple[Leave, Finding | None]:
    try:
        await ask()
    except FOREIGN as error:
        code = code_of(error)
        if is_denied(code, service):
            return Leave.DENIED, None
        if is_missing(code, service):
            return Leave.UNKNOWN, None  # told where the thing itself is looked at
        if (trouble := trouble_of(error, service, place)) is not None:
            return Leave.UNKNOWN, trouble
        if not _was_refused_for_its_form(error, code):
            return Leave.UNKNOWN, yellow(
                f"rights {service}",
                f"{service} did not say whether we may: {code}.",
                "Some rights are not known.",
                "Ask again.",
            )
    return Leave.GIVEN, None


def _was_refused_for_its_form(error: BaseException, code: str) -> bool:
    """Whether the service got so far as to look at what was asked."""
    if not isinstance(error, ClientError) or "Throttl" in code or code in _BUSY:
        return False
    http: int = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    if http in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):  # whatever its code says
        return False
    return HTTPStatus.BAD_REQUEST <= http < HTTPStatus.INTERNAL_SERVER_ERROR
