"""Tells events: as log lines, one JSON object each, and as metrics.

    {"at":1795421586.89,"level":"info","event":"job.settled","service":"…","worker":"…",…}

A line is on its way as soon as its event is told: one write, nothing buffered,
so a kill loses none. Metrics are added up and flushed every few seconds by
`run`. Telling never raises; what could not be written is counted, and told as
`TelemetryLost`.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import BinaryIO, Final, get_args

import orjson
import structlog

from worker.core.events import (
    AttemptMade,
    BreakerContested,
    BreakerMoved,
    BreakerProbed,
    BreakersBlind,
    CacheFilled,
    CacheRead,
    CallRefused,
    DeliverySkipped,
    Event,
    FaultUnknown,
    FlightFailed,
    HandlerAsked,
    HandlerMoved,
    HandlerUntaught,
    IntakeHeld,
    LeaseLost,
    PaceChanged,
    RetryRefused,
    SpansLost,
    StoreFailed,
)
from worker.core.measures import Names, measure
from worker.core.metric import Profile
from worker.core.series import Measurement, Metrics, Series

# What is not listed is told at `info`. `job.settled` is the canonical line of a job.
LEVELS: Final[Mapping[type[Event], str]] = MappingProxyType(
    {
        AttemptMade: "debug",
        RetryRefused: "debug",
        BreakerProbed: "debug",
        BreakerContested: "debug",
        CallRefused: "debug",
        DeliverySkipped: "debug",
        HandlerAsked: "debug",
        CacheRead: "debug",
        CacheFilled: "debug",
        BreakerMoved: "warning",
        BreakersBlind: "warning",
        HandlerMoved: "warning",
        HandlerUntaught: "warning",
        FaultUnknown: "warning",
        LeaseLost: "warning",
        FlightFailed: "error",
        IntakeHeld: "warning",
        PaceChanged: "warning",
        SpansLost: "warning",
        StoreFailed: "warning",
    }
)
ORDER: Final = ("debug", "info", "warning", "error")
EVENTS: Final[tuple[type[Event], ...]] = get_args(Event)

Flush = Callable[[Sequence[Series], float], None]
Gauge = Callable[[], float | Mapping[str, float]]  # one number, or one for each label


class Telemetry:
    """Port `Tell`. Belongs to one loop; not for threads."""

    def __init__(
        self,
        *,
        service: str,
        worker: str,
        names: Names,
        flush: Flush,
        level: str = "info",
        flush_s: float = 10.0,
        gauges: Mapping[str, Gauge] = MappingProxyType({}),
        profile: Profile = Profile.FULL,
        file: BinaryIO | None = None,
        at: Callable[[], float] = time.time,
    ) -> None:
        """Prepare everything that one event should not pay for.

        Args:
            service: The fleet.
            worker: The boot id of this process.
            names: What may be the value of a dimension.
            flush: Writes what was measured; see `aws/emf.py`.
            level: Lines below are not written.
            flush_s: Seconds between two flushes.
            gauges: For each metric that is read at the flush, who knows it.
            profile: How much of the catalogue is written.
            file: Where log lines go; by default stdout.
            at: The wall clock.
        """
        self.lost = 0
        self._names = names
        self._flush = flush
        self._flush_s = flush_s
        self._gauges = gauges
        self._at = at
        self._metrics = Metrics(profile)
        # Writes line and line end at once, and flushes.
        self._write = structlog.BytesLogger(file or sys.stdout.buffer).msg
        self._heads = _heads(level, {"service": service, "worker": worker})

    def __call__(self, event: Event, /) -> None:
        """Tell one event. Never raises."""
        head = self._heads.get(type(event))
        try:
            self._metrics.add_all(measure(event, self._names))
            if head is not None:
                rest = orjson.dumps(event)[1:]
                self._write(b'{"at":%.3f,%b,%b' % (self._at(), head, rest))
        except Exception:  # noqa: BLE001  (a line that cannot be written must not cost a job)
            self.lost += 1

    async def run(self) -> None:
        """Flush every `flush_s` seconds, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(self._flush_s)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        """Write what was measured since the last time. Never raises."""
        lost, self.lost = self.lost, 0
        try:
            self._metrics.add(Measurement("Heartbeat", 1))
            lost += sum(not self._gauged(name, read) for name, read in self._gauges.items())
            if lost:
                self._metrics.add(Measurement("TelemetryLost", lost))
            self._flush(self._metrics.take(), self._at())
        except Exception:  # noqa: BLE001  (as above; the next flush tells how much is missing)
            self.lost += lost + 1

    def _gauged(self, name: str, read: Gauge) -> bool:
        """Whether a gauge could be read: one that cannot must not keep all the others back."""
        try:
            found = read()
            labelled = found if isinstance(found, Mapping) else {"": found}
            for label, value in labelled.items():
                self._metrics.add(Measurement(name, value, (label,) if label else ()))
        except Exception:  # noqa: BLE001  (told as lost)
            return False
        return True


def _heads(level: str, context: Mapping[str, str]) -> dict[type[Event], bytes]:
    """For each event that is told at all, what its line has between the time and its fields."""
    told = ORDER[ORDER.index(level) :]
    heads: dict[type[Event], bytes] = {}
    for kind in EVENTS:
        of = LEVELS.get(kind, "info")
        own = {field.name for field in fields(kind)}
        head = {"level": of, "event": kind.name, **context}
        if of in told:
            kept = {name: value for name, value in head.items() if name not in own}
            heads[kind] = orjson.dumps(kept)[1:-1]
    return heads
