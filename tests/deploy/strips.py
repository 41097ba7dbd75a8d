"""Strips: minutes made up to lie just beside each limit of each alarm, and what must come of them.

The numbers are made up; their names, dimensions and form are not: events go through the product's
own `measure`, `Metrics` and metric format. What is expected is worked out by hand from what the
runbook says of an alarm, to the minute: `(12, 15)` is an alarm that rings as minute 12 ends, and
is over as minute 15 ends. Alarms that a strip does not name must stay OK in it.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from tests.deploy.incidents import CLUSTER, LOG_GROUP
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


# --- UpstreamUnserved, and UpstreamWorse ---------------------------------------

FIFTH = Minute(good=20, failed=5)  # exactly 20 %
MORE = Minute(good=19, failed=6)  # 24 %
HELD = replace(IDLE, hold=(1, 1))
_UNSERVED = (
    strip(
        "a share of errors, for three of five minutes",
        (10, WELL),
        (3, MORE),  # 10
        (10, WELL),
        (10, FIFTH),  # 23
        (5, WELL),
        *drawn("XX...XX...X.X.X", MORE),  # 38 to 52: two of five, then three of five
        (10, WELL),
        rings=also(((12, 15), (52, 53)), "UpstreamUnserved", "UpstreamWorse"),
    ),
    strip(
        "a share of few calls is none",
        (5, WELL),
        (5, Minute(good=0, failed=19)),
        (5, WELL),
        (3, Minute(good=0, failed=20)),  # 15
        (7, WELL),
        rings=also(((17, 20),), "UpstreamUnserved", "UpstreamWorse"),
    ),
    strip(
        "what got no leave counts as failed",
        (5, WELL),
        (3, Minute(good=0, unserved=25)),  # 5
        (7, WELL),
        (3, Minute(good=17, failed=3, unserved=3)),  # 15
        (7, WELL),
        (5, Minute(good=20, unserved=5)),  # 25: a fifth, no more
        (5, WELL),
        (3, Minute(good=0, failed=11, unserved=9)),  # 35
        (7, WELL),
        (5, Minute(good=0, unserved=19)),  # 45: of so few it is no share
        (5, WELL),
        (3, Minute(good=19, failed=5)),  # 55: 20.8 %
        (7, WELL),
        rings=also(((7, 10), (17, 20), (37, 40), (57, 60)), "UpstreamUnserved", "UpstreamWorse"),
    ),
    strip(
        "nothing can take work, and some waits",
        (5, WELL),
        (3, replace(HELD, jobs=(0, 1))),  # 5
        (7, WELL),
        (3, replace(HELD, due=(0, 1))),  # 15
        (7, WELL),
        (3, replace(HELD, delayed=(0, 1))),  # 25
        (7, WELL),
        (5, HELD),  # 35: nothing waits
        (5, WELL),
        (5, replace(IDLE, hold=(2, 0), jobs=(1,))),  # 45: only one worker thinks so
        (5, Minute(jobs=(9,), due=(9,), delayed=(9,))),  # 50: jobs wait as always
        (5, WELL),
        (5, replace(ASLEEP, hold=(1, 1), beats=2)),  # 60: of the queues nothing is known
        (5, WELL),
        (5, replace(SILENT, jobs=(9,))),  # 70: of the hold nothing is known
        (3, WELL),
        rings={
            **also(((7, 10), (17, 20), (27, 30)), "UpstreamUnserved", "UpstreamWorse"),
            **also(((72, 75),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "silence ends a share",
        (10, WELL),
        (5, MORE),  # 10
        (10, ASLEEP),
        rings={
            **also(((12, 17),), "UpstreamUnserved", "UpstreamWorse"),
            **also(((17, None),), "FleetSilent", "UserImpact"),
        },
    ),
)
ILL = replace(MORE, open=(1, 1))
_WORSE = (
    strip(
        "a circuit speaks for what is worse",
        (10, WELL),
        (10, ILL),  # 10
        (10, WELL),
        rings={
            "CircuitOpen": ((11, 22),),
            **also(((12, 22),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(),
    ),
    strip(
        "a circuit that opens in time speaks for it",
        (10, WELL),
        (3, MORE),  # 10
        (7, ILL),
        (10, WELL),
        rings={
            "CircuitOpen": ((14, 22),),
            **also(((12, 22),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(),
    ),
    strip(
        "a circuit that opens too late does not, but for the end",
        (10, WELL),
        (6, MORE),  # 10
        (4, ILL),
        (10, WELL),
        rings={
            "CircuitOpen": ((17, 22),),
            **also(((12, 22),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(14, 27),
    ),
    strip(
        "what outlasts its circuit speaks again",
        (10, WELL),
        (5, ILL),  # 10
        (10, MORE),
        (10, WELL),
        rings={
            "CircuitOpen": ((11, 17),),
            **also(((12, 27),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(22, 27),
    ),
)

# --- ThrottleRising, LatencySpike --------------------------------------------

THROTTLED = Minute(good=46, throttled=4)  # 8 %
_THROTTLES = (
    strip(
        "a share of throttles, for five of ten minutes",
        (12, WELL),
        (5, THROTTLED),  # 12
        (15, WELL),
        (12, Minute(good=38, throttled=2)),  # 32: exactly 5 %
        (6, WELL),
        *drawn("XXXX......XXXX............X..X.X.X.X", THROTTLED),  # 50 to 85
        (10, WELL),
        rings=also(((16, 22), (85, 86)), "ThrottleRising", "UpstreamWorse"),
    ),
    strip(
        "throttles of few calls are no share",
        (10, WELL),
        (6, Minute(good=0, throttled=19)),
        (10, WELL),
        (5, Minute(good=18, throttled=2)),  # 26
        (10, WELL),
        rings=also(((30, 36),), "ThrottleRising", "UpstreamWorse"),
    ),
    strip(
        "silence ends throttles",
        (10, WELL),
        (9, THROTTLED),  # 10
        (12, ASLEEP),
        rings={
            **also(((14, 24),), "ThrottleRising", "UpstreamWorse"),
            **also(((21, None),), "FleetSilent", "UserImpact"),
        },
    ),
)


def slow(ms: int, *, times: int = 2, good: int = 23) -> Minute:
    return Minute(good=good, slow_ms=(ms,) * times)


_LATENCY = (
    strip(
        "one answer in twenty is too slow, for three of five minutes",
        (10, WELL),
        (3, slow(40_000)),  # 10
        (10, WELL),
        (5, slow(30_000)),  # 23
        (5, slow(20_000)),
        (5, slow(40_000, times=1, good=24)),  # one in twenty-five
        (10, WELL),
        *drawn("XX...X.X.X", slow(40_000)),  # 48 to 57
        (10, WELL),
        rings=also(((12, 15), (57, 58)), "LatencySpike", "UpstreamWorse"),
    ),
    strip(
        "a few slow answers are no share",
        (5, WELL),
        (5, slow(40_000, times=19, good=0)),
        (5, WELL),
        (3, slow(40_000, times=20, good=0)),  # 15
        (7, WELL),
        rings=also(((17, 20),), "LatencySpike", "UpstreamWorse"),
    ),
    strip(
        "silence ends slowness",
        (10, WELL),
        (5, slow(40_000)),  # 10
        (10, ASLEEP),
        rings={
            **also(((12, 17),), "LatencySpike", "UpstreamWorse"),
            **also(((17, None),), "FleetSilent", "UserImpact"),
        },
    ),
)

# --- ErrorsNew, UnhandledErrors, EmfBroken ------------------------------------

_OURS = (
    strip(
        "one call without a right",
        (10, WELL),
        (1, Minute(denied=1)),
        (25, WELL),
        rings=also(((10, 30),), "ErrorsNew", "UserImpact"),
    ),
    strip(
        "a quarantine between two calls without a right",
        (10, WELL),
        (1, Minute(denied=1)),
        (15, WELL),
        (1, Minute(denied=1)),  # 26
        (25, WELL),
        rings=also(((10, 46),), "ErrorsNew", "UserImpact"),
    ),
    strip(
        "a bug, in three of five minutes",
        (10, WELL),
        (3, Minute(bugs=1)),  # 10
        (10, WELL),
        *drawn("XX....X.X.X", Minute(bugs=1)),  # 23 to 33
        (10, WELL),
        rings={"UnhandledErrors": ((12, 15), (33, 34))},
    ),
    strip(
        "silence ends bugs",
        (10, WELL),
        (5, Minute(bugs=1)),  # 10
        (8, ASLEEP),
        rings={
            "UnhandledErrors": ((12, 17),),
            **also(((17, None),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "lines that are no metrics",
        (10, WELL),
        (1, Minute(invalid=1)),
        (15, WELL),
        (1, Minute(unreadable=1)),  # 26
        (15, WELL),
        rings={"EmfBroken": ((10, 15), (26, 31))},
    ),
)

# --- FallbackSustained --------------------------------------------------------

SECOND = Minute(answered=7, degraded=3)
_FALLBACK = (
    strip(
        "second-best answers, for 15 of 17 minutes",
        (20, WELL),
        (15, SECOND),  # 20
        (20, WELL),
        (20, Minute(answered=6, degraded=2)),  # 55: exactly a quarter
        (20, WELL),
        *drawn("XXXXXXXXXXXXXX...XXXXXXXXXXXXXX", SECOND),  # 95 to 125
        (20, WELL),
        *drawn("XXXXXXXX..XXXXXXX", SECOND),  # 146 to 162
        (20, WELL),
        rings={"FallbackSustained": ((34, 37), (162, 163))},
    ),
    strip(
        "second-best answers of few jobs",
        (5, WELL),
        (17, Minute(answered=0, degraded=4)),
        (18, WELL),
        (15, Minute(answered=3, degraded=2)),  # 40
        (5, WELL),
        rings={"FallbackSustained": ((54, 57),)},
    ),
    strip(
        "silence ends second-best answers",
        (5, WELL),
        (20, SECOND),  # 5
        (8, ASLEEP),
        rings={
            "FallbackSustained": ((19, 27),),
            **also(((27, None),), "FleetSilent", "UserImpact"),
        },
    ),
)

# --- circuits -----------------------------------------------------------------

OPEN = Minute(open=(1, 1))
_CIRCUITS = (
    strip(
        "a circuit is open for so long",
        (20, WELL),
        (1, OPEN),
        (5, WELL),
        (2, OPEN),  # 26
        (14, WELL),
        (14, OPEN),  # 42
        (5, WELL),
        (15, OPEN),  # 61
        (5, WELL),
        rings={"CircuitOpen": ((27, 30), (43, 58), (62, 78)), "CircuitOpenLong": ((75, 76),)},
    ),
    strip(
        "a circuit that is open at one worker, or at one reading",
        (20, WELL),
        (15, Minute(open=(0, 1))),  # 20
        (20, WELL),
        rings={
            "CircuitOpen": ((21, 37),),
            "CircuitOpenLong": ((34, 35),),
            "CircuitFlapping": ((24, 45),),
        },
    ),
    strip(
        "nobody is left to tell of a circuit",
        (5, WELL),
        (20, OPEN),  # 5
        (12, ASLEEP),
        (5, WELL),  # 37
        rings={
            "CircuitOpen": ((6, 37),),
            "CircuitOpenLong": ((19, 37),),
            **also(((27, 37),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "a circuit opens and closes, in five of 15 minutes",
        (20, WELL),
        *drawn("X..X..X..X..X", Minute(open=(0, 1))),  # 20 to 32
        (20, WELL),
        *drawn("X...X...X...X...X", Minute(open=(1, 0))),  # 53 to 69
        (20, WELL),
        (20, Minute(open=(2, 2))),  # 90: open, and it stays so
        (5, WELL),
        rings={
            "CircuitFlapping": ((32, 35),),
            "CircuitOpen": ((23, 24), (26, 27), (29, 30), (32, 33), (91, 112)),
            "CircuitOpenLong": ((104, 110),),
        },
    ),
    strip(
        "silence ends flapping",
        (20, WELL),
        (5, Minute(open=(0, 1))),  # 20
        (20, ASLEEP),
        rings={
            "CircuitFlapping": ((24, 35),),
            "CircuitOpen": ((21, None),),
            **also(((27, None),), "FleetSilent", "UserImpact"),
        },
    ),
)
STALE = Minute(age=(10, 70))
_STORE = (
    strip(
        "verdicts are a minute old, for five minutes",
        (10, WELL),
        (5, STALE),  # 10
        (10, WELL),
        (4, Minute(age=(70, 70))),  # 25
        (5, WELL),
        (8, Minute(age=(60, 60))),
        (8, Minute(age=(45, 45))),
        (5, WELL),
        rings={"BreakerStoreStale": ((14, 15),)},
    ),
    strip(
        "silence ends what is stale",
        (10, WELL),
        (7, STALE),  # 10
        (8, ASLEEP),
        rings={
            "BreakerStoreStale": ((14, 19),),
            **also(((19, None),), "FleetSilent", "UserImpact"),
        },
    ),
)

# --- queues -------------------------------------------------------------------

NO_QUEUES = Minute(jobs=(), oldest=(), due=(), delayed=(), parked_age=(), letters=())
OVERDUE = Minute(parked_age=(100, 1201))
STANDS = replace(IDLE, jobs=(0, 1))
_QUEUES = (
    strip(
        "a dead letter",
        (10, WELL),
        (1, Minute(letters=(0, 1))),
        (5, WELL),
        (1, Minute(letters=(1,))),  # 16
        (10, NO_QUEUES),
        rings=also(((10, 11), (16, 19)), "DlqNotEmpty", "DataAtRisk"),
    ),
    strip(
        "an old job, for three minutes",
        (10, WELL),
        (3, Minute(oldest=(10, 320))),  # 10
        (5, WELL),
        (2, Minute(oldest=(320,))),
        (5, WELL),
        (6, Minute(oldest=(300,))),
        (6, Minute(oldest=(200, 200))),
        (5, WELL),
        (3, Minute(oldest=(320,))),  # 42
        (10, NO_QUEUES),
        rings={"OldestJob": ((12, 13), (44, 47))},
    ),
    strip(
        "parked jobs that nobody takes",
        (10, WELL),
        (30, OVERDUE),  # 10
        (20, WELL),
        (35, Minute(parked_age=(1200,))),  # 60
        (10, WELL),
        (21, OVERDUE),  # 105: in six periods of five minutes, but not in each of them
        (15, WELL),
        rings={"ParkedOld": ((35, 44),)},
    ),
    strip(
        "more jobs are parked than come back",
        (10, WELL),
        (30, Minute(parked=20, back=17)),  # 10
        (20, WELL),
        (35, Minute(parked=20, back=18)),  # 60: a tenth, as ever when more come
        (5, WELL),
        (35, Minute(parked=2, back=20)),  # 100
        (5, WELL),
        rings={"ParkedOld": ((35, 44),)},
    ),
    strip(
        "now and then a job is parked, and none comes back",
        (9, WELL),
        *[(1, Minute(parked=1)), (4, WELL)] * 6,  # 9
        (10, WELL),
        rings={"ParkedOld": ((34, 39),)},
    ),
    strip(
        "silence ends what is parked",
        (5, WELL),
        (30, OVERDUE),  # 5
        (12, ASLEEP),
        rings={
            "ParkedOld": ((30, 39),),
            **also(((37, None),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "nothing is finished, for ten of twelve minutes",
        (12, WELL),
        (10, STANDS),  # 12
        (15, WELL),
        (9, STANDS),  # 37
        (12, WELL),
        (13, replace(STANDS, answered=1)),  # 58
        (13, IDLE),  # 71: nothing waits
        (12, WELL),
        *drawn("XXXXX..XXXXX", STANDS),  # 96 to 107
        (5, WELL),
        rings={"Standstill": ((21, 24), (107, 108))},
    ),
    strip("queues that nobody uses tell nothing", (20, NO_QUEUES)),
    strip(
        "silence ends a standstill",
        (2, WELL),
        (14, STANDS),  # 2
        (8, replace(STANDS, jobs=())),
        rings={"Standstill": ((11, 18),)},
    ),
)

# --- the fleet ----------------------------------------------------------------

_FLEET = (
    strip(
        "no worker tells of itself, for three minutes",
        (10, WELL),
        (3, SILENT),  # 10
        (5, WELL),
        (2, SILENT),
        (5, WELL),
        (6, Minute(beats=1)),
        (3, WELL),
        rings=also(((12, 13),), "FleetSilent", "UserImpact"),
    ),
    strip(
        "no worker is wanted",
        (10, WELL),
        (8, replace(SILENT, wanted=(0,))),
        (5, WELL),
        (3, replace(SILENT, wanted=(2, 0))),  # 23
        (5, WELL),
        rings=also(((25, 26),), "FleetSilent", "UserImpact"),
    ),
    strip(
        "nobody knows how many are wanted",
        (10, WELL),
        (8, Minute(wanted=())),  # 10
        (6, ASLEEP),  # 18
        rings=also(((20, None),), "FleetSilent", "UserImpact"),
    ),
)

# --- the SLO ------------------------------------------------------------------

SLOW_BURN = ("SloBurn6h", "SloBurn30m", "SloSlowBurn")
FAST_BURN = ("SloBurn1h", "SloBurn5m", "SloFastBurn", "UserImpact")
DYING = Minute(answered=0, dead=25)
_SLO = (
    strip(
        "14.4 % without a good answer",
        (8, Minute(answered=107, dead=18)),
        rings=also(((0, None),), *SLOW_BURN),
    ),
    strip(
        "more than 14.4 % without a good answer",
        (8, Minute(answered=106, dead=19)),
        rings=also(((0, None),), *SLOW_BURN, *FAST_BURN),
    ),
    strip("6 % without a good answer", (8, Minute(answered=94, dead=6))),
    strip(
        "more than 6 % without a good answer, second-best ones among them",
        (8, Minute(answered=73, degraded=20, dead=7)),
        rings=also(((0, None),), *SLOW_BURN),
    ),
    strip(
        "five minutes of an hour",
        (60, WELL),
        (5, DYING),  # 60
        (50, WELL),
        rings={
            "SloBurn5m": ((60, 69),),
            "SloBurn30m": ((61, 93),),
            **also(((63, 83),), "SloBurn6h", "SloSlowBurn"),
        },
    ),
    strip(
        "ten minutes of an hour",
        (60, WELL),
        (10, DYING),  # 60
        (55, WELL),
        rings={
            "SloBurn5m": ((60, 74),),
            "SloBurn1h": ((68, 121),),
            **also(((68, 74),), "SloFastBurn", "UserImpact"),
            "SloBurn30m": ((61, 98),),
            "SloBurn6h": ((63, None),),
            "SloSlowBurn": ((63, 98),),
        },
    ),
    strip(
        "silence ends a burn",
        (5, DYING),
        (375, IDLE),
        rings={
            "SloBurn5m": ((0, 9),),
            "SloBurn30m": ((0, 34),),
            "SloBurn1h": ((0, 64),),
            "SloBurn6h": ((0, 364),),
            "SloSlowBurn": ((0, 34),),
            **also(((0, 9),), "SloFastBurn", "UserImpact"),
        },
    ),
    strip(
        "a few jobs that die",
        *drawn("XXXXX....................", replace(IDLE, dead=1), IDLE),
        rings={
            "SloBurn5m": ((0, 9),),
            "SloBurn30m": ((0, None),),
            **also(((4, None),), "SloBurn1h", "SloBurn6h", "SloSlowBurn"),
            **also(((4, 9),), "SloFastBurn", "UserImpact"),
        },
    ),
)

# --- what calls somebody --------------------------------------------------------

_CALLS = (
    strip(
        "a long outage, and old jobs",
        (20, WELL),
        (20, replace(OPEN, oldest=(320,))),  # 20
        (5, WELL),
        rings={
            "CircuitOpen": ((21, 42),),
            "CircuitOpenLong": ((34, 40),),
            "OldestJob": ((22, 40),),
            "UserImpact": ((34, 40),),
        },
    ),
    strip(
        "a long outage, and parked jobs that are old",
        (20, WELL),
        (30, replace(OPEN, parked_age=(1201,))),  # 20
        (5, WELL),
        rings={
            "CircuitOpen": ((21, 52),),
            "CircuitOpenLong": ((34, 50),),
            "ParkedOld": ((45, 54),),
            "UserImpact": ((45, 50),),
        },
    ),
    strip(
        "a standstill, and old jobs",
        (12, WELL),
        (15, replace(STANDS, oldest=(320,))),  # 12
        (5, WELL),
        rings={
            "Standstill": ((21, 29),),
            "OldestJob": ((14, 27),),
            "UserImpact": ((21, 27),),
        },
    ),
    strip(
        "a standstill, and parked jobs that are old",
        (12, WELL),
        (30, replace(STANDS, parked_age=(1201,))),  # 12
        (5, WELL),
        rings={
            "Standstill": ((21, 44),),
            "ParkedOld": ((37, 46),),
            "UserImpact": ((37, 44),),
        },
    ),
    strip(
        "old jobs here and there",
        (10, WELL),
        (30, Minute(oldest=(320,), parked_age=(1201,))),  # 10
        (8, WELL),
        rings={
            "OldestJob": ((12, 40),),
            "ParkedOld": ((35, 44),),
            "DataAtRisk": ((35, 40),),
        },
    ),
)

STRIPS: Final = (
    *_UNSERVED,
    *_WORSE,
    *_THROTTLES,
    *_LATENCY,
    *_OURS,
    *_FALLBACK,
    *_CIRCUITS,
    *_STORE,
    *_QUEUES,
    *_FLEET,
    *_SLO,
    *_CALLS,
)
