"""The canonical line of a delivery: everything that is told of one run, in one event."""

from typing import Final, assert_never

from worker.core.answer import Usage
from worker.core.cost import cost_usd
from worker.core.events import JobSettled
from worker.core.ledger import Attempt, Record
from worker.core.result import served_by, spent_by
from worker.core.settlement import Answered, Dead, Degraded, Parked, Released, Settlement
from worker.core.target import Target
from worker.core.trace import TRACEPARENT, sent_by
from worker.core.trail import Bar
from worker.runtime.flights import Flight
from worker.runtime.trip import Trip

_NAMES: Final = {
    Answered: "answered",
    Degraded: "degraded",
    Dead: "dead",
    Parked: "parked",
    Released: "released",
}
_NO_CALL: Final = Attempt(number=0, target="")
_NO_BAR: Final = Bar(name="", why="")


def settled(
    flight: Flight,
    trip: Trip,
    settlement: Settlement,
    record: Record,
    at: float,
    *,
    traces: float | None,
) -> JobSettled:
    """What is told of a run that ended.

    Args:
        flight: Its messages.
        trip: What happened in it.
        settlement: How it ended.
        record: The job's record after it.
        at: When, seconds since 1970.
        traces: The share of runs that are traced; None for none.
    """
    answered = settlement if isinstance(settlement, Answered) else None
    usage, spent_at, served = Usage(), None, 0.0
    if not isinstance(settlement, Parked | Released):
        usage, spent_at = spent_by(settlement)
        served = served_by(settlement)
    last = trip.history[-1] if trip.history else _NO_CALL
    target = spent_at if spent_at and spent_at.name else _target(trip, last.target)
    bar = next(iter(trip.bars.values()), _NO_BAR)
    delivery = flight.delivery
    run = trip.context(traces)
    sender = sent_by(delivery.trace, delivery.attributes.get(TRACEPARENT, "")) if run else None
    return JobSettled(
        job=record.job,
        settlement=_NAMES[type(settlement)],
        reason=why_of(settlement),
        route=record.route,
        tenant=record.tenant,
        target=target.name if target else last.target,
        attempts=record.attempts,
        parks=record.parks,
        interruptions=record.interruptions,
        crashes=record.crashes,
        generation=record.generation,
        waited_ms=ms(trip.started_at - record.sent_at),
        worked_ms=ms(at - trip.started_at),
        model_ms=trip.model_ms,
        parked_ms=ms(trip.parked_s),
        quality_requested=trip.best,
        quality_served=served,
        handler=settlement.handler if isinstance(settlement, Degraded) else "",
        input_tokens=usage.input,
        output_tokens=usage.output,
        cost_usd=cost_usd(usage, spent_at) if spent_at else 0.0,
        wasted_usd=round(trip.wasted.sure_usd, 9),
        wasted_most_usd=round(trip.wasted.most_usd, 9),
        blocked=answered.answer.blocked if answered else False,
        fingerprint=record.fingerprint,
        calls=len(trip.history),
        fence=record.fence,
        queue=flight.queues[delivery.message_id].name,
        message_id=delivery.message_id,
        model_id=target.model if target else "",
        region=target.region if target else "",
        request_id=last.request_id,
        error=last.kind.value if last.kind else "",
        code=last.code,
        breaker=bar.name,
        breaker_state=bar.why,
        breaker_version=bar.version,
        trace_id=run.trace_id if run else "",
        span_id=run.span_id if run else "",
        linked_to="-".join(sender) if sender else "",
    )


def why_of(settlement: Settlement) -> str:
    """Why a run ended so; "" for a plain answer."""
    match settlement:
        case Answered():
            return ""
        case Dead(reason=reason):
            return reason
        case Degraded(why=why) | Parked(why=why) | Released(why=why):
            return why
        case _:
            assert_never(settlement)


def ms(seconds: float) -> int:
    """Whole milliseconds, never below 0: clocks differ."""
    return max(0, round(seconds * 1000))


def _target(trip: Trip, name: str) -> Target | None:
    targets = trip.route.targets if trip.route else ()
    return next((target for target in targets if target.name == name), None)
