"""Mutants: every alarm of the template with one thing wrong, as somebody might leave it.

They are made of the template by rule, none by hand, so a new alarm has its mutants at once. A
change after which an alarm breaches and lacks data in the same cases as before is no mutant
(`Judge`): another number where only the threshold counts, a FILL whose point counts as 0 anyway,
another treatment of missing points where none is ever missing.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.alarms.expression_mutants import Judge, beside, expressions
from tests.deploy.template import Template, of_type, plain, watching
from worker.alarms.references import ALARM, COMPOSITE

Properties = dict[str, Any]
Change = Callable[[Properties], object]
STATISTICS: Final = {
    "Sum": ("Minimum", "SampleCount"),
    "Maximum": ("Minimum", "SampleCount"),
    "Minimum": ("Maximum", "SampleCount"),
    "SampleCount": ("Sum", "Maximum"),
    "p95": ("p50", "p99", "Average"),
}
COMPARED: Final = {
    "GreaterThanThreshold": ("GreaterThanOrEqualToThreshold", "LessThanThreshold"),
    "GreaterThanOrEqualToThreshold": ("GreaterThanThreshold", "LessThanThreshold"),
    "LessThanThreshold": ("LessThanOrEqualToThreshold", "GreaterThanThreshold"),
}
MISSING: Final = ("missing", "ignore", "breaching", "notBreaching")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A template with one alarm that is wrong.

    Attributes:
        id: The logical id of the alarm.
        what: What is wrong with it.
    """

    id: str
    what: str
    template: Template


def mutants(template: Template) -> Iterator[Mutant]:
    """All of them, alarm after alarm."""
    template = _written_out(template)
    for id_, one in sorted({**watching(template), **of_type(template, COMPOSITE)}.items()):
        made = _of_alarm if one["Type"] == ALARM else _of_composite
        for what, change in made(one["Properties"], template):
            wrong = copy.deepcopy(template)
            change(wrong["Resources"][id_]["Properties"])
            assert wrong != template, f"{id_}: {what}: a mutant that changes nothing"
            yield Mutant(id_, what, wrong)


def _written_out(template: Template) -> Template:
    """With the defaults of its parameters in its expressions, as they are read."""
    made = copy.deepcopy(template)
    usual = {name: one.get("Default") for name, one in template["Parameters"].items()}
    for one in watching(made).values():
        for query in one["Properties"].get("Metrics", ()):
            if "Expression" in query:
                query["Expression"] = plain(query["Expression"], usual)
    return made


def put(name: str, value: Any) -> tuple[str, Change]:
    return f"{name}={value}", putting((), name, value)


def putting(where: tuple[Any, ...], name: Any, value: Any) -> Change:
    """What puts a value somewhere into an alarm's properties."""

    def change(one: Properties) -> None:
        _at(one, where)[name] = value

    return change


def dropping(*names: str) -> Change:
    """What takes properties away."""

    def change(one: Properties) -> None:
        for name in names:
            del one[name]

    return change


# --- metric alarms -----------------------------------------------------------


def _of_alarm(one: Properties, template: Template) -> Iterator[tuple[str, Change]]:
    yield from _of_threshold(one, template)
    yield from (put("ComparisonOperator", other) for other in COMPARED[one["ComparisonOperator"]])
    n, m = one["EvaluationPeriods"], one["DatapointsToAlarm"]
    for more, points in ((n + 2, m), (n, m - 1), (n, m + 1), (n - 1, m)):
        if 1 <= points <= more and (more, points) != (n, m):
            yield f"{points} of {more}", _points(more, points)
    judge = Judge(one, _threshold(one, template))
    if judge.may_be_missing:
        others = (how for how in MISSING if how != one["TreatMissingData"])
        yield from (put("TreatMissingData", how) for how in others)
    yield from _of_actions(one, template)
    for where, metric in _metrics(one):
        yield from _of_metric(where, metric)
    if "Metrics" in one:
        yield from _of_period([q["MetricStat"] for q in one["Metrics"] if "MetricStat" in q])
        (place,) = (n for n, query in enumerate(one["Metrics"]) if "Expression" in query)
        for what, text in expressions(one["Metrics"][place]["Expression"], judge):
            yield f"{what}: {text}", putting(("Metrics", place), "Expression", text)
    else:
        yield from _of_period([one])


def _of_threshold(one: Properties, template: Template) -> Iterator[tuple[str, Change]]:
    yield from (put("Threshold", other) for other in beside(_threshold(one, template)))


