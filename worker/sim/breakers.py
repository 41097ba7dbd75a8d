"""The twin of the breakers' store: what is written is written in one step, or not at all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from worker.core.jury import Seat
from worker.core.policy import PolicyChange
from worker.core.verdict import Transition, Verdict
from worker.ports import Board
from worker.sim.wire import Wire

T = TypeVar("T")

HISTORY_MAX: Final = 1000


def nothing_to_see(_old: Verdict, _new: Verdict) -> None:
    """For stores that nobody watches."""


@dataclass(slots=True, eq=False, kw_only=True)
class MemoryBreakers:
    """What the fleet shares of its breakers. Workers see it through `seen_by`.

    Attributes:
        verdicts: By breaker.
        policies: By breaker, or `EVERY`.
        seats: By number.
        rows: The history, by breaker and version.
        watch: Called at every write of a verdict with what was there before and what
            is there now: the place to check what must hold of all of them.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    policies: dict[str, PolicyChange] = field(default_factory=dict)
    seats: dict[int, Seat] = field(default_factory=dict)
    rows: dict[str, dict[int, Transition]] = field(default_factory=dict)
    watch: Callable[[Verdict, Verdict], None] = nothing_to_see

    def seen_by(self, wire: Wire | None = None) -> "BreakersHandle":
        """The store as one worker sees it."""
        return BreakersHandle(self, wire or Wire())

    def wipe(self) -> None:
        """Lose everything, as a table does that is deleted and made again."""
        for kept in (self.verdicts, self.policies, self.seats, self.rows):
            kept.clear()


class BreakersHandle:
    """Port `BreakerStore`: `MemoryBreakers` as one worker sees them."""

    def __init__(self, breakers: MemoryBreakers, wire: Wire) -> None:
        self._breakers = breakers
        self._wire = wire

    async def read(self, *, consistent: bool = False) -> Board:
        """Every read of the twin is consistent."""
        del consistent

        async def do() -> Board:
            here = self._breakers
            return Board(verdicts=dict(here.verdicts), policies=dict(here.policies))

        return await self._call("read", do)

    async def swap(self, old: Verdict, new: Verdict) -> Verdict:
        assert old.name == new.name, "a verdict replaces one of its own breaker"

        async def do() -> Verdict:
            there = self._breakers.verdicts.get(new.name, Verdict(name=new.name))
            if (there.version, there.nonce) != (old.version, old.nonce):
                return there
            self._breakers.watch(there, new)
            self._breakers.verdicts[new.name] = new
            return new

        return await self._call("swap", do)

    async def swap_policy(self, change: PolicyChange) -> PolicyChange:
        async def do() -> PolicyChange:
            there = self._breakers.policies.get(change.name, PolicyChange(name=change.name))
            if there.version != change.version - 1:
                return there
            self._breakers.policies[change.name] = replace(change, values=dict(change.values))
            return change

        return await self._call("swap_policy", do)

    async def seats(self) -> list[Seat]:
        async def do() -> list[Seat]:
            return [seat for _, seat in sorted(self._breakers.seats.items())]

        return await self._call("seats", do)

    async def sit(self, seat: Seat, old: Seat | None) -> bool:
        async def do() -> bool:
            there = _held(self._breakers.seats.get(seat.number))
            if there != _held(old):
                return there == _held(seat)  # the same write, arrived before
            self._breakers.seats[seat.number] = replace(seat, votes=dict(seat.votes))
            return True

        return await self._call("sit", do)

    async def note(self, row: Transition) -> bool:
        async def do() -> bool:
            rows = self._breakers.rows.setdefault(row.name, {})
            if row.version in rows:
                return False
            rows[row.version] = row
            return True

        return await self._call("note", do)

    async def history(self, name: str, most: int) -> list[Transition]:
        assert 1 <= most <= HISTORY_MAX, f"1 to 1,000 rows, not {most}"

        async def do() -> list[Transition]:
            rows = self._breakers.rows.get(name, {})
            return [rows[version] for version in sorted(rows, reverse=True)[:most]]

        return await self._call("history", do)

    async def _call(self, operation: str, do: Callable[[], Awaitable[T]]) -> T:
        return await self._wire.call("breakers", operation, do)


def _held(seat: Seat | None) -> tuple[str, int] | None:
    """What tells one publication of a seat from another."""
    return None if seat is None else (seat.holder, seat.beat)
