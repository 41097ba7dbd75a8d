"""The SDK's clients, for commands: where none can be made, all of them say so in the same words."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError

from worker.cli.doctor.asking import unasked


class Unopened(Exception):
    """The SDK could not even make a client. The message says why, and what to do."""


@asynccontextmanager
async def clients(how: AioConfig, *services: str) -> AsyncIterator[dict[str, Any]]:
    """A client of each service, by its name.

    Raises:
        Unopened: No Region, a profile that is none, an endpoint that is no URL.
    """
    session = get_session()
    async with AsyncExitStack() as stack:
        made = {}
        try:
            for name in services:
                opening = session.create_client(name, config=how)
                made[name] = await stack.enter_async_context(opening)
        except (BotoCoreError, ValueError) as error:  # the latter of an endpoint that is no URL
            raise Unopened(str(unasked(error))) from error
        yield made