def _threshold(one: Properties, template: Template) -> float:
    value = one["Threshold"]
    of = template["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value
    return float(of)


def _points(n: int, m: int) -> Change:
    return lambda one: one.update(EvaluationPeriods=n, DatapointsToAlarm=m)


def _of_actions(one: Properties, template: Template) -> Iterator[tuple[str, Change]]:
    topics = list(of_type(template, "AWS::SNS::Topic"))
    for kind in ("AlarmActions", "OKActions"):
        if kind in one:
            yield f"no {kind}", dropping(kind)
            (told,) = one[kind]
            for other in topics:
                if {"Ref": other} != told:
                    yield put(kind, [{"Ref": other}])
        else:
            yield put(kind, [{"Ref": topics[0]}])


def _metrics(one: Properties) -> Iterator[tuple[tuple[Any, ...], Properties]]:
    """Where its metrics are, with namespace, name and dimensions."""
    if "Metrics" not in one:
        yield (), one
        return
    for n, query in enumerate(one["Metrics"]):
        if "MetricStat" in query:
            yield ("Metrics", n, "MetricStat"), query["MetricStat"]


def _at(one: Any, where: tuple[Any, ...]) -> Any:
    for step in where:
        one = one[step]
    return one


def _of_metric(where: tuple[Any, ...], stat: Properties) -> Iterator[tuple[str, Change]]:
    """Another statistic, name, namespace or dimension of one metric."""
    plain = not where
    metric = stat if plain else stat["Metric"]
    named = metric["MetricName"]
    inner = where if plain else (*where, "Metric")
    by = "Statistic" if plain else "Stat"
    for other in STATISTICS[stat[by]]:
        yield f"{named} by {other}", putting(where, by, other)

    def change(name: str, value: Any) -> Change:
        return putting(inner, name, value)

    yield f"{named} of another namespace", change("Namespace", f"{metric['Namespace']}2")
    yield f"{named} misspelt", change("MetricName", f"{named}s")
    yield f"{named} of nobody", change("Dimensions", [])
    (first, *rest) = metric["Dimensions"]
    yield f"{named} of somebody else", change("Dimensions", [first | {"Value": "else"}, *rest])
    more = {"Name": "Target", "Value": "near"}
    yield f"{named} by one more dimension", change("Dimensions", [first, *rest, more])


def _of_period(stats: list[Properties]) -> Iterator[tuple[str, Change]]:
    period = stats[0]["Period"]
    for other in (period * 5, period // 5):
        if other < 60:
            continue
        yield f"Period={other}", _period(other)


def _period(seconds: int) -> Change:
    def change(one: Properties) -> None:
        for where, _ in _metrics(one):
            _at(one, where)["Period"] = seconds

    return change


# --- composites --------------------------------------------------------------


def _of_composite(one: Properties, template: Template) -> Iterator[tuple[str, Change]]:
    yield from _of_actions(one, template)
    yield from ((what, putting((), "AlarmRule", rule)) for what, rule in _rules(one["AlarmRule"]))
    if "ActionsSuppressor" not in one:
        return
    yield "no suppressor", dropping(*(name for name in one if name.startswith("ActionsSupp")))
    for name in ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
        yield from (put(name, value) for value in (0, one[name] // 2, one[name] * 2))
    ids = [name for name in of_type(template, ALARM) if name != _referred(one["ActionsSuppressor"])]
    for other in ids:
        yield put("ActionsSuppressor", {"Fn::GetAtt": [other, "Arn"]})


def _referred(value: Mapping[str, Any]) -> str:
    return str(value["Fn::GetAtt"][0])


_ASKED: Final = re.compile(r'ALARM\("\$\{(\w+)\}"\)')


def _rules(rule: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The rule, a text with references, with one thing wrong."""
    text = rule["Fn::Sub"]
    for one in re.finditer(r"\b(AND|OR)\b", text):
        other = "OR" if one[0] == "AND" else "AND"
        wrong = text[: one.start()] + other + text[one.end() :]
        yield f"{one[0]} at {one.start()} is {other}", {"Fn::Sub": wrong}
    asked = list(_ASKED.finditer(text))
    for one, next_ in zip(asked, [*asked[1:], asked[0]], strict=True):
        for put_ in ("TRUE", "FALSE", f'OK("${{{one[1]}}}")', f"NOT {one[0]}", next_[0]):
            wrong = text[: one.start()] + put_ + text[one.end() :]
            yield f"{put_} in place of {one[1]}", {"Fn::Sub": wrong}
