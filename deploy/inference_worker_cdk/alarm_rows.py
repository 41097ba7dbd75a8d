"""The alarms as data: what each reads, when it rings, what it says and whom it tells.

This file knows nothing of the CDK; `alarms.py` makes resources of the rows. Names and places
are those of docs/runbook.md, metrics those of docs/metrics.md in the profile `core`, so that
the alarms work with both profiles.

Two rules of CloudWatch's stand behind the figures:

- All metrics of one expression have one period. A burn rate over two windows is therefore
  two alarms, joined by a third. Windows slide: CloudWatch looks every minute, whatever the
  period.
- `FILL` also fills the last minute, whose data may still be under way. An expression of
  one-minute periods that rings for M of M points could then stay quiet for ever, so each
  has at least two points to spare.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When alarms ring. In a stack two of them may be parameters.

    Attributes:
        oldest_job_s: OldestJob: how long a job may wait in its queue. Half of the deadline.
        latency_ms: LatencySpike: the 95th percentile of answers that is too slow. Three times
            what is budgeted.
        unserved_percent: UpstreamUnserved: of what was to be called in a minute.
        calls_min: With fewer calls in a minute no share of them is judged.
        throttled_percent: ThrottleRising: of the calls of a minute.
        fallback_percent: FallbackSustained: of the final records of a minute.
        jobs_min: With fewer final records no share of them is judged: in a minute for
            FallbackSustained, in the longer window for the SLO.
        slo: The share of jobs that must get a good answer in time, below 1.
        sync_age_s: BreakerStoreStale: how old a worker's view of the verdicts may be.
    """

    oldest_job_s: Any = 300
    latency_ms: Any = 30_000
    unserved_percent: float = 20
    calls_min: int = 20
    throttled_percent: float = 5
    fallback_percent: float = 25
    jobs_min: int = 5
    slo: float = 0.99
    sync_age_s: float = 60

    def burnt(self, times: float) -> float:
        """The percentage of jobs without a good answer that burns the budget so much too fast.

        >>> Thresholds(slo=0.999).burnt(14.4)
        1.44
        """
        return round(100 * times * (1 - self.slo), 6)


