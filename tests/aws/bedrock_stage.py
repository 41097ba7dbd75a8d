"""A stage for the Bedrock adapter: the stand-in, or a hand-made server, and a client for it."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from aiobotocore.session import AioSession
from aiohttp import web

from worker.aws.bedrock import Bedrock, bedrock_config
from worker.core.answer import Answer
from worker.core.fault import Fault
from worker.core.job import Request
from worker.core.target import Api, Target
from worker.local.bedrock import Bedrock as StandIn
from worker.local.moods import Mood
from worker.local.outcomes import Outcome
from worker.local.stack import LocalStack

MODEL: Final = "anthropic.claude-sonnet-4"
HELLO: Final = ({"role": "user", "content": [{"text": "Say hello."}]},)
SECRET: Final = "xyzzy-secret"
# Whoever deploys us may set all of this; it must not send one request more.
HOSTILE: Final = {
    "AWS_MAX_ATTEMPTS": "7",
    "AWS_RETRY_MODE": "adaptive",
    "AWS_NEW_RETRIES_2026": "true",
}


def target(api: Api = Api.CONVERSE, **changes: Any) -> Target:
    return Target(name="t", model=MODEL, api=api, **changes)


def request(api: Api = Api.CONVERSE, **changes: Any) -> Request:
    body = {"messages": [], "max_tokens": 16} if api is Api.INVOKE else None
    return Request(**{"messages": HELLO, "additional": body} | changes)


@dataclass(frozen=True, slots=True)
class Stage:
    """`bedrock` is under test, `client` what it uses, `stand_in` what it calls."""

    bedrock: Bedrock
    client: Any
    stand_in: StandIn

    async def call(
        self, api: Api = Api.CONVERSE, *, bound_s: float = 5.0, **changes: Any
    ) -> Answer | Fault:
        """One attempt at `target(api, **changes)`."""
        return await self.bedrock.call(
            target(api, **changes), request(api), job="job-1", attempt=2, bound_s=bound_s
        )

    def script(self, *outcomes: Outcome) -> None:
        """Let the next calls end exactly so."""
        self.stand_in.set_mood(Mood(script=outcomes))


@cache
def _session(*_: str | None) -> AioSession:
    """One session for each environment: the service's model takes long to read."""
    return AioSession()


@asynccontextmanager
async def client_for(
    url: str, *, pool: int = 10, read_s: float = 5.0, **options: Any
) -> AsyncIterator[Any]:
    """A client with our configuration."""
    session = _session(*(os.environ.get(name) for name in HOSTILE))
    settings = {
        "region_name": "us-east-1",
        "aws_access_key_id": "123456789012",
        "aws_secret_access_key": "local",
        "verify": False,  # reading all certificates of the world takes longer than the call
    } | options
    config = bedrock_config(pool, read_s)
    async with session.create_client(
        "bedrock-runtime", endpoint_url=url, config=config, **settings
    ) as client:
        yield client


@asynccontextmanager
async def stage(*, pool: int = 10, read_s: float = 5.0, **options: Any) -> AsyncIterator[Stage]:
    """The stand-in, and the adapter on a client for it."""
    async with (
        LocalStack() as stack,
        client_for(stack.url, pool=pool, read_s=read_s, **options) as client,
    ):
        yield Stage(Bedrock({"": client}), client, stack.bedrock)


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server that answers everything with `handler`; gives its URL."""
    runner = web.ServerRunner(
        web.Server(handler, handler_cancellation=True), access_log=None, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
