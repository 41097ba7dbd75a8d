"""Acknowledgements in batches: deletes and releases, ten at a time or after a moment.

A delete that fails is tried again; one that fails for good is remembered, and
done when the message comes back: its job is finished, so it must not run again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from worker.core.events import StoreFailed
from worker.core.retry import backoff_s
from worker.ports import Delivery, Fate, Queue, Tell, Unavailable

BATCH: Final = 10
FLUSH_S: Final = 0.2
TRIES: Final = 4
REMEMBERED_MAX: Final = 10_000

_Entry = tuple[Delivery, float]  # a delivery, and for a release its delay in seconds
_Send = Callable[[Sequence[_Entry]], Coroutine[Any, Any, list[Fate]]]


class _Batch:
    """One kind of acknowledgement for one queue."""

    def __init__(self, send: _Send, failed: Callable[[list[_Entry], str], None]) -> None:
        self._send = send
        self._failed = failed
        self._entries: list[_Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self.under_way: set[asyncio.Task[None]] = set()

    def add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        if len(self._entries) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._entries:
            task = asyncio.get_running_loop().create_task(self._deliver(self._entries))
            self._entries = []
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def _deliver(self, entries: list[_Entry]) -> None:
        why = "refused"
        for tried in range(1, TRIES + 1):
            try:
                fates = await self._send(entries)
            except Unavailable as error:
                why = error.why
            else:
                gone = [e for e, fate in zip(entries, fates, strict=True) if fate == "gone"]
                self._failed(gone, "gone")
                entries = [e for e, fate in zip(entries, fates, strict=True) if fate == "failed"]
            if not entries:
                return
            if tried < TRIES:
                await asyncio.sleep(backoff_s(tried, 0.9, base_s=0.2, cap_s=5.0))
        self._failed(entries, why)


class Acks:
    """Deletes and releases for all queues."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._deletes: dict[Queue, _Batch] = {}
        self._releases: dict[Queue, _Batch] = {}
        self._remembered: OrderedDict[str, None] = OrderedDict()

    def delete(self, queue: Queue, delivery: Delivery) -> None:
        """Delete a message whose job is settled."""
        batch = self._deletes.get(queue)
        if batch is None:
            batch = self._deletes[queue] = self._deleting(queue)
        batch.add((delivery, 0.0))

    def release(self, queue: Queue, delivery: Delivery, delay_s: float) -> None:
        """Give a delivery back for anybody, visible again after `delay_s` seconds."""
        batch = self._releases.get(queue)
        if batch is None:
            batch = self._releases[queue] = self._releasing(queue)
        batch.add((delivery, delay_s))

    def remembers(self, message_id: str) -> bool:
        """Whether this message should have been deleted long ago."""
        return message_id in self._remembered

    async def flush(self) -> None:
        """Send what is buffered, and wait for it."""
        batches = (*self._deletes.values(), *self._releases.values())
        for batch in batches:
            batch.flush()
        under_way = [task for batch in batches for task in batch.under_way]
        await asyncio.gather(*under_way)

    def _deleting(self, queue: Queue) -> _Batch:
        async def send(entries: Sequence[_Entry]) -> list[Fate]:
            return await queue.delete([delivery.receipt for delivery, _ in entries])

        def failed(entries: list[_Entry], why: str) -> None:
            for delivery, _ in entries:
                self._remembered[delivery.message_id] = None
            while len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
            self._tell_failure(queue, "delete", entries, why)

        return _Batch(send, failed)

    def _releasing(self, queue: Queue) -> _Batch:
        async def send(entries: Sequence[_Entry]) -> list[Fate]:
            return await queue.extend([(delivery.receipt, delay) for delivery, delay in entries])

        def failed(entries: list[_Entry], why: str) -> None:
            # The message comes back by itself when its lease lapses.
            self._tell_failure(queue, "release", entries, why)

        return _Batch(send, failed)

    def _tell_failure(self, queue: Queue, what: str, entries: list[_Entry], why: str) -> None:
        if entries and why != "gone":
            self._tell(StoreFailed(store=queue.name, operation=what, why=why))
