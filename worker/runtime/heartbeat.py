"""Keeps what is in hand ours: extends messages and claims before they lapse.

The first extension comes at 60 % of the lease, so most jobs end without one.
The heart beats on the loop that does the work: a loop that is stuck extends
nothing, and its jobs go to somebody else.

The ledger's word is final. A message that the queue no longer counts as ours is
merely not extended (the record still keeps others away, and the next delivery
is adopted); a claim that is no longer ours cuts the flight short.
"""

import asyncio
from typing import Final

from worker.core.events import LeaseLost, StoreFailed
from worker.ports import Queue, Unavailable
from worker.runtime.flights import Flight, Flights, Phase
from worker.runtime.house import House

FIRST_AT: Final = 0.6  # of the lease
AHEAD_S: Final = 5.0  # who is due so soon goes along, so that batches fill
RETRY_AFTER: Final = 0.05  # of the lease
IN_HAND_MAX_S: Final = 11 * 3600.0  # SQS gives a message out for 12 hours at most
BATCH: Final = 10


class Heartbeat:
    """Extends the leases of all flights."""

    def __init__(self, house: House, flights: Flights) -> None:
        self._house = house
        self._flights = flights
        self._lease_s = house.rules.lease_s

    async def run(self) -> None:
        """Beat until cancelled."""
        tick_s = min(1.0, self._lease_s / 20)
        async with asyncio.TaskGroup() as beats:
            while True:
                await asyncio.sleep(tick_s)
                # A slow call for one job must not make the heart miss another's lease.
                beats.create_task(self.beat())

    async def beat(self) -> None:
        """Extend every lease that is due."""
        now = asyncio.get_running_loop().time()
        ahead_s = min(AHEAD_S, self._lease_s * 0.05)
        flights = list(self._flights)
        if not any(flight.extend_at <= now for flight in flights):
            return
        due = [flight for flight in flights if flight.extend_at <= now + ahead_s]
        for flight in due:
            flight.extend_at = now + self._lease_s * FIRST_AT
            if now - flight.received_at > IN_HAND_MAX_S:
                flight.cut_short("in_hand_too_long")
        async with asyncio.TaskGroup() as together:
            for queue, flights_there in self._by_queue(due).items():
                for n in range(0, len(flights_there), BATCH):
                    batch = flights_there[n : n + BATCH]
                    together.create_task(self._extend(queue, batch, now))
            for flight in due:
                if flight.record is not None and flight.phase is not Phase.CLAIMING:
                    together.create_task(self._renew(flight, now))

    def _by_queue(self, due: list[Flight]) -> dict[Queue, list[tuple[Flight, str]]]:
        queues: dict[Queue, list[tuple[Flight, str]]] = {}
        for flight in due:
            for message_id, queue in flight.queues.items():
                if message_id in flight.deliveries:
                    queues.setdefault(queue, []).append((flight, message_id))
        return queues

    async def _extend(self, queue: Queue, batch: list[tuple[Flight, str]], now: float) -> None:
        leases = [(flight.deliveries[m].receipt, self._lease_s) for flight, m in batch]
        try:
            fates = await queue.extend(leases)
        except Unavailable as error:
            self._failed(queue.name, "extend", error, [flight for flight, _ in batch], now)
            return
        for (flight, _), fate in zip(batch, fates, strict=True):
            if fate == "done":
                flight.lease_until = now + self._lease_s
            elif fate == "failed":
                self._soon(flight, now)

    async def _renew(self, flight: Flight, now: float) -> None:
        assert flight.record is not None, "only a claimed flight is renewed"
        try:
            ours = await self._house.ledger.renew(flight.record, self._lease_s)
        except Unavailable as error:
            self._failed("ledger", "renew", error, [flight], now)
            return
        if not ours and flight.phase is Phase.WORKING:
            self._house.tell(LeaseLost(job=flight.job_id, why="claimed_elsewhere"))
            flight.cut_short("lease_lost")

    def _failed(
        self, store: str, what: str, error: Unavailable, flights: list[Flight], now: float
    ) -> None:
        self._house.tell(StoreFailed(store=store, operation=what, why=error.why))
        for flight in flights:
            self._soon(flight, now)

    def _soon(self, flight: Flight, now: float) -> None:
        flight.extend_at = min(flight.extend_at, now + self._lease_s * RETRY_AFTER)
