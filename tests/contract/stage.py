"""Two stages for every suite: the twin in virtual time, and the adapter on the local stack.

A test is a function of one port, and a stage runs it. What only one of the two can
do is in a file of its own.

Where the environment names endpoints already (`AWS_ENDPOINT_URL_SQS` and so on), the
adapters are run against those, with an aioboto3 session if that is installed.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from aiobotocore.session import get_session

from worker.aws.breakers import DynamoBreakers
from worker.aws.cache import DynamoCache
from worker.aws.clients import creator
from worker.aws.dead_letters import DynamoDeadLetters
from worker.aws.ledger import DynamoLedger
from worker.aws.payloads import S3Payloads
from worker.aws.sqs import SqsQueue
from worker.aws.tasks import StepFunctionsTasks
from worker.core.callback import Failed, Succeeded
from worker.local.resources import Resources, create_resources
from worker.local.stack import LocalStack, new_account
from worker.ports import AnswerCache, BreakerStore, Callbacks, DeadLetters, Ledger, Payloads, Queue
from worker.sim.clock import EPOCH, in_virtual_time
from worker.sim.dead_letters import MemoryDeadLetters
from worker.sim.ledger import LedgerHandle
from worker.sim.memory import (
    MemoryBreakers,
    MemoryCache,
    MemoryLedger,
    MemoryPayloads,
    MemoryQueue,
    MemoryTasks,
)

T = TypeVar("T")

try:
    import aioboto3
except ImportError:
    aioboto3 = None

_LOADER = get_session().get_component("data_loader")  # its cache saves most of a client's making

SKEW_S = 5.0
KEEP_S = 3600.0
SERVICE = "orders"
RECEIVES_MAX = 2
HANGS_S = 120.0  # a test that takes so long never ends
STAGES = ("twin", "aws")


@dataclass
class Clock:
    """The wall clock of a ledger under test: it moves when the test says so."""

    now: float = EPOCH

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Queues:
    """`jobs` gives a message out `RECEIVES_MAX` times, then it goes to `dead`."""

    jobs: Queue
    dead: Queue


@dataclass(frozen=True)
class Open:
    """An open stack, its resources, and plain clients of the SDK's own making."""

    own_stack: LocalStack | None
    session: Any
    resources: Resources
    sqs: Any
    dynamodb: Any
    s3: Any

    @property
    def stack(self) -> LocalStack:
        if self.own_stack is None:
            pytest.skip("the stack is not ours to break")
        return self.own_stack


@asynccontextmanager
async def local_stack() -> AsyncIterator[Open]:
    if "AWS_ENDPOINT_URL_SQS" in os.environ:
        async with opened(None) as given:
            yield given
        return
    async with LocalStack() as stack:
        with patch.dict(os.environ, stack.environment()):
            async with opened(stack) as given:
                yield given


@asynccontextmanager
async def opened(stack: LocalStack | None) -> AsyncIterator[Open]:
    plain = get_session()
    plain.register_component("data_loader", _LOADER)
    session = plain if aioboto3 is None else aioboto3.Session(botocore_session=plain)
    create = creator(session)
    resources = await create_resources(plain, f"contract-{new_account()}")
    async with create("sqs") as sqs, create("dynamodb") as dynamodb, create("s3") as s3:
        yield Open(stack, session, resources, sqs, dynamodb, s3)


def on_aws(test: Callable[[Open], Awaitable[T]]) -> T:
    """Run a test of an adapter alone."""

    async def main() -> T:
        async with asyncio.timeout(HANGS_S), local_stack() as given:
            return await test(given)

    return asyncio.run(main())


def on_queues(stage: str, test: Callable[[Queues], Awaitable[None]]) -> None:
    async def twin() -> None:
        dead = MemoryQueue(name="dead")
        jobs = MemoryQueue(name="jobs", dead=dead, receives_max=RECEIVES_MAX)
        await test(Queues(jobs.seen_by(), dead.seen_by()))

    async def aws(given: Open) -> None:
        redrive = f'{{"deadLetterTargetArn":"{given.resources.dead_arn}","maxReceiveCount":2}}'
        made = await given.sqs.create_queue(
            QueueName=f"{given.resources.name}-twice", Attributes={"RedrivePolicy": redrive}
        )
        jobs = SqsQueue(given.sqs, given.sqs, made["QueueUrl"])
        dead_url = given.resources.dead_url
        dead = SqsQueue(given.sqs, given.sqs, dead_url, every_attribute=True)
        await test(Queues(jobs, dead))

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)


def on_ledger(stage: str, test: Callable[[Ledger, Clock], Awaitable[None]]) -> None:
    clock = Clock()

    async def twin() -> None:
        await test(MemoryLedger(skew_s=SKEW_S, at=clock).seen_by(), clock)

    async def aws(given: Open) -> None:
        await test(dynamo_ledger(given, clock), clock)

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)


