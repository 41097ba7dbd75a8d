"""The twin of the dead letters' index: the ledger's own records, and a log."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from worker.core.dead import Letter, Note, letter_of
from worker.core.ledger import Record
from worker.sim.ledger import MemoryLedger
from worker.sim.wire import Wire

T = TypeVar("T")


@dataclass(slots=True, eq=False, kw_only=True)
class MemoryDeadLetters:
    """The index of one `MemoryLedger`.

    Attributes:
        dismissed: Job and fence of each record that was taken off the list.
        log: Every row, by its id.
    """

    ledger: MemoryLedger
    dismissed: set[tuple[str, int]] = field(default_factory=set)
    log: dict[str, Note] = field(default_factory=dict)

    def seen_by(self, wire: Wire | None = None) -> "DeadLettersHandle":
        """The index as one operator sees it."""
        return DeadLettersHandle(self, wire or Wire())


class DeadLettersHandle:
    """Port `DeadLetters`: `MemoryDeadLetters` as one operator sees them."""

    def __init__(self, index: MemoryDeadLetters, wire: Wire) -> None:
        self._index = index
        self._wire = wire

    async def letters(self, *, since: float, until: float) -> list[Letter]:
        async def do() -> list[Letter]:
            found = [
                letter
                for record in self._index.ledger.records.values()
                if (letter := letter_of(record)) is not None
                and (letter.job, letter.fence) not in self._index.dismissed
                and since <= letter.died_at < until
            ]
            return sorted(found, key=lambda letter: (letter.died_at, letter.job))

        return await self._call("letters", do)

    async def dismiss(self, letter: Letter) -> bool:
        async def do() -> bool:
            if not self._is_there(letter):
                return False
            self._index.dismissed.add((letter.job, letter.fence))
            return True

        return await self._call("dismiss", do)

    async def enlist(self, record: Record) -> bool:
        async def do() -> bool:
            letter = letter_of(record)
            if letter is None or not self._is_there(letter):
                return False
            self._index.dismissed.discard((letter.job, letter.fence))
            return True

        return await self._call("enlist", do)

    async def note(self, row: Note) -> None:
        async def do() -> None:
            self._index.log[row.id] = row

        await self._call("note", do)

    async def notes(self, *, since: float) -> list[Note]:
        async def do() -> list[Note]:
            rows = [replace(row, original=None) for row in self._index.log.values()]
            return sorted((row for row in rows if row.at >= since), key=lambda row: row.at)

        return await self._call("notes", do)

    async def note_of(self, row: str) -> Note | None:
        async def do() -> Note | None:
            return self._index.log.get(row)

        return await self._call("note_of", do)

    def _is_there(self, letter: Letter) -> bool:
        record = self._index.ledger.records.get(letter.job)
        now = letter_of(record) if record is not None else None
        return now is not None and now.fence == letter.fence

    async def _call(self, operation: str, do: Callable[[], Awaitable[T]]) -> T:
        return await self._wire.call("ledger", operation, do)
