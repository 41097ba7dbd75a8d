"""What goes on while nobody looks: a redrive or a discard that was begun on the page.

One at a time, and nobody reads a message meanwhile: two sweeps of one queue would hide its
messages from each other. A run lives in
this process; what it did is in the log of dead letters, and in the ledger.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from worker.ops.dead_pace import Helm
from worker.ops.desk import Misused
from worker.ports import Unavailable

KEPT: Final = 50
LEAVE_S: Final = 10.0
STEPS_MAX: Final = 200


@dataclass(slots=True, kw_only=True)
class Run:
    """One of them.

    Attributes:
        verb: `redrive` or `discard`; `what` says which letters, in words.
        meant: How many letters that is.
        helm: Counts them, and stops it.
        steps: What it told on its way.
        well: Whether everything that was meant was done; None while it goes on.
        outcome: What became of it.
    """

    id: str
    verb: str
    what: str
    author: str
    why: str
    meant: int
    began_at: float
    helm: Helm = field(default_factory=Helm)
    steps: list[str] = field(default_factory=list)
    well: bool | None = None
    outcome: str = ""
    ended_at: float = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether it is not over yet."""
        return self.well is None

    def tell(self, step: str) -> None:
        """Keep what it tells, the newest of it."""
        self.steps[:] = [*self.steps[-STEPS_MAX:], step]


Act = Callable[[Run], Awaitable[tuple[bool, str]]]


class Runs:
    """All of this process. `at` is the wall clock."""

    def __init__(self, at: Callable[[], float]) -> None:
        self._at = at
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> Run:
        if name not in self._runs:
            msg = "this page knows of no such run; the log has what was done"
            raise Misused(msg)
        return self._runs[name]

    @property
    def now(self) -> Run | None:
        """The one that goes on."""
        return next((run for run in self._runs.values() if run.goes_on), None)

    @property
    def all(self) -> list[Run]:
        """The newest first."""
        return list(reversed(self._runs.values()))

    def must_be_over(self) -> None:
        """For whoever is about to sweep a dead-letter queue.

        Raises:
            Misused: One goes on.
        """
        if (other := self.now) is not None:
            msg = f"a {other.verb} goes on ({other.what}): wait for its end, or stop it"
            raise Misused(msg)

    def begin(self, act: Act, *, verb: str, what: str, meant: int, author: str, why: str) -> Run:
        """Begin one; `act` returns whether all went well, and what became of it.

        Raises:
            Misused: Another one goes on.
        """
        self.must_be_over()
        run = Run(
            id=secrets.token_hex(8),
            verb=verb,
            what=what,
            author=author,
            why=why,
            meant=meant,
            began_at=self._at(),
        )
        while len(self._runs) >= KEPT:
            del self._runs[next(iter(self._runs))]
        self._runs[run.id] = run
        task = asyncio.create_task(self._through(run, act), name=f"{verb}-{run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def leave(self) -> None:
        """Stop what goes on, and wait a while for it; then cut it: nothing is lost by that."""
        for run in self._runs.values():
            run.helm.stop = run.helm.stop or "the page was closed"
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_S)
        for task in self._tasks:
            task.cancel()

    async def _through(self, run: Run, act: Act) -> None:
        well, outcome = False, "It was cut before its end; what was not done is where it was."
        try:
            well, outcome = await act(run)
        except (Misused, Unavailable) as error:
            outcome = f"{error}. Nothing was done."
        finally:
            run.well, run.outcome, run.ended_at = well, outcome, self._at()