def on_dead_letters(
    stage: str, test: Callable[[Ledger, DeadLetters, Clock], Awaitable[None]]
) -> None:
    """A ledger, and the index of its dead letters."""
    clock = Clock()

    async def twin() -> None:
        ledger = MemoryLedger(skew_s=SKEW_S, at=clock)
        await test(ledger.seen_by(), MemoryDeadLetters(ledger=ledger).seen_by(), clock)

    async def aws(given: Open) -> None:
        await test(dynamo_ledger(given, clock), dynamo_dead_letters(given), clock)

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)


def dynamo_dead_letters(given: Open, client: Any = None) -> DynamoDeadLetters:
    return DynamoDeadLetters(client or given.dynamodb, given.resources.table, keep_s=KEEP_S)


async def spoil(ledger: Ledger, job: str) -> None:
    """Put something into a job's place that is no record, as a later version might."""
    if isinstance(ledger, LedgerHandle):
        ledger._ledger.unreadable.add(job)
        return
    assert isinstance(ledger, DynamoLedger)
    item = {"job": {"S": job}, "state": {"S": "a_later_state"}, "sent_at": {"N": "1"}}
    await ledger._client.put_item(TableName=ledger._table, Item=item)


def dynamo_ledger(given: Open, clock: Clock, client: Any = None) -> DynamoLedger:
    return DynamoLedger(
        client or given.dynamodb,
        given.resources.table,
        skew_s=SKEW_S,
        keep_s=KEEP_S,
        at=clock,
    )


def on_payloads(stage: str, test: Callable[[Payloads, str], Awaitable[None]]) -> None:
    async def twin() -> None:
        payloads = MemoryPayloads()
        await test(payloads.seen_by(), payloads.bucket)

    async def aws(given: Open) -> None:
        bucket = given.resources.bucket
        await test(S3Payloads(given.s3, bucket), bucket)

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)


@dataclass(frozen=True)
class Machine:
    """A state machine whose tasks wait: `begin` starts one, `end` tells what one was told."""

    begin: Callable[[], Awaitable[str]]
    end: Callable[[str], Awaitable[Succeeded | Failed]]


def on_callbacks(stage: str, test: Callable[[Callbacks, Machine], Awaitable[None]]) -> None:
    async def twin() -> None:
        tasks, number = MemoryTasks(), count()

        async def begin() -> str:
            return tasks.wait(f"token-{next(number)}")

        async def end(token: str) -> Succeeded | Failed:
            return tasks.answers[token]

        await test(tasks.seen_by(), Machine(begin, end))

    async def aws(given: Open) -> None:
        async with creator(given.session)("stepfunctions") as client:
            await test(StepFunctionsTasks(client), await _machine(given, client))

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)


async def _machine(given: Open, client: Any) -> Machine:
    url = given.resources.jobs_url
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": url, "MessageBody": {"task_token.$": "$$.Task.Token"}},
        "TimeoutSeconds": 60,
        "End": True,
    }
    made = await client.create_state_machine(
        name=given.resources.name,
        definition=json.dumps({"StartAt": "Ask", "States": {"Ask": task}}),
        roleArn="arn:aws:iam::111122223333:role/machine",
    )
    executions: dict[str, str] = {}

    async def begin() -> str:
        started = await client.start_execution(stateMachineArn=made["stateMachineArn"])
        answer = await given.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        (message,) = answer["Messages"]
        await given.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        token: str = json.loads(message["Body"])["task_token"]
        executions[token] = started["executionArn"]
        return token

    async def end(token: str) -> Succeeded | Failed:
        while True:
            told = await client.describe_execution(executionArn=executions[token])
            if told["status"] == "SUCCEEDED":
                return Succeeded(told["output"])
            if told["status"] == "FAILED":
                return Failed(told["error"], told["cause"])
            await asyncio.sleep(0.02)

    return Machine(begin, end)


def on_breaker_store(stage: str, test: Callable[[BreakerStore], Awaitable[None]]) -> None:
    async def twin() -> None:
        await test(MemoryBreakers().seen_by())

    async def aws(given: Open) -> None:
        await test(dynamo_breakers(given))

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)


def dynamo_breakers(given: Open, client: Any = None, *, service: str = SERVICE) -> DynamoBreakers:
    return DynamoBreakers(
        client or given.dynamodb, given.resources.breakers_table, service=service, keep_s=KEEP_S
    )


def on_cache(stage: str, test: Callable[[AnswerCache], Awaitable[None]]) -> None:
    async def twin() -> None:
        await test(MemoryCache().seen_by())

    async def aws(given: Open) -> None:
        await test(DynamoCache(given.dynamodb, given.resources.cache_table))

    in_virtual_time(twin()) if stage == "twin" else on_aws(aws)
