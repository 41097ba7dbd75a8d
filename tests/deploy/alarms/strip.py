"""Strips: minutes made up to lie just beside a limit of an alarm, and what must come of them.

The numbers are made up; their names, dimensions and form are not: events go through the product's
own `measure`, `Metrics` and metric format. The strips themselves are in `strips_….py`.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from tests.deploy.alarms.incident import CLUSTER, LOG_GROUP
from tests.telemetry.stage import SERVICE
from worker.aws.emf import flusher
from worker.core.events import (
    AttemptMade,
    DeliverySkipped,
    Event,
    FlightFailed,
    JobSettled,
    JobUnparked,
)
from worker.core.fault import Billed, Kind
from worker.core.measures import Names, measure
from worker.core.metric import Profile
from worker.core.plan import CIRCUIT_OPEN
from worker.core.series import Measurement, Metrics
from worker.sim.clock import EPOCH

Rang = tuple[int, int | None]
WORSE_WAITS: Final = 2
"""Minutes that UpstreamWorse leaves CircuitOpen to speak for it."""
Values = tuple[float, ...]
NAMES: Final = Names(routes=frozenset({"default"}), targets=frozenset({"near"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What happened in a minute; by default it was a good one.

    Attributes:
        good: Calls that were answered after two seconds.
        slow_ms: How long further calls took that were answered.
        failed: Calls that failed, and so on.
        answered: Jobs that ended so, and so on.
        parked: Parks; `back` of them ran again.
        bugs: Runs that died of an error of ours.
        open: Gauges have two readings in a minute: how many circuits are open,
        age: how old the view of the verdicts is, in seconds,
        hold: and whether any route can take work. Nobody reads them with `beats` 0.
        beats: How often the worker told of itself.
        jobs: The visible messages of the jobs queue, as often as it was looked at; () for never.
        oldest: The age of its oldest one, in seconds.
        due: The visible messages of the parked queue, `delayed` the others.
        letters: Of the dead-letter queue.
        wanted: Tasks that there should be.
        invalid: Metric lines that CloudWatch refused; `unreadable` that it could not read.
    """

    good: int = 25
    slow_ms: tuple[int, ...] = ()
    failed: int = 0
    throttled: int = 0
    denied: int = 0
    unserved: int = 0
    answered: int = 25
    degraded: int = 0
    dead: int = 0
    parked: int = 0
    back: int = 0
    bugs: int = 0
    open: Values = (0, 0)
    age: Values = (2, 3)
    hold: Values = (0, 0)
    beats: int = 2
    jobs: Values = (0,)
    oldest: Values = (0,)
    due: Values = (0,)
    delayed: Values = (0,)
    parked_age: Values = (0,)
    letters: Values = (0,)
    wanted: Values = (2,)
    invalid: int = 0
    unreadable: int = 0


WELL: Final = Minute()
IDLE: Final = Minute(good=0, answered=0)
SILENT: Final = replace(IDLE, beats=0)
ASLEEP: Final = replace(
    SILENT, jobs=(), oldest=(), due=(), delayed=(), parked_age=(), letters=(), wanted=()
)


def events(minute: Minute) -> Iterator[Event]:
    """What a worker tells of a minute."""
    for duration_ms in (*[2000] * minute.good, *minute.slow_ms):
        yield _call(None, duration_ms)
    for kind, times in (
        (Kind.UNAVAILABLE, minute.failed),
        (Kind.THROTTLED, minute.throttled),
        (Kind.MISCONFIGURED, minute.denied),
    ):
        yield from (_call(kind, 100) for _ in range(times))
    for settlement, times in (
        ("answered", minute.answered),
        ("degraded", minute.degraded),
        ("dead", minute.dead),
        ("parked", minute.parked),
    ):
        yield from (_settled(settlement) for _ in range(times))
    for _ in range(minute.back):
        yield JobUnparked(job="j", route="default", tenant="", parks=1, parked_ms=5000)
    for _ in range(minute.unserved):
        yield DeliverySkipped(job="j", why=CIRCUIT_OPEN)
    for _ in range(minute.bugs):
        yield FlightFailed(job="j", error="KeyError", where="x.py:1")


def _call(kind: Kind | None, duration_ms: int) -> Event:
    return AttemptMade(
        job="j",
        target="near",
        number=1,
        kind=kind,
        code="",
        http=None,
        duration_ms=duration_ms,
        first_token_ms=None,
        slow=False,
        billed=Billed.NO,
        timer="",
        request_id="",
    )


