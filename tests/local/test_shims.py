"""The corrections of the emulator, each as an SDK sees it."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import Local, code_of, on_stack


async def received(sqs: Any, url: str, **options: Any) -> Any:
    """The one message of a queue."""
    answer = await sqs.receive_message(QueueUrl=url, **options)
    (message,) = answer["Messages"]
    return message


def test_a_second_delete_succeeds() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        receipt = (await received(sqs, made.jobs_url))["ReceiptHandle"]
        await sqs.delete_message(QueueUrl=made.jobs_url, ReceiptHandle=receipt)

        await sqs.delete_message(QueueUrl=made.jobs_url, ReceiptHandle=receipt)

        batch = await sqs.delete_message_batch(
            QueueUrl=made.jobs_url, Entries=[{"Id": "again", "ReceiptHandle": receipt}]
        )
        assert batch["Successful"] == [{"Id": "again"}]
        assert not batch.get("Failed")

    on_stack(main)


def test_a_delete_with_what_was_never_a_receipt_fails() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")

        with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
            await sqs.delete_message(QueueUrl=made.jobs_url, ReceiptHandle="garbage")

        batch = await sqs.delete_message_batch(
            QueueUrl=made.jobs_url, Entries=[{"Id": "a", "ReceiptHandle": "garbage"}]
        )
        assert batch["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"

    on_stack(main)


def test_a_superseded_receipt_deletes_nothing() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        old = (await received(sqs, made.jobs_url, VisibilityTimeout=0))["ReceiptHandle"]
        await received(sqs, made.jobs_url, VisibilityTimeout=0)

        await sqs.delete_message(QueueUrl=made.jobs_url, ReceiptHandle=old)

        assert (await received(sqs, made.jobs_url))["Body"] == "x"

    on_stack(main)


def test_an_extension_in_time_is_granted() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        receipt = (await received(sqs, made.jobs_url))["ReceiptHandle"]

        await sqs.change_message_visibility(
            QueueUrl=made.jobs_url, ReceiptHandle=receipt, VisibilityTimeout=60
        )
        await sqs.change_message_visibility(
            QueueUrl=made.jobs_url, ReceiptHandle=receipt, VisibilityTimeout=0
        )

        assert (await received(sqs, made.jobs_url))["Body"] == "x"

    on_stack(main)


def test_an_extension_after_the_lapse_is_refused() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        receipt = (await received(sqs, made.jobs_url, VisibilityTimeout=0))["ReceiptHandle"]
        entry = {"ReceiptHandle": receipt, "VisibilityTimeout": 60}

        with pytest.raises(sqs.exceptions.MessageNotInflight):
            await sqs.change_message_visibility(QueueUrl=made.jobs_url, **entry)

        batch = await sqs.change_message_visibility_batch(
            QueueUrl=made.jobs_url, Entries=[{"Id": "late", **entry}]
        )
        assert [failed["Id"] for failed in batch["Failed"]] == ["late"]
        assert batch["Failed"][0]["Code"] == "MessageNotInflight"

    on_stack(main)


def test_an_extension_of_what_is_gone_is_refused_in_the_words_of_aws() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        receipt = (await received(sqs, made.jobs_url))["ReceiptHandle"]
        await sqs.delete_message(QueueUrl=made.jobs_url, ReceiptHandle=receipt)
        changes = {"QueueUrl": made.jobs_url, "VisibilityTimeout": 60}

        with pytest.raises(ClientError, match="does not exist or is not available") as gone:
            await sqs.change_message_visibility(ReceiptHandle=receipt, **changes)
        with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
            await sqs.change_message_visibility(ReceiptHandle="garbage", **changes)

        assert code_of(gone.value) == "InvalidParameterValue"

    on_stack(main)


def test_limits_of_time_are_those_of_aws() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        url = made.jobs_url
        await sqs.send_message(QueueUrl=url, MessageBody="x")
        receipt = (await received(sqs, url))["ReceiptHandle"]

        for call in (
            sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=901),
            sqs.receive_message(QueueUrl=url, VisibilityTimeout=43_201),
            sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=43_201
            ),
        ):
            with pytest.raises(ClientError) as refused:
                await call
            assert code_of(refused.value) == "InvalidParameterValue"

        batch = await sqs.send_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": "good", "MessageBody": "y", "DelaySeconds": 900},
                {"Id": "bad", "MessageBody": "z", "DelaySeconds": 901},
            ],
        )
        assert [entry["Id"] for entry in batch["Successful"]] == ["good"]
        assert [entry["Id"] for entry in batch["Failed"]] == ["bad"]

    on_stack(main)


async def dead_letters(local: Local, sqs: Any, bodies: list[str]) -> Any:
    """Resources whose dead-letter queue got `bodies` by redrive from the jobs queue."""
    made = await local.resources()
    policy = f'{{"deadLetterTargetArn": "{made.dead_arn}", "maxReceiveCount": 1}}'
    await sqs.set_queue_attributes(QueueUrl=made.jobs_url, Attributes={"RedrivePolicy": policy})
    for body in bodies:
        tenant = {"tenant": {"DataType": "String", "StringValue": "blue"}}
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody=body, MessageAttributes=tenant)
    for _ in bodies:
        await received(sqs, made.jobs_url, VisibilityTimeout=0)
    await sqs.receive_message(QueueUrl=made.jobs_url)  # sweeps what was received too often
    return made


async def ended(sqs: Any, source: str) -> Any:
    """The newest move task of a queue, once it has ended."""
    while True:
        (task,) = (await sqs.list_message_move_tasks(SourceArn=source))["Results"]
        if task["Status"] != "RUNNING":
            return task
        await asyncio.sleep(0.02)


def test_a_move_task_takes_dead_letters_back_where_they_came_from() -> None:
    async def main(local: Local) -> None:
        sqs = await local.client("sqs")
        made = await dead_letters(local, sqs, ["x"])
        dead = await received(sqs, made.dead_url, VisibilityTimeout=0)

        await sqs.start_message_move_task(SourceArn=made.dead_arn)
        task = await ended(sqs, made.dead_arn)

        back = await received(
            sqs,
            made.jobs_url,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        assert task["Status"] == "COMPLETED"
        assert task["ApproximateNumberOfMessagesMoved"] == 1
        assert back["Body"] == "x"
        assert back["MessageAttributes"]["tenant"]["StringValue"] == "blue"
        assert back["MessageId"] != dead["MessageId"]
        assert back["Attributes"]["ApproximateReceiveCount"] == "1"
        assert "DeadLetterQueueSourceArn" not in back["Attributes"]

    on_stack(main)


def test_a_move_task_may_have_a_destination() -> None:
    async def main(local: Local) -> None:
        sqs = await local.client("sqs")
        made = await dead_letters(local, sqs, ["x"])
        await sqs.send_message(QueueUrl=made.dead_url, MessageBody="sent here by a worker")

        await sqs.start_message_move_task(SourceArn=made.dead_arn, DestinationArn=made.parked_arn)
        task = await ended(sqs, made.dead_arn)

        assert task["DestinationArn"] == made.parked_arn
        assert task["ApproximateNumberOfMessagesMoved"] == 2
        got = await sqs.receive_message(QueueUrl=made.parked_url, MaxNumberOfMessages=10)
        assert {m["Body"] for m in got["Messages"]} == {"x", "sent here by a worker"}

    on_stack(main)


def test_a_dead_letter_that_was_sent_has_no_source_to_go_back_to() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.dead_url, MessageBody="sent here by a worker")

        await sqs.start_message_move_task(SourceArn=made.dead_arn)
        task = await ended(sqs, made.dead_arn)

        assert task["Status"] == "FAILED"
        assert task["FailureReason"] == "CouldNotDetermineMessageSource"

    on_stack(main)


def test_a_move_task_can_be_slowed_and_cancelled_and_runs_alone() -> None:
    async def main(local: Local) -> None:
        sqs = await local.client("sqs")
        made = await dead_letters(local, sqs, ["x", "y", "z"])

        started = await sqs.start_message_move_task(
            SourceArn=made.dead_arn, MaxNumberOfMessagesPerSecond=1
        )
        with pytest.raises(ClientError, match="Only one active task") as second:
            await sqs.start_message_move_task(SourceArn=made.dead_arn)
        (running,) = (await sqs.list_message_move_tasks(SourceArn=made.dead_arn))["Results"]
        cancelled = await sqs.cancel_message_move_task(TaskHandle=started["TaskHandle"])

        assert code_of(second.value) == "InvalidParameterValue"
        assert running["TaskHandle"] == started["TaskHandle"]
        assert running["ApproximateNumberOfMessagesToMove"] == 3
        assert cancelled["ApproximateNumberOfMessagesMoved"] == 1
        assert (await ended(sqs, made.dead_arn))["Status"] == "CANCELLED"
        with pytest.raises(sqs.exceptions.ResourceNotFoundException):
            await sqs.cancel_message_move_task(TaskHandle=started["TaskHandle"])

    on_stack(main)


def test_a_move_task_does_not_go_in_a_circle() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")

        with pytest.raises(ClientError, match="cannot be the same"):
            await sqs.start_message_move_task(SourceArn=made.dead_arn, DestinationArn=made.dead_arn)

    on_stack(main)


def test_a_move_task_needs_queues_that_are_there_and_a_source_of_dead_letters() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        absent = made.dead_arn + "-absent"

        with pytest.raises(sqs.exceptions.ResourceNotFoundException):
            await sqs.start_message_move_task(SourceArn=absent)
        with pytest.raises(sqs.exceptions.ResourceNotFoundException):
            await sqs.start_message_move_task(SourceArn=made.dead_arn, DestinationArn=absent)
        with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue"):
            await sqs.start_message_move_task(SourceArn=made.jobs_arn)

    on_stack(main)
