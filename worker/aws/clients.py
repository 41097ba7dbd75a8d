"""The SDK's clients, opened from one session and closed together.

Each has the pool and the timers of its use. Two for SQS: on a shared pool a delete
would wait behind the long polls. Three for DynamoDB: a breaker can do without its store,
and gives up on it long before the ledger would; so can a cache, whose writes must not
stand before the ledger's. No client retries where a repeated
request does harm: a receive whose answer was lost would hide more messages, a write to
the ledger or to a verdict is settled by its nonce, and a model call is paid for.

Endpoints come from the SDK's own environment (`AWS_ENDPOINT_URL_SQS` and so on).
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from botocore.exceptions import InvalidConfigError

from worker.aws.bedrock import bedrock_config
from worker.aws.sqs import WAIT_MAX_S

USER_AGENT: Final = "inference-worker"
CONNECT_S: Final = 3.0
DYNAMODB_POOL_MAX: Final = 64
CONTROL_POOL_MIN: Final = 16
BREAKERS_POOL: Final = 4
BREAKERS_CONNECT_S: Final = 0.3
BREAKERS_READ_S: Final = 0.5
CACHE_POOL: Final = 16
CACHE_CONNECT_S: Final = 0.5
CACHE_READ_S: Final = 1.0
S3_POOL: Final = 10
TASKS_POOL: Final = 16
TASKS_CONNECT_S: Final = 1.0
TASKS_READ_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Connections that each client may open; `bedrock` in each Region."""

    sqs_poll: int
    sqs_control: int
    dynamodb: int
    bedrock: int
    breakers: int = BREAKERS_POOL
    cache: int = CACHE_POOL
    s3: int = S3_POOL
    tasks: int = TASKS_POOL

    def connections(self, *, regions: int, tasks: bool = False) -> int:
        """All that may be open at once; `tasks` says whether task tokens are answered."""
        stores = self.sqs_poll + self.sqs_control + self.dynamodb + self.breakers + self.cache
        return stores + self.s3 + tasks * self.tasks + regions * self.bedrock


def pools(*, pollers: int, slots: int) -> Pools:
    """How many connections so many pollers and slots need."""
    return Pools(
        sqs_poll=pollers + 2,
        sqs_control=max(CONTROL_POOL_MIN, slots // 4),
        dynamodb=min(slots + 2, DYNAMODB_POOL_MAX),
        bedrock=slots + 2,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Open clients. `bedrock` has one for each Region, "" for the SDK's own Region.

    `tasks`, of Step Functions, is None where nobody asked for it.
    """

    sqs_poll: Any
    sqs_control: Any
    dynamodb: Any
    breakers: Any
    cache: Any
    s3: Any
    bedrock: Mapping[str, Any]
    tasks: Any = None


@asynccontextmanager
async def open_clients(
    *,
    session: Any = None,
    pollers: int,
    slots: int,
    regions: Collection[str] = (),
    bedrock_pool: int | None = None,
    bedrock_read_s: float = 130.0,
    tasks: bool = False,
) -> AsyncIterator[Clients]:
    """Open every client that a worker needs.

    Args:
        session: An `aiobotocore` or an `aioboto3` session; a new one when None.
        pollers: Long polls at a time, over all queues.
        slots: Jobs in hand at a time.
        regions: Where models are called; "" for the SDK's own Region.
        bedrock_pool: Connections per Region, by default one per slot and two to spare.
        bedrock_read_s: The backstop behind the attempts' own timers, in seconds.
        tasks: Whether Step Functions is called too.
    """
    create = creator(get_session() if session is None else session)
    sizes = pools(pollers=pollers, slots=slots)
    pool = sizes.bedrock if bedrock_pool is None else bedrock_pool
    async with AsyncExitStack() as stack:

        async def opened(service: str, config: AioConfig, region: str = "") -> Any:
            where = {"region_name": region} if region else {}
            try:
                return await stack.enter_async_context(create(service, config=config, **where))
            except ValueError:  # its text has the whole address, perhaps with a password
                wrong = f"the endpoint of {service} is no URL: see AWS_ENDPOINT_URL and its kin"
                raise InvalidConfigError(error_msg=wrong) from None

        bedrock = {
            region: await opened("bedrock-runtime", bedrock_config(pool, bedrock_read_s), region)
            for region in dict.fromkeys(regions)
        }
        yield Clients(
            sqs_poll=await opened("sqs", _config(sizes.sqs_poll, read_s=WAIT_MAX_S + 5, tries=1)),
            sqs_control=await opened("sqs", _config(sizes.sqs_control, read_s=5, tries=3)),
            dynamodb=await opened("dynamodb", _config(sizes.dynamodb, read_s=3, tries=1)),
            breakers=await opened(
                "dynamodb",
                _config(
                    sizes.breakers, connect_s=BREAKERS_CONNECT_S, read_s=BREAKERS_READ_S, tries=1
                ),
            ),
            cache=await opened(
                "dynamodb",
                _config(sizes.cache, connect_s=CACHE_CONNECT_S, read_s=CACHE_READ_S, tries=1),
            ),
            s3=await opened("s3", _config(sizes.s3, read_s=20, tries=3)),
            bedrock=bedrock,
            tasks=await opened(
                "stepfunctions",
                _config(sizes.tasks, connect_s=TASKS_CONNECT_S, read_s=TASKS_READ_S, tries=1),
            )
            if tasks
            else None,
        )


def creator(session: Any) -> Any:
    """The method that makes clients: aioboto3 calls it `client`, aiobotocore `create_client`."""
    return getattr(session, "create_client", None) or session.client


def _config(pool: int, *, read_s: float, tries: int, connect_s: float = CONNECT_S) -> AioConfig:
    return AioConfig(
        http_session_cls=AIOHTTPSession,
        connect_timeout=connect_s,
        read_timeout=read_s,
        max_pool_connections=pool,
        # `total_max_attempts`, for the environment cannot raise it.
        retries={"mode": "standard", "total_max_attempts": tries},
        parameter_validation=False,  # all our calls are under test
        user_agent=USER_AGENT,
    )
