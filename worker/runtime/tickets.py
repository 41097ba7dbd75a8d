"""Tickets of the fleet for the probes of this process, and what came of them."""

import uuid
from collections.abc import Callable
from typing import Final

from worker.core.gate import Gate
from worker.core.moves import BeginRound, ClaimTicket, Conclude, Report
from worker.core.verdict import State
from worker.ports import Unavailable
from worker.runtime.gates import Ticket
from worker.runtime.orders import Orders

REPORT_TRIES: Final = 3

Lost = Callable[[Unavailable, str], None]


class FleetTickets:
    """Port `gates.Tickets`, carried out by orders.

    Args:
        orders: Who writes.
        roll: Dice, even in [0, 1).
        alarm: Wakes whoever calls `deliver`.
        lost: Is told when the store could not be asked.
    """

    def __init__(
        self,
        orders: Orders,
        *,
        roll: Callable[[], float],
        alarm: Callable[[], None],
        lost: Lost,
    ) -> None:
        self._orders = orders
        self._roll = roll
        self._alarm = alarm
        self._lost = lost
        self._reports: list[tuple[Ticket, bool, int]] = []

    async def claim(self, gate: Gate, stage: int) -> Ticket | None:
        """A ticket of this stage, or of the round that begins with it; None if there is none."""
        claim = uuid.uuid4().hex[:12]
        try:
            if gate.verdict.state is State.OPEN:
                await self._orders.give(gate, BeginRound(stage=stage))
            verdict = gate.verdict
            await self._orders.give(
                gate, ClaimTicket(epoch=verdict.epoch, round=verdict.round, claim=claim)
            )
        except Unavailable as error:
            self._lost(error, "claim")
            return None
        verdict = gate.verdict
        if claim not in verdict.claims:
            return None
        return Ticket(
            breaker=gate.local.name, epoch=verdict.epoch, round=verdict.round, claim=claim
        )

    def report(self, ticket: Ticket, *, good: bool) -> None:
        """Tell the fleet what came of a probe; carried out soon, never raises."""
        self._reports.append((ticket, good, 1))
        self._alarm()

    @property
    def pending(self) -> bool:
        """Whether there is something to deliver."""
        return bool(self._reports)

    async def deliver(self, gates: dict[str, Gate]) -> None:
        """Write what is reported, and conclude rounds that are decided by it.

        Raises:
            Unavailable: The store could not be asked; what is left is tried again.
        """
        while self._reports:
            ticket, good, tried = self._reports.pop(0)
            gate = gates[ticket.breaker]
            order = Report(epoch=ticket.epoch, round=ticket.round, claim=ticket.claim, good=good)
            try:
                await self._orders.give(gate, order)
                await self.conclude(gate, overdue=False)
            except Unavailable:
                if tried < REPORT_TRIES:  # else its round ends without it
                    self._reports.append((ticket, good, tried + 1))
                raise

    async def conclude(self, gate: Gate, *, overdue: bool) -> None:
        """End the round if it is decided, or over.

        Raises:
            Unavailable: The store could not be asked.
        """
        stage = gate.verdict.stage
        await self._orders.give(gate, Conclude(stage=stage, overdue=overdue, roll=self._roll()))
