"""What the alarms of a template must do in each incident and in each strip, as data and checks.

An alarm has two delays of its own: M points must come together before it can ring, and enough
good ones before it can be over. Within three minutes of its cause, or of that where it is longer
(`limits`), it must ring, and be over; all that time without a break. What an incident does not
name must not ring in it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.deploy.alarms.incident import CLUSTER, LOG_GROUP
from tests.deploy.alarms.incidents import INCIDENTS, incident
from tests.deploy.alarms.strip import Strip, aws, log
from tests.deploy.alarms.strips import STRIPS
from tests.deploy.template import Template, of_type
from worker.alarms.alarm import Alarm, State
from worker.alarms.composite import Composite, told
from worker.alarms.lines import Read, read, read_own
from worker.alarms.replay import Span, spans
from worker.alarms.samples import Samples
from worker.alarms.template import Alarms, alarms, bare

PROMPT_MIN: Final = 3
STACK: Final = "inference-worker"
PAGES: Final = frozenset({"UserImpact", "DataAtRisk"})
"""They call somebody."""
PARTS: Final = frozenset(
    {
        "UpstreamUnserved",
        "ThrottleRising",
        "LatencySpike",
        "SloBurn1h",
        "SloBurn5m",
        "SloBurn6h",
        "SloBurn30m",
    }
)
"""They tell nobody: a composite speaks for them. All others tell the chat."""


@dataclass(frozen=True, slots=True)
class Rings:
    """That an alarm rings in an incident.

    Attributes:
        cause: For what; a cause that lasts to the end leaves it ringing.
        fires: At most so many minutes after its begin; by default the alarm's own limit.
        clears: At most so many after its end,
        until: or after the end of this, which may be over before it.
    """

    cause: str
    fires: int | None = None
    clears: int | None = None
    until: str = ""


_OUTAGE: Final = {
    "CircuitOpen": Rings("circuit"),
    "CircuitOpenLong": Rings("circuit"),
    "UpstreamUnserved": Rings("model"),
    "UpstreamWorse": Rings("model", 3, 3),
}
_BURN: Final = {
    name: Rings("rejected") for name in ("SloBurn1h", "SloBurn5m", "SloBurn6h", "SloBurn30m")
}
EXPECTED: Final[Mapping[str, Mapping[str, Rings]]] = {
    "healthy": {},
    "an_outage_with_nothing_else": {
        **_OUTAGE,
        "OldestJob": Rings("jobs are old"),
        "Standstill": Rings("nothing is finished"),
        "ParkedOld": Rings("parked hold some"),
        "UserImpact": Rings("model", 16, 3),
        "DataAtRisk": Rings("parked hold some", 31, 3, until="jobs are old"),
    },
    "an_outage_with_a_handler": {**_OUTAGE, "FallbackSustained": Rings("model")},
    "an_outage_with_another_target": _OUTAGE,
    "a_flapping_model": {"CircuitFlapping": Rings("flaps", 8), "CircuitOpen": Rings("circuit")},
    "throttles": {"ThrottleRising": Rings("throttles"), "UpstreamWorse": Rings("throttles", 6, 7)},
    "a_right_is_taken": {
        "ErrorsNew": Rings("right"),
        "OldestJob": Rings("jobs are old"),
        "Standstill": Rings("nothing is finished"),
        "UserImpact": Rings("right", 3, 21),
    },
    "a_slow_model": {"LatencySpike": Rings("slow"), "UpstreamWorse": Rings("slow", 3, 3)},
    "dead_letters": {
        "DlqNotEmpty": Rings("dead hold some"),
        "DataAtRisk": Rings("dead hold some", 3, 3),
    },
    "jobs_that_die": {
        **_BURN,
        "DlqNotEmpty": Rings("dead hold some"),
        "DataAtRisk": Rings("dead hold some", 3, 3),
        "SloFastBurn": Rings("rejected", 10, 6),
        "SloSlowBurn": Rings("rejected", 10, 31),
        "UserImpact": Rings("rejected", 10, 6),
        "UpstreamUnserved": Rings("rejected"),
        "UpstreamWorse": Rings("rejected", 3, 3),
    },
    "the_breakers_table_is_gone": {"BreakerStoreStale": Rings("stale")},
    "the_ledger_is_gone": {
        "OldestJob": Rings("jobs are old"),
        "Standstill": Rings("nothing is finished"),
        "UserImpact": Rings("ledger", 11, 3),
    },
    "every_worker_dies": {
        "FleetSilent": Rings("silent"),
        "OldestJob": Rings("jobs are old"),
        "Standstill": Rings("nothing is finished"),
        "UserImpact": Rings("silent", 3, 3),
    },
    "nobody_is_wanted": {},
    "lines_that_are_no_metrics": {"EmfBroken": Rings("foreign")},
    "a_bug": {
        "UnhandledErrors": Rings("bugs"),
        "DlqNotEmpty": Rings("dead hold some"),
        "DataAtRisk": Rings("dead hold some", 3, 3),
    },
}


# --- what was measured -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """A scenario as CloudWatch would have it."""

    name: str
    samples: Samples
    minutes: int

    @property
    def ends(self) -> tuple[int, int]:
        """Its first minute and its last."""
        start = self.samples.first
        assert start is not None
        return start, start + self.minutes - 1


def _measured(name: str, of_workers: bytes, of_aws: bytes, minutes: int, broken: int) -> Measured:
    had = Read()
    read(of_workers.splitlines(keepends=True), had)
    read_own(of_aws.splitlines(keepends=True), had)
    assert len(had.broken) == broken, had.broken[:3]
    return Measured(name, had.samples, minutes)


@cache
def of_incident(name: str) -> Measured:
    """An incident, played once."""
    made = incident(name)
    broken = 5 if name == "lines_that_are_no_metrics" else 0
    return _measured(name, made.log, made.aws, made.minutes, broken)


@cache
def of_strip(name: str) -> Measured:
    """A strip, written once."""
    (one,) = (one for one in STRIPS if one.name == name)
    return _measured(name, log(one.minutes), aws(one.minutes), len(one.minutes), 0)


# --- the alarms --------------------------------------------------------------


def given(template: Template) -> dict[str, str]:
    """What only an account knows of a template's resources."""
    ((logs, _),) = of_type(template, "AWS::Logs::LogGroup").items()
    ((cluster, _),) = of_type(template, "AWS::ECS::Cluster").items()
    ((service, _),) = of_type(template, "AWS::ECS::Service").items()
    return {
        "AWS::StackName": STACK,
        logs: LOG_GROUP,
        cluster: CLUSTER["ClusterName"],
        f"{service}.Name": CLUSTER["ServiceName"],
    }


