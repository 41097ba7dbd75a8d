"""An account on the embedded stack, the templates created in it, and what doctor says of it."""

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

from aiobotocore.session import get_session

from tests.cli.doctor.awscli import parsed
from tests.cli.doctor.room import LIMITS, session
from tests.deploy.iam import Role
from tests.deploy.template import Template, container, of_type, plain, statements
from worker.cli.doctor import opening
from worker.cli.doctor.exam import Report, examine
from worker.local.stack import LocalStack
from worker.settings import load

NAME = "chat"
MODEL = "eu.some.model-v1:0"
OTHER = "arn:aws:bedrock:us-east-1::foundation-model/another.model-v1:0"
MODELS = tuple(
    f"arn:aws:bedrock:{where}::foundation-model/some.model-v1:0" for where in ("us-east-1", "")
)
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/inference-worker:1"
UNKNOWN = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::ECS::ClusterCapacityProviderAssociations",
)
"""And with the gateway the routes that lead there."""


LOST = ("TTL on `ttl` is off", "no point-in-time recovery", "no rule of its lifecycle")
"""What its CloudFormation reads over, though its services know it. tests/deploy/test_stack.py
holds that the templates have it; here doctor's own commands put it back."""
MORE = {
    "WORKER_TARGETS__OTHER__ID": OTHER.rpartition("/")[2],
    "WORKER_DEGRADED__BEFORE__KIND": "cache",
    "WORKER_ROUTES__DEFAULT__TARGETS": "default,other",
    "WORKER_ROUTES__DEFAULT__DEGRADED": "before",
}


@dataclass(frozen=True)
class Account:
    """An account of the stack."""

    stack: LocalStack
    variables: Mapping[str, str]
    cloudformation: Any

    @property
    def number(self) -> str:
        """Its own number: on this stack it is the access key, too."""
        return self.variables["AWS_ACCESS_KEY_ID"]

    @property
    def given(self) -> dict[str, str]:
        """The template's parameters."""
        profile = f"arn:aws:bedrock:us-east-1:{self.number}:inference-profile/{MODEL}"
        return {
            "Image": IMAGE,
            "ModelId": MODEL,
            "ModelArns": ",".join(MODELS),
            "ProfileArns": profile,
            "OtherModelArns": OTHER,
        }

    async def create(
        self, template: Template, given: Mapping[str, str] | None = None, *, name: str = NAME
    ) -> dict[str, str]:
        """Create it; the physical ids by logical id."""
        parameters = self.given if given is None else given
        await self.cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template, separators=(",", ":")),  # 51,200 bytes at most
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
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
            async with self.client(service) as client:
                await getattr(client, operation)(**given)

    def client(self, service: str) -> Any:
        """A client of whoever owns the account."""
        return get_session().create_client(service, endpoint_url=self.stack.url)

    def role(self, template: Template, made: Mapping[str, str]) -> Role:
        """The task's role, as its statements came out."""
        given = {**self.given, **made, "AWS::StackName": NAME}
        return Role(statements(template, "TaskRole"), given, self.number, MODELS)

    def environment(self, template: Template, made: Mapping[str, str]) -> dict[str, str]:
        """What the task would see: the container's variables, and the way to the stack."""
        usual = {n: str(one.get("Default")) for n, one in template["Parameters"].items()}
        here = {"AWS::StackName": NAME, "AWS::Region": "us-east-1"}
        known = {**usual, **self.given, **made, **here}
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
    for one in made["Resources"].values():
        if "DependsOn" in one:
            waits = [one["DependsOn"]] if isinstance(one["DependsOn"], str) else one["DependsOn"]
            one["DependsOn"] = [name for name in waits if name not in gone]
    return made


async def doctor(environment: Mapping[str, str]) -> Report:
    loads_once = patch.object(opening, "get_session", session)
    with loads_once, patch.dict(os.environ, environment, clear=True):
        return await examine(
            load(environment), calls=True, at=time.time, environ=environment, limits=LIMITS
        )


@asynccontextmanager
async def worker_of(environment: Mapping[str, str]) -> AsyncIterator[None]:
    """A worker as a process, with these variables; then a stop, which must be a clean one."""
    there = dict(environment)
    del there["WORKER_HEALTH__PORT"]  # here it might be somebody else's
    there["WORKER_QUEUE__WAIT_S"] = "1"  # a stop lets the last receive come home
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "run", env=there, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        code = await worker.wait()
    assert code == 0