def _settled(settlement: str) -> Event:
    return JobSettled(
        job="j",
        settlement=settlement,
        reason="rejected" if settlement == "dead" else "",
        route="default",
        tenant="",
        target="near",
        attempts=1,
        parks=0,
        interruptions=0,
        crashes=0,
        generation=1,
        waited_ms=100,
        worked_ms=2000,
        model_ms=2000,
    )


def log(minutes: Sequence[Minute]) -> bytes:
    """What the worker writes: two flushes a minute, or as many as it beats."""
    out = io.BytesIO()
    flush = flusher(out.write, namespace="InferenceWorker", service=SERVICE, worker="w")
    metrics = Metrics(Profile.CORE)
    for n, minute in enumerate(minutes):
        happened = list(events(minute))
        for reading in range(minute.beats):
            for event in happened[reading :: minute.beats]:
                metrics.add_all(measure(event, NAMES))
            metrics.add(Measurement("Heartbeat", 1))
            metrics.add(Measurement("BreakersOpen", minute.open[reading]))
            metrics.add(Measurement("BreakerSyncAge", minute.age[reading]))
            metrics.add(Measurement("UpstreamHold", minute.hold[reading]))
            flush(metrics.take(), EPOCH + 60 * n + 20 + 30 * reading)
    return out.getvalue()


def aws(minutes: Sequence[Minute]) -> bytes:
    """What AWS tells meanwhile."""
    lines = []
    for n, minute in enumerate(minutes):
        for role, metric, values in (
            ("jobs", "ApproximateNumberOfMessagesVisible", minute.jobs),
            ("jobs", "ApproximateAgeOfOldestMessage", minute.oldest),
            ("parked", "ApproximateNumberOfMessagesVisible", minute.due),
            ("parked", "ApproximateNumberOfMessagesDelayed", minute.delayed),
            ("parked", "ApproximateAgeOfOldestMessage", minute.parked_age),
            ("dead", "ApproximateNumberOfMessagesVisible", minute.letters),
        ):
            by = {"QueueName": f"{SERVICE}-{role}"}
            lines += [(n, "AWS/SQS", metric, by, value) for value in values]
        lines += [
            (n, "ECS/ContainerInsights", "DesiredTaskCount", CLUSTER, value)
            for value in minute.wanted
        ]
        lines += [
            (n, "AWS/Logs", metric, {"LogGroupName": LOG_GROUP}, value)
            for metric, value in (
                ("EMFValidationErrors", minute.invalid),
                ("EMFParsingErrors", minute.unreadable),
            )
            if value
        ]
    return b"".join(_line(*line) for line in lines)


def _line(n: int, namespace: str, metric: str, by: Mapping[str, str], value: float) -> bytes:
    at = EPOCH + 60 * n + 30
    line: dict[str, Any] = {"at": at, "namespace": namespace, "metric": metric}
    return orjson.dumps(line | {"dimensions": by, "value": value}) + b"\n"


@dataclass(frozen=True, slots=True)
class Strip:
    """Minutes, and what must come of them.

    Attributes:
        rings: Which alarms ring, from when to when.
        worse: What UpstreamWorse tells, which may have to keep quiet: minutes of its notices.
    """

    name: str
    minutes: tuple[Minute, ...]
    rings: Mapping[str, Sequence[Rang]] = field(default_factory=dict)
    worse: tuple[int, ...] = ()


def strip(
    name: str,
    *pieces: tuple[int, Minute],
    rings: Mapping[str, Sequence[Rang]] | None = None,
    worse: tuple[int, ...] | None = None,
) -> Strip:
    """A strip of so many minutes of each kind.

    UpstreamWorse tells what lasts longer than it waits, unless `worse` says otherwise.
    """
    minutes = tuple(minute for times, minute in pieces for _ in range(times))
    if worse is None:
        lasted = [
            (fired + WORSE_WAITS, cleared)
            for fired, cleared in (rings or {}).get("UpstreamWorse", ())
            if cleared is None or fired + WORSE_WAITS < cleared
        ]
        worse = tuple(n for pair in lasted for n in pair if n is not None)
    return Strip(name, minutes, rings or {}, worse)


def drawn(picture: str, bad: Minute, good: Minute = WELL) -> tuple[tuple[int, Minute], ...]:
    """`X` for a bad minute, `.` for a good one."""
    return tuple((1, bad if one == "X" else good) for one in picture.replace(" ", ""))


def also(of: Sequence[Rang], *names: str) -> dict[str, Sequence[Rang]]:
    return dict.fromkeys(names, of)
