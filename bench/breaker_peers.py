"""Other circuit breakers, each in memory and used as its own documentation shows for asyncio.

Two exceptions: pybreaker's `call_async` needs Tornado, so its context manager is
taken. The one of Powertools for AWS Lambda knows no coroutines (it takes their
creation for their success), and its DynamoDB table is a dictionary here.

They come from requirements/bench.txt, which `make bench` installs.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

REST_S: Final = 1_000_000

Call = Callable[[], Awaitable[None]]
Batch = Callable[[int], Awaitable[None]]


async def answer() -> None:
    """What is guarded."""


def awaits(call: Call) -> Batch:
    """So many calls, one after the other."""

    async def batch(calls: int) -> None:
        for _ in range(calls):
            await call()

    return batch


def refused(call: Call, refusal: type[BaseException]) -> Batch:
    """So many calls, each of them refused."""

    async def batch(calls: int) -> None:
        for _ in range(calls):
            try:
                await call()
            except refusal:
                continue
            raise AssertionError("an open breaker let a call out")

    return batch


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the others.

    Attributes:
        name: With its version.
        guard: `answer` behind a new breaker of a name.
        opened: The same behind one that is open for long.
        refusal: What that one raises.
    """

    name: str
    guard: Callable[[str], Call]
    opened: Callable[[str], Coroutine[Any, Any, Call]]
    refusal: type[BaseException]


def purgatory() -> Peer:
    """https://pypi.org/project/purgatory."""
    library = import_module("purgatory")
    model = import_module("purgatory.domain.model")
    factory = library.AsyncCircuitBreakerFactory(default_ttl=REST_S)

    def guard(name: str) -> Call:
        call: Call = factory(name)(answer)
        return call

    async def opened(name: str) -> Call:
        for _ in range(factory.default_threshold):
            with contextlib.suppress(OSError):
                async with await factory.get_breaker(name):
                    raise OSError
        return guard(name)

    return Peer(_named("purgatory"), guard, opened, model.OpenedState)


def aiobreaker() -> Peer:
    """https://pypi.org/project/aiobreaker."""
    library = import_module("aiobreaker")

    def make(name: str) -> Any:
        return library.CircuitBreaker(name=name, timeout_duration=timedelta(seconds=REST_S))

    def guard(name: str) -> Call:
        call: Call = make(name)(answer)
        return call

    async def opened(name: str) -> Call:
        breaker = make(name)
        breaker.open()
        call: Call = breaker(answer)
        return call

    return Peer(_named("aiobreaker"), guard, opened, library.CircuitBreakerError)


def pybreaker() -> Peer:
    """https://pypi.org/project/pybreaker."""
    library = import_module("pybreaker")

    def make(name: str) -> Any:
        return library.CircuitBreaker(name=name, reset_timeout=REST_S)

    def wrap(breaker: Any) -> Call:
        async def call() -> None:
            with breaker.calling():
                await answer()

        return call

    async def opened(name: str) -> Call:
        breaker = make(name)
        breaker.open()
        return wrap(breaker)

    return Peer(
        _named("pybreaker"), lambda name: wrap(make(name)), opened, library.CircuitBreakerError
    )


def circuitbreaker() -> Peer:
    """https://pypi.org/project/circuitbreaker."""
    library = import_module("circuitbreaker")

    def make(name: str) -> Any:
        return library.CircuitBreaker(name=name, recovery_timeout=REST_S)

    def guard(name: str) -> Call:
        call: Call = make(name)(answer)
        return call

    async def opened(name: str) -> Call:
        breaker = make(name)
        for _ in range(breaker.FAILURE_THRESHOLD):
            with contextlib.suppress(OSError), breaker:
                raise OSError
        call: Call = breaker(answer)
        return call

    return Peer(_named("circuitbreaker"), guard, opened, library.CircuitBreakerError)


def powertools() -> Peer:
    """https://pypi.org/project/aws-lambda-powertools."""
    library = import_module("aws_lambda_powertools.utilities.circuit_breaker")
    stores = import_module("aws_lambda_powertools.utilities.circuit_breaker.persistence")
    store = stores.CircuitBreakerDynamoDBPersistence("breakers", boto3_client=_Table())
    config = library.CircuitBreakerConfig(recovery_timeout=REST_S)

    def guard(name: str) -> Call:
        call: Call = library.circuit_breaker(name, store, config=config)(answer)
        return call

    async def opened(name: str) -> Call:
        store.save_open(name, failure_count=config.failure_threshold, opened_at=int(time.time()))
        return guard(name)

    return Peer(_named("aws-lambda-powertools"), guard, opened, library.CircuitBreakerOpenError)


class _Table:
    """As much of a DynamoDB client as a healthy and a tripped circuit call."""

    def __init__(self) -> None:
        self._items: dict[str, Any] = {}

    def get_item(self, *, Key: Any, **_: Any) -> dict[str, Any]:  # noqa: N803 - the SDK's name
        item = self._items.get(Key["id"]["S"])
        return {} if item is None else {"Item": item}

    def put_item(self, *, Item: Any, **_: Any) -> None:  # noqa: N803 - the SDK's name
        self._items[Item["id"]["S"]] = Item


def _named(distribution: str) -> str:
    return f"{distribution} {version(distribution)}"


PEERS: Final = (purgatory, aiobreaker, pybreaker, circuitbreaker, powertools)
