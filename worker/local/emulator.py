"""The emulator behind the local stack: ministack, loaded quietly.

ministack gives queues, tables, objects and state machines as one ASGI app. It is
loaded here and nowhere else, because loading it has side effects that a guest
must not have: it configures the root logger, and it reads two dozen environment
variables with names as common as `AUTH` and `SERVICES`. `load` undoes the first
and hides the second.

Its start-up routine is never run. That routine sweeps Docker containers, runs
scripts that it finds on the disk and opens listeners for services we do not
offer; queues, tables, objects and state machines need none of it.

Its state belongs to the process, not to a stack: two stacks in one process see
the same queues, unless they use different accounts (which they do by default).
"""

import asyncio
import importlib
import importlib.metadata
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from worker.local import shims
from worker.local.movetasks import MoveTasks

VERSION: Final = "1.5.33"
"""The release that the shims were written and tested against."""

SERVICES: Final = (
    "sqs",
    "dynamodb",
    "s3",
    "states",
    "sts",
    "iam",
    "events",
    "logs",
    "monitoring",
    "cloudformation",
)
"""What the stack offers. The rest of ministack stays off: some of it opens ports."""

# What ministack reads while it is imported, and what would change its behaviour.
_HIDDEN: Final = frozenset(
    {
        "AUTH",
        "BIND_HOST",
        "EDGE_PORT",
        "GATEWAY_PORT",
        "LOCALSTACK_PERSISTENCE",
        "LOG_LEVEL",
        "MINISTACK_ACCOUNT_ID",
        "MINISTACK_HOST",
        "MINISTACK_REGION",
        "PERSIST_STATE",
        "S3_PERSIST",
        "SERVICES",
        "USE_SSL",
    }
)
_LOGGERS: Final = ("ministack", "sqs", "dynamodb", "s3", "states", "cloudformation", "events")

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class LocalStackUnavailableError(RuntimeError):
    """The local stack cannot start; the message says why and what to do."""


class Emulator:
    """The loaded emulator: its ASGI app, and what it needs from the loop that serves it."""

    def __init__(self, main: Any, moves: MoveTasks) -> None:
        self.app: AsgiApp = main.app
        self._main = main
        self._moves = moves
        self._stacks = 0

    def enter(self) -> None:
        """Serve from the running loop. Every `enter` has its `leave`.

        State machines run in threads and hand their calls to this loop; without
        it they would touch the queues from a thread of their own.
        """
        self._stacks += 1
        self._main._MAIN_LOOP = asyncio.get_running_loop()  # noqa: SLF001 - its start-up would

    async def leave(self) -> None:
        """Serve no more; the last stack to leave stops what still runs."""
        self._stacks -= 1
        if not self._stacks:
            await self._moves.stop()
            self._main._MAIN_LOOP = None  # noqa: SLF001 - as in `enter`


def load() -> Emulator:
    """Import the emulator, or return the one already imported.

    Raises:
        LocalStackUnavailableError: ministack is not installed.

    Warns:
        RuntimeWarning: Another release than `VERSION` is installed.
    """
    try:
        installed = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        msg = (
            "the local stack needs ministack, which is not installed.\n\n"
            "Without it there are no local queues and tables to work against.\n"
            "Install it with: pip install 'inference-worker[local]'"
        )
        raise LocalStackUnavailableError(msg) from None
    if installed != VERSION:
        warnings.warn(
            f"ministack {installed} is installed, but the local stack was tested with {VERSION}: "
            "its corrections of SQS may not fit. "
            f"Install the tested one with: pip install 'ministack=={VERSION}'",
            RuntimeWarning,
            stacklevel=2,
        )
    return _load()


@cache
def _load() -> Emulator:
    with _private_environment(), _untouched_logging():
        main = importlib.import_module("ministack.app")
        sqs = importlib.import_module("ministack.services.sqs")
        s3 = importlib.import_module("ministack.services.s3")
        # These would be imported by the first request, which would wait for it.
        for name in ("dynamodb", "stepfunctions"):
            importlib.import_module(f"ministack.services.{name}")
    shims.separate_buckets(s3)
    moves = MoveTasks(sqs)
    shims.install(sqs, moves)
    return Emulator(main, moves)


@contextmanager
def _private_environment() -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in _HIDDEN & os.environ.keys()}
    os.environ["SERVICES"] = ",".join(SERVICES)
    try:
        yield
    finally:
        del os.environ["SERVICES"]
        os.environ.update(hidden)
    # These two are read whenever a listener might be opened, not only at import.
    os.environ["IOT_MTLS_ENABLED"] = os.environ["SFTP_ENABLED"] = "0"


@contextmanager
def _untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
