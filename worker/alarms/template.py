"""The alarms of a CloudFormation template.

What cannot be resolved, what CloudWatch would refuse and what is not evaluated here is refused,
with the logical id where it stands.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from worker.alarms.alarm import COMPARISONS, Alarm, Computed, Measured, Missing
from worker.alarms.composite import Composite
from worker.alarms.metric_math import MathError, evaluate, parse
from worker.alarms.references import ALARM, COMPOSITE, References, TemplateError
from worker.alarms.rule import RuleError
from worker.alarms.rule import parse as parse_rule
from worker.alarms.samples import MINUTE_S, is_statistic, key

T = TypeVar("T")

_METRICS_MOST: Final = 10
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_ID: Final = re.compile(r"[a-z][a-zA-Z0-9_]*")
# Properties that change nothing about when an alarm rings.
_OF_NO_MATTER: Final = frozenset({"AlarmDescription", "InsufficientDataActions", "Tags"})


@dataclass(frozen=True, slots=True)
class Alarms:
    """All alarms of a template; composites in an order in which each asks only earlier ones.

    `stack` is the stack's name, with which the names of alarms may begin.
    """

    stack: str
    metric: tuple[Alarm, ...]
    composite: tuple[Composite, ...]


def alarms(template: Mapping[str, Any], given: Mapping[str, str] = MappingProxyType({})) -> Alarms:
    """Read the alarms of a template.

    Args:
        template: Whole, as JSON has it.
        given: Values of parameters, of pseudo parameters (`AWS::StackName`), and of what only the
            account knows (`JobsQueue.QueueName`).

    Raises:
        TemplateError: Something cannot be resolved, would be refused by CloudWatch, or is not
            evaluated here. It names the logical id.
    """
    resources = template.get("Resources") if isinstance(template, dict) else None
    if not isinstance(resources, dict):
        msg = "it has no Resources: this is no CloudFormation template"
        raise TemplateError(msg)
    known = References(template, resources, given)
    metric = _all(known, ALARM, _alarm)
    composite = _all(known, COMPOSITE, _composite)
    return Alarms(known.stack, tuple(metric), _in_order(metric, composite))


def _all(
    known: References, kind: str, read: Callable[[References, str, Mapping[str, Any]], T]
) -> list[T]:
    """All of a type; what has another shape than CloudFormation asks for is refused by its id."""
    found = []
    for id_ in known.of(kind):
        try:
            if known.made(id_):
                found.append(read(known, id_, known.properties(id_)))
        except TemplateError:
            raise
        except (LookupError, AttributeError, RecursionError, TypeError, ValueError) as wrong:
            msg = f"{id_}: a property has not the shape that CloudFormation asks for: {wrong!r}"
            raise TemplateError(msg) from None
    return found


# --- metric alarms -----------------------------------------------------------

_ALARM_NEEDS: Final = ("ComparisonOperator", "EvaluationPeriods", "Threshold")
_ALARM_KNOWS: Final = frozenset(
    {
        *_ALARM_NEEDS,
        *_OF_NO_MATTER,
        "ActionsEnabled",
        "AlarmActions",
        "AlarmName",
        "DatapointsToAlarm",
        "Dimensions",
        "ExtendedStatistic",
        "MetricName",
        "Metrics",
        "Namespace",
        "OKActions",
        "Period",
        "Statistic",
        "TreatMissingData",
    }
)


def _alarm(known: References, id_: str, one: Mapping[str, Any]) -> Alarm:
    _know(id_, one, _ALARM_KNOWS, _ALARM_NEEDS)
    queries = one["Metrics"] if "Metrics" in one else [_plain(one)]
    reads, watches, period_s = _queries(id_, queries)
    periods = _number(id_, one, "EvaluationPeriods")
    to_alarm = _number(id_, one, "DatapointsToAlarm", periods)
    most_s = _DAY_S if period_s < _HOUR_S else 7 * _DAY_S
    if not 1 <= to_alarm <= periods:
        msg = f"{id_}: DatapointsToAlarm is from 1 to EvaluationPeriods ({periods:g})"
        raise TemplateError(msg)
    if periods * period_s > most_s:
        msg = f"{id_}: CloudWatch looks back {most_s} s at most, not {periods:g} x {period_s} s"
        raise TemplateError(msg)
    made = Alarm(
        id=id_,
        name=known.name_of(id_),
        reads=reads,
        watches=watches,
        period_s=period_s,
        comparison=_choice(id_, "ComparisonOperator", one["ComparisonOperator"], COMPARISONS),
        threshold=_number(id_, one, "Threshold"),
        periods=int(periods),
        to_alarm=int(to_alarm),
        missing=Missing(
            _choice(id_, "TreatMissingData", one.get("TreatMissingData", "missing"), _MISSING)
        ),
        actions=_actions(one, "AlarmActions"),
        ok_actions=_actions(one, "OKActions"),
    )
    _try(made)
    return made


_MISSING: Final = tuple(one.value for one in Missing)


def _know(id_: str, one: Mapping[str, Any], knows: frozenset[str], needs: Sequence[str]) -> None:
    unknown = sorted(set(one) - knows)
    lacks = [name for name in needs if name not in one]
    if unknown or lacks:
        what = f"{', '.join(unknown)}: not evaluated here" if unknown else f"lacks {lacks[0]}"
        msg = f"{id_}: {what}"
        raise TemplateError(msg)


def _plain(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """An alarm on one metric, as an alarm with one query."""
    stat = one.get("Statistic", one.get("ExtendedStatistic"))
    metric = {name: one[name] for name in ("Namespace", "MetricName", "Dimensions") if name in one}
    return {"Id": "m", "MetricStat": {"Metric": metric, "Stat": stat, "Period": one.get("Period")}}


def _queries(
    id_: str, queries: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Measured | Computed, ...], str, int]:
    """What it reads in an order to compute it in, what it watches, and its period in seconds."""
    reads: dict[str, Measured | Computed] = {}
    periods: set[Any] = set()
    watched = []
    for query in queries:
        name = query.get("Id", "")
        if not _ID.fullmatch(name) or name in reads:
            msg = f"{id_}: {name!r} is no id of a metric, or there twice"
            raise TemplateError(msg)
        if "Expression" in query:
            try:
                reads[name] = Computed(name, parse(query["Expression"]))
            except MathError as wrong:
                msg = f"{id_}: {wrong}"
                raise TemplateError(msg) from None
            periods |= {query["Period"]} if "Period" in query else set()
        else:
            reads[name] = _measured(id_, name, query.get("MetricStat", {}))
            periods.add(query["MetricStat"].get("Period"))
        watched += [name] if query.get("ReturnData", True) else []
    if len(watched) != 1:
        msg = f"{id_}: one query is watched (ReturnData), not {len(watched)}"
        raise TemplateError(msg)
    if len(queries) > _METRICS_MOST:
        msg = f"{id_}: CloudWatch takes {_METRICS_MOST} queries in an alarm, not {len(queries)}"
        raise TemplateError(msg)
    (period, *others) = periods
    if others or not isinstance(period, int) or period < MINUTE_S or period % MINUTE_S:
        msg = f"{id_}: the queries of an alarm have one Period, a multiple of {MINUTE_S}"
        raise TemplateError(msg)
    return _ordered(id_, reads), watched[0], period


def _measured(id_: str, name: str, stat: Mapping[str, Any]) -> Measured:
    metric = stat.get("Metric", {})
    of, called, statistic = metric.get("Namespace"), metric.get("MetricName"), stat.get("Stat")
    if not isinstance(of, str) or not isinstance(called, str):
        msg = f"{id_}: {name} has neither Expression nor MetricStat with Namespace and MetricName"
        raise TemplateError(msg)
    if not isinstance(statistic, str) or not is_statistic(statistic):
        msg = (
            f"{id_}: the statistic {statistic!r} is not evaluated here; Sum, Average, Minimum, "
            "Maximum, SampleCount and pNN are"
        )
        raise TemplateError(msg)
    by = [(one["Name"], one["Value"]) for one in metric.get("Dimensions", [])]
    return Measured(name, key(of, called, by), statistic)


def _ordered(id_: str, reads: Mapping[str, Measured | Computed]) -> tuple[Measured | Computed, ...]:
    """Metrics first, then each expression after those that it reads."""
    found = {name: one for name, one in reads.items() if isinstance(one, Measured)}
    waiting = {name: one for name, one in reads.items() if isinstance(one, Computed)}
    ordered: dict[str, Measured | Computed] = {**found}
    while waiting:
        ready = [name for name, one in waiting.items() if one.expression.names <= set(ordered)]
        if not ready:
            name, one = next(iter(waiting.items()))
            lacks = sorted(one.expression.names - set(reads))
            what = f"no metric has the id {lacks[0]}" if lacks else "expressions read each other"
            msg = f"{id_}: {name}: {one.expression.text!r}: {what}"
            raise TemplateError(msg)
        ordered |= {name: waiting.pop(name) for name in ready}
    return tuple(ordered.values())


def _try(made: Alarm) -> None:
    """Refuse now what would be refused at the first point, whatever is measured."""
    series: dict[str, list[float | None]] = {}
    metrics = [one.id for one in made.reads if isinstance(one, Measured)]
    for one in made.reads:
        if isinstance(one, Measured):
            series[one.id] = [1.0]
            continue
        try:
            series[one.id] = evaluate(one.expression, series, metrics=metrics)
        except MathError as wrong:
            msg = f"{made.id}: {one.id}: {wrong}"
            raise TemplateError(msg) from None


def _number(id_: str, one: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = one.get(name, default)
    try:
        return float(value)  # a text, where a parameter gave it
    except (TypeError, ValueError):
        msg = f"{id_}: {name} is no number"
        raise TemplateError(msg) from None


def _choice(id_: str, name: str, value: Any, of: Any) -> str:
    if value not in of:
        msg = f"{id_}: {name} is one of {', '.join(of)}"
        raise TemplateError(msg)
    return str(value)


def _actions(one: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if one.get("ActionsEnabled", True) in (False, "false"):
        return ()
    return tuple(str(action) for action in one.get(name, ()))


# --- composites --------------------------------------------------------------

_COMPOSITE_KNOWS: Final = frozenset(
    {
        *_OF_NO_MATTER,
        "ActionsEnabled",
        "ActionsSuppressor",
        "ActionsSuppressorExtensionPeriod",
        "ActionsSuppressorWaitPeriod",
        "AlarmActions",
        "AlarmName",
        "AlarmRule",
        "OKActions",
    }
)


def _composite(known: References, id_: str, one: Mapping[str, Any]) -> Composite:
    _know(id_, one, _COMPOSITE_KNOWS, ("AlarmRule",))
    try:
        rule = parse_rule(str(one["AlarmRule"]))
    except RuleError as wrong:
        msg = f"{id_}: {wrong}"
        raise TemplateError(msg) from None
    suppressor = one.get("ActionsSuppressor")
    return Composite(
        id=id_,
        name=known.name_of(id_),
        rule=rule,
        actions=_actions(one, "AlarmActions"),
        ok_actions=_actions(one, "OKActions"),
        suppressor=None if suppressor is None else str(suppressor),
        wait_s=int(_number(id_, one, "ActionsSuppressorWaitPeriod", 0)),
        extension_s=int(_number(id_, one, "ActionsSuppressorExtensionPeriod", 0)),
    )


def _in_order(metric: Sequence[Alarm], composite: Sequence[Composite]) -> tuple[Composite, ...]:
    known = {one.name for one in metric}
    names = known | {one.name for one in composite}
    waiting, ordered = list(composite), []
    while waiting:
        ready = [one for one in waiting if {bare(name) for name in one.asks} <= known]
        if not ready:
            one = waiting[0]
            lacks = [name for name in one.asks if bare(name) not in names]
            what = f"there is no alarm {lacks[0]}" if lacks else "composites ask each other"
            msg = f"{one.id}: {one.rule.text!r}: {what}"
            raise TemplateError(msg)
        ordered += ready
        known |= {one.name for one in ready}
        waiting = [one for one in waiting if one not in ready]
    return tuple(ordered)


def bare(name: str) -> str:
    """The name of an alarm, of its ARN too."""
    return name.partition(":alarm:")[2] or name
