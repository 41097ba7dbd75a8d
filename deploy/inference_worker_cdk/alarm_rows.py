"""The alarms as data: what each reads, when it rings, what it says and whom it tells.

Names and places are those of docs/runbook.md, metrics those of docs/metrics.md in the profile
`core`, so that the alarms work with both profiles.

Two rules of CloudWatch's stand behind the figures:

- All metrics of one expression have one period. A burn rate over two windows is therefore
  two alarms, joined by a third. Windows slide: CloudWatch looks every minute, whatever the
  period.
- `FILL` also fills the last minute, whose data may still be under way. An expression of
  one-minute periods that rings for M of M points could then stay quiet for ever, so each
  has at least two points to spare.
"""

import math
from typing import Any, Final

from inference_worker_cdk.alarm_kinds import (
    FAST,
    MINUTE_S,
    SLOW,
    Alarm,
    Composite,
    Reads,
    Thresholds,
)

_STATUS: Final = "inference-worker status --why"
_CIRCUIT: Final = "inference-worker breaker show --why"
_DOCTOR: Final = "inference-worker doctor"
_DEAD: Final = "inference-worker dead groups"
VISIBLE: Final = "ApproximateNumberOfMessagesVisible"
DELAYED: Final = "ApproximateNumberOfMessagesDelayed"
AGE: Final = "ApproximateAgeOfOldestMessage"
OVERDUE_S: Final = 1200
"""SQS delays no message for longer than 900 s: a doorbell that is older has not been heard."""


def alarms(at: Thresholds, *, tasks_min: Any = 1, silence: Any = "breaching") -> tuple[Alarm, ...]:
    """Every alarm on metrics.

    Args:
        at: When they ring.
        tasks_min: The least number of workers: so many there should be where nobody counts them.
        silence: What FleetSilent takes it for that there is no data at all.
    """
    fleet = _fleet(tasks_min, silence)
    return (*_upstream(at), *_circuits(at), *_queues(at), *fleet, *_slo(at))


def composites() -> tuple[Composite, ...]:
    """Every alarm on alarms; one that another names comes before it."""
    return (
        Composite(
            name="SloFastBurn",
            says=f"The month's budget of jobs without a good answer goes {FAST:g} times too fast.",
            run=_STATUS,
            rule="SloBurn1h AND SloBurn5m",
        ),
        Composite(
            name="SloSlowBurn",
            says=f"The month's budget of jobs without a good answer goes {SLOW:g} times too fast.",
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
            says=f"More than {at.unserved_percent:g} % of calls fail or get no leave, or no route "
            "can take work while jobs wait.",
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
            math="IF((FILL(hold,0) >= 1) AND (FILL(visible,0) + FILL(due,0) + FILL(delayed,0) > 0)"
            f", 100, IF(FILL(calls,0) + FILL(unserved,0) >= {at.calls_min}, "
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
            of=4,  # so that a circuit which flaps rings once
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
            missing="ignore",  # SQS is silent about a queue that nobody touches, full or empty
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
            math=f"IF((FILL(age,0) > {OVERDUE_S}) OR "
            "(FILL(parked,0) - FILL(back,0) > 0.1 * FILL(parked,0)), 1, 0)",
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
            math="IF((FILL(visible,0) > 0) AND (FILL(jobs,0) < 1), 1, 0)",
            at_least=1,
            points=10,
            of=12,
        ),
    )


def _fleet(tasks_min: Any, silence: Any) -> tuple[Alarm, ...]:
    return (
        Alarm(
            name="FleetSilent",
            says="No worker tells of itself, though there should be some.",
            run="inference-worker status",
            reads={
                "beats": Reads("worker", "Heartbeat", "Sum"),
                "wanted": Reads("fleet", "DesiredTaskCount", "Maximum"),
            },
            # Container Insights tells nothing of a service without tasks: it is silent on purpose
            # where the least number is 0, and else it is dead.
            math=f"IF(FILL(wanted,{tasks_min}) < 1, 1, FILL(beats,0))",
            below=1,
            points=3,
            of=3,
            missing=silence,
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
        _burn(at, "SloBurn1h", FAST, 60, "SloFastBurn"),
        _burn(at, "SloBurn5m", FAST, 5, "SloFastBurn"),
        _burn(at, "SloBurn6h", SLOW, 360, "SloSlowBurn"),
        _burn(at, "SloBurn30m", SLOW, 30, "SloSlowBurn"),
    )


def _burn(at: Thresholds, name: str, times: float, minutes: int, part_of: str) -> Alarm:
    """One window of a burn rate.

    The longer one of a pair also asks for so many jobs that one alone is not above its limit.
    """
    least = 1
    if minutes >= 60:  # noqa: PLR2004  (an hour)
        least = max(at.jobs_min, math.ceil(100 / at.burnt(times)))
    return Alarm(
        name=name,
        says=f"{times:g} times the budget of {part_of}, over {minutes} minutes.",
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
