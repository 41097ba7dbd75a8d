"""Asking AWS, with an end for each question; and what it means where no answer comes.

What is not about the thing that was asked for (no credentials, a wrong clock, no way to
the endpoint) is told in the same words each time, so that it stands in the answer once.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from worker.aws.trouble import FOREIGN, code_of, unavailable
from worker.cli.doctor.finding import Finding, red, yellow
from worker.cli.doctor.place import Place
from worker.core.sightings import STORE, Sighting
from worker.ops.causes import CauseName, cause_of
from worker.settings import Problem

# As `code_of` tells them.
MISSING: Final = frozenset(
    {"NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException", "NoSuchBucket", "404"}
)
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "403"})
# A proxy's password is not shown.
ENDPOINTS: Final = "env | grep -i -e proxy -e AWS_ENDPOINT | sed 's,//.*@,//,'"
_TAIL: Final = re.compile(r".*[:/]|[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about, for those who must be told that it cannot be answered.

    Attributes:
        of: The finding's: `queue chat-jobs`.
        what: For a sentence: `the jobs queue chat-jobs`.
        action: The right that looking takes: `sqs:GetQueueAttributes`.
        arn: What the right is for.
        causes: What follows where it is not.
        missing: The command that makes it, or a setting that may be wrong.
        mend: What `missing` is for.
    """

    of: str
    what: str
    action: str
    arn: str
    causes: str
    missing: str
    mend: str = "Make it:"

    @property
    def service(self) -> str:
        """`sqs`, `dynamodb` or `s3`."""
        return self.action.partition(":")[0]


async def answered(
    question: Question,
    ask: Callable[[], Awaitable[Iterable[Finding]]],
    place: Place,
    *,
    limit_s: float,
) -> tuple[Finding, ...]:
    """What `ask` finds within `limit_s` seconds, or why it could not."""
    try:
        async with asyncio.timeout(limit_s):
            return tuple(await ask())
    except FOREIGN as error:
        return (unanswered(question, error, place),)


def unanswered(question: Question, error: BaseException, place: Place) -> Finding:
    """What an error of the SDK means, or a `TimeoutError` of ours."""
    code = code_of(error)
    if is_missing(code, question.service):
        says = f"{question.what} does not exist."
        return red(question.of, says, question.causes, question.mend, question.missing)
    if is_denied(code, question.service):
        return yellow(
            question.of,
            f"{question.what} cannot be looked at: {question.action} is denied.",
            "Whoever runs this lacks it; workers do without.",
            *granting((question.action,), (question.arn,), place),
        )
    common = trouble_of(error, question.service, place)
    return common or yellow(
        question.of,
        f"{question.what} cannot be looked at: {code}.",
        "Nothing is known of it.",
        "Ask again; if it stays, see the health of AWS in this Region.",
    )


def is_missing(code: str, service: str) -> bool:
    """Whether a code says that it is not there."""
    return code in MISSING and _is_of(code, service)


def is_denied(code: str, service: str) -> bool:
    """Whether a code says that we may not."""
    return code in DENIED and _is_of(code, service)


def _is_of(code: str, service: str) -> bool:
    """Whether it is AWS's word: S3 alone has bare numbers, for a HEAD has no body for a code."""
    return service == "s3" or not code.isdigit()


def trouble_of(error: BaseException, service: str, place: Place) -> Finding | None:
    """What every question to this service will meet; None if it is not of that kind."""
    code = code_of(error)
    if code == "NoRegionError":
        return red(
            "Region",
            f"AWS cannot be asked: {code}.",
            "Nothing can be reached.",
            "Set AWS_DEFAULT_REGION.",
            "export AWS_DEFAULT_REGION=eu-central-1",
        )
    if not _is_of(code, service):
        return red(
            f"endpoint {service}",
            f"What answers at the endpoint of {service} is not AWS: {code} without a code.",
            "Workers would meet it too.",
            f"See {_variable(service)}, and the proxy in between:",
            ENDPOINTS,
        )
    found = unavailable(service, error)
    cause = cause_of(Sighting(of=STORE + service, kind="failed", code=code))
    if cause is CauseName.LOCAL_CLOCK:
        return wrong_clock(code)
    if found.local or cause is CauseName.CREDENTIALS:
        return no_credentials(code)
    if found.network or isinstance(error, TimeoutError) or "Timeout" in code:
        what = "answers within the time" if not found.network else "answers"
        return red(
            f"endpoint {service}",
            f"Nobody {what} at the endpoint of {service} in {place.region or 'this Region'}: "
            f"{code}.",
            "Workers there could not reach it either.",
            f"See {_variable(service)}, the routes and security groups of this subnet, and its VPC "
            "endpoint:",
            "aws ec2 describe-vpc-endpoints --filters "
            f"Name=service-name,Values=com.amazonaws.{place.region or '*'}.{service}",
        )
    return None


def _variable(service: str) -> str:
    """Which variable leads the SDK to another endpoint of a service."""
    name = "SFN" if service == "states" else service.upper().replace("-", "_")
    return f"AWS_ENDPOINT_URL_{name}"


def unasked(error: BaseException) -> Problem:
    """What to do where the SDK could not even ask, for a command that does something else."""
    return unopened(error).problem


def unopened(error: BaseException) -> Finding:
    """What to do where the SDK could not even make its clients."""
    says, causes = f"AWS cannot be asked: {code_of(error)}.", "Nothing can be reached."
    if isinstance(error, ValueError):
        return red("AWS", says, causes, "An endpoint that is named is no URL:", ENDPOINTS)
    return trouble_of(error, "sts", Place()) or red(
        "AWS",
        says,
        causes,
        "See AWS_PROFILE, the Region, and the SDK's files:",
        "aws configure list",
    )


def wrong_clock(code: str) -> Finding:
    """What a refused signature means."""
    return red(
        "clock",
        f"AWS refuses a signature or its time: {code}.",
        "No request gets through.",
        "Set the clock of this host; if it is right, see who signs (a proxy, a wrong secret).",
        "timedatectl status",
    )


def no_credentials(code: str) -> Finding:
    """What refused or missing credentials mean."""
    return red(
        "credentials",
        f"AWS takes no credentials of ours: {code}.",
        "No queue, table or model can be used.",
        "Run it where the worker runs, or sign in (aws sso login). Who AWS takes us for:",
        "aws sts get-caller-identity",
    )


def granting(actions: tuple[str, ...], resources: tuple[str, ...], place: Place) -> tuple[str, str]:
    """What to do about rights that lack, and the command for it."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    document = orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()
    # A policy of its own for each, for a second one of that name would take the first's place.
    action, resource = actions[0].replace(":", "-"), resources[0].removesuffix("/*")
    name = f"inference-worker-{action}-{_TAIL.sub('-', resource)[-60:].strip('-')}"
    return f"Grant {', '.join(actions)}:", place.grant(document, name) or document
