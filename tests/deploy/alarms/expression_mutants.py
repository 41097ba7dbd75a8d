"""Expressions of metric math with one thing wrong, and whether that makes a difference."""

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from worker.alarms.alarm import COMPARISONS
from worker.alarms.metric_math import MathError, evaluate, parse

TRIES: Final = 5_000
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


def beside(value: float) -> tuple[float, ...]:
    """Twice and half of it; of 0 and 1 the neighbours."""
    return {0: (-1, 1), 1: (0, 2)}.get(value, (value * 2, value / 2))  # type: ignore[call-overload,no-any-return]


def expressions(text: str, judge: "Judge") -> Iterator[tuple[str, str]]:
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
        for other in beside(float(one[0])):
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


class Judge:
    """Tells whether it matters what an alarm computes: over many cases, missing points included.

    Statistics of one metric are missing together.
    """

    def __init__(self, one: Mapping[str, Any], threshold: float) -> None:
        self._compare = COMPARISONS[one["ComparisonOperator"]]
        self._threshold = threshold
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
