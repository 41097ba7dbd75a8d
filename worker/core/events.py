"""What is worth telling. Events are API: `docs/events.md` lists them.

An event is a frozen value; log lines and metrics are renderings of it. No event
holds text of a job or an answer, or a receipt. Tell after the fact is stored.
"""

from dataclasses import dataclass
from typing import ClassVar

from worker.core.fault import Billed, Kind
from worker.core.pacer import Pace
from worker.core.verdict import State
from worker.core.window import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettled:
    """One delivery ended: the canonical line. Times are milliseconds.

    `parked_ms` and what was wasted are totals over the job's life so far. What was wasted
    is at least `wasted_usd`, and at most about `wasted_most_usd`: outcome.md. With traces,
    `trace_id` and `span_id` are this run's, and `linked_to` is whoever sent the message.
    """

    name: ClassVar = "job.settled"

    job: str
    settlement: str  # answered, degraded, dead, parked, released
    reason: str  # "" for a plain answer; for a degraded one, why no model answered
    route: str
    tenant: str
    target: str
    attempts: int
    parks: int
    interruptions: int
    crashes: int
    generation: int
    waited_ms: int  # first send to this run
    worked_ms: int  # this run
    model_ms: int
    parked_ms: int = 0
    quality_requested: float = 0.0  # of the route's best target
    quality_served: float = 0.0  # 0 without an answer
    handler: str = ""  # that gave a degraded answer
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0  # of the answer
    wasted_usd: float = 0.0
    wasted_most_usd: float = 0.0
    blocked: bool = False
    fingerprint: str = ""
    fence: int = 0  # the number of its claim, as in `why JOB`
    queue: str = ""
    message_id: str = ""
    model_id: str = ""  # of `target`
    region: str = ""
    request_id: str = ""  # of the last call in this run
    error: str = ""  # the kind of the last call's fault; "" for an answer, or without a call
    code: str = ""
    breaker: str = ""  # the first that gave no leave in this run, or a quota bucket
    breaker_state: str = ""  # why: open, probing, held, paced, ...
    breaker_version: int = 0  # of the fleet's verdict; 0 where this process decided alone
    trace_id: str = ""
    span_id: str = ""
    linked_to: str = ""
    calls: int = 0  # that this run made


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRedriven:
    """A dead job runs anew: the first claim of a generation. A crash at once after it hides it."""

    name: ClassVar = "job.redriven"

    job: str
    route: str
    tenant: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUnparked:
    """A parked job runs again. `parked_ms` is since the park; `parks` counts all of its life."""

    name: ClassVar = "job.unparked"

    job: str
    route: str
    tenant: str
    parks: int
    parked_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswered:
    """The task of a state machine was told how its job ended. No event holds its token.

    Where nobody `waited` it had been told before, or had timed out, or its execution was over.
    """

    name: ClassVar = "task.answered"

    job: str
    succeeded: bool
    waited: bool
    error: str  # `InferenceWorker.` and the reason; "" for a success


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMade:
    """One call to one target ended. `kind` is None for an answer."""

    name: ClassVar = "attempt.made"

    job: str
    target: str
    number: int
    kind: Kind | None
    code: str
    http: int | None
    duration_ms: int
    first_token_ms: int | None
    slow: bool
    billed: Billed
    timer: str
    request_id: str
    route: str = ""
    wasted_usd: float = 0.0  # surely
    wasted_most_usd: float = 0.0  # at most, by guess
    message: str = ""  # the service's, normalised; "" where it is about the job


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRefused:
    """A job would have tried again, and the retry budget of its route had not the means."""

    name: ClassVar = "retry.refused"

    job: str
    route: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultUnknown:
    """A fault that no row of the table names: it counts as a failure, and asks for a row.

    The service's message may hold words of the job: `fingerprint` tells alike ones.
    """

    name: ClassVar = "fault.unknown"

    target: str
    code: str
    http: int | None
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySkipped:
    """A delivery needed no run: its job is finished, runs already, or waits for its turn."""

    name: ClassVar = "delivery.skipped"

    job: str
    why: str  # finished, running_here, running_elsewhere, over_share, circuit_open, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost:
    """Somebody else may hold the job now; its run here was cancelled."""

    name: ClassVar = "lease.lost"

    job: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightFailed:
    """A run died of an error of ours. Its lease lapses, and the next claim counts a crash."""

    name: ClassVar = "flight.failed"

    job: str
    error: str  # the exception's class: its text may hold a job's
    where: str  # file and line


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeHeld:
    """Nothing is received for a while."""

    name: ClassVar = "intake.held"

    why: str
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed:
    """A call to a queue, the ledger or the payload store failed, after its retries."""

    name: ClassVar = "store.failed"

    store: str
    operation: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMoved:
    """A breaker changed its state, or the share that it admits.

    The fleet's moves are told once, by the worker whose write won; a process tells
    its own, which concern nobody else. What an operator ordered is in the history only.
    """

    name: ClassVar = "breaker.moved"

    breaker: str
    scope: str  # fleet, process
    old: State
    new: State
    share: float
    epoch: int
    round: int
    version: int
    cooldown_s: float
    why: str
    lasted_s: float = 0.0  # of a fleet's that closed: since this worker first saw it not closed


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerProbed:
    """A probe came back. One that was cut short, or never went out, is not told."""

    name: ClassVar = "breaker.probed"

    breaker: str
    scope: str  # fleet: with a ticket; process: of this one's own breaker
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerContested:
    """Somebody else's write of a verdict came first: the order is asked again of what is there."""

    name: ClassVar = "breaker.contested"

    breaker: str
    order: str  # Trip, BeginRound, ClaimTicket, ...
    version: int  # of the write that was refused


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A breaker, or the pacer of a quota bucket, gave no leave for a call."""

    name: ClassVar = "call.refused"

    job: str
    breaker: str  # or the bucket
    why: str  # open, probing, resting, full, held, paced, exhausted
    retry_after_s: float
    version: int = 0  # of the fleet's verdict; 0 where this process decided alone


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceChanged:
    """A process slows its calls to a quota bucket down, stops them for long, or no longer does.

    A cut of a pace that there was is not told: they are many. The gauge `Pace` shows them.
    """

    name: ClassVar = "pace.changed"

    bucket: str
    pace: Pace
    per_s: float | None  # calls per second to begin with
    in_flight_max: int | None
    rests_s: float  # until the next call, in seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakersBlind:
    """The breakers' store is out of reach, or back: this process decides alone, or no more."""

    name: ClassVar = "breakers.blind"

    blind: bool
    fleet_size: float  # about how many workers there are


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerAsked:
    """A degraded handler was asked, by a job that needed it or in practice (`canary`).

    Of one that asks a model, `outcome` may be `paced` (its quota had no turn for it in time) or
    `throttled` too.
    """

    name: ClassVar = "handler.asked"

    job: str
    handler: str
    # answered, declined, below_quality, outside_geo, poor, failed, late, refused, paced, throttled
    outcome: str
    canary: bool
    duration_ms: int
    route: str = ""
    target: str = ""  # that it calls, if any
    cost_usd: float = 0.0  # of the model's answer, taken or not
    wasted_usd: float = 0.0  # surely; what practice costs is not wasted
    wasted_most_usd: float = 0.0  # at most, by guess
    error: str = ""  # an exception's class, what is wrong with the answer, a rule; never its text


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerUntaught:
    """A degraded handler could not learn from an answer, or took too long for it."""

    name: ClassVar = "handler.untaught"

    handler: str
    error: str  # an exception's class


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerMoved:
    """A degraded handler's own breaker changed its state, in this process."""

    name: ClassVar = "handler.moved"

    handler: str
    old: State
    new: State
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRead:
    """A degraded handler of kind `cache` looked for an answer."""

    name: ClassVar = "cache.read"

    handler: str
    found: str  # fresh, stale, too_old, none
    age_s: float
    canary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFilled:
    """A degraded handler of kind `cache` was shown a good and whole answer."""

    name: ClassVar = "cache.filled"

    handler: str
    outcome: str  # written, better_kept, too_large