def read_alarms(template: Template, **parameters: str) -> Alarms:
    """The alarms of a template, as in an account."""
    return alarms(template, given(template) | parameters)


def every(of: Alarms) -> list[Alarm | Composite]:
    """All alarms, metric ones first."""
    return [*of.metric, *of.composite]


def short(name: str) -> str:
    """The name in the runbook, of an alarm or of its ARN."""
    return bare(name).removeprefix(f"{STACK}-")


def limits(one: Alarm) -> tuple[int, int]:
    """Within how many minutes it must ring, and be over: three, or what its own points take.

    Where those take longer than three minutes, the minute in which a cause begins or ends counts
    neither way.
    """
    fires, clears = one.to_alarm * one.minutes, (one.periods - one.to_alarm + 1) * one.minutes
    return tuple(  # type: ignore[return-value]  # two
        PROMPT_MIN if own <= PROMPT_MIN else own + 1 for own in (fires, clears)
    )


States = Mapping[str, Sequence[State]]


def states_of(one: Alarm, scenario: Measured) -> list[State]:
    """The states of one alarm in a scenario."""
    return one.states(one.points(scenario.samples, *scenario.ends))


class Standing:
    """The states of all alarms of a template in a scenario; each is worked out once."""

    def __init__(self, of: Alarms) -> None:
        self.of = of
        self._states: dict[str, States] = {}

    def metric(self, scenario: Measured) -> States:
        """Of the metric alarms, by name."""
        if scenario.name not in self._states:
            self._states[scenario.name] = {
                one.name: states_of(one, scenario) for one in self.of.metric
            }
        return self._states[scenario.name]


