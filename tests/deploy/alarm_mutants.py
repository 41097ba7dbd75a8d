"""Mutants: every alarm of the template with one thing wrong, as somebody might leave it.

They are made of the template by rule, none by hand, so a new alarm has its mutants at once. A
change after which an alarm breaches and lacks data in the same cases as before is no mutant
(`_Judge`): another number where only the threshold counts, a FILL whose point counts as 0 anyway,
another treatment of missing points where none is ever missing.
"""

import copy
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.template import Template, of_type
from worker.alarms.alarm import COMPARISONS
from worker.alarms.metric_math import MathError, evaluate, parse
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
TRIES: Final = 5_000


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
    for id_, one in sorted({**of_type(template, ALARM), **of_type(template, COMPOSITE)}.items()):
        made = _of_alarm if one["Type"] == ALARM else _of_composite
        for what, change in made(one["Properties"], template):
            wrong = copy.deepcopy(template)
            change(wrong["Resources"][id_]["Properties"])
            assert wrong != template, f"{id_}: {what}: a mutant that changes nothing"
            yield Mutant(id_, what, wrong)


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
    judge = _Judge(one, template)
    if judge.may_be_missing:
        others = (how for how in MISSING if how != one["TreatMissingData"])
        yield from (put("TreatMissingData", how) for how in others)
    yield from _of_actions(one, template)
    for where, metric in _metrics(one):
        yield from _of_metric(where, metric)
    if "Metrics" in one:
        yield from _of_period([q["MetricStat"] for q in one["Metrics"] if "MetricStat" in q])
        (place,) = (n for n, query in enumerate(one["Metrics"]) if "Expression" in query)
        for what, text in _expressions(one["Metrics"][place]["Expression"], judge):
            yield f"{what}: {text}", putting(("Metrics", place), "Expression", text)
    else:
        yield from _of_period([one])


def _of_threshold(one: Properties, template: Template) -> Iterator[tuple[str, Change]]:
    yield from (put("Threshold", other) for other in _beside(_threshold(one, template)))


