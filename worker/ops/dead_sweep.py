"""Finding messages in a dead-letter queue: a sweep takes each once, and gives back the rest.

A queue cannot be searched. A sweep receives everything, ten at a time, holds what it
does not want until it is over, and then lets it be visible again. Receives cost a dead
letter nothing: its queue has no redrive policy of its own. While a sweep runs, a second
one finds only what the first has not taken; whatever dies in mid-sweep, the messages
are visible again after `LEASE_S`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from worker.core.dead import told_generation
from worker.core.envelope import parse
from worker.core.job import Job, Limits
from worker.core.upgrade import upgraded
from worker.ports import Delivery, Queue, Unavailable

LEASE_S: Final = 300.0
RENEW_S: Final = 60.0  # a lease that began longer ago is worth a renewal
SPARE_S: Final = 30.0  # whoever acts on a message needs so much of its lease
BATCH: Final = 10
WAIT_S: Final = 1.0  # a long poll asks every server of the queue
QUIET: Final = 2  # so many empty receives in a row end a sweep
RELEASES: Final = 8  # batches at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One message of a dead-letter queue.

    Attributes:
        job: Its job: what a worker wrote on it, else what its body says, else its MessageId.
        generation: The life that its story tells of; None where no worker wrote one.
        digest: What its body asks for, hashed; "" if it cannot be read.
    """

    queue: Queue
    delivery: Delivery
    job: str
    generation: int | None
    digest: str


class Sweep:
    """What was taken of one queue, and not deleted yet. Made by `sweeping`."""

    def __init__(self, queue: Queue, limits: Limits) -> None:
        self._queue = queue
        self._limits = limits
        self._seen: set[str] = set()
        self._held: dict[str, str] = {}
        self._until: dict[str, float] = {}  # when their leases lapse, by the loop's clock

    async def take(self) -> list[Found]:
        """Up to ten messages that were not taken yet; none when nothing more comes.

        Raises:
            Unavailable: The queue could not be asked.
        """
        quiet = 0
        while quiet < QUIET:
            asked_at = asyncio.get_running_loop().time()
            taken = await self._queue.receive(BATCH, wait_s=WAIT_S, lease_s=LEASE_S)
            quiet = 0 if taken else quiet + 1
            # One that comes back was held for longer than its lease: its newest receipt counts.
            self._held |= {delivery.message_id: delivery.receipt for delivery in taken}
            self._until |= {delivery.message_id: asked_at + LEASE_S for delivery in taken}
            fresh = [d for d in taken if d.message_id not in self._seen]
            self._seen |= {delivery.message_id for delivery in fresh}
            if fresh:
                return [self._found(delivery) for delivery in fresh]
        return []

    async def delete(self, copies: Iterable[Found]) -> int:
        """Delete messages; how many of them are surely gone.

        Raises:
            Unavailable: The fate of all is unknown.
        """
        ids = [copy.delivery.message_id for copy in copies]
        if not ids:
            return 0
        fates = await self._queue.delete([self._held[message] for message in ids])
        gone = [message for message, fate in zip(ids, fates, strict=True) if fate == "done"]
        for message in gone:
            del self._held[message]
        return len(gone)

    async def keep(self, copies: Iterable[Found]) -> None:
        """Hold messages for another `LEASE_S` seconds, where `RENEW_S` have passed.

        Raises:
            Unavailable: Nothing is known of their leases.
        """
        now = asyncio.get_running_loop().time()
        due_at = now + LEASE_S - RENEW_S
        ids = [copy.delivery.message_id for copy in copies]
        ids = [m for m in ids if m in self._held and now < self._until[m] <= due_at]
        if ids:
            leases = [(self._held[message], LEASE_S) for message in ids]
            fates = await self._queue.extend(leases)
            kept = [message for message, fate in zip(ids, fates, strict=True) if fate == "done"]
            self._until |= dict.fromkeys(kept, now + LEASE_S)

    def holds(self, copy: Found) -> bool:
        """Whether a message is surely still ours, and for a while: else others may have it."""
        message = copy.delivery.message_id
        left_s = self._until[message] - asyncio.get_running_loop().time()
        return message in self._held and left_s >= SPARE_S

    async def release(self) -> None:
        """Let everybody see what is still held; what cannot be released comes by itself."""
        receipts = list(self._held.values())
        self._held.clear()
        batches = [receipts[n : n + BATCH] for n in range(0, len(receipts), BATCH)]
        for n in range(0, len(batches), RELEASES):
            await asyncio.gather(*map(self._let_go, batches[n : n + RELEASES]))

    async def _let_go(self, receipts: list[str]) -> None:
        try:
            await self._queue.extend([(receipt, 0.0) for receipt in receipts])
        except Unavailable:
            return  # their leases lapse

    def _found(self, delivery: Delivery) -> Found:
        job = delivery.job
        if (of := upgraded(job)) is not None and not delivery.doorbell:
            job = of  # only a worker's doorbell names an upgrade
        parsed = parse(delivery.body, self._limits)
        if not job:
            job = (parsed.id if isinstance(parsed, Job) else None) or delivery.message_id
        story = delivery.attributes.get("iw-dead", "")
        return Found(
            queue=self._queue,
            delivery=delivery,
            job=job,
            generation=told_generation(story) if story else None,
            digest=parsed.digest if isinstance(parsed, Job) else "",
        )


@asynccontextmanager
async def sweeping(queue: Queue, limits: Limits) -> AsyncIterator[Sweep]:
    """Take the messages of a queue; at the end those that are left are visible again."""
    sweep = Sweep(queue, limits)
    try:
        yield sweep
    finally:
        await sweep.release()
