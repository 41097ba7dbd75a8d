"""The twin of a standard SQS queue.

Kept to the letter, because workers live by it: a receipt is new at each receive; a
lapsed one still deletes until somebody else receives the message, but no longer
extends; an outdated one deletes nothing, and is told "done"; a message that was
received `receives_max` times goes to the dead queue at the *next* receive; a long
poll wakes for a message that is sent, released, or whose lease or delay ends.

Not modelled: order is by visibility (SQS promises none), and nothing is ever
delivered twice by itself. Use `deliver_again` and `lose_deletes` for that.
"""

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from worker.core.job import generation_of, instant_of, share_of
from worker.core.job_id import job_id_of
from worker.ports import Delivery, Fate, Outgoing, Unavailable
from worker.sim.clock import wall_clock
from worker.sim.wire import Wire

T = TypeVar("T")

MESSAGE_BYTES_MAX: Final = 1_048_576
BATCH_MAX: Final = 10
LEASE_MAX_S: Final = 43_200.0  # counted from the receive, over all extensions
_IDS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, by what they wait for."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


@dataclass(slots=True, eq=False, kw_only=True)
class _Message:
    """`visible_at` and `received_at` are the loop's time; `move` outdates heap entries."""

    id: str
    body: bytes
    attributes: Mapping[str, str]
    group: str
    sent_at: float
    visible_at: float
    received_at: float = 0.0
    receives: int = 0  # in this queue
    receives_before: int = 0  # in the queues it came from
    move: int = 0

    @property
    def receipt(self) -> str:
        return f"{self.id}#{self.receives}"


@dataclass(slots=True, eq=False, kw_only=True)
class MemoryQueue:
    """One queue's state. Workers see it through `seen_by`; producers and tests `put`.

    Every method needs a running loop, whose time is the queue's.

    Attributes:
        name: What logs and metrics call it.
        dead: Where messages go that were received too often; None for nowhere.
        receives_max: How often a message may be received.
        cancelled_receives: How many receives were cancelled while they waited. On AWS
            each may have taken messages with it, so a good worker leaves this at 0.
    """

    name: str = "jobs"
    dead: "MemoryQueue | None" = None
    receives_max: int = 100
    cancelled_receives: int = 0
    _messages: dict[str, _Message] = field(default_factory=dict)
    _visible: deque[tuple[int, _Message]] = field(default_factory=deque)
    _hidden: list[tuple[float, int, int, _Message]] = field(default_factory=list)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _ticks: "itertools.count[int]" = field(default_factory=itertools.count)
    _deletes_to_lose: int = 0

    def seen_by(self, wire: Wire | None = None) -> "QueueHandle":
        """The queue as one worker sees it."""
        return QueueHandle(self, wire or Wire())

    def put(
        self,
        body: bytes | str,
        *,
        attributes: Mapping[str, str] | None = None,
        delay_s: float = 0.0,
        group: str = "",
    ) -> str:
        """Send a message as a producer does, and return its MessageId."""
        message = _Message(
            id=f"m-{next(_IDS):08}",
            body=body.encode() if isinstance(body, str) else body,
            attributes=dict(attributes or {}),
            group=group,
            sent_at=math.floor(wall_clock() * 1000) / 1000,
            visible_at=_now() + math.ceil(delay_s),
        )
        self._place(message)
        return message.id

    def depth(self) -> Depth:
        """What `GetQueueAttributes` would say, exactly."""
        now = _now()
        hidden = [m for m in self._messages.values() if m.visible_at > now]
        in_flight = sum(m.receives > 0 for m in hidden)
        return Depth(len(self._messages) - len(hidden), in_flight, len(hidden) - in_flight)

    def peek(self) -> list[Delivery]:
        """Every message, without receiving it; the receipts are of no use."""
        return [_delivery(self, message) for message in self._messages.values()]

    def deliver_again(self, message_id: str) -> None:
        """Let a message in flight be received a second time, as SQS sometimes does."""
        self._place(self._messages[message_id], visible_at=_now())

    def lose_deletes(self, number: int) -> None:
        """Answer the next deletes with "done", and keep their messages."""
        self._deletes_to_lose += number

    def _place(self, message: _Message, visible_at: float | None = None) -> None:
        if visible_at is not None:
            message.visible_at = visible_at
        message.move += 1
        self._messages[message.id] = message
        if message.visible_at <= _now():
            self._visible.append((message.move, message))
        else:
            entry = (message.visible_at, next(self._ticks), message.move, message)
            heapq.heappush(self._hidden, entry)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _take(self, most: int, lease_s: float) -> list[Delivery]:
        now = _now()
        while self._hidden and self._hidden[0][0] <= now:
            _, _, move, message = heapq.heappop(self._hidden)
            self._visible.append((move, message))
        taken: list[_Message] = []
        while self._visible and len(taken) < most:
            move, message = self._visible.popleft()
            if self._messages.get(message.id) is not message or message.move != move:
                continue  # deleted or moved since
            if self.dead is not None and message.receives >= self.receives_max:
                self._bury(message, self.dead)
                continue
            taken.append(message)
        for message in taken:
            message.receives += 1
            message.received_at = now
            self._place(message, visible_at=now + lease_s)
        return [_delivery(self, message) for message in taken]

    def _bury(self, message: _Message, dead: "MemoryQueue") -> None:
        del self._messages[message.id]
        message.receives_before += message.receives
        message.receives = 0
        dead._place(message)  # noqa: SLF001  # of the same class

    def _find(self, receipt: str) -> _Message | None:
        message = self._messages.get(receipt.partition("#")[0])
        return message if message is not None and message.receipt == receipt else None

    def _delete(self, receipt: str) -> Fate:
        message = self._find(receipt)
        if message is not None and self._deletes_to_lose:
            self._deletes_to_lose -= 1
        elif message is not None:
            del self._messages[message.id]
        return "done"

    def _extend(self, receipt: str, lease_s: float) -> Fate:
        message, now = self._find(receipt), _now()
        if message is None or message.visible_at <= now:
            return "gone"
        if now + lease_s > message.received_at + LEASE_MAX_S:
            return "failed"
        self._place(message, visible_at=now + lease_s)
        return "done"

    async def _change(self, until: float) -> None:
        """Wait until a message may have become visible, and no longer than `until`."""
        if self._hidden:
            until = min(until, self._hidden[0][0])
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(until, self._wake)
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self.cancelled_receives += 1
            raise
        finally:
            timer.cancel()
            self._waiting.remove(waiter)


