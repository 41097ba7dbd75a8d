"""Opening the doctor's clients, and listening to when their answers come.

They give up soon and try once: a question has no time for more, and says so.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from worker.aws.bedrock import Bedrock, bedrock_config
from worker.cli.doctor.host import Answered
from worker.cli.doctor.place import Place
from worker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each step may take, in seconds. Together they are the longest examination."""

    clients_s: float = 3.0  # whose credentials may have to be fetched
    caller_s: float = 2.0
    question_s: float = 8.0


LIMITS: Final = Limits()
CONNECT_S: Final = 3.0
POOL: Final = 64  # no question waits for another's connection


@dataclass(slots=True, kw_only=True)
class Hands:
    """The settings, and the clients that look at what they name.

    Attributes:
        answers: When each answer came, as far as it has a `Date`.
        calls: Requests that were sent to models.
        tasks: Step Functions' client; None where no task tokens are answered.
        place: Who and where we are; filled in once that is known.
    """

    settings: Settings
    limits: Limits
    sqs: Any
    dynamodb: Any
    s3: Any
    sts: Any
    tasks: Any
    model: Bedrock
    answers: list[Answered]
    calls: Counter[str]
    place: Place = field(default_factory=Place)


async def opened(
    stack: AsyncExitStack, settings: Settings, limits: Limits, at: Callable[[], float]
) -> Hands:
    """Every client that is needed, closed with `stack`. `at` is the wall clock."""
    session, answers, calls = get_session(), list[Answered](), Counter[str]()

    def count(**_: Any) -> None:
        calls["sent"] += 1

    config = AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=limits.question_s,
        max_pool_connections=POOL,
        retries={"mode": "standard", "total_max_attempts": 1},
        parameter_validation=False,
    )

    async def open_(service: str, how: AioConfig = config, **where: str) -> Any:
        client = await stack.enter_async_context(
            session.create_client(service, config=how, **where)
        )
        _listen(client, answers, at)
        return client

    models = {}
    for region in dict.fromkeys(t.region for t in settings.all_targets().values()):
        where = {"region_name": region} if region else {}
        how = bedrock_config(POOL, limits.question_s)
        models[region] = await open_("bedrock-runtime", how, **where)
        models[region].meta.events.register("before-send", count)
    sqs = await open_("sqs")
    return Hands(
        settings=settings,
        limits=limits,
        sqs=sqs,
        dynamodb=await open_("dynamodb"),
        s3=await open_("s3"),
        sts=await open_("sts"),
        tasks=await open_("stepfunctions") if settings.task_tokens else None,
        model=Bedrock(models),
        answers=answers,
        calls=calls,
        place=Place(region=sqs.meta.region_name or ""),
    )


def _listen(client: Any, answers: list[Answered], at: Callable[[], float]) -> None:
    """Note when answers come, and what their `Date` says."""

    def before(context: dict[str, Any], **_: Any) -> None:
        context["doctor_sent_at"] = at()

    def after(http_response: Any, context: dict[str, Any], **_: Any) -> None:
        date = http_response.headers.get("date")
        sent_at = context.get("doctor_sent_at")
        if date is not None and sent_at is not None:
            try:
                date_at = parsedate_to_datetime(date).timestamp()
            except ValueError:
                return
            answers.append(Answered(sent_at=sent_at, received_at=at(), date_at=date_at))

    client.meta.events.register("before-call", before)
    client.meta.events.register("after-call", after)


async def or_code(asking: Awaitable[Any]) -> tuple[str, Mapping[str, Any]]:
    """An answer, or the code of why there is none."""
    try:
        return "", await asking
    except ClientError as error:
        return str(error.response.get("Error", {}).get("Code", "")), {}
    except BotoCoreError as error:
        return type(error).__name__, {}
