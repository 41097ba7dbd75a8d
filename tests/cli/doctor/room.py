"""A stack with a fleet's resources, what breaks them, and the doctor that looks at it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar
from unittest.mock import patch

from aiobotocore.session import AioSession, get_session

from tests.cli.doctor.awscli import parsed
from worker.cli.doctor import opening
from worker.cli.doctor.exam import Report, examine
from worker.cli.doctor.finding import Finding, Level
from worker.cli.doctor.opening import Limits
from worker.local.faults import Refuse, Rule
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Outcome
from worker.local.resources import Resources, create_resources
from worker.local.stack import LocalStack
from worker.settings import load

T = TypeVar("T")

_LOADER = get_session().get_component("data_loader")  # its cache saves most of a client's making
LIMITS = Limits(clients_s=20, caller_s=20, question_s=20)  # a busy machine is no defect
MODEL = "eu.some.model-v1:0"
# What the SDK looks at beside the variables of a stack, and is not to find here.
_NOBODY = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def session() -> AioSession:
    made = get_session()
    made.register_component("data_loader", _LOADER)
    return made


@dataclass
class Room:
    """One stack; `environ` is what doctor sees, `now` its wall clock."""

    stack: LocalStack
    there: Resources
    sqs: Any
    dynamodb: Any
    s3: Any
    environ: dict[str, str]
    limits: Limits = LIMITS
    ahead_s: float = 0.0
    seen: list[Report] = field(default_factory=list)

    async def doctor(self, *, calls: bool = True) -> Report:
        """What it finds, with no other variables than ours."""
        with patch.dict(os.environ, self.environ, clear=True):
            report = await examine(
                load(self.environ),
                calls=calls,
                at=lambda: time.time() + self.ahead_s,
                environ=self.environ,
                limits=self.limits,
            )
        self.seen.append(report)
        return report

    async def apply(self, fix: str) -> None:
        """Do what a fix says: a command, or a line of settings."""
        if not fix.startswith("aws "):
            name, _, value = fix.removeprefix("export ").partition("=")
            self.environ[name] = value
            return
        service, operation, given = parsed(fix)
        await getattr(getattr(self, service), operation)(**given)

    def refuse(self, operation: str, code: str = "AccessDenied", status: int = 403) -> None:
        """Let AWS refuse an operation."""
        self.stack.faults.set_rules([Rule(operation, Refuse(code, status, "No."))])

    def model(self, outcome: Outcome, region: str = "*") -> None:
        """Let every call of a model end so."""
        self.stack.bedrock.set_mood(Mood(chances=(Chance(1.0, outcome),)), region=region)


@asynccontextmanager
async def room(more: Mapping[str, str], *, replies: bool) -> AsyncIterator[Room]:
    """A stack on which nothing is red."""
    with patch.object(opening, "get_session", session):
        async with LocalStack() as stack:
            environ = {**_NOBODY, **stack.environment()}
            with patch.dict(os.environ, environ, clear=True):
                there = await create_resources(session(), "chat", replies=replies)
                made = session()
                async with (
                    made.create_client("sqs") as sqs,
                    made.create_client("dynamodb") as dynamodb,
                    made.create_client("s3") as s3,
                ):
                    stack.faults.calls.clear()
                    environ |= {
                        "WORKER_QUEUE__URL": there.jobs_url,
                        "WORKER_MODEL__ID": MODEL,
                        "WORKER_LEDGER__TABLE": there.table,
                        "WORKER_BREAKER__TABLE": there.breakers_table,
                        "WORKER_PAYLOADS__BUCKET": there.bucket,
                        **more,
                    }
                    yield Room(stack, there, sqs, dynamodb, s3, environ)


def in_room(
    story: Callable[[Room], Awaitable[T]],
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    replies: bool = False,
) -> T:
    """Play a story in a room of its own."""

    async def main() -> T:
        async with room(settings, replies=replies) as here:
            return await story(here)

    return asyncio.run(main())


def about(report: Report, of: str, says: str) -> list[Finding]:
    """What is red or yellow of one thing, in these words."""
    return [
        one
        for one in report.findings
        if one.level is not Level.GREEN and one.of == of and says in one.says
    ]
