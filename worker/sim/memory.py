"""Twins of every port: the services in memory, under virtual or real time.

They ship with the product, and obey the same contract suites as the adapters in
`aws/`. A twin's state is shared; `seen_by(wire)` gives one worker's view of it.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeVar

from worker.core.events import Event
from worker.core.job import PayloadRef
from worker.ports import PayloadMissing
from worker.sim.breakers import BreakersHandle, MemoryBreakers
from worker.sim.cache import CacheHandle, MemoryCache
from worker.sim.clock import wall_clock
from worker.sim.ledger import LedgerHandle, MemoryLedger
from worker.sim.model import ModelCall, ModelHandle, Reply, ScriptedModel, always, answer, in_turn
from worker.sim.queues import Depth, MemoryQueue, QueueHandle
from worker.sim.tasks import MemoryTasks, TasksHandle
from worker.sim.wire import Call, Mishap, Wire

__all__ = [
    "BreakersHandle",
    "CacheHandle",
    "Call",
    "Depth",
    "LedgerHandle",
    "MemoryBreakers",
    "MemoryCache",
    "MemoryLedger",
    "MemoryPayloads",
    "MemoryProtection",
    "MemoryQueue",
    "MemoryTasks",
    "Mishap",
    "ModelCall",
    "ModelHandle",
    "PayloadsHandle",
    "ProtectionHandle",
    "QueueHandle",
    "Reply",
    "ScriptedModel",
    "TasksHandle",
    "Told",
    "Wire",
    "always",
    "answer",
    "in_turn",
]

T = TypeVar("T")
E = TypeVar("E", bound=Event)

PROTECTION_MINUTES_MAX: Final = 2_880


@dataclass(slots=True, eq=False, kw_only=True)
class MemoryPayloads:
    """Objects by bucket and key. `bucket` is ours, for what `put` stores."""

    bucket: str = "payloads"
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def seen_by(self, wire: Wire | None = None) -> "PayloadsHandle":
        """The objects as one worker sees them."""
        return PayloadsHandle(self, wire or Wire())


class PayloadsHandle:
    """Port `Payloads`: `MemoryPayloads` as one worker sees them."""

    def __init__(self, payloads: MemoryPayloads, wire: Wire) -> None:
        self._payloads = payloads
        self._wire = wire

    async def get(self, bucket: str, key: str, *, bytes_max: int) -> bytes:
        async def do() -> bytes:
            try:
                return self._payloads.objects[bucket, key][: bytes_max + 1]
            except KeyError:
                raise PayloadMissing from None

        return await self._wire.call("payloads", "get", do)

    async def put(self, content: bytes) -> PayloadRef:
        sha256 = hashlib.sha256(content).hexdigest()
        ref = PayloadRef(
            bucket=self._payloads.bucket,
            key=f"payloads/{sha256}",
            sha256=sha256,
            size_bytes=len(content),
        )

        async def do() -> PayloadRef:
            self._payloads.objects[ref.bucket, ref.key] = content
            return ref

        return await self._wire.call("payloads", "put", do)


@dataclass(slots=True, eq=False)
class MemoryProtection:
    """One task's scale-in protection.

    Attributes:
        until: When it ends, seconds since 1970; None while the task is unprotected.
        changes: Every change: minutes, or 0 for the end of the protection.
    """

    until: float | None = None
    changes: list[int] = field(default_factory=list)

    @property
    def protected(self) -> bool:
        """Whether the task would survive a scale-in now."""
        return self.until is not None and wall_clock() < self.until

    def seen_by(self, wire: Wire | None = None) -> "ProtectionHandle":
        """The agent as the task sees it."""
        return ProtectionHandle(self, wire or Wire())


class ProtectionHandle:
    """Port `Protection`: `MemoryProtection` as the task sees it."""

    def __init__(self, protection: MemoryProtection, wire: Wire) -> None:
        self._protection = protection
        self._wire = wire

    async def protect(self, minutes: int) -> None:
        assert 1 <= minutes <= PROTECTION_MINUTES_MAX, f"1 to 2,880 minutes, not {minutes}"
        await self._set("protect", minutes)

    async def unprotect(self) -> None:
        await self._set("unprotect", 0)

    async def _set(self, operation: str, minutes: int) -> None:
        async def do() -> None:
            self._protection.until = wall_clock() + 60 * minutes if minutes else None
            self._protection.changes.append(minutes)

        await self._wire.call("protection", operation, do)


@dataclass(slots=True, eq=False)
class Told:
    """Port `Tell`: keeps every event that it is told."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one class, in order."""
        return [event for event in self.events if isinstance(event, kind)]
