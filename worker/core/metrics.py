"""What is measured: one catalogue.

`CATALOGUE` is the whole list: `docs/metrics.md`, dashboard and alarms are drawn
from it, and nothing is emitted that is not in it. How events become numbers is
in `measures.py`.

A metric is told for the whole fleet (`[Service]`), by one more dimension
(`[Service, Target]`), or both: CloudWatch adds nothing up by itself. Values of
dimensions come from our own enums and from the configuration, never from a job:
a name that is not configured is told as `other`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from worker.core.fault import Kind


class Unit(StrEnum):
    """CloudWatch's own words."""

    COUNT = "Count"
    SECONDS = "Seconds"
    MILLISECONDS = "Milliseconds"
    PER_SECOND = "Count/Second"
    NONE = "None"


class By(StrEnum):
    """The dimension beside `Service`, if any."""

    NOTHING = ""
    ROUTE = "Route"
    TARGET = "Target"
    ERROR = "ErrorType"
    FAILURE = "FailureClass"
    STORE = "Store"
    BREAKER = "Breaker"
    HANDLER = "Handler"
    BUCKET = "Bucket"


class Way(StrEnum):
    """What becomes of the measurements between two flushes."""

    SUM = "sum"  # one number
    EACH = "each"  # every value, for percentiles
    GAUGE = "gauge"  # read at the flush


class Failure(StrEnum):
    """Why a job was discarded, in a few classes: the dimension `FailureClass`."""

    MALFORMED = "malformed"  # the body is no job that this worker knows
    REJECTED = "rejected"  # the model, or its guard, will never take it
    EXPIRED = "expired"  # its deadline, or the longest wait
    POISON = "poison"  # it breaks or hangs whoever takes it
    WORN_OUT = "worn_out"  # all its attempts are used up
    UNSERVED = "unserved"  # nothing could or would serve it, and it would not wait
    OTHER = "other"


