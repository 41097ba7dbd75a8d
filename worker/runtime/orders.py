"""Carries orders out: what `core/moves.py` makes of a verdict is written, or is not.

One write, conditional on the version and nonce that were known. Who loses the race gets
what is there, and the order is asked again about that: mostly it does not hold any more.
A write whose answer was lost is looked up: its nonce says whether it stands. Where that
cannot be had either, whoever reads the verdicts next finds it. History and the event are
told by the one whose write won.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from worker.core.events import BreakerContested, BreakerMoved, StoreFailed
from worker.core.gate import Gate
from worker.core.moves import Order, Restore, moved
from worker.core.verdict import State, Transition, Verdict, is_behind, transition
from worker.core.window import NEVER
from worker.ports import Board, BreakerStore, Tell, Unavailable

T = TypeVar("T")

RACES_MAX: Final = 8
ASK_S: Final = 2.0  # no store call takes longer, whatever it is made of
UNREADABLE: Final = "RecordUnreadable"
FORGET_S: Final = 30.0  # whoever has writes to make tries more often than that


class Refusals:
    """For how long writes of one kind fail while reads pass. Times are the loop's.

    One refusal shows nothing: it is the time between the first and the last in a row
    that counts, and the row ends with a write that passes, or when no more come.
    """

    def __init__(self) -> None:
        self._first = self._last = NEVER

    def note(self, now: float) -> None:
        """A write was refused."""
        if not self.fresh(now):
            self._first = now
        self._last = now

    def end(self) -> None:
        """A write passed."""
        self._first = self._last = NEVER

    def fresh(self, now: float) -> bool:
        """Whether a write was refused of late, and none passed since."""
        return now - self._last <= FORGET_S

    def lasted_s(self, now: float) -> float:
        """How long the row is, in seconds."""
        return self._last - self._first if self.fresh(now) else 0.0


class Orders:
    """Gives orders in the name of one worker.

    Args:
        store: The breakers' store.
        worker: Its name, for the record.
        at: The wall clock, seconds since 1970.
        tell: Who wants to know.

    Attributes:
        refusals: Of verdicts that were to be written.
    """

    def __init__(
        self, store: BreakerStore, *, worker: str, at: Callable[[], float], tell: Tell
    ) -> None:
        self._store = store
        self._worker = worker
        self._at = at
        self._tell = tell
        self.refusals = Refusals()
        self._doubted: dict[str, tuple[Verdict, Verdict, float]] = {}  # by the write's nonce

    async def give(self, gate: Gate, order: Order) -> Verdict | None:
        """Carry out one order; the gate adopts what is learned on the way.

        Returns:
            The verdict that was written; None if the order does not hold.

        Raises:
            Unavailable: The store could not be asked; the order may or may not stand.
        """
        now = asyncio.get_running_loop().time
        for _ in range(RACES_MAX):
            old = gate.verdict
            new = moved(
                old,
                order,
                gate.policy,
                writer=self._worker,
                nonce=uuid.uuid4().hex[:16],
                at=round(self._at(), 3),
            )
            if new is None:
                return None
            lasted_s = gate.troubled_s(now())
            there = await self._written(old, new, lasted_s=lasted_s)
            if there.nonce == new.nonce:
                gate.adopt(new, now(), self._at())
                await self._told(old, new, lasted_s=lasted_s)
                return new
            if is_behind(there, old):
                await self.restore(gate, there)
            else:
                self._tell(
                    BreakerContested(
                        breaker=old.name, order=type(order).__name__, version=new.version
                    )
                )
                await self.recall(there)
                gate.adopt(there, now(), self._at())
        return None

    async def recall(self, there: Verdict) -> None:
        """Tell a write of ours that was in doubt, now that it is seen to stand.

        Args:
            there: What the store has now.
        """
        found = self._doubted.pop(there.nonce, None)
        for nonce, (_, new, _) in list(self._doubted.items()):
            if new.name == there.name and new.version <= there.version:
                del self._doubted[nonce]  # it does not stand, or was overtaken unseen
        if found is not None:
            old, new, lasted_s = found
            await self._told(old, new, lasted_s=lasted_s)

    async def restore(self, gate: Gate, there: Verdict) -> None:
        """The store has forgotten what we know: write it back.

        Raises:
            Unavailable: The store could not be asked.
        """
        new = moved(
            there,
            Restore(known=gate.verdict),
            gate.policy,
            writer=self._worker,
            nonce=uuid.uuid4().hex[:16],
            at=round(self._at(), 3),
        )
        if new is None:
            return
        written = await self._written(there, new)
        gate.adopt(written, asyncio.get_running_loop().time(), self._at())
        if written.nonce == new.nonce:
            await self._told(there, new)

    async def ask(self, call: Awaitable[T]) -> T:
        """Wait for one call to the store, but not for ever.

        Raises:
            Unavailable: It failed, or took too long.
        """
        try:
            async with asyncio.timeout(ASK_S):
                return await call
        except TimeoutError:
            raise Unavailable(store="breakers", why="TimeoutError") from None

    async def _written(self, old: Verdict, new: Verdict, *, lasted_s: float = 0.0) -> Verdict:
        """What is there after this write.

        Raises:
            Unavailable: The store could not be asked, or read only: what was there still is.
        """
        try:
            there = await self.ask(self._store.swap(old, new))
        except asyncio.CancelledError:  # the job that asked for a ticket is cut short
            self._doubted[new.nonce] = (old, new, lasted_s)
            raise
        except Unavailable as error:
            try:
                board: Board = await self.ask(self._store.read(consistent=True))
            except (Unavailable, asyncio.CancelledError):
                self._doubted[new.nonce] = (old, new, lasted_s)
                raise
            there = board.verdicts.get(new.name, Verdict(name=new.name))
            if there == old:
                if error.why == UNREADABLE:  # a later version's: it is ours alone that is refused
                    raise
                self.refusals.note(asyncio.get_running_loop().time())
                raise
        self.refusals.end()
        return there

    async def _told(self, old: Verdict, new: Verdict, *, lasted_s: float = 0.0) -> None:
        row = transition(old, new, round(self._at(), 3))
        if row is None:
            return
        closes = row.new is State.CLOSED and row.old is not State.CLOSED
        self._tell(_event(row, lasted_s=round(lasted_s, 3) if closes else 0.0))
        try:
            await self.ask(self._store.note(row))
        except Unavailable as error:
            self._tell(StoreFailed(store=error.store, operation="note", why=error.why))


def _event(row: Transition, *, lasted_s: float) -> BreakerMoved:
    return BreakerMoved(
        breaker=row.name,
        scope="fleet",
        old=row.old,
        new=row.new,
        share=row.share,
        epoch=row.epoch,
        round=row.round,
        version=row.version,
        cooldown_s=row.cooldown_s,
        why=row.why,
        lasted_s=lasted_s,
    )
