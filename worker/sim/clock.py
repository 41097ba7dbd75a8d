"""A loop in virtual time: an hour passes as fast as its work is done.

Whenever every task waits, the clock jumps to the next timer. `asyncio.timeout`,
task groups, `call_later` and `sleep` work as they do elsewhere, and one seed
gives one story. There is no place in it for threads or real sockets: nobody
would wait for them.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = 1_767_225_600.0
"""What the wall clock shows when a simulation starts: 2026-01-01, midnight UTC."""

LIMIT_S: Final = 7 * 86_400.0


class Stuck(RuntimeError):
    """The simulation cannot go on, or goes on for ever; the message says who waits."""


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of sleeping until the next timer, moves the clock to it."""

    now = 0.0
    limit_s = LIMIT_S

    def __init__(self, waiting: Callable[[], str]) -> None:
        super().__init__()
        self._waiting = waiting

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            msg = f"every task waits and no timer is set: {self._waiting()}"
            raise Stuck(msg)
        if self.now >= self.limit_s:
            limit_s, self.limit_s = self.limit_s, math.inf  # what is left may end in peace
            msg = f"not over after {limit_s:g} virtual seconds: {self._waiting()}"
            raise Stuck(msg)
        self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, for tests and the simulator.

    Args:
        limit_s: A simulation that is not over by then has failed, in virtual seconds.
        tick_s: What passes with every look at the clock, in virtual seconds. With 0 whatever
            is done takes no time at all; a real clock has moved on whenever it is asked.
    """

    def __init__(self, *, limit_s: float = LIMIT_S, tick_s: float = 0.0) -> None:
        self._tick_s = tick_s
        self._virtual = _JumpingSelector(self._waiting)
        self._virtual.limit_s = limit_s
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        self._virtual.now += self._tick_s
        return self._virtual.now

    def _waiting(self) -> str:
        names = sorted(
            f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})"
            for task in asyncio.all_tasks(self)
        )
        return ", ".join(names) or "no task is left"


def in_virtual_time(
    main: Coroutine[Any, Any, T], *, limit_s: float = LIMIT_S, tick_s: float = 0.0
) -> T:
    """Run `main` as `asyncio.run` does, in virtual time from 0.

    What `main` leaves behind is cancelled, and the loop is closed. `limit_s` and `tick_s` are
    those of `VirtualTimeLoop`.

    Raises:
        Stuck: Every task waits for something that cannot come, or `main` is not
            over after `limit_s` virtual seconds.
    """

    def loop() -> VirtualTimeLoop:
        return VirtualTimeLoop(limit_s=limit_s, tick_s=tick_s)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


def wall_clock() -> float:
    """Seconds since 1970: virtual ones inside a `VirtualTimeLoop`, else the real ones."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.time()
    return EPOCH + loop.time() if isinstance(loop, VirtualTimeLoop) else time.time()
