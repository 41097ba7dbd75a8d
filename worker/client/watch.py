"""Waiting for many jobs with few reads.

Whoever waits, waits here: ids that are due together are read together, up to
100 in one call. An id is asked for at once, then after 100 ms, then ever more
seldom up to every 2 s, with jitter, so that many producers do not ask in step.

A ledger that does not answer is asked again like a job that is not done. Only a
cause that waiting will not cure (no credentials, no such table) ends the waiting,
and a record that cannot be read that of its own job.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from worker.core.ledger import Record
from worker.ports import RecordUnreadable, Unavailable

READ_MAX: Final = 100  # ids in one call; BatchGetItem takes no more
FIRST_S: Final = 0.1
LAST_S: Final = 2.0
_GROWTH: Final = 1.5
_READS_AT_ONCE: Final = 4
_HOPELESS: Final = frozenset(
    {
        "AccessDeniedException",
        "ResourceNotFoundException",
        "ValidationException",
    }
)

News = asyncio.Queue[Record | Exception]
Load = Callable[[Sequence[str]], Awaitable[dict[str, Record | RecordUnreadable]]]


@dataclass(slots=True)
class _Watched:
    """One id that somebody waits for; `due_at` is on the loop's clock."""

    due_at: float
    interval_s: float = FIRST_S
    told: list[News] = field(default_factory=list)


class Watcher:
    """Reads the records of the jobs that somebody waits for, until they are final."""

    def __init__(self, load: Load) -> None:
        """`load` is `ports.Ledger.load`."""
        self._load = load
        self._watched: dict[str, _Watched] = {}
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""  # why the last read failed, "" if it did not

    @contextmanager
    def watching(self, job_ids: Iterable[str]) -> Iterator[News]:
        """Where the final records of these jobs arrive, one each, as they are found."""
        news: News = asyncio.Queue()
        ids, now = tuple(job_ids), asyncio.get_running_loop().time()
        for job_id in ids:
            watched = self._watched.setdefault(job_id, _Watched(now))
            # Somebody new: the job may be done by now, however seldom it was asked for.
            watched.due_at, watched.interval_s = now, FIRST_S
            watched.told.append(news)
        self._more.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield news
        finally:
            for job_id in ids:
                self._forget(job_id, news)

    async def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _forget(self, job_id: str, news: News) -> None:
        watched = self._watched.get(job_id)
        if watched is not None and news in watched.told:
            watched.told.remove(news)
            if not watched.told:
                del self._watched[job_id]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watched:
            self._more.clear()
            # What is due in a moment is asked for now: one call instead of two.
            soon = loop.time() + FIRST_S / 2
            due = [job_id for job_id, watched in self._watched.items() if watched.due_at <= soon]
            if due:
                await self._ask(due)
                continue
            next_at = min(watched.due_at for watched in self._watched.values())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):
                    await self._more.wait()

    async def _ask(self, due: Sequence[str]) -> None:
        reads = [due[n : n + READ_MAX] for n in range(0, len(due), READ_MAX)]
        for n in range(0, len(reads), _READS_AT_ONCE):
            await asyncio.gather(*map(self._read, reads[n : n + _READS_AT_ONCE]))

    async def _read(self, job_ids: Sequence[str]) -> None:
        try:
            records = await self._load(job_ids)
        except Unavailable as error:
            self.trouble = error.why
            if error.local or error.why in _HOPELESS:
                self._tell_all(job_ids, error)
            records = {}
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            self._tell_all(job_ids, error)
            records = {}
        else:
            self.trouble = ""
        now = asyncio.get_running_loop().time()
        for job_id in job_ids:
            if (watched := self._watched.get(job_id)) is None:
                continue
            record = records.get(job_id)
            if isinstance(record, RecordUnreadable) or (record and record.state.final):
                self._tell(job_id, record)
            else:
                jitter = 0.75 + 0.5 * random.random()  # noqa: S311 - jitter
                watched.due_at = now + watched.interval_s * jitter
                watched.interval_s = min(LAST_S, watched.interval_s * _GROWTH)

    def _tell_all(self, job_ids: Sequence[str], error: Exception) -> None:
        for job_id in job_ids:
            self._tell(job_id, error)

    def _tell(self, job_id: str, news: Record | Exception) -> None:
        watched = self._watched.pop(job_id, None)
        for told in watched.told if watched is not None else ():
            told.put_nowait(news)
