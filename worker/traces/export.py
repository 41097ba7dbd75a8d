"""Takes spans to an OTLP collector, in a thread that nobody waits for.

What the collector does not take in time is dropped and counted. The queue is bounded, and
the thread is a daemon: a collector that hangs costs memory for `WAITING_MAX` spans, and at
the end of the process `close`'s patience, and nothing else.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

WAITING_MAX: Final = 4096
BATCH_MAX: Final = 512
EVERY_S: Final = 5.0
TIMEOUT_S: Final = 5.0  # for one batch, the exporter's own retries included
CLOSE_S: Final = 1.0
LOOK_S: Final = 0.02


class Courier:
    """Exports spans in batches. See `spans.Courier`."""

    def __init__(self, exporter: SpanExporter, *, every_s: float = EVERY_S) -> None:
        self.why = ""
        self._dropped = 0  # written by the loop
        self._failed = 0  # written by the thread
        self._under_way = 0  # likewise
        self._exporter = exporter
        self._every_s = every_s
        self._waiting: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._closed_in_vain = False
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        return self._dropped + self._failed

    def take(self, span: ReadableSpan) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._dropped, self.why = self._dropped + 1, "queue_full"
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH_MAX:
            self._wake.set()

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Export what is left, if that can be done within so many seconds. Never raises."""
        self._closed = True
        self._wake.set()
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self._thread.is_alive() and loop.time() < until:  # noqa: ASYNC110 - a thread's end
            await asyncio.sleep(LOOK_S)
        self._closed_in_vain = self._thread.is_alive()
        if left := len(self._waiting) + self._under_way:
            self._dropped, self.why = self._dropped + left, "closed"

    def _work(self) -> None:
        while not self._closed:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            self._under_way = len(batch)
            try:
                done = self._exporter.export(batch)
            except Exception as error:  # noqa: BLE001  (whatever it is, the thread must live)
                why = type(error).__name__
            else:
                why = "" if done is SpanExportResult.SUCCESS else "refused_or_out_of_reach"
            if self._closed_in_vain:
                return  # these were counted
            self._under_way = 0
            if why:
                self._failed, self.why = self._failed + len(batch), why


def otlp(endpoint: str | None) -> SpanExporter:
    """The exporter: OTLP over HTTP, configured by the `OTEL_EXPORTER_OTLP_…` variables.

    Args:
        endpoint: The URL that takes traces, instead of the environment's.
    """
    # What it says on the way to stderr is told as `spans.lost`, and not in a form of its own.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    return OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)


@asynccontextmanager
async def courier(exporter: SpanExporter) -> AsyncIterator[Courier]:
    """A courier that is closed on leaving."""
    one = Courier(exporter)
    try:
        yield one
    finally:
        await one.close()


def resource(*, service: str, worker: str, version: str) -> Resource:
    """What spans say of this process; `OTEL_RESOURCE_ATTRIBUTES` adds to it."""
    return Resource.create(
        {
            "service.name": service,
            "service.instance.id": worker,
            "service.version": version,
            "cloud.provider": "aws",
        }
    )