class QueueHandle:
    """Port `Queue`: a `MemoryQueue` as one worker sees it."""

    def __init__(self, queue: MemoryQueue, wire: Wire) -> None:
        self._queue = queue
        self._wire = wire

    @property
    def name(self) -> str:
        return self._queue.name

    async def receive(self, most: int, *, wait_s: float, lease_s: float) -> list[Delivery]:
        assert 1 <= most <= BATCH_MAX, f"1 to 10 messages, not {most}"
        assert 0 <= wait_s <= 20, f"a wait of 0 to 20 s, not {wait_s}"  # noqa: PLR2004
        assert 0 <= lease_s <= LEASE_MAX_S, f"a lease of 0 to 12 h, not {lease_s} s"

        hidden_s = math.ceil(lease_s)  # SQS knows whole seconds only

        async def do() -> list[Delivery]:
            end = _now() + wait_s
            while not (taken := self._queue._take(most, hidden_s)) and _now() < end:  # noqa: SLF001
                await self._queue._change(until=end)  # noqa: SLF001
                await self._wire.hang_if_cut()
            return taken

        return await self._call("receive", do)

    async def delete(self, receipts: Sequence[str]) -> list[Fate]:
        assert len(receipts) <= BATCH_MAX, f"at most 10 receipts, not {len(receipts)}"

        async def do() -> list[Fate]:
            return [self._queue._delete(receipt) for receipt in receipts]  # noqa: SLF001

        return await self._call("delete", do)

    async def extend(self, leases: Sequence[tuple[str, float]]) -> list[Fate]:
        assert len(leases) <= BATCH_MAX, f"at most 10 leases, not {len(leases)}"

        async def do() -> list[Fate]:
            return [self._queue._extend(r, math.ceil(lease_s)) for r, lease_s in leases]  # noqa: SLF001

        return await self._call("extend", do)

    async def send(self, message: Outgoing) -> str:
        assert 0 <= message.delay_s <= 900, f"a delay of 0 to 900 s, not {message.delay_s}"  # noqa: PLR2004

        async def do() -> str:
            texts = itertools.chain.from_iterable(message.attributes.items())
            size = len(message.body) + sum(len(text.encode()) for text in texts)
            if size > MESSAGE_BYTES_MAX:
                raise Unavailable(store="queue", why="InvalidParameterValue")
            return self._queue.put(
                message.body,
                attributes=message.attributes,
                delay_s=message.delay_s,
                group=message.group,
            )

        return await self._call("send", do)

    async def _call(self, operation: str, do: Callable[[], Awaitable[T]]) -> T:
        return await self._wire.call(f"queue:{self.name}", operation, do)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _delivery(queue: MemoryQueue, message: _Message) -> Delivery:
    sent_ms = message.attributes.get("iw-sent-ms", "")
    return Delivery(
        queue=queue.name,
        message_id=message.id,
        receipt=message.receipt,
        body=message.body,
        receive_count=message.receives_before + message.receives,
        sent_at=message.sent_at,
        tenant=message.group,
        job=job_id_of(message.attributes.get("iw-job", "")),
        first_sent_at=instant_of(sent_ms),
        doorbell="iw-doorbell" in message.attributes,
        above=share_of(message.attributes.get("iw-above", "")),
        redrive=generation_of(message.attributes.get("iw-redrive", "")),
        attributes=message.attributes,
    )
