"""What lies between one worker and the services: the place where things go wrong.

A twin's state is shared by all workers of a simulation, as a queue is; what one
worker sees of it goes over that worker's `Wire`. Every call of every port passes
`Wire.call`, so that a test can lose its request, lose its answer, make it late, or
let it hang; and `cut` makes a worker dead to the world while the others go on.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from worker.ports import Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call on a wire.

    Attributes:
        number: Counted from 1, over all calls on this wire.
        port: `queue:<name>`, `ledger`, `payloads`, `breakers`, `cache`, `tasks`, `model` or
            `protection`.
        operation: The method of the port.
    """

    number: int
    port: str
    operation: str

    @property
    def store(self) -> str:
        """The port without the name of the queue, as `Unavailable.store` has it."""
        return self.port.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """What goes wrong with one call.

    Attributes:
        when: `before` the service heard of it, or `after` it has done its part.
        hangs: Whether the caller waits for ever; else `error` is raised.
        error: What the caller sees, `Unavailable` by default.
        late_s: How long the call takes before that, in seconds.
    """

    when: Literal["before", "after"]
    hangs: bool = False
    error: BaseException | None = None
    late_s: float = 0.0


Plan = Callable[[Call], Mishap | None]


def no_mishaps(_: Call) -> Mishap | None:
    """The plan of a good day."""
    return None


@dataclass(slots=True, kw_only=True)
class Wire:
    """One worker's connection to everything.

    Attributes:
        latency_s: How long each call takes beyond what the service itself takes.
        plan: Asked once per call, when it starts.
        calls: How often each operation of each port was called.
        is_cut: Whether the worker is dead to the world.
    """

    latency_s: float = 0.0
    plan: Plan = no_mishaps
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    is_cut: bool = False

    def cut(self) -> None:
        """Let every call hang from now on, also those that are under way."""
        self.is_cut = True

    async def call(self, port: str, operation: str, do: Callable[[], Awaitable[T]]) -> T:
        """Make one call; `do` is the service's part, done in one step where it changes state.

        Raises:
            Unavailable: As planned; see `Mishap`.
        """
        self.calls[port, operation] += 1
        call = Call(self.calls.total(), port, operation)
        mishap = self.plan(call)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        await self.hang_if_cut()
        if mishap is not None and mishap.when == "before":
            await _suffer(mishap, call)
        answer = await do()
        await self.hang_if_cut()
        if mishap is not None:
            await _suffer(mishap, call)
        return answer

    async def hang_if_cut(self) -> None:
        """For services: a dead worker's call goes no further."""
        if self.is_cut:
            await asyncio.Event().wait()


async def _suffer(mishap: Mishap, call: Call) -> None:
    if mishap.late_s:
        await asyncio.sleep(mishap.late_s)
    if mishap.hangs:
        await asyncio.Event().wait()
    if mishap.error is not None:
        raise mishap.error
    raise Unavailable(call.store, f"mishap_{mishap.when}", network=mishap.when == "before")
