"""Where an operator sits: the store, what the settings say, and how long a person waits."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from worker.core.policy import BreakerPolicy
from worker.ports import Board, BreakerStore, Unavailable
from worker.runtime.juror import SPREAD
from worker.runtime.syncer import CALM_S

T = TypeVar("T")

ASK_S: Final = 15.0  # a person waits longer than a worker
LATE_S: Final = CALM_S * (1 + SPREAD)  # the longest pause of a calm worker


class Misused(ValueError):
    """The order cannot be given like this; the message says what to do."""


class InDoubt(Unavailable):
    """The store fell silent in mid-write, and could not be asked what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where an operator sits.

    Attributes:
        store: The breakers' store.
        policies: The policy that the settings give to each breaker that they name.
        given: Knobs that the settings set, be it to their default.
        at: The wall clock, seconds since 1970.
    """

    store: BreakerStore
    policies: Mapping[str, BreakerPolicy]
    given: frozenset[str] = frozenset()
    at: Callable[[], float]


async def asked(call: Awaitable[T]) -> T:
    """Wait for one call to the store, but not for ever.

    Raises:
        Unavailable: It failed, or took too long.
    """
    try:
        async with asyncio.timeout(ASK_S):
            return await call
    except TimeoutError:
        raise Unavailable(store="breakers", why="TimeoutError") from None


async def read(desk: Desk) -> Board:
    """All that is written, as it is now.

    Raises:
        Unavailable: The store could not be asked.
    """
    return await asked(desk.store.read(consistent=True))