def _threshold(one: Properties, template: Template) -> float:
    value = one["Threshold"]
    of = template["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value
    return float(of)


def _beside(value: float) -> tuple[float, ...]:
    """Twice and half of it; of 0 and 1 the neighbours."""
    return {0: (-1, 1), 1: (0, 2)}.get(value, (value * 2, value / 2))  # type: ignore[call-overload,no-any-return]


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


# --- expressions -------------------------------------------------------------

_FILL: Final = re.compile(r"FILL\((\w+),\s*(-?\w+)\)")
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_TURNED: Final = {
    ">=": (">", "<"),
    ">": (">=", "<"),
    "<": ("<=", ">"),
    "<=": ("<", ">"),
    "AND": ("OR",),
    "OR": ("AND",),
    "-": ("+",),
    "+": ("-",),
    "*": ("/",),
    "/": ("*",),
}


def _expressions(text: str, judge: "_Judge") -> Iterator[tuple[str, str]]:
    """The expression with one thing wrong, wherever that makes a difference."""
    seen = {text}
    for what, other in _all_expressions(text):
        if other not in seen and judge.differs(other):
            yield what, other
        seen.add(other)


def _all_expressions(text: str) -> Iterator[tuple[str, str]]:
    yield from _without_fills(text)
    yield from _turned(text)
    outside = _FILL.sub(lambda one: "x" * len(one[0]), text)  # what fills is no constant
    for one in _NUMBER.finditer(outside):
        for other in _beside(float(one[0])):
            yield f"{one[0]} is {other:g}", text[: one.start()] + f"{other:g}" + text[one.end() :]
    yield from _without_terms(text)


def _without_fills(text: str) -> Iterator[tuple[str, str]]:
    """Nothing filled, one metric not filled, one place not filled, or with something else."""
    fills = list(_FILL.finditer(text))
    yield "no FILL", _FILL.sub(r"\1", text)
    for name in dict.fromkeys(one[1] for one in fills):
        yield f"no FILL of {name}", re.sub(rf"FILL\(({name}),\s*-?\w+\)", r"\1", text)
    for one in fills:
        yield f"a FILL of {one[1]} dropped", text[: one.start()] + one[1] + text[one.end() :]
        filled = f"FILL({one[1]},{1 - int(one[2])})"
        yield f"{one[1]} filled otherwise", text[: one.start()] + filled + text[one.end() :]


def _turned(text: str) -> Iterator[tuple[str, str]]:
    """One operator is another."""
    for one in re.finditer(r">=|<=|>|<|\b(?:AND|OR)\b|(?<= )[-+*/](?= )", text):
        for other in _TURNED[one[0]]:
            yield f"{one[0]} is {other}", text[: one.start()] + other + text[one.end() :]


def _without_terms(text: str) -> Iterator[tuple[str, str]]:
    """Each operand alone, in place of a sum, a product or a condition."""
    atom = r"(?:FILL\(\w+,\s*-?\w+\)|\d+(?:\.\d+)?|[a-z]\w*|\((?:[^()]|\([^()]*\))*\))"
    sides = rf"({atom})\s*([-+*/])\s*({atom})"
    for one in re.finditer(rf"(?=({sides}))", text):
        whole, left, sign, right = one[1], one[2], one[3], one[4]
        at, end = one.start(1), one.start(1) + len(whole)
        yield f"no {left} {sign}", text[:at] + right + text[end:]
        yield f"no {sign} {right}", text[:at] + left + text[end:]
    for one in re.finditer(r"\b(AND|OR)\b", text):
        begin, end = _bounds(text, one.start())
        left, right = text[begin : one.start()].strip(), text[one.end() : end].strip()
        yield f"no {left} {one[0]}", text[:begin] + right + text[end:]
        yield f"no {one[0]} {right}", text[:begin] + left + text[end:]


def _bounds(text: str, at: int) -> tuple[int, int]:
    """From where to where the operands of an operator reach, inside their parentheses."""

    def walk(places: range, opens: str, closes: str) -> int:
        deep = 0
        for place in places:
            deep += (text[place] in opens) - (text[place] in closes)
            if deep < 0 or (deep == 0 and text[place] == ","):
                return place
        return places.stop

    begin = walk(range(at - 1, -1, -1), ")", "(") + 1
    return begin, walk(range(at, len(text)), "(", ")")


class _Judge:
    """Tells whether it matters what an alarm computes: over many cases, missing points included.

    Statistics of one metric are missing together.
    """

    def __init__(self, one: Properties, template: Template) -> None:
        self._compare = COMPARISONS[one["ComparisonOperator"]]
        self._threshold = _threshold(one, template)
        queries = one.get("Metrics", [])
        self._metric = {
            query["Id"]: repr(query["MetricStat"]["Metric"])
            for query in queries
            if "MetricStat" in query
        }
        texts = [query["Expression"] for query in queries if "Expression" in query]
        numbers = {float(found) for text in texts for found in _NUMBER.findall(text)}
        near = {one + more for one in {*numbers, self._threshold} for more in (-1, 0, 1)}
        self._values = sorted({0.0, 1.0, 2.0, 25.0, *(one for one in near if one >= 0)})
        self._series = self._cases()
        self._before = self._flags(texts[0]) if texts else [None]

    def _cases(self) -> dict[str, list[float | None]]:
        dice = random.Random(1)  # noqa: S311  (a sample)
        names = sorted(self._metric)
        cases: list[dict[str, float | None]] = [
            dict.fromkeys(names, value) for value in (None, *self._values)
        ]
        metrics = sorted(set(self._metric.values()))
        for _ in range(TRIES):
            there = {metric: dice.random() > 0.3 for metric in metrics}
            cases.append(
                {
                    name: dice.choice(self._values) if there[self._metric[name]] else None
                    for name in names
                }
            )
        return {name: [case[name] for case in cases] for name in names}

    def _flags(self, text: str) -> list[bool | None]:
        points = evaluate(parse(text), self._series)
        return [None if one is None else self._compare(one, self._threshold) for one in points]

    @property
    def may_be_missing(self) -> bool:
        """Whether there are points that the alarm lacks."""
        return None in self._before

    def differs(self, text: str) -> bool:
        """Whether another expression makes a difference; one that is refused does."""
        try:
            return self._flags(text) != self._before
        except MathError:
            return True


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
