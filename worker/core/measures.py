"""What each event adds to the metrics, and their sums between two flushes.

`measure` is the only place where an event becomes numbers. A name from a job
that is not configured is told as `other`: dimensions are paid for by value.
"""

from collections.abc import Iterator
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
    SpansLost,
    StoreFailed,
    WorkerStarted,
)
from worker.core.failures import FAILURES, Failure
from worker.core.fault import Billed, Kind
from worker.core.metric import Metric, Way
from worker.core.metrics import CATALOGUE
from worker.core.pacer import Pace
from worker.core.upgrade import upgraded
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
    """One number: the metric, its value, and the values of its dimensions `by`, in order.

    A named tuple, because ten are made for every job.
    """

    metric: str
    value: float
    labels: tuple[str, ...] = ()


def measure(event: Event, names: Names) -> tuple[Measurement, ...]:  # noqa: C901, PLR0912  (a case per event)
    """What an event adds to the metrics."""
    match event:
        case JobSettled():
            return _settled(event, names)
        case JobUnparked(job=job) if upgraded(job) is not None:
            return ()
        case JobUnparked():
            by = (event.route if event.route in names.routes else OTHER,)
            return (
                Measurement("JobsUnparked", 1, by),
                Measurement("ParkTime", event.parked_ms / 1000, by),
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
            return (Measurement("StoreErrors", 1, (store if store in STORES else "queue",)),)
        case BreakerMoved() | CallRefused() | PaceChanged() | BreakersBlind():
            return _guarded(event, names)
        case CacheRead() | CacheFilled():
            return _cached(event, names)
        case HandlerAsked() | HandlerMoved() | HandlerUntaught():
            return _stood_in(event, names)
        case WorkerStarted():
            return (Measurement("WorkerStarts", 1),)
        case DrainStarted() | SpansLost():
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
        by = (event.bucket if event.bucket in names.buckets else OTHER,)
        return (Measurement("BucketsExhausted", 1, by),) if event.pace is Pace.EXHAUSTED else ()
    by = (event.breaker if event.breaker in names.breakers | names.buckets else OTHER,)
    if isinstance(event, CallRefused):
        return (Measurement("CallsRefused", 1, by),)
    if event.scope == "fleet":
        return (Measurement("BreakerTransitions", 1, by),)
    return (Measurement("BreakerTrips", 1),) if event.new is State.OPEN else ()


def _cached(event: CacheRead | CacheFilled, names: Names) -> tuple[Measurement, ...]:
    by = (event.handler if event.handler in names.handlers else OTHER,)
    if isinstance(event, CacheFilled):
        return (Measurement("CacheFills", 1, by),) if event.outcome == "written" else ()
    found = [Measurement("CacheReads", 1, by)]
    if event.found in ("fresh", "stale"):
        found.append(Measurement("CacheHits", 1, by))
        found.append(Measurement("CacheAge", event.age_s, by))
    if event.found == "stale":
        found.append(Measurement("CacheStaleHits", 1, by))
    return tuple(found)


def _stood_in(
    event: HandlerAsked | HandlerMoved | HandlerUntaught, names: Names
) -> tuple[Measurement, ...]:
    by = (event.handler if event.handler in names.handlers else OTHER,)
    if isinstance(event, HandlerUntaught):
        return (Measurement("HandlerErrors", 1, by),)
    if isinstance(event, HandlerMoved):
        return (Measurement("HandlerTrips", 1, by),) if event.new is State.OPEN else ()
    found = [Measurement("HandlerCalls", 1, by), *_wasted(event, names)]
    if event.cost_usd:
        found.append(Measurement("HandlerCostUsd", event.cost_usd, by))
    if event.canary:
        found.append(Measurement("HandlerCanaries", 1, by))
    if event.outcome == "answered":
        found.append(Measurement("HandlerAnswers", 1, by))
    if event.outcome in ("failed", "late"):
        found.append(Measurement("HandlerErrors", 1, by))
    elif event.outcome in ("answered", "declined", "below_quality", "poor"):
        found.append(Measurement("HandlerLatency", event.duration_ms, by))
    return tuple(found)


def _settled(event: JobSettled, names: Names) -> tuple[Measurement, ...]:
    route = event.route if event.route in names.routes else OTHER
    by = (route,)
    if upgraded(event.job) is not None:
        return _upgraded(event, by, names)
    if event.settlement == "parked":
        return (Measurement("JobsParked", 1, by),)
    if event.settlement == "released":
        return (Measurement("JobsReleased", 1),)
    found = [
        Measurement("JobsTerminal", 1, by),
        Measurement("JobLatency", (event.waited_ms + event.worked_ms) / 1000, by),
        Measurement("QueueWait", event.waited_ms / 1000, by),
    ]
    if event.settlement == "dead":
        failure = FAILURES.get(event.reason, Failure.OTHER)
        found.append(Measurement("JobsDeadLettered", 1, (failure.value,)))
        if failure is Failure.EXPIRED:
            found.append(Measurement("JobsExpired", 1))
    else:
        found += _good(event, route, names)
    if event.parks:
        found.append(Measurement("JobParkTime", event.parked_ms / 1000, by))
    if event.blocked:
        found.append(Measurement("JobsBlocked", 1, by))
    return (*found, *_spent(event, names))


def _good(event: JobSettled, route: str, names: Names) -> Iterator[Measurement]:
    by = (route,)
    yield Measurement("JobsGood", 1, by)
    yield Measurement("QualityServed", event.quality_served, by)
    short = event.quality_requested - event.quality_served
    if short > 0:
        yield Measurement("QualityShortfall", short, by)
    if event.parks:
        yield Measurement("JobsGoodParked", 1, by)
    if event.settlement == "degraded":
        handler = event.handler if event.handler in names.handlers else OTHER
        yield Measurement("JobsDegraded", 1, (route, handler))


def _upgraded(event: JobSettled, by: tuple[str, ...], names: Names) -> tuple[Measurement, ...]:
    """The job has its answer, and was counted with it: this tells of the better one alone."""
    if event.settlement == "answered":
        return (Measurement("UpgradesAnswered", 1, by), *_spent(event, names))
    return (Measurement("UpgradesGivenUp", 1, by),) if event.settlement == "dead" else ()


def _spent(event: JobSettled, names: Names) -> tuple[Measurement, ...]:
    route = event.route if event.route in names.routes else OTHER
    target = event.target if event.target in names.targets else OTHER
    spent = (
        Measurement("InputTokens", event.input_tokens, (target,)),
        Measurement("OutputTokens", event.output_tokens, (target,)),
        Measurement("CostUsd", event.cost_usd, (route, target)),
    )
    return tuple(one for one in spent if one.value)


def _made(event: AttemptMade, names: Names) -> tuple[Measurement, ...]:
    by = (event.target if event.target in names.targets else OTHER,)
    found = [Measurement("ModelCalls", 1, by)]
    if event.number > 1:
        found.append(Measurement("ModelRetries", 1, by))
    if event.slow:
        found.append(Measurement("ModelSlowCalls", 1, by))
    if event.kind is None:
        found.append(Measurement("ModelLatency", event.duration_ms, by))
        if event.first_token_ms is not None:
            found.append(Measurement("TimeToFirstToken", event.first_token_ms, by))
        return tuple(found)
    found += [
        Measurement("ModelErrors", 1, by),
        Measurement("ModelErrorsByType", 1, (event.kind.value,)),
        Measurement("ModelFailureLatency", event.duration_ms, by),
    ]
    if event.kind is Kind.THROTTLED:
        found.append(Measurement("CallsThrottled", 1, by))
    if event.billed is not Billed.NO:
        route = event.route if event.route in names.routes else OTHER
        found.append(Measurement("CallsWasted", 1, (route, *by)))
    return (*found, *_wasted(event, names))


def _wasted(event: AttemptMade | HandlerAsked, names: Names) -> Iterator[Measurement]:
    if event.wasted_most_usd:
        route = event.route if event.route in names.routes else OTHER
        target = event.target if event.target in names.targets else OTHER
        yield Measurement("WastedUsd", event.wasted_usd, (route, target))
        yield Measurement("WastedMostUsd", event.wasted_most_usd, (route, target))


_Key = tuple[str, tuple[str, ...]]
_ORDER: Final = {name: n for n, name in enumerate(CATALOGUE)}


class Series(NamedTuple):
    """What one metric and its labels came to between two flushes."""

    metric: Metric
    labels: tuple[str, ...]
    values: tuple[float, ...]


class Metrics:
    """Adds up measurements between two flushes."""

    __slots__ = ("_each", "_sums")

    def __init__(self) -> None:
        self._sums: dict[_Key, float] = {}
        self._each: dict[_Key, list[float]] = {}

    def add(self, one: Measurement) -> None:
        """Add one measurement; its metric must be in the catalogue."""
        name, value, labels = one
        key = (name, labels)
        if CATALOGUE[name].way is Way.SUM:
            self._sums[key] = self._sums.get(key, 0) + value
        else:
            self._each.setdefault(key, []).append(value)

    def take(self) -> tuple[Series, ...]:
        """Everything since the last time, in the catalogue's order."""
        found: dict[_Key, tuple[float, ...]] = {key: (value,) for key, value in self._sums.items()}
        found |= {key: tuple(values) for key, values in self._each.items()}
        self._sums, self._each = {}, {}
        keys = sorted(found, key=lambda key: (_ORDER[key[0]], key[1]))
        return tuple(Series(CATALOGUE[name], labels, found[name, labels]) for name, labels in keys)
