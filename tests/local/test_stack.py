"""The stack as a whole: starting, pointing SDKs at it, sharing it, leaving it."""

import asyncio
import importlib.metadata
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.local.conftest import Local, on_stack, session_for
from worker.local import emulator
from worker.local.resources import create_resources
from worker.local.stack import LocalStack, new_account, serve


def test_it_listens_on_loopback_and_nowhere_else() -> None:
    async def main(local: Local) -> None:
        before = listening()

        async with LocalStack() as second:
            opened = listening() - before

        assert {address for address, _ in opened} == {"127.0.0.1"}
        assert second.url == f"http://127.0.0.1:{opened.pop()[1]}"
        assert local.stack.url != second.url

    on_stack(main)


def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    async def main() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(OSError, match="in use"),
        ):
            await LocalStack(port=taken.getsockname()[1]).__aenter__()

    asyncio.run(main())


def test_its_environment_points_an_sdk_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(local: Local) -> None:
        for name, value in local.stack.environment().items():
            monkeypatch.setenv(name, value)
        plain = local.session.__class__()

        async with (
            plain.create_client("sqs") as sqs,
            plain.create_client("stepfunctions") as states,
        ):
            made = await sqs.create_queue(QueueName="q")
            machines = await states.list_state_machines()

        assert made["QueueUrl"].startswith(local.stack.url)
        assert machines["stateMachines"] == []

    on_stack(main)


def test_accounts_see_nothing_of_one_another() -> None:
    async def main(local: Local) -> None:
        await (await local.client("sqs")).create_queue(QueueName="mine")
        other = session_for(local.stack, new_account())

        async with other.create_client("sqs", endpoint_url=local.stack.url) as sqs:
            listed = await sqs.list_queues()

        assert not listed.get("QueueUrls")

    on_stack(main)


def test_two_accounts_may_call_their_buckets_the_same() -> None:
    async def main(local: Local) -> None:
        made = await local.resources()
        other = session_for(local.stack, new_account())

        theirs = await create_resources(other, "test", endpoint_url=local.stack.url)

        assert theirs.bucket == made.bucket
        s3 = await local.client("s3")
        await s3.put_object(Bucket=made.bucket, Key="mine", Body=b"")
        async with other.create_client("s3", endpoint_url=local.stack.url) as elsewhere:
            assert (await elsewhere.list_objects_v2(Bucket=made.bucket))["KeyCount"] == 0

    on_stack(main)


def test_resources_may_be_made_twice() -> None:
    async def main(local: Local) -> None:
        first = await local.resources(replies=True)

        second = await local.resources(replies=True)

        assert first == second
        assert first.replies_url is not None

    on_stack(main)


def test_resources_are_those_of_the_deployment() -> None:
    async def main(local: Local) -> None:
        made = await local.resources(visibility_timeout_s=45)
        sqs, dynamodb = await local.client("sqs"), await local.client("dynamodb")
        s3 = await local.client("s3")

        for url in (made.jobs_url, made.parked_url):
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            attributes = answer["Attributes"]

            assert '"maxReceiveCount": 100' in attributes["RedrivePolicy"]
            assert made.dead_arn in attributes["RedrivePolicy"]
            assert attributes["MessageRetentionPeriod"] == "1209600"
            assert attributes["MaximumMessageSize"] == "1048576"
            assert attributes["VisibilityTimeout"] == "45"

        for name, keys in {
            made.table: {"job": "HASH"},
            made.breakers_table: {"pk": "HASH", "sk": "RANGE"},
            made.cache_table: {"key": "HASH"},
        }.items():
            table = (await dynamodb.describe_table(TableName=name))["Table"]
            ttl = await dynamodb.describe_time_to_live(TableName=name)

            assert {k["AttributeName"]: k["KeyType"] for k in table["KeySchema"]} == keys
            kinds = {k["AttributeName"]: k["AttributeType"] for k in table["AttributeDefinitions"]}
            indexes = {i["IndexName"]: i for i in table.get("GlobalSecondaryIndexes", ())}
            indexed = {"dead": "S", "finished_at": "N"} if name == made.table else {}
            assert kinds == dict.fromkeys(keys, "S") | indexed
            assert set(indexes) == ({"dead"} if indexed else set())
            assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
            assert ttl["TimeToLiveDescription"]["AttributeName"] == "ttl"
            assert ttl["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
        assert made.replies_url is None
        await s3.head_bucket(Bucket=made.bucket)

    on_stack(main)


def test_objects_of_every_size_and_name_come_back_whole() -> None:
    async def main(local: Local) -> None:
        made, s3 = await local.resources(), await local.client("s3")
        keys = {"plain": 1, "a/b c+d%20e": 100_000, "big": 3_000_000}

        for key, size in keys.items():
            await s3.put_object(Bucket=made.bucket, Key=key, Body=b"x" * size)
            got = await s3.get_object(Bucket=made.bucket, Key=key)
            head = await s3.head_object(Bucket=made.bucket, Key=key)

            assert len(await got["Body"].read()) == size
            assert head["ContentLength"] == size

    on_stack(main)


@pytest.mark.filterwarnings("ignore:Sending a large body")  # the client's own, above 1 MiB
def test_a_message_of_a_mebibyte_fits() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")

        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody='"' * 1024 * 1024)

        got = await sqs.receive_message(QueueUrl=made.jobs_url)
        assert len(got["Messages"][0]["Body"]) == 1024 * 1024

    on_stack(main)


