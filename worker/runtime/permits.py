"""Slots and bytes, reserved before anything is received.

What waits inside a process nobody else can take; so a poller asks here first,
and receives no more than it was given. A payload that waits for its bytes goes
before the pollers, else the memory would fill up again with what comes from the
queue; but one full batch of messages is theirs whatever payloads want.
"""

import asyncio
from collections import deque
from typing import Final

BATCH: Final = 10  # messages that are the pollers' own


class Permits:
    """Free slots and free bytes, given out in order of asking."""

    def __init__(self, slots: int, bytes_max: int, *, message_bytes: int) -> None:
        self._slots = slots
        self._free_slots = slots
        self._free_bytes = bytes_max
        self._body_bytes = 0  # of messages, reserved or in hand
        self._payload_bytes_max = bytes_max - BATCH * message_bytes
        self._payload_bytes = 0
        self._message_bytes = message_bytes
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turn = asyncio.Lock()  # first come, first served: no queue starves another
        self._payload_turn = asyncio.Lock()  # a small payload waits behind a large one
        self._wanted_bytes = 0  # by payloads that wait
        self._closed = False

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self._free_slots

    async def reserve(self, most: int, *, linger_s: float) -> int:
        """Reserve up to `most` slots, each with the bytes of the largest message.

        Waits for the first one; then, while others are at work and would soon
        free theirs, up to `linger_s` for a fuller batch.

        Returns:
            How many were reserved; 0 once the permits are closed.
        """
        most = min(most, self._slots)  # nobody waits for more than there are
        async with self._turn:
            while not self._closed and self._available() == 0:
                await self._change()
            taken = self._take(most)
        if 0 < taken < most and linger_s > 0:
            taken += await self._gather(most - taken, linger_s)
        if self._closed and taken:
            self.settle_reservation(taken, [])
            return 0
        return taken

    def _take(self, most: int) -> int:
        taken = 0 if self._closed else min(most, self._available())
        self._free_slots -= taken
        self._free_bytes -= taken * self._message_bytes
        self._body_bytes += taken * self._message_bytes
        return taken

    async def _gather(self, most: int, linger_s: float) -> int:
        gathered = 0
        try:
            async with asyncio.timeout(linger_s):
                while not self._closed and gathered < most:
                    await self._change()
                    gathered += self._take(most - gathered)
        except TimeoutError:
            pass
        return gathered

    def settle_reservation(self, reserved: int, sizes: list[int]) -> None:
        """Replace a reservation by what came: the rest is free again."""
        unused = reserved * self._message_bytes - sum(sizes)
        self._free_slots += reserved - len(sizes)
        self._free_bytes += unused
        self._body_bytes -= unused
        self._wake()

    async def reserve_bytes(self, size: int) -> None:
        """Wait for `size` more bytes, for a payload that was not in its message."""
        self._wanted_bytes += size
        try:
            async with self._payload_turn:
                while self._payload_room() < size:
                    await self._change()
                self._free_bytes -= size
                self._payload_bytes += size
        finally:
            self._wanted_bytes -= size
            self._wake()

    def give_back(self, *, slots: int, size_bytes: int) -> None:
        """A job is over."""
        self._free_slots += slots
        self._free_bytes += size_bytes
        self._body_bytes -= size_bytes
        self._wake()

    def give_back_payload(self, size: int) -> None:
        """The job of a payload is over."""
        self._free_bytes += size
        self._payload_bytes -= size
        self._wake()

    def close(self) -> None:
        """Give out no more slots: who waits for one is told so."""
        self._closed = True
        self._wake()

    def _available(self) -> int:
        own = min(self._free_bytes, BATCH * self._message_bytes - self._body_bytes)
        spare_bytes = max(0, own, self._free_bytes - self._wanted_bytes)
        return min(self._free_slots, spare_bytes // self._message_bytes)

    def _payload_room(self) -> int:
        return min(self._free_bytes, self._payload_bytes_max - self._payload_bytes)

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
