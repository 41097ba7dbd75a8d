"""The twin of the ledger: the rules of `core.ledger`, each carried out in one step."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from worker.core import ledger
from worker.core.ledger import LEGAL, Claim, Ending, Record, Refusal, Stale, State
from worker.ports import RecordUnreadable, Unavailable
from worker.sim.clock import wall_clock
from worker.sim.wire import Wire

T = TypeVar("T")

LOAD_MAX: Final = 100
RECORD_BYTES_MAX: Final = 400_000


def nothing_to_see(_old: Record | None, _new: Record) -> None:
    """For ledgers that nobody watches."""


@dataclass(slots=True, eq=False, kw_only=True)
class MemoryLedger:
    """The records of all jobs. Workers see them through `seen_by`.

    Attributes:
        skew_s: How far two hosts' clocks may be apart.
        at: The wall clock, seconds since 1970.
        records: By job id.
        unreadable: Jobs whose records are none that anybody can read.
        watch: Called at every write with the record before and after: the place to
            check what must hold of all of them.
    """

    skew_s: float = 0.0
    at: Callable[[], float] = wall_clock
    records: dict[str, Record] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    watch: Callable[[Record | None, Record], None] = nothing_to_see

    def seen_by(self, wire: Wire | None = None) -> "LedgerHandle":
        """The ledger as one worker sees it."""
        return LedgerHandle(self, wire or Wire())

    def write(self, new: Record) -> None:
        """Put a record into its place. For tests, too: no rule is asked."""
        if new.result is not None and len(new.result) > RECORD_BYTES_MAX:
            raise Unavailable(store="ledger", why="ValidationException")
        self.watch(self.records.get(new.job), new)
        self.records[new.job] = new


class LedgerHandle:
    """Port `Ledger`: a `MemoryLedger` as one worker sees it."""

    def __init__(self, ledger: MemoryLedger, wire: Wire) -> None:
        self._ledger = ledger
        self._wire = wire

    async def claim(self, ask: Claim) -> Record | Refusal:
        async def do() -> Record | Refusal:
            if ask.job in self._ledger.unreadable:
                raise RecordUnreadable
            old = self._ledger.records.get(ask.job)
            new = ledger.claim(old, ask, self._ledger.at(), skew_s=self._ledger.skew_s)
            if isinstance(new, Record) and new is not old:
                assert old is None or (old.state, new.state) in LEGAL
                self._ledger.write(new)
            return new

        return await self._call("claim", do)

    async def renew(self, held: Record, lease_s: float) -> bool:
        async def do() -> bool:
            old = self._held(held)
            if old is None or old.state is not State.RUNNING:
                return False
            self._ledger.write(replace(old, lease_until=self._ledger.at() + lease_s))
            return True

        return await self._call("renew", do)

    async def finish(self, held: Record, ending: Ending) -> Record | Stale:
        async def do() -> Record | Stale:
            old = self._ledger.records.get(held.job)
            new = ledger.finish(old, held, ending, self._ledger.at())
            if isinstance(new, Record) and new is not old:
                self._ledger.write(new)
            return new

        return await self._call("finish", do)

    async def mark_told(self, record: Record) -> None:
        async def do() -> None:
            old = self._held(record)
            if old is not None and old.state is record.state:
                self._ledger.write(replace(old, told=True))

        await self._call("mark_told", do)

    async def load(self, jobs: Sequence[str]) -> dict[str, Record | RecordUnreadable]:
        assert len(jobs) <= LOAD_MAX, f"at most 100 jobs, not {len(jobs)}"

        async def do() -> dict[str, Record | RecordUnreadable]:
            records, unreadable = self._ledger.records, self._ledger.unreadable
            found: dict[str, Record | RecordUnreadable] = {
                job: records[job] for job in jobs if job in records
            }
            return found | {job: RecordUnreadable() for job in jobs if job in unreadable}

        return await self._call("load", do)

    def _held(self, held: Record) -> Record | None:
        """The record, if it is still the one that this claim holds or has ended."""
        old = self._ledger.records.get(held.job)
        same = old is not None and (old.fence, old.nonce) == (held.fence, held.nonce)
        return old if same else None

    async def _call(self, operation: str, do: Callable[[], Awaitable[T]]) -> T:
        return await self._wire.call("ledger", operation, do)
