"""The stack and the workers: real processes, each ended by its pid and nothing else.

They get an environment made from scratch. Whatever this shell knows of AWS, of
proxies or of another worker stays out, and so does a `worker.toml` that lies about.
"""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

KEPT: Final = frozenset(
    {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TERM", "COLORTERM", "COLUMNS"}
)
NEEDED: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_SQS",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "WORKER_MODEL__ID",
        "WORKER_PAYLOADS__BUCKET",
        "WORKER_QUEUE__URL",
    }
)
START_S: Final = 20.0
LOOK_S: Final = 0.05
LAST_LINES: Final = 12


class Trouble(Exception):
    """The demo cannot go on; the message says why, for a person."""


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment does no harm, and nothing that AWS could be asked by."""
    kept = {name: value for name, value in environment.items() if name in KEPT}
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A checkout that nobody installed works as well.
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }


@contextmanager
def living_in(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this process's own clients see what the children see."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Child:
    """One process of ours. Its output goes to `<name>.out` and `<name>.err`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.name = name
        self.out = folder / f"{name}.out"
        self.err = folder / f"{name}.err"
        self.wanted = True  # until it is asked to leave, or killed
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.returncode

    def end(self, number: signal.Signals) -> None:
        """Send it a signal that ends it sooner or later."""
        self.wanted = False
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its exit code."""
        return await self._process.wait()

    def died(self) -> Trouble | None:
        """What to say if it ended although nobody asked it to."""
        if not self.wanted or self.exit_code is None:
            return None
        said = self.err.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        lines = "\n".join(f"    {line}" for line in said[-LAST_LINES:])
        return Trouble(f"{self.name} ended by itself, exit code {self.exit_code}:\n\n{lines}")


class Children:
    """All of them. Leaving ends whoever still runs, and waits for it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.all: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for child in self.all:
            child.end(signal.SIGKILL)
        for child in self.all:
            await child.ended()

    async def start(self, name: str, *arguments: str) -> Child:
        """Start `python -m worker <arguments>`."""
        out, err = (self.folder / f"{name}.{kind}" for kind in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "worker",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self.environment,
                cwd=self.folder,  # no `worker.toml` is there
                start_new_session=True,  # Ctrl-C is ours, and we end them in order
            )
        child = Child(name, process, self.folder)
        self.all.append(child)
        return child

    async def start_stack(self) -> Child:
        """Start the local stack, and point the environment of those that follow at it."""
        stack = await self.start("stack", "local", "up")
        until = asyncio.get_running_loop().time() + START_S
        while not (found := _exports(stack.out.read_text(encoding="utf-8"))).keys() >= NEEDED:
            self.check()
            if asyncio.get_running_loop().time() > until:
                msg = f"The local stack did not start within {START_S:g} s."
                raise Trouble(msg)
            await asyncio.sleep(LOOK_S)
        self.environment |= found
        return stack

    def check(self) -> None:
        """Raise if one has ended that should not have.

        Raises:
            Trouble: It tells its last words.
        """
        for child in self.all:
            if trouble := child.died():
                raise trouble


def _exports(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines(keepends=True):
        if line.startswith("export ") and line.endswith("\n"):
            name, _, value = shlex.split(line)[1].partition("=")
            found[name] = value
    return found
