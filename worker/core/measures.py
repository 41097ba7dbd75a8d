"""What each event adds to the metrics. Their sums between two flushes are in `series.py`.

`measure` is the only place where an event becomes numbers. A name from a job
that is not configured is told as `other`: dimensions are paid for by value.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

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
    DrainEnded,
    DrainStarted,
    Event,
    FaultUnknown,
    FlightFailed,
    HandlerAsked,
    HandlerMoved,
    HandlerUntaught,
    IntakeHeld,
    JobRedriven,
    JobSettled,
    JobUnparked,
    LeaseLost,
    PaceChanged,
    RetryRefused,
    SpansLost,
    StoreFailed,
    TaskAnswered,
    WorkerStarted,
)
from worker.core.failures import FAILURES, Failure
from worker.core.fault import Billed, Kind
from worker.core.pacer import Pace
from worker.core.plan import CIRCUIT_OPEN
from worker.core.series import Measurement
from worker.core.upgrade import upgraded
from worker.core.verdict import State
from worker.core.window import FAILED

OTHER: Final = "other"
# `Measurement(...)` in half its time, for those of which ten are made for every job.
_new: Final[Callable[[tuple[str, float, tuple[str, ...]]], Measurement]] = partial(
    tuple.__new__, Measurement
)
# Deliveries that needed no run because another delivery of the same job did.
DUPLICATES: Final = frozenset({"finished", "running_here", "running_elsewhere"})
# Why a run that made no call made none, though it wanted one.
UNSERVED: Final = frozenset({CIRCUIT_OPEN, str(Kind.THROTTLED), str(Kind.EXHAUSTED)})
QUEUE: Final = "queue"
# Any other name is a queue's.
STORES: Final = frozenset({"breakers", "cache", "ledger", "payloads", "protection", "tasks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What is configured, and so may be a dimension's value."""

    routes: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    breakers: frozenset[str] = frozenset()
    handlers: frozenset[str] = frozenset()
    buckets: frozenset[str] = frozenset()
    stores: frozenset[str] = STORES | {QUEUE}


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
        case JobRedriven():
            return (Measurement("JobsRedriven", 1),)
        case TaskAnswered(waited=waited):
            return (Measurement("TasksAnswered" if waited else "TasksGone", 1),)
        case AttemptMade():
            return _made(event, names)
        case RetryRefused():
            return (Measurement("RetryBudgetExhausted", 1),)
        case FaultUnknown():
            return (Measurement("FaultsUnknown", 1),)
        case DeliverySkipped():
            return _skipped(event)
        case LeaseLost():
            return (Measurement("LeasesLost", 1),)
        case FlightFailed():
            return (Measurement("UnhandledErrors", 1),)
        case IntakeHeld():
            return (Measurement("IntakeHolds", 1),)
        case StoreFailed(store=store):
            return (Measurement("StoreErrors", 1, (store if store in STORES else QUEUE,)),)
        case BreakerMoved() | BreakerProbed():
            return _decided(event, names)
        case BreakerContested() | CallRefused() | PaceChanged() | BreakersBlind():
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


def _skipped(event: DeliverySkipped) -> tuple[Measurement, ...]:
    if event.why == CIRCUIT_OPEN and upgraded(event.job) is None:
        return (Measurement("JobsUnserved", 1),)
    return (Measurement("DuplicatesSuppressed", 1),) if event.why in DUPLICATES else ()


def _decided(event: BreakerMoved | BreakerProbed, names: Names) -> tuple[Measurement, ...]:
    by = (event.breaker if event.breaker in names.breakers else OTHER,)
    if isinstance(event, BreakerProbed):
        probe = Measurement("Probes", 1, by)
        failed = event.outcome in FAILED
        return (probe, Measurement("ProbeFailures", 1, by)) if failed else (probe,)
    if event.scope == "process":
        return (Measurement("BreakerTrips", 1),) if event.new is State.OPEN else ()
    move = Measurement("BreakerTransitions", 1, by)
    if event.new is not State.CLOSED or event.old is State.CLOSED:
        return (move,)
    return (move, Measurement("BreakerOpenSeconds", event.lasted_s, by))


