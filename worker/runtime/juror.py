"""A worker's part in the jury: it keeps a seat, publishes its votes, and counts them all.

no seat      looks for one every minute, or sooner if only the writing failed
calm         publishes every 15 s
suspicion    publishes once a second
its own vote speaks against the target, or a ramp goes on: counts the votes
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from worker.core.attendance import CALM_S, Attendance
from worker.core.gate import Gate
from worker.core.jury import Seat, Vote, finding, fleet_size, seat_for
from worker.core.moves import StepDown, StepUp, Trip
from worker.core.sightings import Sighting, evidence
from worker.core.verdict import State
from worker.ports import BreakerStore, Unavailable
from worker.runtime.gates import Gates
from worker.runtime.orders import Orders, Refusals

ALARM_S: Final = 1.0
SEATLESS_S: Final = 60.0
SPREAD: Final = 0.2  # no two workers keep step
TICK_S: Final = 0.001  # a timer may fire a little early; then it is not set anew


class Juror:
    """One worker's seat, or its search for one.

    Args:
        store: The breakers' store.
        orders: Who writes verdicts.
        gates: The process's gates.
        worker: Its name.
        roll: Dice, even in [0, 1); the first roll is the worker's lot.
        at: The wall clock, seconds since 1970.
        seen: What went wrong here of late, at a time of the loop's clock.

    Attributes:
        due: When there is something to do, on the loop's clock.
        fleet_size: About how many workers there are.
        refusals: Of seats that were to be written.
        gone: Set when a juror that leaves has given its seat back.
    """

    def __init__(
        self,
        store: BreakerStore,
        orders: Orders,
        gates: Gates,
        *,
        worker: str,
        roll: Callable[[], float],
        at: Callable[[], float],
        seen: Callable[[float], tuple[Sighting, ...]],
    ) -> None:
        self._store = store
        self._orders = orders
        self._gates = gates
        self._worker = worker
        self._roll = roll
        self._at = at
        self._seen = seen
        self._lot = roll()
        self._seat: Seat | None = None
        self._attendance = Attendance()
        self._published_at = 0.0
        self._counted_at = 0.0
        self.due = 0.0
        self.fleet_size = 1.0
        self.refusals = Refusals()
        self._leaves = False
        self.gone = asyncio.Event()

    def leave(self) -> None:
        """Give the seat back at the next turn, and take none again."""
        self._leaves = True
        self.due = 0.0

    @property
    def seated(self) -> bool:
        """Whether we have a seat."""
        return self._seat is not None

    async def keep(self, now: float) -> None:
        """Look for a seat, or publish what we see from the one we have.

        Raises:
            Unavailable: The store could not be asked.
        """
        if self._leaves:
            await self._give_back()
            return
        if self._seat is None:
            if now + TICK_S >= self.due:
                await self._look(now)
            return
        self._hurry(now)
        if now + TICK_S >= self.due:
            await self._publish(self._seat, now)
            self._hurry(now)

    def _hurry(self, now: float) -> None:
        """Under suspicion the next vote is due a second after the last one."""
        if self._seat is not None and any(gate.suspicious(now) for gate in self._gates):
            self.due = min(self.due, self._published_at + ALARM_S)

    async def _look(self, now: float) -> None:
        self.due = now + self._spread(SEATLESS_S)
        self._attendance.note(await self._orders.ask(self._store.seats()), now)
        held = self._attendance.held(now)
        self.fleet_size = fleet_size(held)
        ours = [seat.number for seat in held if seat.holder == self._worker]
        # A seat that we left in doubt is ours still: nobody sits on two.
        number = ours[0] if ours else seat_for(self._lot, held, self._attendance.lapsed(now))
        if number is None:
            return
        old = self._attendance.seat(number)
        beat = 1 if old is None else old.beat + 1
        seat = self._taken(number, beat, now)
        self.due = now + self._spread(CALM_S)
        if await self._written(seat, old):
            self._sit(seat, now)
            for gate in self._gates:
                gate.seat(now, juror=True)
        else:
            self.due = now + self._spread(ALARM_S)  # somebody was faster; others may be free

    async def _give_back(self) -> None:
        """Leave the seat empty: nobody should wait for a vote of ours."""
        self.due = math.inf
        if (old := self._seat) is not None:
            self._seat = None
            empty = Seat(number=old.number, holder="", lot=old.lot, beat=old.beat + 1)
            await self._orders.ask(self._store.sit(empty, old))
        self.gone.set()

    async def _publish(self, old: Seat, now: float) -> None:
        seat = self._taken(old.number, old.beat + 1, now)
        try:
            kept = await self._written(seat, old)
        except Unavailable:
            self._stand_up(now)  # whether it was written cannot be known: look for it again
            raise
        if kept:
            self._sit(seat, now)
        else:
            self._stand_up(now)

    async def _written(self, seat: Seat, old: Seat | None) -> bool:
        """Whether the seat is ours.

        Raises:
            Unavailable: The store could not be asked, or takes no write.
        """
        try:
            ours = await self._orders.ask(self._store.sit(seat, old))
        except Unavailable:
            self.refusals.note(asyncio.get_running_loop().time())
            raise
        self.refusals.end()
        return ours

    def _sit(self, seat: Seat, now: float) -> None:
        self._seat = seat
        self._published_at = now
        self.due = now + self._spread(CALM_S)
        self._attendance.own(seat, now)

    def _stand_up(self, now: float) -> None:
        self._seat = None
        self.due = now + self._spread(ALARM_S)
        for gate in self._gates:
            gate.seat(now, juror=False)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 - SPREAD + 2 * SPREAD * self._roll())

    def _taken(self, number: int, beat: int, now: float) -> Seat:
        return Seat(
            number=number,
            holder=self._worker,
            lot=self._lot,
            beat=beat,
            votes=self._votes(now),
            seen=self._seen(now),
            seen_at=round(self._at(), 1),
        )

    def _votes(self, now: float) -> dict[str, Vote]:
        return {gate.local.name: gate.local.vote(gate.verdict.stage, now) for gate in self._gates}

    async def judge(self, gate: Gate, now: float) -> None:
        """Count the votes on one breaker, if there is reason to, and give the order they give.

        Raises:
            Unavailable: The store could not be asked.
        """
        if self._seat is None or not self._has_reason(gate, now):
            return
        if now - self._counted_at >= ALARM_S / 2:
            self._counted_at = now
            self._attendance.note(await self._orders.ask(self._store.seats()), now)
        self.fleet_size = fleet_size(self._attendance.held(now))
        order = finding(
            gate.verdict,
            self._attendance.votes(gate.local.name, now),
            len(self._attendance.present(now)),
            gate.policy,
            roll=self._roll(),
            calm_s=gate.calm_s(now),
        )
        if order is not None:
            await self._orders.give(gate, self._told(gate, order, now))

    def _told(
        self, gate: Gate, order: Trip | StepUp | StepDown, now: float
    ) -> Trip | StepUp | StepDown:
        """The order, with what failed in its sentence."""
        if isinstance(order, StepUp):
            return order
        # Our own seat has what we saw when it was last published; before that we know it alone.
        seen = self._attendance.sightings(now) or self._seen(now)
        because = evidence(gate.local.name, seen)
        return replace(order, why=f"{order.why}: {because}") if because else order

    def _has_reason(self, gate: Gate, now: float) -> bool:
        vote = gate.local.vote(gate.verdict.stage, now)
        if gate.verdict.state is State.RAMP:
            return vote.successes > 0 or vote.failures > 0 or vote.sick
        if gate.verdict.state is not State.CLOSED:
            return False
        rates = [
            (vote.recent_failures, vote.recent_calls),
            (vote.ripe_stuck, vote.ripe_calls),
            (vote.failures, vote.calls),
        ]
        half = gate.policy.failure_rate / 2
        failing = any(failures and failures >= half * calls for failures, calls in rates)
        slow_rate = gate.policy.slow_rate
        dragging = slow_rate is not None and vote.slow >= slow_rate / 2 * vote.calls > 0
        return vote.sick or failing or dragging
