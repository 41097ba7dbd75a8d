"""The stage of these tests, and which of them need another environment."""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import pytest
from aiobotocore.session import get_session

from worker.local.resources import Resources, create_resources
from worker.local.stack import LocalStack

T = TypeVar("T")
Scene = Callable[[LocalStack, Resources], Awaitable[T]]

# aioboto3 cannot be installed beside the local stack: `.ci/aioboto3` runs these in an
# environment of their own, and fails if none ran.
collect_ignore = [] if importlib.util.find_spec("aioboto3") else ["aioboto3"]


@pytest.fixture
def on_local_stack(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene[T]], T]:
    """Runs a scene against a stack of its own, to which the SDK's environment points.

    Bucket names are the world's, even here: each scene has its own.
    """

    def run(scene: Scene[T]) -> T:
        async def main() -> T:
            async with LocalStack() as stack:
                for name, value in stack.environment().items():
                    monkeypatch.setenv(name, value)
                resources = await create_resources(get_session(), f"client-{uuid4().hex[:8]}")
                return await scene(stack, resources)

        return asyncio.run(main())

    return run