@dataclass(frozen=True, slots=True, kw_only=True)
class SpansLost:
    """Spans got to no collector. Told at most every few seconds; jobs are not concerned."""

    name: ClassVar = "spans.lost"

    count: int
    why: str  # of the last ones: queue_full, refused_or_out_of_reach, an exception's class, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """The worker takes jobs from now on."""

    name: ClassVar = "worker.started"

    worker: str
    version: str
    slots: int
    lanes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStarted:
    """The worker was asked to stop; it takes no more jobs."""

    name: ClassVar = "drain.started"

    worker: str
    in_flight: int
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainEnded:
    """The worker leaves. `released` jobs were given back uncharged."""

    name: ClassVar = "drain.ended"

    worker: str
    clean: bool
    released: int
    took_s: float


Event = (
    JobSettled
    | JobRedriven
    | JobUnparked
    | TaskAnswered
    | AttemptMade
    | RetryRefused
    | FaultUnknown
    | DeliverySkipped
    | LeaseLost
    | FlightFailed
    | IntakeHeld
    | StoreFailed
    | BreakerMoved
    | BreakerProbed
    | BreakerContested
    | CallRefused
    | PaceChanged
    | BreakersBlind
    | HandlerAsked
    | HandlerUntaught
    | HandlerMoved
    | CacheRead
    | CacheFilled
    | SpansLost
    | WorkerStarted
    | DrainStarted
    | DrainEnded
)
