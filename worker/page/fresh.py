"""One answer for everybody who asks at the same time, or a moment later.

Several tabs that refresh themselves ask the stores once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

KEEP_S: Final = 1.0


class Fresh(Generic[T]):
    """What `ask` answers, at most `KEEP_S` seconds old."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Future[T] | None = None
        self._asked_at = 0.0

    async def get(self) -> T:
        """The answer. Whoever goes away while it is awaited takes it from nobody else."""
        now = asyncio.get_running_loop().time()
        asking = self._asking
        if asking is None or (asking.done() and now - self._asked_at > KEEP_S):
            asking = asyncio.ensure_future(self._ask())
            asking.add_done_callback(self._answered)
            self._asking = asking
        return await asyncio.shield(asking)

    def _answered(self, asking: asyncio.Future[T]) -> None:
        self._asked_at = asyncio.get_running_loop().time()
        if asking.cancelled() or asking.exception() is not None:
            self._asking = None  # the next one asks again
