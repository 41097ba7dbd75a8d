"""Leaving in time: for commands that somebody in a hurry waits for.

A name that is slow to resolve keeps a thread, which neither the loop's end nor the
interpreter's would leave behind.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

INTERRUPTED: Final = 130  # as a shell has it
_WORKING: Final[set[Future[Any]]] = set()


class Threads(ThreadPoolExecutor):
    """Whose work is known as long as it lasts."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future = super().submit(fn, *args, **kwargs)
        _WORKING.add(future)
        future.add_done_callback(_WORKING.discard)
        return future


def run(work: Coroutine[Any, Any, T], limit_s: float | None = None) -> T:
    """The outcome of `work`, whose threads nobody waits for, also after a Ctrl-C.

    Raises:
        TimeoutError: It took longer than `limit_s` seconds; None for no limit.
    """
    try:
        return asyncio.run(_in_time(work, limit_s))
    except KeyboardInterrupt:
        left(INTERRUPTED)
        raise


async def _in_time(work: Coroutine[Any, Any, T], limit_s: float | None) -> T:
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    try:
        async with asyncio.timeout(limit_s):
            return await work
    finally:
        # What the resolver still works on is nobody's to wait for: not the loop's either.
        threads.shutdown(wait=False, cancel_futures=True)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))


def left(code: int) -> int:
    """The exit code; the process ends at once where one of its threads still works."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it came closed
        stream.flush()
    if _WORKING:  # idle ones end by themselves
        os._exit(code)
    return code