def _guarded(
    event: BreakerContested | CallRefused | PaceChanged | BreakersBlind, names: Names
) -> tuple[Measurement, ...]:
    match event:
        case BreakerContested():
            return (Measurement("BreakerConflicts", 1),)
        case BreakersBlind():
            return (Measurement("BreakersBlind", 1),) if event.blind else ()
        case PaceChanged():
            by = (event.bucket if event.bucket in names.buckets else OTHER,)
            exhausted = event.pace is Pace.EXHAUSTED
            return (Measurement("BucketsExhausted", 1, by),) if exhausted else ()
        case CallRefused():  # pragma: no branch  (closed union)
            known = names.breakers | names.buckets
            by = (event.breaker if event.breaker in known else OTHER,)
            return (Measurement("CallsRefused", 1, by),)


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
    if event.settlement == "released":
        return (_new(("JobsReleased", 1, ())),)
    unserved = event.calls == 0 and event.reason in UNSERVED
    found = [_new(("JobsUnserved", 1, ()))] if unserved else []
    if event.settlement == "parked":
        return (*found, _new(("JobsParked", 1, by)))
    found += [
        _new(("JobsTerminal", 1, by)),
        _new(("JobLatency", (event.waited_ms + event.worked_ms) / 1000, by)),
        _new(("QueueWait", event.waited_ms / 1000, by)),
    ]
    if event.settlement == "dead":
        failure = FAILURES.get(event.reason, Failure.OTHER)
        found.append(_new(("JobsDeadLettered", 1, (failure.value,))))
        if failure is Failure.EXPIRED:
            found.append(_new(("JobsExpired", 1, ())))
    else:
        found += _good(event, route, names)
    if event.parks:
        found.append(_new(("JobParkTime", event.parked_ms / 1000, by)))
    if event.blocked:
        found.append(_new(("JobsBlocked", 1, by)))
    return (*found, *_spent(event, names))


def _good(event: JobSettled, route: str, names: Names) -> Iterator[Measurement]:
    by = (route,)
    yield _new(("JobsGood", 1, by))
    yield _new(("QualityServed", event.quality_served, by))
    short = event.quality_requested - event.quality_served
    if short > 0:
        yield _new(("QualityShortfall", short, by))
    if event.parks:
        yield _new(("JobsGoodParked", 1, by))
    if event.settlement == "degraded":
        handler = event.handler if event.handler in names.handlers else OTHER
        yield _new(("JobsDegraded", 1, (route, handler)))
    else:
        yield _new(("JobsAnswered", 1, (_target(event.target, names),)))


def _upgraded(event: JobSettled, by: tuple[str, ...], names: Names) -> tuple[Measurement, ...]:
    """The job has its answer, and was counted with it: this tells of the better one alone."""
    if event.settlement == "answered":
        return (_new(("UpgradesAnswered", 1, by)), *_spent(event, names))
    return (_new(("UpgradesGivenUp", 1, by)),) if event.settlement == "dead" else ()


def _spent(event: JobSettled, names: Names) -> tuple[Measurement, ...]:
    route = event.route if event.route in names.routes else OTHER
    target = _target(event.target, names)
    spent = (
        _new(("InputTokens", event.input_tokens, (target,))),
        _new(("OutputTokens", event.output_tokens, (target,))),
        _new(("CostUsd", event.cost_usd, (route, target))),
    )
    return tuple(one for one in spent if one.value)


def _made(event: AttemptMade, names: Names) -> tuple[Measurement, ...]:
    by = (_target(event.target, names),)
    found = [_new(("ModelCalls", 1, by))]
    if event.number > 1:
        found.append(_new(("ModelRetries", 1, by)))
    if event.slow:
        found.append(_new(("ModelSlowCalls", 1, by)))
    if event.kind is None:
        found.append(_new(("ModelLatency", event.duration_ms, by)))
        if event.first_token_ms is not None:
            found.append(_new(("TimeToFirstToken", event.first_token_ms, by)))
        return tuple(found)
    found += [
        _new(("ModelErrors", 1, by)),
        _new(("ModelErrorsByType", 1, (event.kind.value,))),
        _new(("ModelFailureLatency", event.duration_ms, by)),
    ]
    if event.kind is Kind.THROTTLED:
        found.append(_new(("CallsThrottled", 1, by)))
    if event.kind is Kind.MISCONFIGURED:
        found.append(_new(("CallsMisconfigured", 1, ())))
    if event.billed is not Billed.NO:
        route = event.route if event.route in names.routes else OTHER
        found.append(_new(("CallsWasted", 1, (route, *by))))
    return (*found, *_wasted(event, names))


def _wasted(event: AttemptMade | HandlerAsked, names: Names) -> Iterator[Measurement]:
    if event.wasted_most_usd:
        route = event.route if event.route in names.routes else OTHER
        target = _target(event.target, names)
        yield Measurement("WastedUsd", event.wasted_usd, (route, target))
        yield Measurement("WastedMostUsd", event.wasted_most_usd, (route, target))


def _target(name: str, names: Names) -> str:
    return name if name in names.targets else OTHER
