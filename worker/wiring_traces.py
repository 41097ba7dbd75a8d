"""Puts traces before whoever tells events, if the settings ask for them.

OpenTelemetry is an extra, and is imported here and nowhere else: a worker without traces
neither needs it nor pays for it.
"""
# ruff: noqa: PLC0415  (see above)

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from worker.core.target import Target
from worker.ports import Tell
from worker.settings import Settings

Service = Callable[[], Awaitable[None]]


class TracesUnusableError(Exception):
    """Traces are asked for, and cannot be made."""


@asynccontextmanager
async def traced(
    settings: Settings, tell: Tell, *, worker: str, version: str, targets: Iterable[Target]
) -> AsyncIterator[tuple[Tell, tuple[Service, ...]]]:
    """Whom to tell events, and what must run beside; `tell` itself where traces are off.

    Raises:
        TracesUnusableError: The extra is not installed, or the exporter cannot be made.
    """
    if settings.traces.exporter == "off":
        yield tell, ()
        return
    try:
        from worker.traces.export import courier, otlp, resource
        from worker.traces.spans import Spans
    except ImportError as error:
        msg = f"{error.name} is not installed"
        raise TracesUnusableError(msg) from None
    try:
        exporter = otlp(settings.traces.endpoint)
    except (OSError, ValueError) as error:  # a certificate, say, or a variable of OpenTelemetry's
        raise TracesUnusableError(str(error)) from None
    async with courier(exporter) as taker:
        spans = Spans(
            tell,
            taker,
            resource=resource(service=settings.service, worker=worker, version=version),
            version=version,
            targets={target.name: target for target in targets},
            at=time.time,
        )
        yield spans, (spans.run,)
    spans.tell_lost()