_CLASSES: Final = {
    Failure.MALFORMED: (
        "not_json",
        "too_large",
        "too_deep",
        "duplicate_key",
        "schema",
        "unknown_field",
        "missing_field",
        "invalid_field",
        "payload_forbidden",
        "payload_mismatch",
        "payload_missing",
        "unknown_route",
        "unknown_reply_to",
        "id_conflict",
    ),
    Failure.REJECTED: (Kind.REJECTED, Kind.TOO_LONG, "answer_too_large"),
    Failure.EXPIRED: ("expired",),
    Failure.POISON: ("poison", "crash_loop"),
    Failure.WORN_OUT: ("attempts_exhausted",),
    Failure.UNSERVED: (
        "below_quality",
        "circuit_open",
        Kind.UNAVAILABLE,
        Kind.TIMED_OUT,
        Kind.THROTTLED,
        Kind.EXHAUSTED,
        Kind.MISCONFIGURED,
        Kind.POOR,
        Kind.UNREACHABLE,
        Kind.LOCAL,
        Kind.UNKNOWN,
    ),
}
FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {str(reason): failure for failure, reasons in _CLASSES.items() for reason in reasons}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the catalogue.

    Attributes:
        total: Whether it is told for the whole fleet, under `[Service]`.
        by: The dimension that it is told by as well, if any.
        when: What makes it a number.
    """

    name: str
    unit: Unit = Unit.COUNT
    way: Way = Way.SUM
    total: bool = True
    by: By = By.NOTHING
    when: str
    meaning: str

    @property
    def dimensions(self) -> tuple[tuple[str, ...], ...]:
        """The dimension sets that it is told under.

        >>> CATALOGUE["ModelCalls"].dimensions
        (('Service',), ('Service', 'Target'))
        """
        total: tuple[tuple[str, ...], ...] = (("Service",),) if self.total else ()
        return (*total, ("Service", self.by.value)) if self.by else total


_FLUSH: Final = "every flush"
_SETTLED: Final = "`job.settled`"
_FINAL: Final = "`job.settled` with answered, degraded or dead"
_MADE: Final = "`attempt.made`"
_ANSWERED: Final = "`attempt.made` with an answer"
_FAILED: Final = "`attempt.made` with a fault"

_ROWS: Final = (
    Metric(
        name="Heartbeat",
        when=_FLUSH,
        meaning="1 per worker and flush: none means that the fleet is silent.",
    ),
    Metric(
        name="InFlight",
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="Jobs in hand.",
    ),
    Metric(
        name="EventLoopLag",
        unit=Unit.MILLISECONDS,
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="How late the event loop is: above 100 the process has too much to do.",
    ),
    Metric(
        name="TelemetryLost",
        when="a log line or a metric could not be written",
        meaning="What these logs and metrics do not show.",
    ),
    Metric(
        name="WorkerStarts", when="`worker.started`", meaning="Workers that began to take jobs."
    ),
    Metric(
        name="JobsTerminal",
        by=By.ROUTE,
        when=_FINAL,
        meaning="Jobs that got their one final record.",
    ),
    Metric(
        name="JobsGood",
        by=By.ROUTE,
        when="`job.settled` with answered or degraded",
        meaning="Those of them that got an answer in time: JobsGood / JobsTerminal is the SLO.",
    ),
    Metric(
        name="JobsDegraded",
        by=By.ROUTE,
        when="`job.settled` with degraded",
        meaning="Jobs with a second-best answer.",
    ),
    Metric(
        name="JobsBlocked",
        by=By.ROUTE,
        when="`job.settled` with `blocked`",
        meaning="Answers that a guardrail or a content filter took the place of.",
    ),
    Metric(
        name="JobsParked",
        by=By.ROUTE,
        when="`job.settled` with parked",
        meaning="Parks: jobs that wait, with nobody to blame.",
    ),
    Metric(
        name="JobsUnparked",
        by=By.ROUTE,
        when="`job.unparked`",
        meaning="Runs of parked jobs: JobsParked - JobsUnparked is how many more wait than before.",
    ),
    Metric(
        name="ParkTime",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=By.ROUTE,
        when="`job.unparked`",
        meaning="From a park to the job's next run.",
    ),
    Metric(
        name="JobsGoodParked",
        by=By.ROUTE,
        when="`job.settled` with answered or degraded, and `parks`",
        meaning="Jobs that got their answer because they could wait for it.",
    ),
    Metric(
        name="UpgradesAnswered",
        by=By.ROUTE,
        when="`job.settled` with answered, of an upgrade",
        meaning="Degraded answers that a model's replaced; no number of jobs counts upgrades.",
    ),
    Metric(
        name="UpgradesGivenUp",
        by=By.ROUTE,
        when="`job.settled` with dead, of an upgrade",
        meaning="Degraded answers that were to be replaced, and stay.",
    ),
    Metric(
        name="JobsReleased",
        when="`job.settled` with released",
        meaning="Jobs given back for anybody, uncharged.",
    ),
    Metric(
        name="JobsDeadLettered",
        by=By.FAILURE,
        when="`job.settled` with dead",
        meaning="Jobs given up for good, by class of reason.",
    ),
    Metric(
        name="JobsExpired",
        when="`job.settled` with dead, reason `expired`",
        meaning="Jobs whose deadline, or longest wait, was over.",
    ),
    Metric(
        name="DuplicatesSuppressed",
        when="`delivery.skipped` for a job that is finished or runs",
        meaning="Deliveries that would have been paid for twice.",
    ),
    Metric(
        name="JobLatency",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=By.ROUTE,
        when=_FINAL,
        meaning="From the first send to the final record.",
    ),
    Metric(
        name="QueueWait",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=By.ROUTE,
        when=_FINAL,
        meaning="From the first send to the last run, parks included.",
    ),
    Metric(name="ModelCalls", by=By.TARGET, when=_MADE, meaning="Calls that ended."),
    Metric(
        name="ModelErrors", by=By.TARGET, when=_FAILED, meaning="Calls that ended without answer."
    ),
    Metric(
        name="ModelErrorsByType",
        total=False,
        by=By.ERROR,
        when=_FAILED,
        meaning="The same by kind of fault.",
    ),
    Metric(
        name="FaultsUnknown",
        when="`fault.unknown`",
        meaning="Faults that no row of the table names: each asks for a row.",
    ),
    Metric(
        name="ModelRetries",
        by=By.TARGET,
        when="`attempt.made` with a number above 1",
        meaning="Calls of jobs that had been charged for a call before.",
    ),
    Metric(
        name="ModelSlowCalls",
        by=By.TARGET,
        when="`attempt.made` with `slow`",
        meaning="Calls that took longer than the target's limit.",
    ),
    Metric(
        name="ModelLatency",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=By.TARGET,
        when=_ANSWERED,
        meaning="How long answers took; faults are told apart, so that timeouts do not spoil it.",
    ),
    Metric(
        name="ModelFailureLatency",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=By.TARGET,
        when=_FAILED,
        meaning="How long calls without answer took.",
    ),
    Metric(
        name="TimeToFirstToken",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=By.TARGET,
        when="`attempt.made` with an answer that was streamed",
        meaning="How long the first event took.",
    ),
    Metric(
        name="CallsWasted",
        by=By.TARGET,
        when="`attempt.made` with a fault that may be billed",
        meaning="Calls that may have been paid for, and brought nothing.",
    ),
    Metric(name="InputTokens", by=By.TARGET, when=_SETTLED, meaning="Tokens of requests."),
    Metric(name="OutputTokens", by=By.TARGET, when=_SETTLED, meaning="Tokens of answers."),
    Metric(
        name="CostUsd",
        unit=Unit.NONE,
        by=By.TARGET,
        when=_SETTLED,
        meaning="USD, from the prices in the settings. CloudWatch may count a line twice: "
        "never bill from it.",
    ),
    Metric(
        name="LeasesLost",
        when="`lease.lost`",
        meaning="Runs that were cancelled because somebody else may hold the job.",
    ),
    Metric(
        name="UnhandledErrors",
        when="`flight.failed`",
        meaning="Runs that died of an error of ours: each is a bug.",
    ),
    Metric(name="IntakeHolds", when="`intake.held`", meaning="Times that receiving was stopped."),
    Metric(
        name="StoreErrors",
        by=By.STORE,
        when="`store.failed`",
        meaning="Calls to queues, ledger, payload store, cache or breakers' table that failed in "
        "the end.",
    ),
    Metric(
        name="BreakersOpen",
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="Breakers whose circuit is not closed, as this worker knows the fleet's verdicts.",
    ),
    Metric(
        name="BreakerTransitions",
        by=By.BREAKER,
        when="`breaker.moved` with scope `fleet`",
        meaning="Moves of the fleet's verdicts; each is told once, by the worker whose write won.",
    ),
    Metric(
        name="BreakerTrips",
        when="`breaker.moved` with scope `process`, to open",
        meaning="Processes that stopped by themselves: a bad host, or the first to see an outage.",
    ),
    Metric(
        name="BreakerSyncAge",
        unit=Unit.SECONDS,
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="Since the verdicts were last read: above 60 the store is out of reach.",
    ),
    Metric(
        name="BreakersBlind",
        when="`breakers.blind`",
        meaning="Workers that went on without the store.",
    ),
    Metric(
        name="CallsRefused",
        by=By.BREAKER,
        when="`call.refused`",
        meaning="Calls of jobs in hand that a breaker, or the pace of a bucket, gave no leave for.",
    ),
    Metric(
        name="CallsThrottled",
        by=By.TARGET,
        when="`attempt.made` with a throttle",
        meaning="Calls that the service throttled: CallsThrottled / ModelCalls is the price of "
        "finding the quota.",
    ),
    Metric(
        name="Pace",
        unit=Unit.PER_SECOND,
        way=Way.GAUGE,
        total=False,
        by=By.BUCKET,
        when="every flush, while a quota bucket is paced",
        meaning="Calls per second that this worker allows itself, 0 in quarantine; the sum over "
        "the workers is what the fleet takes the quota for.",
    ),
    Metric(
        name="BucketsExhausted",
        by=By.BUCKET,
        when="`pace.changed` to exhausted",
        meaning="Quarantines of quota buckets whose quota is used up for long.",
    ),
    Metric(
        name="HandlerCalls",
        by=By.HANDLER,
        when="`handler.asked`",
        meaning="Times that a degraded handler was asked, practice included.",
    ),
    Metric(
        name="HandlerAnswers",
        by=By.HANDLER,
        when="`handler.asked` with answered",
        meaning="Those of them that brought an answer good enough for its job.",
    ),
    Metric(
        name="HandlerErrors",
        by=By.HANDLER,
        when="`handler.asked` with failed or late, `handler.untaught`",
        meaning="Times that the handler failed, or was not done in time.",
    ),
    Metric(
        name="HandlerCanaries",
        by=By.HANDLER,
        when="`handler.asked` with `canary`",
        meaning="Practice: a model had answered, and the answer was dropped.",
    ),
    Metric(
        name="HandlerLatency",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=By.HANDLER,
        when="`handler.asked` with answered, declined or below_quality",
        meaning="How long the handler took.",
    ),
    Metric(
        name="HandlerTrips",
        by=By.HANDLER,
        when="`handler.moved` to open",
        meaning="Handlers that a process stopped asking for a while.",
    ),
    Metric(
        name="CacheReads",
        by=By.HANDLER,
        when="`cache.read`",
        meaning="Looks into the cache of answers, practice included.",
    ),
    Metric(
        name="CacheHits",
        by=By.HANDLER,
        when="`cache.read` with fresh or stale",
        meaning="Those of them that found an answer: CacheHits / CacheReads is the hit ratio.",
    ),
    Metric(
        name="CacheStaleHits",
        by=By.HANDLER,
        when="`cache.read` with stale",
        meaning="Hits past their time, served because the circuit was open.",
    ),
    Metric(
        name="CacheAge",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=By.HANDLER,
        when="`cache.read` with fresh or stale",
        meaning="How old the answers were that were found.",
    ),
    Metric(
        name="CacheFills",
        by=By.HANDLER,
        when="`cache.filled` with written",
        meaning="Answers that were kept.",
    ),
    Metric(
        name="DrainSeconds",
        unit=Unit.SECONDS,
        way=Way.EACH,
        when="`drain.ended`",
        meaning="From the stop to the end.",
    ),
    Metric(
        name="JobsReleasedAtShutdown",
        when="`drain.ended`",
        meaning="Jobs that the drain cut short and gave back.",
    ),
)
CATALOGUE: Final[Mapping[str, Metric]] = MappingProxyType({m.name: m for m in _ROWS})
