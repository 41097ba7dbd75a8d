"""What each store says when it cannot be asked: a code, and whose fault it is."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import aiobotocore
import pytest

from tests.contract.stage import Clock, Open, dynamo_ledger, on_aws
from tests.contract.test_ledger import asked
from worker.aws.clients import Clients, open_clients
from worker.aws.payloads import S3Payloads
from worker.aws.sqs import SqsQueue
from worker.aws.tasks import StepFunctionsTasks
from worker.ports import Outgoing, Unavailable

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAf"
NOWHERE = "http://127.0.0.1:9"


def calls(given: Open, clients: Clients) -> dict[str, Callable[[], Awaitable[object]]]:
    """One call of every operation."""
    queue = SqsQueue(clients.sqs_poll, clients.sqs_control, given.resources.jobs_url)
    ledger = dynamo_ledger(given, Clock(), clients.dynamodb)
    payloads = S3Payloads(clients.s3, given.resources.bucket)
    tasks = StepFunctionsTasks(clients.tasks)
    return {
        "queue receive": lambda: queue.receive(1, wait_s=0, lease_s=30),
        "queue delete": lambda: queue.delete(["a-receipt"]),
        "queue extend": lambda: queue.extend([("a-receipt", 30)]),
        "queue send": lambda: queue.send(Outgoing(body=b"{}")),
        "ledger claim": lambda: ledger.claim(asked()),
        "ledger load": lambda: ledger.load(["a-job"]),
        "payloads get": lambda: payloads.get(given.resources.bucket, "a-key", bytes_max=1),
        "payloads put": lambda: payloads.put(b"content"),
        "tasks succeed": lambda: tasks.succeed(TOKEN, "{}"),
        "tasks fail": lambda: tasks.fail(TOKEN, "InferenceWorker.expired", "{}"),
    }


async def troubles(given: Open, clients: Clients) -> dict[str, Unavailable]:
    """What every call raises, all made at once."""
    made = calls(given, clients)
    raised = await asyncio.gather(*(call() for call in made.values()), return_exceptions=True)
    told: dict[str, Unavailable] = {}
    for name, trouble in zip(made, raised, strict=True):
        assert isinstance(trouble, Unavailable), name
        assert trouble.store == name.split()[0]
        assert trouble.__cause__ is None
        assert "127.0.0.1" not in str(trouble)
        assert TOKEN not in str(trouble)
        told[name] = trouble
    return told


def test_what_cannot_be_reached_is_a_matter_of_the_network() -> None:
    async def main(given: Open) -> None:
        nowhere = dict.fromkeys(
            [f"AWS_ENDPOINT_URL_{service}" for service in ("SQS", "DYNAMODB", "S3", "SFN")], NOWHERE
        )
        with patch.dict(os.environ, nowhere):
            async with open_clients(
                session=given.session, pollers=1, slots=1, tasks=True
            ) as clients:
                told = await troubles(given, clients)

        assert {(trouble.network, trouble.local) for trouble in told.values()} == {(True, False)}

    on_aws(main)


@pytest.mark.skipif(aiobotocore.__version__ < "3", reason="opens again when it is used")
def test_a_closed_client_is_our_own_doing() -> None:
    async def main(given: Open) -> None:
        async with open_clients(session=given.session, pollers=1, slots=1, tasks=True) as clients:
            made = calls(given, clients)
            await asyncio.gather(*(call() for call in made.values()), return_exceptions=True)

        told = await troubles(given, clients)

        assert {(trouble.local, trouble.network) for trouble in told.values()} == {(True, False)}

    on_aws(main)


def test_no_credentials_are_our_own_doing() -> None:
    async def main(given: Open) -> None:
        nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
        nobody["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
        with patch.dict(os.environ, nobody):
            del os.environ["AWS_ACCESS_KEY_ID"]
            async with open_clients(pollers=1, slots=1, tasks=True) as clients:
                told = await troubles(given, clients)

        assert {(trouble.why, trouble.local) for trouble in told.values()} == {
            ("NoCredentialsError", True)
        }

    on_aws(main)


def test_a_queue_or_table_that_is_not_there_is_told_by_the_services_code() -> None:
    async def main(given: Open) -> None:
        queue = SqsQueue(given.sqs, given.sqs, given.resources.jobs_url + "-not")
        with pytest.raises(Unavailable, match=r"queue: (NonExistentQueue|QueueDoesNotExist)"):
            await queue.receive(1, wait_s=0, lease_s=30)

        await given.dynamodb.delete_table(TableName=given.resources.table)
        with pytest.raises(Unavailable, match="ledger: ResourceNotFoundException"):
            await dynamo_ledger(given, Clock()).claim(asked())

    on_aws(main)


def test_a_cancelled_call_is_cancelled() -> None:
    async def main(given: Open) -> None:
        async with open_clients(session=given.session, pollers=1, slots=1) as clients:
            queue = SqsQueue(clients.sqs_poll, clients.sqs_control, given.resources.jobs_url)
            poll = asyncio.create_task(queue.receive(1, wait_s=20, lease_s=30))
            await asyncio.sleep(0.2)

            poll.cancel()

            with pytest.raises(asyncio.CancelledError):
                await poll

    on_aws(main)