@dataclass(frozen=True, slots=True)
class Reads:
    """One metric, with a statistic.

    `of` is whose: ours (`worker`), or what AWS tells of a queue (`jobs`, `parked`, `dead`), of
    the tasks (`fleet`) or of the log (`log`).
    """

    of: str
    metric: str
    statistic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm on metrics.

    Attributes:
        says: What it means, in one sentence.
        run: The first command.
        reads: What it reads, by id. A single metric without `math` is read as it is.
        math: The expression over them.
        above: It rings above this, or from `at_least` on, or below `below`.
        points: So many of the last `of` periods must be bad.
        missing: What CloudWatch takes a missing point for.
        tells: Whether it tells the chat by itself. Else only a composite speaks of it.
        anchor: The paragraph of the runbook, where it is not that of its name.
    """

    name: str
    says: str
    run: str
    reads: Mapping[str, Reads]
    math: str | None = None
    above: Any = None
    at_least: Any = None
    below: Any = None
    points: int = 1
    of: int = 1
    period_s: int = MINUTE_S
    missing: str = "notBreaching"
    tells: bool = True
    anchor: str | None = None

    @property
    def description(self) -> str:
        """As whoever gets the notice reads it."""
        return described(self.says, self.run, self.anchor or self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """An alarm on alarms.

    Attributes:
        rule: In CloudWatch's words, with the names of alarms alone: `A OR (B AND C)`.
        pages: Whether it calls somebody. Else it tells the chat.
        quiet_while: The alarm that keeps it from telling anybody.
    """

    name: str
    says: str
    run: str
    rule: str
    pages: bool = False
    quiet_while: str | None = None
    parts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        words = self.rule.replace("(", " ").replace(")", " ").split()
        names = tuple(word for word in words if word not in ("AND", "OR", "NOT"))
        object.__setattr__(self, "parts", names)

    @property
    def description(self) -> str:
        """As whoever gets the notice reads it."""
        return described(self.says, self.run, self.name)


def described(says: str, run: str, anchor: str) -> str:
    """One sentence, the first command, and the place in the runbook."""
    return f"{says} First: {run}. docs/runbook.md#{anchor.lower()}"


_STATUS: Final = "inference-worker status --why"
_CIRCUIT: Final = "inference-worker breaker show --why"
_DOCTOR: Final = "inference-worker doctor"
_DEAD: Final = "inference-worker dead groups"
VISIBLE: Final = "ApproximateNumberOfMessagesVisible"
DELAYED: Final = "ApproximateNumberOfMessagesDelayed"
AGE: Final = "ApproximateAgeOfOldestMessage"
DELAY_MAX_S: Final = 900
"""SQS delays no message for longer: a doorbell that is older is due."""


USUAL: Final = Thresholds()


def alarms(at: Thresholds) -> tuple[Alarm, ...]:
    """Every alarm on metrics."""
    return (*_upstream(at), *_circuits(at), *_queues(at), *_fleet(at), *_slo(at))


def composites() -> tuple[Composite, ...]:
    """Every alarm on alarms; one that another names comes before it."""
    return (
        Composite(
            name="SloFastBurn",
            says="The month's budget of jobs without a good answer goes 14.4 times too fast.",
            run=_STATUS,
            rule="SloBurn1h AND SloBurn5m",
        ),
        Composite(
            name="SloSlowBurn",
            says="The month's budget of jobs without a good answer goes 6 times too fast.",
            run="inference-worker dead groups --since 6h",
            rule="SloBurn6h AND SloBurn30m",
        ),
        Composite(
            name="UpstreamWorse",
            says="Models fail, throttle or are slow, and no circuit is open.",
            run=_STATUS,
            rule="UpstreamUnserved OR ThrottleRising OR LatencySpike",
            quiet_while="CircuitOpen",
        ),
        Composite(
            name="UserImpact",
            says="Users wait or get nothing, and it is not going away by itself.",
            run=_STATUS,
            rule="SloFastBurn OR FleetSilent OR ErrorsNew OR "
            "((CircuitOpenLong OR Standstill) AND (OldestJob OR ParkedOld))",
            pages=True,
        ),
        Composite(
            name="DataAtRisk",
            says="Jobs have been given up, or soon will be.",
            run=_DEAD,
            rule="DlqNotEmpty OR (ParkedOld AND OldestJob)",
            pages=True,
        ),
    )


def _upstream(at: Thresholds) -> tuple[Alarm, ...]:
    calls = Reads("worker", "ModelCalls", "Sum")
    return (
        Alarm(
            name="UpstreamUnserved",
            says=f"More than {at.unserved_percent:g} % of what was to be called failed or got no "
            "leave, or no route can take work while jobs wait.",
            run=_STATUS,
            reads={
                "calls": calls,
                "errors": Reads("worker", "ModelErrors", "Sum"),
                "unserved": Reads("worker", "JobsUnserved", "Sum"),
                "hold": Reads("worker", "UpstreamHold", "Minimum"),
                "visible": Reads("jobs", VISIBLE, "Maximum"),
                "due": Reads("parked", VISIBLE, "Maximum"),
                "delayed": Reads("parked", DELAYED, "Maximum"),
            },
            # With an open circuit hardly a call is left that could fail, and where jobs wait in
            # their queue nobody counts them as unserved: then the hold itself says it.
            math="IF(FILL(hold,0) >= 1 AND FILL(visible,0) + FILL(due,0) + FILL(delayed,0) > 0, "
            f"100, IF(FILL(calls,0) + FILL(unserved,0) >= {at.calls_min}, "
            "100 * (FILL(errors,0) + FILL(unserved,0)) / (FILL(calls,0) + FILL(unserved,0)), 0))",
            above=at.unserved_percent,
            points=3,
            of=5,
            tells=False,
        ),
        Alarm(
            name="ThrottleRising",
            says=f"More than {at.throttled_percent:g} % of the calls are throttled.",
            run=_STATUS,
            reads={"calls": calls, "throttled": Reads("worker", "CallsThrottled", "Sum")},
            math=f"IF(FILL(calls,0) >= {at.calls_min}, 100 * FILL(throttled,0) / calls, 0)",
            above=at.throttled_percent,
            points=5,
            of=10,
            tells=False,
        ),
        Alarm(
            name="LatencySpike",
            says="Answers take far longer than is budgeted, at the 95th percentile.",
            run=_CIRCUIT,
            reads={
                "slow": Reads("worker", "ModelLatency", "p95"),
                "answers": Reads("worker", "ModelLatency", "SampleCount"),
            },
            math=f"IF(FILL(answers,0) >= {at.calls_min}, FILL(slow,0), 0)",
            above=at.latency_ms,
            points=3,
            of=5,
            tells=False,
        ),
        Alarm(
            name="ErrorsNew",
            says="Calls fail until somebody mends a setting or a right.",
            run=_DOCTOR,
            reads={"misconfigured": Reads("worker", "CallsMisconfigured", "Sum")},
            # Workers leave such a target alone for up to 15 minutes, and it is not mended then.
            math="FILL(misconfigured,0)",
            above=0,
            of=20,
        ),
        Alarm(
            name="FallbackSustained",
            says=f"More than {at.fallback_percent:g} % of the jobs get a second-best answer, "
            "for 15 minutes.",
            run=_STATUS,
            reads={
                "degraded": Reads("worker", "JobsDegraded", "Sum"),
                "jobs": Reads("worker", "JobsTerminal", "Sum"),
            },
            math=f"IF(FILL(jobs,0) >= {at.jobs_min}, 100 * FILL(degraded,0) / jobs, 0)",
            above=at.fallback_percent,
            points=15,
            of=17,
        ),
    )


def _circuits(at: Thresholds) -> tuple[Alarm, ...]:
    most = Reads("worker", "BreakersOpen", "Maximum")
    # A circuit keeps its state when workers die: so does its alarm.
    return (
        Alarm(
            name="CircuitOpen",
            says="The fleet does not call a target: its circuit is not closed.",
            run=_CIRCUIT,
            reads={"open": most},
            at_least=1,
            points=2,
            of=2,
            missing="ignore",
        ),
        Alarm(
            name="CircuitOpenLong",
            says="A circuit has not been closed for 15 minutes.",
            run=_STATUS,
            reads={"open": most},
            at_least=1,
            points=15,
            of=15,
            missing="ignore",
        ),
        Alarm(
            name="CircuitFlapping",
            says="A circuit closes and opens again and again: its target is half well.",
            run="inference-worker breaker history NAME",
            reads={"most": most, "least": Reads("worker", "BreakersOpen", "Minimum")},
            # Not by BreakerTransitions: an open circuit that probes moves every few seconds.
            math="IF(FILL(most,0) > FILL(least,0), 1, 0)",
            at_least=1,
            points=5,
            of=15,
        ),
        Alarm(
            name="BreakerStoreStale",
            says="Workers cannot read the breakers' table: each decides alone.",
            run=_DOCTOR,
            reads={"age": Reads("worker", "BreakerSyncAge", "Maximum")},
            above=at.sync_age_s,
            points=5,
            of=5,
        ),
    )


def _queues(at: Thresholds) -> tuple[Alarm, ...]:
    return (
        Alarm(
            name="DlqNotEmpty",
            says="The dead-letter queue holds jobs that were given up.",
            run=_DEAD,
            reads={"dead": Reads("dead", VISIBLE, "Maximum")},
            above=0,
        ),
        Alarm(
            name="OldestJob",
            says="The oldest waiting job has used up half of its time.",
            run=_STATUS,
            reads={"age": Reads("jobs", AGE, "Maximum")},
            above=at.oldest_job_s,
            points=3,
            of=3,
        ),
        Alarm(
            name="ParkedOld",
            says="For half an hour parked jobs have grown more, or nobody takes them when due.",
            run=_STATUS,
            reads={
                "age": Reads("parked", AGE, "Maximum"),
                "parked": Reads("worker", "JobsParked", "Sum"),
                "back": Reads("worker", "JobsUnparked", "Sum"),
            },
            # A lane that is held is asked for nothing, so nothing is parked and nothing comes
            # back: only the age tells.
            math=f"IF(FILL(age,0) > {DELAY_MAX_S} OR "
            "FILL(parked,0) - FILL(back,0) > 0.1 * FILL(parked,0), 1, 0)",
            at_least=1,
            points=6,
            of=6,
            period_s=5 * MINUTE_S,
        ),
        Alarm(
            name="Standstill",
            says="Jobs wait, and for ten minutes none has been finished.",
            run=_STATUS,
            reads={
                "visible": Reads("jobs", VISIBLE, "Maximum"),
                "jobs": Reads("worker", "JobsTerminal", "Sum"),
            },
            math="IF(FILL(visible,0) > 0 AND FILL(jobs,0) < 1, 1, 0)",
            at_least=1,
            points=10,
            of=12,
        ),
    )


def _fleet(at: Thresholds) -> tuple[Alarm, ...]:
    del at
    return (
        Alarm(
            name="FleetSilent",
            says="No worker tells of itself, though there should be some.",
            run="inference-worker status",
            reads={
                "beats": Reads("worker", "Heartbeat", "Sum"),
                "wanted": Reads("fleet", "DesiredTaskCount", "Maximum"),
            },
            math="IF(FILL(wanted,1) < 1, 1, FILL(beats,0))",
            below=1,
            points=3,
            of=3,
            missing="breaching",
        ),
        Alarm(
            name="UnhandledErrors",
            says="Runs die of an error of ours, again and again: a bug.",
            run="inference-worker dead groups --class crash_loop",
            reads={"errors": Reads("worker", "UnhandledErrors", "Sum")},
            # It is measured where one happens alone: unfilled, CloudWatch looks further back
            # than five minutes for points, by how far it does not say.
            math="FILL(errors,0)",
            above=0,
            points=3,
            of=5,
        ),
        Alarm(
            name="EmfBroken",
            says="CloudWatch cannot read metrics out of log lines: other alarms may be blind.",
            run="inference-worker status",
            reads={
                "invalid": Reads("log", "EMFValidationErrors", "Sum"),
                "unreadable": Reads("log", "EMFParsingErrors", "Sum"),
            },
            math="FILL(invalid,0) + FILL(unreadable,0)",
            above=0,
            period_s=5 * MINUTE_S,
        ),
    )


def _slo(at: Thresholds) -> tuple[Alarm, ...]:
    return (
        _burn(at, "SloBurn1h", 14.4, 60, "SloFastBurn"),
        _burn(at, "SloBurn5m", 14.4, 5, "SloFastBurn"),
        _burn(at, "SloBurn6h", 6, 360, "SloSlowBurn"),
        _burn(at, "SloBurn30m", 6, 30, "SloSlowBurn"),
    )


def _burn(at: Thresholds, name: str, times: float, minutes: int, part_of: str) -> Alarm:
    """One window of a burn rate. The longer one of a pair also asks for enough jobs."""
    least = at.jobs_min if minutes >= 60 else 1  # noqa: PLR2004  (an hour)
    return Alarm(
        name=name,
        says=f"Jobs without a good answer: {times:g} times the budget, over {minutes} minutes.",
        run=_STATUS,
        reads={
            "good": Reads("worker", "JobsGood", "Sum"),
            "jobs": Reads("worker", "JobsTerminal", "Sum"),
        },
        math=f"IF(FILL(jobs,0) >= {least}, 100 * (jobs - FILL(good,0)) / jobs, 0)",
        above=at.burnt(times),
        period_s=minutes * MINUTE_S,
        tells=False,
        anchor=part_of,
    )
