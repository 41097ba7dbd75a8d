"""The fault layer of queues, tables and objects, each kind as an SDK sees it."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError

from tests.local.conftest import Local, code_of, on_stack
from worker.local.faults import (
    Delay,
    Duplicate,
    Faults,
    LoseRequest,
    LoseResponse,
    Redeliver,
    Refuse,
    Rule,
)

BROKEN = (EndpointConnectionError, HTTPClientError)


async def depth(sqs: Any, url: str) -> int:
    """How many messages of a queue are visible."""
    asked = await sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(asked["Attributes"]["ApproximateNumberOfMessages"])


def test_a_delayed_call_takes_its_course_later() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        local.stack.faults.set_rules([Rule("sqs:SendMessage", Delay(0.3))])
        began = asyncio.get_running_loop().time()

        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")

        assert asyncio.get_running_loop().time() - began >= 0.3
        assert await depth(sqs, made.jobs_url) == 1

    on_stack(main)


def test_a_refusal_has_the_code_of_its_service_and_no_effect() -> None:
    async def main(local: Local) -> None:
        made = await local.resources()
        sqs, dynamodb = await local.client("sqs"), await local.client("dynamodb")
        s3 = await local.client("s3")
        local.stack.faults.set_rules(
            [
                Rule("sqs:*", Refuse("RequestThrottled")),
                Rule("dynamodb:PutItem", Refuse("ProvisionedThroughputExceededException")),
                Rule("s3:PutObject", Refuse("SlowDown", 503)),
            ]
        )

        with pytest.raises(sqs.exceptions.RequestThrottled):
            await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        with pytest.raises(dynamodb.exceptions.ProvisionedThroughputExceededException):
            await dynamodb.put_item(TableName=made.table, Item={"job": {"S": "a"}})
        with pytest.raises(ClientError) as slow:
            await s3.put_object(Bucket=made.bucket, Key="k", Body=b"")

        assert code_of(slow.value) == "SlowDown"
        assert local.stack.faults.acted == [1, 1, 1]
        local.stack.faults.clear()
        assert await depth(sqs, made.jobs_url) == 0
        assert "Item" not in await dynamodb.get_item(TableName=made.table, Key={"job": {"S": "a"}})

    on_stack(main)


def test_a_lost_request_has_no_effect() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        local.stack.faults.set_rules([Rule("sqs:SendMessage", LoseRequest(), count=1)])

        with pytest.raises(BROKEN):
            await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")

        assert await depth(sqs, made.jobs_url) == 0

    on_stack(main)


def test_a_lost_response_hides_an_effect() -> None:
    async def main(local: Local) -> None:
        made = await local.resources()
        sqs, dynamodb = await local.client("sqs"), await local.client("dynamodb")
        local.stack.faults.set_rules(
            [Rule("sqs:SendMessage", LoseResponse()), Rule("dynamodb:UpdateItem", LoseResponse())]
        )

        with pytest.raises(BROKEN):
            await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        with pytest.raises(BROKEN):
            await dynamodb.update_item(TableName=made.table, Key={"job": {"S": "a"}})

        assert await depth(sqs, made.jobs_url) == 1
        assert "Item" in await dynamodb.get_item(TableName=made.table, Key={"job": {"S": "a"}})

    on_stack(main)


def test_a_duplicate_call_is_carried_out_twice_and_answered_once() -> None:
    async def main(local: Local) -> None:
        made = await local.resources()
        sqs, dynamodb = await local.client("sqs"), await local.client("dynamodb")
        local.stack.faults.set_rules(
            [Rule("sqs:SendMessage", Duplicate()), Rule("dynamodb:PutItem", Duplicate())]
        )

        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            await dynamodb.put_item(
                TableName=made.table,
                Item={"job": {"S": "a"}},
                ConditionExpression="attribute_not_exists(job)",
            )

        assert await depth(sqs, made.jobs_url) == 2

    on_stack(main)


def test_a_redelivery_gives_the_same_message_to_two_receivers() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")
        local.stack.faults.set_rules([Rule("sqs:ReceiveMessage", Redeliver(), count=1)])

        first = await sqs.receive_message(QueueUrl=made.jobs_url)
        second = await sqs.receive_message(QueueUrl=made.jobs_url)
        third = await sqs.receive_message(QueueUrl=made.jobs_url)

        assert first["Messages"][0]["MessageId"] == second["Messages"][0]["MessageId"]
        assert not third.get("Messages")

    on_stack(main)


def test_a_rule_can_mean_one_queue_only() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        local.stack.faults.set_rules(
            [Rule("sqs:SendMessage", Refuse("RequestThrottled"), where="test-parked")]
        )

        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")

        with pytest.raises(sqs.exceptions.RequestThrottled):
            await sqs.send_message(QueueUrl=made.parked_url, MessageBody="x")

    on_stack(main)


def decided(rules: list[Rule], calls: int, *, seed: int = 0) -> str:
    """What becomes of `calls` sends: a letter each, or a dot for an untouched one."""

    async def main() -> str:
        faults = Faults()
        faults.set_rules(rules, seed=seed)
        acts = [faults.decide("sqs:SendMessage", "/", b"") for _ in range(calls)]
        return "".join("." if act is None else act.kind[0] for act in acts)

    return asyncio.run(main())


def test_the_first_rule_that_fits_acts() -> None:
    rules = [Rule("dynamodb:*", LoseRequest()), Rule("sqs:*", Delay(0)), Rule("*", Duplicate())]

    acts = decided(rules, 2)

    assert acts == "dd"


def test_a_rule_can_skip_count_and_leave_the_rest_to_the_next() -> None:
    rules = [Rule("*", LoseRequest(), skip=1, count=2), Rule("*", Refuse("x"), count=2)]

    acts = decided(rules, 6)

    assert acts == "rllr.."


def test_chance_is_seeded() -> None:
    rules = [Rule("*", LoseRequest(), chance=0.3)]

    acts = decided(rules, 1000, seed=7)

    assert acts == decided(rules, 1000, seed=7) != decided(rules, 1000, seed=8)
    assert 250 <= acts.count("l") <= 350


def test_a_rule_has_its_time() -> None:
    over, to_come = Rule("*", LoseRequest(), until_s=0.0), Rule("*", LoseRequest(), from_s=60.0)

    assert decided([over, to_come], 3) == "..."


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"operation": "SendMessage"}, "names no service"),
        ({"chance": 1.5}, "chance must be in"),
        ({"count": -1}, "must not be negative"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Rule(**{"operation": "sqs:*", "act": LoseRequest(), **options})