def test_a_cancelled_long_poll_takes_no_message() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        poll = asyncio.create_task(sqs.receive_message(QueueUrl=made.jobs_url, WaitTimeSeconds=20))
        await asyncio.sleep(0.3)

        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        await asyncio.sleep(0.3)
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="for the next one")

        got = await sqs.receive_message(
            QueueUrl=made.jobs_url,
            WaitTimeSeconds=2,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        assert got["Messages"][0]["Attributes"]["ApproximateReceiveCount"] == "1"

    on_stack(main)


def test_a_state_machine_reaches_the_queues() -> None:
    async def main(local: Local) -> None:
        made = await local.resources()
        sqs, states = await local.client("sqs"), await local.client("stepfunctions")
        definition = (
            '{"StartAt": "Tell", "States": {"Tell": {"Type": "Task", "End": true,'
            '"Resource": "arn:aws:states:::sqs:sendMessage",'
            f'"Parameters": {{"QueueUrl": "{made.jobs_url}", "MessageBody": "told"}}}}}}}}'
        )
        machine = await states.create_state_machine(
            name="m", definition=definition, roleArn="arn:aws:iam::000000000000:role/r"
        )

        await states.start_execution(stateMachineArn=machine["stateMachineArn"])

        got = await sqs.receive_message(QueueUrl=made.jobs_url, WaitTimeSeconds=10)
        assert got["Messages"][0]["Body"] == "told"

    on_stack(main)


def test_serve_runs_until_it_is_told_to_stop() -> None:
    served: list[str] = []

    def ready(stack: LocalStack) -> None:
        served.append(stack.url)
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)

    asyncio.run(serve(0, ready=ready))

    assert served[0].startswith("http://127.0.0.1:")


def test_without_the_emulator_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)

    with pytest.raises(emulator.LocalStackUnavailableError, match=r"inference-worker\[local\]"):
        emulator.load()


def test_another_release_of_the_emulator_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.4.21")

    with pytest.warns(RuntimeWarning, match=r"1\.4\.21 .* tested with 1\.5\.33"):
        emulator.load()


def test_loading_the_emulator_leaves_logging_and_environment_alone() -> None:
    script = (
        "import logging, os\n"
        "os.environ.update(AUTH='true', SERVICES='mine', LOG_LEVEL='DEBUG')\n"
        "from worker.local import emulator\n"
        "emulator.load()\n"
        "assert not logging.getLogger().handlers and logging.getLogger().level == 30\n"
        "assert os.environ['AUTH'] == 'true' and os.environ['SERVICES'] == 'mine'\n"
    )

    async def main() -> tuple[bytes, bytes]:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=pipe, stderr=pipe
        )
        return await child.communicate()

    assert asyncio.run(main()) == (b"", b"")
    assert logging.getLogger("sqs").level == logging.ERROR


def listening() -> set[tuple[str, int]]:
    """Every address and port on which this process listens."""
    own = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                address, _, port = fields[1].partition(":")
                shown = ".".join(str(byte) for byte in bytes.fromhex(address)[::-1])
                found.add((shown, int(port, 16)))
    return found
