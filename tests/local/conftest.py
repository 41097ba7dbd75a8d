"""A stack to test against, and real SDK clients for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.loaders import create_loader

from worker.local.resources import Resources, create_resources
from worker.local.stack import LocalStack

SERVICE_MODELS = create_loader()  # shared, because reading them is most of a client's cost
ONE_REQUEST = {"mode": "standard", "total_max_attempts": 1}
MODEL = "anthropic.claude-local"
USER = [{"role": "user", "content": [{"text": "How are you?"}]}]


@dataclass(frozen=True)
class Local:
    """A running stack, and clients that are closed with it."""

    stack: LocalStack
    session: AioSession
    clients: AsyncExitStack

    async def client(self, service: str, **config: Any) -> Any:
        return await self.clients.enter_async_context(self.unmanaged(service, **config))

    def unmanaged(
        self, service: str, region: str | None = None, **config: Any
    ) -> AbstractAsyncContextManager[Any]:
        settings = AioConfig(**({"retries": ONE_REQUEST, "read_timeout": 10} | config))
        client: AbstractAsyncContextManager[Any] = self.session.create_client(
            service, region_name=region, endpoint_url=self.stack.url, config=settings
        )
        return client

    async def resources(self, **options: Any) -> Resources:
        return await create_resources(self.session, "test", endpoint_url=self.stack.url, **options)


def on_stack(test: Callable[[Local], Awaitable[None]]) -> None:
    """Run `test` against a fresh stack and a fresh account."""

    async def main() -> None:
        async with LocalStack() as stack, AsyncExitStack() as clients:
            await test(Local(stack, session_for(stack), clients))

    asyncio.run(main())


def session_for(stack: LocalStack, account: str | None = None) -> AioSession:
    """A session that ignores whatever AWS settings this machine has."""
    environment = stack.environment(account)
    session = get_session()
    session.register_component("data_loader", SERVICE_MODELS)
    session.set_credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    session.set_config_variable("region", environment["AWS_REGION"])
    return session


def code_of(error: BaseException) -> str:
    """The AWS error code of a client error."""
    code: str = error.response["Error"]["Code"]  # type: ignore[attr-defined]
    return code
