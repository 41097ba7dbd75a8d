"""The clients that a worker opens: each with the pool and the timers of its use."""

import asyncio
import os
from unittest.mock import patch

from tests.contract.stage import Open, on_aws
from worker.aws.clients import USER_AGENT, open_clients


def test_each_client_is_set_up_for_its_use() -> None:
    async def main(given: Open) -> None:
        stubborn = {"AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "adaptive"}
        with patch.dict(os.environ, stubborn):
            regions = ["eu-west-1", "", "eu-west-1"]
            async with open_clients(
                session=given.session,
                pollers=4,
                slots=200,
                regions=regions,
                bedrock_read_s=99,
                tasks=True,
            ) as clients:
                configs = {
                    name: client.meta.config
                    for name, client in {
                        "poll": clients.sqs_poll,
                        "control": clients.sqs_control,
                        "dynamodb": clients.dynamodb,
                        "s3": clients.s3,
                        "tasks": clients.tasks,
                        **clients.bedrock,
                    }.items()
                }
                home = clients.sqs_poll.meta.region_name
                where = {
                    name: bedrock.meta.region_name for name, bedrock in clients.bedrock.items()
                }

        def shown(name: str) -> tuple[int, float, int]:
            config = configs[name]
            tries = config.retries["total_max_attempts"]
            assert config.retries["mode"] == "standard"
            return config.max_pool_connections, config.read_timeout, tries

        assert shown("poll") == (6, 25, 1)
        assert shown("control") == (50, 5, 3)
        assert shown("dynamodb") == (64, 3, 1)
        assert shown("s3") == (10, 20, 3)
        assert shown("tasks") == (16, 3, 1)
        assert shown("eu-west-1") == shown("") == (202, 99, 1)
        assert where == {"eu-west-1": "eu-west-1", "": home}
        for name in ("poll", "control", "dynamodb", "s3", "tasks"):
            assert configs[name].user_agent.startswith(USER_AGENT)  # the SDK adds its version

    on_aws(main)


def test_step_functions_has_a_client_only_where_it_is_called() -> None:
    async def main(given: Open) -> None:
        async with open_clients(session=given.session, pollers=1, slots=1) as clients:
            assert clients.tasks is None

    on_aws(main)


def test_a_delete_does_not_wait_behind_long_polls() -> None:
    async def main(given: Open) -> None:
        async with open_clients(session=given.session, pollers=1, slots=1) as clients:
            url = given.resources.parked_url
            polls = [
                asyncio.create_task(
                    clients.sqs_poll.receive_message(QueueUrl=url, WaitTimeSeconds=20)
                )
                for _ in range(6)  # its pool holds 3
            ]
            await asyncio.sleep(0.2)

            await clients.sqs_control.send_message(
                QueueUrl=given.resources.jobs_url, MessageBody="{}"
            )

            assert not any(poll.done() for poll in polls)
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)

    on_aws(main)
