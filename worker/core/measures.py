"""What each event adds to the metrics, and their sums between two flushes.

`measure` is the only place where an event becomes numbers. A name from a job
that is not configured is told as `other`: dimensions are paid for by value.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, assert_never

from worker.core.events import (
    AttemptMade,
    BreakerMoved,
    BreakersBlind,
    CacheFilled,
    CacheRead,
    CallRefused,
    DeliverySkipped,
    DrainEnded,
    DrainStarted,
    Event,
    FaultUnknown,
    FlightFailed,
    HandlerAsked,
    HandlerMoved,
    HandlerUntaught,
    IntakeHeld,
    JobSettled,
    JobUnparked,
    LeaseLost,
    PaceChanged,
    StoreFailed,
    WorkerStarted,
)
from worker.core.fault import Billed, Kind
from worker.core.metrics import CATALOGUE, FAILURES, Failure, Metric, Way
from worker.core.pacer import Pace
from worker.core.verdict import State

OTHER: Final = "other"
# Deliveries that needed no run because another delivery of the same job did.
DUPLICATES: Final = frozenset({"finished", "running_here", "running_elsewhere"})
# Any other name is a queue's.
STORES: Final = frozenset({"breakers", "cache", "ledger", "payloads", "protection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What is configured, and so may be a dimension's value."""

    routes: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    breakers: frozenset[str] = frozenset()
    handlers: frozenset[str] = frozenset()
    buckets: frozenset[str] = frozenset()


class Measurement(NamedTuple):
    """One number: the metric, its value, and the value of its dimension `by`.

    A named tuple, because ten are made for every job.
    """

    metric: str
    value: float
    label: str = ""


def measure(event: Event, names: Names) -> tuple[Measurement, ...]:  # noqa: C901, PLR0912  (a case per event)
    """What an event adds to the metrics."""
    match event:
        case JobSettled():
            return _settled(event, names)
        case JobUnparked():
            route = event.route if event.route in names.routes else OTHER
            return (
                Measurement("JobsUnparked", 1, route),
                Measurement("ParkTime", event.parked_ms / 1000, route),
            )
        case AttemptMade():
            return _made(event, names)
        case FaultUnknown():
            return (Measurement("FaultsUnknown", 1),)
        case DeliverySkipped(why=why):
            return (Measurement("DuplicatesSuppressed", 1),) if why in DUPLICATES else ()
        case LeaseLost():
            return (Measurement("LeasesLost", 1),)
        case FlightFailed():
            return (Measurement("UnhandledErrors", 1),)
        case IntakeHeld():
            return (Measurement("IntakeHolds", 1),)
        case StoreFailed(store=store):
            return (Measurement("StoreErrors", 1, store if store in STORES else "queue"),)
        case BreakerMoved() | CallRefused() | PaceChanged() | BreakersBlind():
            return _guarded(event, names)
        case CacheRead() | CacheFilled():
            return _cached(event, names)
        case HandlerAsked() | HandlerMoved() | HandlerUntaught():
            return _stood_in(event, names)
        case WorkerStarted():
            return (Measurement("WorkerStarts", 1),)
        case DrainStarted():
            return ()
        case DrainEnded():
            return (
                Measurement("DrainSeconds", event.took_s),
                Measurement("JobsReleasedAtShutdown", event.released),
            )
        case _:
            assert_never(event)


def _guarded(
    event: BreakerMoved | CallRefused | PaceChanged | BreakersBlind, names: Names
) -> tuple[Measurement, ...]:
    if isinstance(event, BreakersBlind):
        return (Measurement("BreakersBlind", 1),) if event.blind else ()
    if isinstance(event, PaceChanged):
        bucket = event.bucket if event.bucket in names.buckets else OTHER
        return (Measurement("BucketsExhausted", 1, bucket),) if event.pace is Pace.EXHAUSTED else ()
    breaker = event.breaker if event.breaker in names.breakers | names.buckets else OTHER
    if isinstance(event, CallRefused):
        return (Measurement("CallsRefused", 1, breaker),)
    if event.scope == "fleet":
        return (Measurement("BreakerTransitions", 1, breaker),)
    return (Measurement("BreakerTrips", 1),) if event.new is State.OPEN else ()


def _cached(event: CacheRead | CacheFilled, names: Names) -> tuple[Measurement, ...]:
    handler = event.handler if event.handler in names.handlers else OTHER
    if isinstance(event, CacheFilled):
        return (Measurement("CacheFills", 1, handler),) if event.outcome == "written" else ()
    found = [Measurement("CacheReads", 1, handler)]
    if event.found in ("fresh", "stale"):
        found.append(Measurement("CacheHits", 1, handler))
        found.append(Measurement("CacheAge", event.age_s, handler))
    if event.found == "stale":
        found.append(Measurement("CacheStaleHits", 1, handler))
    return tuple(found)