# --- checks ------------------------------------------------------------------


def wrong_in_incident(
    name: str, alarm: Alarm | Composite, states: Sequence[State], *, later: int = 0
) -> Iterator[str]:
    """What an alarm does in an incident and must not, or the reverse.

    It may ring, and be over, so many minutes later.
    """
    called, rang = short(alarm.name), spans(states)
    if State.INSUFFICIENT_DATA in states:
        yield f"{called} lacks data"
    expected = EXPECTED[name].get(called)
    if expected is None:
        yield from (f"{called} rings, {one}" for one in rang)
        return
    if len(rang) != 1:
        yield f"{called} rings {len(rang)} times: {rang}"
        return
    own = limits(alarm) if isinstance(alarm, Alarm) else (0, 0)
    fires = own[0] if expected.fires is None else expected.fires
    clears = own[1] if expected.clears is None else expected.clears
    left = len(states) - cause(name, expected.until or expected.cause)[1]
    for what in _late(delays(name, expected, rang[0]), (fires + later, clears + later), left):
        yield f"{called} {what}"


def cause(name: str, what: str) -> tuple[int, int]:
    """From which whole minute to which something lasted."""
    begin, end = incident(name).causes[what]
    return math.ceil(begin), math.ceil(end)


def delays(name: str, expected: Rings, rang: Span) -> tuple[int, int | None]:
    """How many minutes after its cause an alarm rang, and was over; None if it still rings.

    An alarm is looked at as a minute ends.
    """
    begin, end = cause(name, expected.cause)[0], cause(name, expected.until or expected.cause)[1]
    return rang.fired + 1 - begin, None if rang.cleared is None else rang.cleared + 1 - end


def _late(
    late: tuple[int, int | None], within: tuple[int, int], minutes_left: int
) -> Iterator[str]:
    (fired, cleared), (fires, clears) = late, within
    if not 0 <= fired <= fires:
        yield f"fires {fired} min after its cause, not within {fires}"
    if cleared is None and minutes_left > clears:
        yield f"still rings {minutes_left} min after its cause, not within {clears}"
    if cleared is not None and not 0 <= cleared <= clears:
        yield f"is over {cleared} min after its cause, not within {clears}"


def wrong_in_strip(of: Strip, alarm: Alarm | Composite, states: Sequence[State]) -> Iterator[str]:
    """The same for a strip, to the minute."""
    called = short(alarm.name)
    expected = tuple(of.rings.get(called, ()))
    found = tuple((one.fired, one.cleared) for one in spans(states))
    if found != expected:
        yield f"{called} rings {found}, not {expected}"
    if State.INSUFFICIENT_DATA in states:
        yield f"{called} lacks data"


def wrong_in_telling(
    alarm: Alarm | Composite, of: States, states: Sequence[State], worse: Sequence[int] | None
) -> Iterator[str]:
    """Whether it tells whom it must, once for each time it rings.

    Args:
        alarm: Which.
        of: The states of the others, by name.
        states: Its own.
        worse: When UpstreamWorse must tell, which may have to keep quiet; None for never.
    """
    called = short(alarm.name)
    topic = "Page" if called in PAGES else "" if called in PARTS else "Chat"
    for actions in (alarm.actions, alarm.ok_actions):
        if [next((t for t in ("Page", "Chat") if t in one), one) for one in actions] != (
            [topic] if topic else []
        ):
            yield f"{called} tells {actions}, not {topic or 'nobody'}"
    if not isinstance(alarm, Composite):
        return
    found = told(
        states,
        suppressor=None if alarm.suppressor is None else of[bare(alarm.suppressor)],
        wait_s=alarm.wait_s,
        extension_s=alarm.extension_s,
    )
    if called == "UpstreamWorse":
        expected = list(worse or ())
    else:
        expected = [n for one in spans(states) for n in (one.fired, one.cleared) if n is not None]
    if [n for n, _ in found] != expected:
        yield f"{called} tells at {[n for n, _ in found]}, not {expected}"


NAMES: Final = tuple(INCIDENTS)
