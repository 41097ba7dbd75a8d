"""The templates, created on the embedded stack, and what doctor says of it.

The stack's CloudFormation makes queues, tables and the bucket for real, so jobs can go through
them; of roles, tasks and networks it keeps the description. It authorises everybody, starts no
task and routes nothing: that a right is enough, an image starts or a packet arrives is not
shown here. What it does not know at all is in `UNKNOWN`, and a test tells when it has learnt.
Of alarms it makes those on one metric; it evaluates none.
"""

import asyncio
import copy
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from tests.cli.doctor.awscli import parsed
from tests.cli.doctor.room import LIMITS
from tests.deploy.template import DASHBOARD, FILES, Template, container, of_type, plain, read
from worker.cli.doctor.exam import Report, examine
from worker.cli.doctor.finding import Level
from worker.client import Client
from worker.local.stack import LocalStack
from worker.settings import load

NAME = "chat"
MODEL = "eu.some.model-v1:0"
GIVEN = {
    "Image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/inference-worker:1",
    "ModelId": MODEL,
    "ModelArns": "arn:aws:bedrock:eu-west-1::foundation-model/some.model-v1:0",
    "ProfileArns": f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{MODEL}",
}
UNKNOWN = ("AWS::CloudWatch::CompositeAlarm", "AWS::EC2::EIP", "AWS::EC2::NatGateway")
"""And with the gateway the routes that lead there."""


LOST = ("TTL on `ttl` is off", "no point-in-time recovery", "no rule of its lifecycle")
"""What its CloudFormation reads over, though its services know it. tests/deploy/test_stack.py
holds that the templates have it; here doctor's own commands put it back."""
WITH_CACHE = {
    "WORKER_DEGRADED__BEFORE__KIND": "cache",
    "WORKER_ROUTES__DEFAULT__TARGETS": "default",
    "WORKER_ROUTES__DEFAULT__DEGRADED": "before",
}


@dataclass(frozen=True)
class Account:
    """An account of the stack."""

    stack: LocalStack
    variables: Mapping[str, str]
    cloudformation: Any

    async def create(
        self, template: Template, given: Mapping[str, str] = GIVEN, *, name: str = NAME
    ) -> dict[str, str]:
        """Create it; the physical ids by logical id."""
        await self.cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        state = "CREATE_IN_PROGRESS"
        while state.endswith("IN_PROGRESS"):
            (told,) = (await self.cloudformation.describe_stacks(StackName=name))["Stacks"]
            state = told["StackStatus"]
            await asyncio.sleep(0.02)
        rows = await self.cloudformation.describe_stack_resources(StackName=name)
        found = {
            row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows["StackResources"]
        }
        assert state == "CREATE_COMPLETE", await self._why(name)
        return found

    async def _why(self, name: str) -> list[str]:
        told = await self.cloudformation.describe_stack_events(StackName=name)
        return [str(one) for one in told["StackEvents"] if "FAILED" in one["ResourceStatus"]]

    async def mend(self, commands: list[str]) -> None:
        """Do what doctor says."""
        for command in commands:
            service, operation, given = parsed(command)
            async with get_session().create_client(service, endpoint_url=self.stack.url) as client:
                await getattr(client, operation)(**given)

    def environment(self, template: Template, made: Mapping[str, str]) -> dict[str, str]:
        """What the task would see: the container's variables, and the way to the stack."""
        known = {**GIVEN, **made, "AWS::StackName": NAME, "AWS::Region": "us-east-1"}
        rows = container(template)["Environment"]
        return {**self.variables, **{one["Name"]: plain(one["Value"], known) for one in rows}}