def _stood_in(
    event: HandlerAsked | HandlerMoved | HandlerUntaught, names: Names
) -> tuple[Measurement, ...]:
    handler = event.handler if event.handler in names.handlers else OTHER
    if isinstance(event, HandlerUntaught):
        return (Measurement("HandlerErrors", 1, handler),)
    if isinstance(event, HandlerMoved):
        return (Measurement("HandlerTrips", 1, handler),) if event.new is State.OPEN else ()
    found = [Measurement("HandlerCalls", 1, handler)]
    if event.canary:
        found.append(Measurement("HandlerCanaries", 1, handler))
    if event.outcome == "answered":
        found.append(Measurement("HandlerAnswers", 1, handler))
    if event.outcome in ("failed", "late"):
        found.append(Measurement("HandlerErrors", 1, handler))
    elif event.outcome in ("answered", "declined", "below_quality"):
        found.append(Measurement("HandlerLatency", event.duration_ms, handler))
    return tuple(found)


def _settled(event: JobSettled, names: Names) -> tuple[Measurement, ...]:
    route = event.route if event.route in names.routes else OTHER
    if event.settlement == "parked":
        return (Measurement("JobsParked", 1, route),)
    if event.settlement == "released":
        return (Measurement("JobsReleased", 1),)
    found = [
        Measurement("JobsTerminal", 1, route),
        Measurement("JobLatency", (event.waited_ms + event.worked_ms) / 1000, route),
        Measurement("QueueWait", event.waited_ms / 1000, route),
    ]
    if event.settlement == "dead":
        failure = FAILURES.get(event.reason, Failure.OTHER)
        found.append(Measurement("JobsDeadLettered", 1, failure.value))
        if failure is Failure.EXPIRED:
            found.append(Measurement("JobsExpired", 1))
    else:
        found.append(Measurement("JobsGood", 1, route))
        if event.parks:
            found.append(Measurement("JobsGoodParked", 1, route))
    if event.settlement == "degraded":
        found.append(Measurement("JobsDegraded", 1, route))
    if event.blocked:
        found.append(Measurement("JobsBlocked", 1, route))
    target = event.target if event.target in names.targets else OTHER
    spent = (
        Measurement("InputTokens", event.input_tokens, target),
        Measurement("OutputTokens", event.output_tokens, target),
        Measurement("CostUsd", event.cost_usd, target),
    )
    found += [one for one in spent if one.value]
    return tuple(found)


def _made(event: AttemptMade, names: Names) -> tuple[Measurement, ...]:
    target = event.target if event.target in names.targets else OTHER
    found = [Measurement("ModelCalls", 1, target)]
    if event.number > 1:
        found.append(Measurement("ModelRetries", 1, target))
    if event.slow:
        found.append(Measurement("ModelSlowCalls", 1, target))
    if event.kind is None:
        found.append(Measurement("ModelLatency", event.duration_ms, target))
        if event.first_token_ms is not None:
            found.append(Measurement("TimeToFirstToken", event.first_token_ms, target))
        return tuple(found)
    found += [
        Measurement("ModelErrors", 1, target),
        Measurement("ModelErrorsByType", 1, event.kind.value),
        Measurement("ModelFailureLatency", event.duration_ms, target),
    ]
    if event.kind is Kind.THROTTLED:
        found.append(Measurement("CallsThrottled", 1, target))
    if event.billed is not Billed.NO:
        found.append(Measurement("CallsWasted", 1, target))
    return tuple(found)


_ORDER: Final = {name: n for n, name in enumerate(CATALOGUE)}


class Series(NamedTuple):
    """What one metric and label came to between two flushes."""

    metric: Metric
    label: str
    values: tuple[float, ...]


class Metrics:
    """Adds up measurements between two flushes."""

    __slots__ = ("_each", "_sums")

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], float] = {}
        self._each: dict[tuple[str, str], list[float]] = {}

    def add(self, one: Measurement) -> None:
        """Add one measurement; its metric must be in the catalogue."""
        name, value, label = one
        key = (name, label)
        if CATALOGUE[name].way is Way.SUM:
            self._sums[key] = self._sums.get(key, 0) + value
        else:
            self._each.setdefault(key, []).append(value)

    def take(self) -> tuple[Series, ...]:
        """Everything since the last time, in the catalogue's order."""
        found: dict[tuple[str, str], tuple[float, ...]] = {
            key: (value,) for key, value in self._sums.items()
        }
        found |= {key: tuple(values) for key, values in self._each.items()}
        self._sums, self._each = {}, {}
        keys = sorted(found, key=lambda key: (_ORDER[key[0]], key[1]))
        return tuple(Series(CATALOGUE[name], label, found[name, label]) for name, label in keys)
