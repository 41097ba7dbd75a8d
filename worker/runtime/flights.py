"""The jobs in hand: one `Flight` each, from the receive to the last acknowledgement.

    CLAIMING   the ledger is asked; never cancelled, so that no claim is orphaned
    WORKING    payload, model, backoff; cancelled when the flight is `cut`
    SETTLING   the ending is written and told; never cancelled but by the firm end

A job is in hand once at a time: a second message for it is adopted by the
flight that is under way, and both are acknowledged together.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from worker.core.ledger import Record
from worker.ports import Delivery, Queue
from worker.runtime.house import Lane


class Phase(Enum):
    """How far a flight is."""

    CLAIMING = auto()
    WORKING = auto()
    SETTLING = auto()


@dataclass(slots=True, eq=False, kw_only=True)
class Flight:
    """One job in hand.

    Attributes:
        deliveries: By MessageId, each with the newest receipt that we saw.
        queues: The queue of each delivery, by MessageId.
        tokens: Of the tasks that wait for the job, by MessageId. Never log them.
        extend_at: When the leases are to be extended, on the loop's clock.
        lease_until: When they lapse, on the loop's clock.
        may_last_until: When the job will be over at the latest, on the loop's clock.
        cut: Why its work is being cut short, "" if it is not.
    """

    lane: Lane
    delivery: Delivery
    received_at: float
    lease_until: float
    extend_at: float
    size_bytes: int
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    job_id: str = ""
    digest: str = ""
    tenant: str = ""
    record: Record | None = None
    phase: Phase = Phase.CLAIMING
    may_last_until: float = 0.0
    cut: str = ""
    task: asyncio.Task[None] | None = None

    def cut_short(self, why: str) -> None:
        """End the work of this flight; what was claimed is given back or dropped."""
        if self.cut or self.phase is Phase.SETTLING:
            return
        self.cut = why
        if self.phase is Phase.WORKING and self.task is not None:
            self.task.cancel()

    def takes_back_cancel(self) -> bool:
        """Whether the cancellation that came was `cut_short`'s alone: then settle, do not leave."""
        return bool(self.cut) and self.task is not None and self.task.uncancel() == 0


class Flights:
    """All jobs in hand, found by MessageId and by job id."""

    def __init__(self) -> None:
        self._by_message: dict[str, Flight] = {}
        self._by_job: dict[str, Flight] = {}
        self._by_tenant: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Flight]:
        return iter(set(self._by_message.values()))

    def __len__(self) -> int:
        return len(set(self._by_message.values()))

    @property
    def by_tenant(self) -> Counter[str]:
        """Slots that each tenant holds."""
        return self._by_tenant

    def take_off(self, flight: Flight, queue: Queue) -> None:
        """A delivery came, and a slot works on it from now on."""
        self._join(flight, flight.delivery, queue)
        flight.tenant = flight.delivery.tenant
        self._by_tenant[flight.tenant] += 1

    def adopt_message(self, delivery: Delivery, queue: Queue) -> bool:
        """Keep the newer receipt if this very message is in hand already."""
        flight = self._by_message.get(delivery.message_id)
        if flight is None:
            return False
        self._join(flight, delivery, queue)
        return True

    def holder(self, job_id: str) -> Flight | None:
        """The flight that has this job, if there is one."""
        return self._by_job.get(job_id)

    def board(self, flight: Flight, job_id: str, digest: str) -> None:
        """The flight has this job from now on."""
        assert job_id not in self._by_job, "a job is in hand once at a time"
        flight.job_id, flight.digest = job_id, digest
        self._by_job[job_id] = flight

    def rename(self, flight: Flight, job_id: str) -> None:
        """The id belongs to somebody else: the flight goes on under another."""
        del self._by_job[flight.job_id]
        self.board(flight, job_id, flight.digest)

    def hand_over(self, flight: Flight, other: Flight) -> None:
        """Let `other`, which has the job, settle this flight's messages as well."""
        for message_id, delivery in flight.deliveries.items():
            self._join(other, delivery, flight.queues[message_id])
        other.tokens |= flight.tokens
        flight.deliveries.clear()

    def land(self, flight: Flight) -> None:
        """The slot is free again."""
        self._by_tenant[flight.tenant] -= 1
        if self._by_tenant[flight.tenant] <= 0:
            del self._by_tenant[flight.tenant]
        for message_id in flight.deliveries:
            if self._by_message.get(message_id) is flight:
                del self._by_message[message_id]
        if self._by_job.get(flight.job_id) is flight:
            del self._by_job[flight.job_id]

    def _join(self, flight: Flight, delivery: Delivery, queue: Queue) -> None:
        flight.deliveries[delivery.message_id] = delivery
        flight.queues[delivery.message_id] = queue
        self._by_message[delivery.message_id] = flight
