"""That doctor changes nothing: by what it asks, and by what is there before and after."""

import json
from typing import Any

from tests.cli.doctor.room import MODEL, Room, in_room
from worker.cli.doctor.rights import NEVER, NOBODY
from worker.local import gateway
from worker.local.operations import operation_of

# What reads, whatever is asked.
READS = {
    "sts:POST",  # GetCallerIdentity
    "sqs:GetQueueAttributes",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:DescribeContinuousBackups",
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
    "s3:HeadBucket",
    "s3:GetBucketLifecycleConfiguration",
    "s3:GetPublicAccessBlock",
    "s3:GetObject",
}


def is_void(operation: str, path: str, body: bytes) -> bool:
    """Whether a request that could write is of the form that cannot."""
    given: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
    match operation:
        case "sqs:ReceiveMessage":
            return bool((given["MaxNumberOfMessages"], given["VisibilityTimeout"]) == (11, 0))
        case "sqs:DeleteMessage" | "sqs:ChangeMessageVisibility":
            return bool(given["ReceiptHandle"] == NOBODY)
        case "sqs:SendMessageBatch":
            return bool(given["Entries"] == [])
        case "dynamodb:PutItem" | "dynamodb:UpdateItem":
            return bool(given["ConditionExpression"] == NEVER) and "UpdateExpression" not in given
        case "states:SendTaskSuccess" | "states:SendTaskFailure":
            return bool(given["taskToken"] == NOBODY)
        case "s3:UploadPart":
            return f"uploadId={NOBODY}" in path and body == b""
        case _:
            return False


async def everything(room: Room) -> dict[str, Any]:
    """All that is there: attributes, messages with their counts, items, objects."""
    found: dict[str, Any] = {}
    for role in ("jobs", "parked", "dead", "replies"):
        url = getattr(room.there, f"{role}_url")
        told = await room.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        found[role] = told["Attributes"]
    for name in (room.there.table, room.there.breakers_table, room.there.cache_table):
        found[name] = (
            (await room.dynamodb.scan(TableName=name))["Items"],
            (await room.dynamodb.describe_table(TableName=name))["Table"],
            (await room.dynamodb.describe_time_to_live(TableName=name))["TimeToLiveDescription"],
        )
    bucket = room.there.bucket
    found[bucket] = [
        (one["Key"], one["ETag"], one["LastModified"])
        for one in (await room.s3.list_objects_v2(Bucket=bucket)).get("Contents", ())
    ]
    found["uploads"] = (await room.s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", [])
    return found


MORE = {"more": {"S": "that a write in its place would lose"}}


async def furnished(room: Room) -> None:
    """Jobs, records and payloads for doctor to leave alone."""
    for role in ("jobs", "parked", "dead"):
        for n in range(3):
            url = getattr(room.there, f"{role}_url")
            await room.sqs.send_message(QueueUrl=url, MessageBody=f"job {n}")
    await room.dynamodb.put_item(TableName=room.there.table, Item={"job": {"S": "j"}})
    await room.dynamodb.put_item(TableName=room.there.table, Item={"job": {"S": NOBODY}, **MORE})
    row = {"pk": {"S": NOBODY}, "sk": {"S": NOBODY}, **MORE}
    await room.dynamodb.put_item(TableName=room.there.breakers_table, Item=row)
    answer = {"key": {"S": NOBODY}, **MORE}
    await room.dynamodb.put_item(TableName=room.there.cache_table, Item=answer)
    await room.s3.put_object(Bucket=room.there.bucket, Key=NOBODY, Body=b"payload")


WHOLE = {
    "WORKER_DEGRADED__BEFORE__KIND": "cache",
    "WORKER_ROUTES__DEFAULT__TARGETS": "default",
    "WORKER_ROUTES__DEFAULT__DEGRADED": "before",
    "WORKER_CACHE__TABLE": "chat-cache",
    "WORKER_TASK_TOKENS": "true",
    "WORKER_PAYLOADS__ALLOWED_BUCKETS": "chat-others",
}


def test_only_what_reads_or_can_do_nothing_is_asked_and_nothing_is_other_than_before(
    monkeypatch: Any,
) -> None:
    asked: list[tuple[str, str, bytes]] = []
    real = gateway.Gateway.handle

    async def noted(self: Any, request: Any) -> Any:
        asked.append((operation_of(request), request.raw_path, await request.read()))
        return await real(self, request)

    async def story(room: Room) -> None:
        room.environ["WORKER_REPLIES__BILLING"] = room.there.replies_url or ""
        await room.s3.create_bucket(Bucket="chat-others")
        await furnished(room)
        before = await everything(room)
        asked.clear()

        report = await room.doctor()

        requests = list(asked)
        assert report.ok, report.findings
        strange = [r for r in requests if r[0] not in READS and not is_void(*r)]
        assert strange == []
        # Each action was asked for, or the proof would be of nothing.
        assert {operation for operation, _, _ in requests} - READS == {
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:SendMessageBatch",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "s3:UploadPart",
            "states:SendTaskSuccess",
            "states:SendTaskFailure",
        }
        assert await everything(room) == before

    monkeypatch.setattr(gateway.Gateway, "handle", noted)
    in_room(story, WHOLE, replies=True)


def test_dry_calls_ask_for_one_token_and_are_counted_and_left_out_on_request() -> None:
    async def story(room: Room) -> None:
        seen = []
        for calls in (False, True):
            report = await room.doctor(calls=calls)
            stats = room.stack.bedrock.stats.as_json()
            seen.append((report.calls, stats["total"]))

        assert seen == [(0, 0), (3, 3)]
        rows: Any = stats["by_target"]
        by = {(row["model"], row["operation"]) for row in rows}
        assert by == {(MODEL, "Converse"), (MODEL, "ConverseStream"), ("cheap", "Converse")}

    in_room(
        story, {"WORKER_TARGETS__CHEAP__ID": "cheap", "WORKER_TARGETS__CHEAP__MAX_TOKENS": "200"}
    )


def test_a_model_without_converse_is_asked_what_it_refuses_for_nothing() -> None:
    async def story(room: Room) -> None:
        report = await room.doctor()

        (target,) = [one for one in report.findings if one.of == "target default"]
        assert (target.level, report.calls) == ("green", 1)
        assert "answers InvokeModel" in target.says

    in_room(story, {"WORKER_MODEL__API": "invoke"})