@asynccontextmanager
async def account() -> AsyncIterator[Account]:
    async with LocalStack() as stack:
        variables = stack.environment() | {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        with patch.dict(os.environ, variables, clear=True):
            async with get_session().create_client(
                "cloudformation", endpoint_url=stack.url
            ) as client:
                yield Account(stack, variables, client)


def in_account(story: Callable[[Account], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with account() as here:
            await story(here)

    asyncio.run(main())


def known(template: Template) -> Template:
    """The template without what the embedded stack does not know."""
    made = copy.deepcopy(template)
    gone = {name for kind in UNKNOWN for name in of_type(made, kind)}
    gone |= {
        name
        for name, one in of_type(made, "AWS::EC2::Route").items()
        if "NatGatewayId" in one["Properties"]
    }
    gone |= {
        name
        for name, one in of_type(made, "AWS::CloudWatch::Alarm").items()
        if "Metrics" in one["Properties"]
    }
    made["Resources"] = {n: one for n, one in made["Resources"].items() if n not in gone}
    # It takes the parameter's text for the number of tasks, and cannot count with it.
    (service,) = of_type(made, "AWS::ECS::Service").values()
    service["Properties"]["DesiredCount"] = 0
    return made


async def doctor(environment: Mapping[str, str]) -> Report:
    with patch.dict(os.environ, environment, clear=True):
        return await examine(
            load(environment), calls=True, at=time.time, environ=environment, limits=LIMITS
        )


@pytest.mark.parametrize("name", FILES)
def test_doctor_is_content_with_what_a_template_creates(name: str) -> None:
    async def story(here: Account) -> None:
        template = known(read(name))
        made = await here.create(template)
        environment = here.environment(template, made) | WITH_CACHE

        first = await doctor(environment)
        lost = [one for one in first.findings if one.level is not Level.GREEN]
        await here.mend([one.run for one in lost])
        then = await doctor(environment)

        assert first.ok
        assert [one.says for one in lost if not any(words in one.says for words in LOST)] == []
        assert [one for one in then.findings if one.level is not Level.GREEN] == []
        queues = {f"queue {NAME}-{role}" for role in ("jobs", "parked", "dead")}
        tables = {f"table {NAME}-{what}" for what in ("jobs", "breakers", "cache")}
        assert queues | tables | {f"bucket {made['PayloadsBucket']}"} < {
            one.of for one in then.findings
        }

    in_account(story)


def test_a_worker_with_the_settings_of_its_task_answers_a_job() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        environment = here.environment(template, await here.create(template))
        del environment["WORKER_HEALTH__PORT"]  # here it might be somebody else's
        environment["WORKER_QUEUE__WAIT_S"] = "1"  # a stop lets the last receive come home
        url, table = environment["WORKER_QUEUE__URL"], environment["WORKER_LEDGER__TABLE"]

        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "worker",
            "run",
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with Client.open(url, table) as client:
                job = await client.submit("Why is the sky blue?")
                result = await client.wait(job, timeout_s=60)
        finally:
            worker.send_signal(signal.SIGTERM)
            code = await worker.wait()

        assert result.status == "ok"
        assert code == 0

    in_account(story)


def test_what_the_embedded_stack_does_not_know_is_still_unknown() -> None:
    async def story(here: Account) -> None:
        with pytest.raises(ClientError) as told:
            await here.create(read("template.json"))

        assert f"[{', '.join(UNKNOWN)}]" in str(told.value)

    in_account(story)


def test_alarms_on_expressions_are_still_beyond_the_embedded_stack() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        template["Resources"] |= {
            name: one
            for name, one in of_type(read("template.json"), "AWS::CloudWatch::Alarm").items()
            if name == "AlarmThrottleRising"
        }

        with pytest.raises(AssertionError, match="metric math"):
            await here.create(template)

    in_account(story)


def test_alarms_on_one_metric_are_created_as_they_are_written() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        rows = of_type(template, "AWS::CloudWatch::Alarm").values()
        made = await here.create(template)

        async with get_session().create_client(
            "cloudwatch", endpoint_url=here.stack.url
        ) as cloudwatch:
            told = (await cloudwatch.describe_alarms())["MetricAlarms"]

        names = {"AWS::StackName": NAME, "JobsQueue.QueueName": f"{NAME}-jobs"}
        wanted = {plain(one["Properties"]["AlarmName"], names) for one in rows}
        assert {one["AlarmName"] for one in told} == wanted
        assert f"{NAME}-CircuitOpen" in wanted
        (oldest,) = [one for one in told if one["AlarmName"] == f"{NAME}-OldestJob"]
        assert oldest["Dimensions"] == [{"Name": "QueueName", "Value": f"{NAME}-jobs"}]
        assert oldest["Threshold"] == 300
        (chat,) = oldest["AlarmActions"]
        assert chat == made["ChatTopic"]

    in_account(story)


def test_the_dashboard_is_created_beside_the_stack_that_it_shows() -> None:
    async def story(here: Account) -> None:
        made = await here.create(known(read("template.json")))

        await here.create(read(DASHBOARD), {"Worker": NAME}, name=f"{NAME}-dashboard")
        async with get_session().create_client(
            "cloudwatch", endpoint_url=here.stack.url
        ) as cloudwatch:
            body = json.loads((await cloudwatch.get_dashboard(DashboardName=NAME))["DashboardBody"])

        (logs,) = [made[name] for name in made if name.startswith("WorkerLogs")]
        queries = [one["properties"]["query"] for one in body["widgets"] if one["type"] == "log"]
        assert queries
        assert all(query.startswith(f"SOURCE '{logs}' | ") for query in queries)

    in_account(story)


def test_a_defect_in_the_template_is_red_in_what_it_creates() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        template["Resources"]["JobsQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] = 3
        made = await here.create(template)

        report = await doctor(here.environment(template, made))

        (red,) = [one for one in report.findings if one.level is Level.RED]
        assert "gives up too early: maxReceiveCount is 3" in red.says

    in_account(story)
