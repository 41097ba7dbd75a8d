"""Tells events as spans, behind whoever tells them as lines: one trace for each run of a job.

    process <queue>            the run, linked to whoever sent its message
      chat <model>             one call
      degraded <handler>       a handler that was asked

Spans are made when the run has settled, of events that were told anyway: the hot path does
not know of them. A run that dies leaves none. Nothing here waits, and nothing raises.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from worker.core.events import (
    AttemptMade,
    CallRefused,
    DeliverySkipped,
    Event,
    FlightFailed,
    HandlerAsked,
    JobSettled,
    LeaseLost,
    SpansLost,
)
from worker.core.target import Target
from worker.core.trace import Context, child_of
from worker.ports import Tell
from worker.traces import conventions as names
from worker.traces.conventions import attributes

JOBS_MAX: Final = 10_000  # with calls of which no end was told
PARTS_MAX: Final = 100  # of one run, and as many refusals
LOOK_S: Final = 10.0
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Courier(Protocol):
    """Takes finished spans away. `why` says of what the last ones were lost."""

    why: str

    @property
    def lost(self) -> int:
        """How many got nowhere."""
        ...

    def take(self, span: ReadableSpan) -> None:
        """Take one span; never blocks, never raises."""
        ...


@dataclass(slots=True)
class _Part:
    """Something within a run: a span's name and attributes, and when, in seconds since 1970."""

    name: str
    kind: SpanKind
    began: float
    ended: float
    attributes: dict[str, Any]
    error: str = ""


@dataclass(slots=True)
class _Run:
    """What was told of a run that is under way."""

    parts: list[_Part] = field(default_factory=list)
    answer: _Part | None = None
    events: list[SpanEvent] = field(default_factory=list)


class Spans:
    """Port `Tell`: tells on, and makes spans. Belongs to one loop; not for threads.

    Args:
        tell: Whoever tells events otherwise.
        courier: Who takes the spans away.
        resource: What the spans say of this process.
        version: Of the worker.
        targets: Every target, by its name.
        at: The wall clock.
    """

    def __init__(
        self,
        tell: Tell,
        courier: Courier,
        *,
        resource: Resource,
        version: str,
        targets: Mapping[str, Target],
        at: Callable[[], float],
    ) -> None:
        self._tell = tell
        self._courier = courier
        self._resource = resource
        self._scope = InstrumentationScope("inference-worker", version, names.SCHEMA_URL)
        self._targets = targets
        self._at = at
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._lost = 0  # by us; the courier counts its own
        self._told = 0

    def __call__(self, event: Event, /) -> None:
        """Tell one event. Never raises."""
        self._tell(event)
        try:
            self._render(event)
        except Exception:  # noqa: BLE001  (a span that cannot be made must not cost a job)
            self._lost += 1

    async def run(self) -> None:
        """Tell now and then how many spans were lost, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                self.tell_lost()
        finally:
            self.tell_lost()

    def tell_lost(self) -> None:
        """Tell how many spans were lost since the last time, if any were."""
        lost = self._courier.lost + self._lost
        if lost > self._told:
            self._tell(SpansLost(count=lost - self._told, why=self._courier.why or "unmakeable"))
            self._told = lost

    def _render(self, event: Event) -> None:
        match event:
            case AttemptMade():
                self._note_call(event)
            case HandlerAsked() if not event.canary:
                self._note_handler(event)
            case CallRefused():
                events = self._of(event.job).events
                if len(events) < PARTS_MAX:
                    told = attributes(event, names.REFUSAL)
                    events.append(SpanEvent(event.name, told, _ns(self._at())))
            # No end will be told of that run: the next one of the job begins with nothing.
            case LeaseLost(job=job) | FlightFailed(job=job):
                self._runs.pop(job, None)
            case DeliverySkipped(job=job, why="stale"):
                self._runs.pop(job, None)
            case JobSettled():
                self._settle(event, self._runs.pop(event.job, _Run()))
            case _:
                pass

    def _of(self, job: str) -> _Run:
        run = self._runs.get(job)
        if run is None:
            run = self._runs[job] = _Run()
            if len(self._runs) > JOBS_MAX:
                self._runs.popitem(last=False)
        return run

    # --- parts -------------------------------------------------------------------

    def _note_call(self, event: AttemptMade) -> None:
        ended = self._at()
        told = attributes(event, names.ATTEMPT, names.MODEL_ALWAYS) | self._model(event.target)
        told["inference_worker.billed"] = event.billed.value
        if event.first_token_ms is not None:
            told[names.FIRST_CHUNK_S] = event.first_token_ms / 1000
        part = _Part(
            name=f"chat {told.get(names.MODEL, event.target)}",
            kind=SpanKind.CLIENT,
            began=ended - event.duration_ms / 1000,
            ended=ended,
            attributes=told,
            error="" if event.kind is None else event.kind.value,
        )
        self._add(event.job, part, answer=event.kind is None)

    def _note_handler(self, event: HandlerAsked) -> None:
        ended, told = self._at(), attributes(event, names.HANDLER)
        if event.target:
            told |= {**names.MODEL_ALWAYS, **self._model(event.target)}
        part = _Part(
            name=f"degraded {event.handler}",
            kind=SpanKind.INTERNAL,
            began=ended - event.duration_ms / 1000,
            ended=ended,
            attributes=told,
            error=event.outcome if event.outcome in ("failed", "late") else "",
        )
        self._add(event.job, part)

    def _add(self, job: str, part: _Part, *, answer: bool = False) -> None:
        run = self._of(job)
        if len(run.parts) < PARTS_MAX:
            run.parts.append(part)
        if answer:
            run.answer = part

    def _model(self, name: str) -> dict[str, str]:
        target = self._targets.get(name)
        found = {names.MODEL: target.model, names.REGION: target.region} if target else {}
        return {name: value for name, value in found.items() if value}

    # --- the whole -----------------------------------------------------------------

    def _settle(self, event: JobSettled, run: _Run) -> None:
        if not event.trace_id:
            return  # not among those that are traced
        if run.answer is not None:
            run.answer.attributes |= attributes(event, names.USAGE)
        context, ended = Context(event.trace_id, event.span_id), self._at()
        dead = event.settlement == "dead"
        whole = _Part(
            name=f"process {event.queue}",
            kind=SpanKind.CONSUMER,
            began=ended - event.worked_ms / 1000,
            ended=ended,
            attributes=attributes(event, names.RUN, names.RUN_ALWAYS),
            error=event.reason if dead else "",
        )
        trace_id, _, span_id = event.linked_to.partition("-")
        sender = [Link(_context(Context(trace_id, span_id), remote=True))] if span_id else []
        self._courier.take(self._span(whole, context, events=run.events, links=sender))
        for number, part in enumerate(run.parts, 1):
            self._courier.take(self._span(part, child_of(context, number), parent=context))

    def _span(
        self, part: _Part, context: Context, *, parent: Context | None = None, **more: Any
    ) -> ReadableSpan:
        if part.error:
            part.attributes[names.ERROR_TYPE] = part.error
        return ReadableSpan(
            name=part.name,
            context=_context(context),
            parent=None if parent is None else _context(parent),
            resource=self._resource,
            attributes=part.attributes,
            kind=part.kind,
            status=Status(StatusCode.ERROR) if part.error else Status(),
            start_time=_ns(part.began),
            end_time=_ns(part.ended),
            instrumentation_scope=self._scope,
            **more,
        )


def _context(context: Context, *, remote: bool = False) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=remote, trace_flags=_SAMPLED
    )


def _ns(at: float) -> int:
    return round(at * 1e9)
