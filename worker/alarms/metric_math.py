"""CloudWatch's metric math: the part of it that our alarms and our scaling use.

`parse` reads an expression, `evaluate` works it out over aligned points; None is a point that is
missing. Nothing is guessed: what CloudWatch would refuse, and what it alone can evaluate, is a
`MathError` that says what and where.

There are numbers (S), series (TS) and arrays of series (TS[]). Of points that are missing:

- Two series: the one that lacks a point counts as 0; where both lack it, so does the result.
- A series and a number: a missing point stays missing.
- A division by zero gives no point.
- A comparison gives 0 or 1; `AND` and `OR` take anything but 0 for true.
- `IF` gives none where its condition has none. Where that is true and the second argument has no
  point, it gives 0; where it is false and the third has none, or is not there, none.
- `SUM`, `MIN` and `MAX` over an array pass over what is missing; `AVG` takes it for 0.

`SUM`, `MIN`, `MAX` and `AVG` of one series alone are refused: they are one number over all points
that CloudWatch happens to fetch, which are more than the alarm asks for.

Source: Amazon CloudWatch User Guide, "Using metric math": syntax, operators, functions, "Using IF
expressions" (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html). What
it leaves open is decided here, and can be seen by whoever reads: `REPEAT` before the first point,
and `LINEAR` before the first and after the last, leave it missing.
"""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Final

from worker.alarms.metric_math_syntax import (
    Binary,
    Call,
    Expression,
    Listed,
    MathError,
    Name,
    Negative,
    Node,
    Number,
    Word,
)
from worker.alarms.metric_math_syntax import parse as _parse

__all__ = ["Expression", "MathError", "evaluate", "parse"]

Point = float | None
Points = Sequence[Point]
_Series = list[Point]
_Array = tuple[_Series, ...]
_Value = float | _Series | _Array
_Does = Callable[[float, float], Point]


@cache
def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        MathError: CloudWatch would refuse it, or it has a function that is not evaluated here.

    >>> sorted(parse("IF(calls > 0, 100 * errors / calls, 0)").names)
    ['calls', 'errors']
    """
    return _parse(text)


def evaluate(
    expression: Expression,
    series: Mapping[str, Points],
    *,
    metrics: Collection[str] | None = None,
) -> list[float | None]:
    """Work it out over aligned points.

    Args:
        expression: What `parse` read.
        series: The points of each id, one for each period, all of one length; None is missing.
        metrics: The ids that are metrics and not expressions, for `METRICS()`; all by default.

    Returns:
        A point for each period.

    Raises:
        MathError: It names an id that `series` lacks, mixes types as CloudWatch does not, or
            comes to something else than one series.
        ValueError: The series are not of one length.

    >>> evaluate(parse("IF(c > 0, 100 * e / c)"), {"c": [4, 0, None], "e": [1, None, 2]})
    [25.0, None, None]
    """
    lengths = {len(one) for one in series.values()}
    if len(lengths) > 1:
        msg = f"series are aligned: all of one length, not {sorted(lengths)}"
        raise ValueError(msg)
    work = _Work(expression.text, series, tuple(series if metrics is None else metrics))
    value = work.value(expression.root)
    if isinstance(value, float):
        what = "it comes to a number, and what is watched must be a series"
        raise MathError(expression.text, 1, what)
    if isinstance(value, tuple):
        what = f"it comes to {len(value)} series, and only one can be watched"
        raise MathError(expression.text, 1, what)
    return value


class _Work:
    """One expression over one set of series."""

    def __init__(self, text: str, series: Mapping[str, Points], metrics: Sequence[str]) -> None:
        self._text = text
        self._series = {name: list(points) for name, points in series.items()}
        self._metrics = metrics
        self._length = next((len(one) for one in self._series.values()), 0)

    def _wrong(self, node: Node, what: str) -> MathError:
        return MathError(self._text, node.at, what)

    def value(self, node: Node) -> _Value:
        match node:
            case Number():
                return node.value
            case Name():
                if node.id not in self._series:
                    known = ", ".join(sorted(self._series)) or "none"
                    raise self._wrong(node, f"no metric has the id {node.id}; there are: {known}")
                return self._series[node.id]
            case Word():
                raise self._wrong(node, f"{node.text!r} has no value of its own")
            case Negative():
                return self._two(node, operator.mul, -1.0, self.value(node.of))
            case Binary():
                left, right = self.value(node.left), self.value(node.right)
                return self._two(node, OPERATORS[node.operator], left, right)
            case Listed():
                return self._listed(node)
            case Call():
                return self._call(node)

    def _listed(self, node: Listed) -> _Array:
        found: _Array = ()
        for item in node.items:
            value = self.value(item)
            if isinstance(value, float):
                raise self._wrong(item, "an array is of series, and this is a number")
            found += value if isinstance(value, tuple) else (value,)
        if not found:
            raise self._wrong(node, "an array of nothing")
        return found

    def _two(self, node: Node, does: _Does, left: _Value, right: _Value) -> _Value:
        if isinstance(left, tuple):
            if isinstance(right, tuple):
                raise self._wrong(node, "two arrays have no order to go by")
            return tuple(_pair(does, one, right) for one in left)
        if isinstance(right, tuple):
            return tuple(_pair(does, left, one) for one in right)
        if isinstance(left, list) or isinstance(right, list):
            return _pair(does, left, right)
        value = does(left, right)
        if value is None:
            raise self._wrong(node, "it has no result, whatever is measured")
        return value

    def _call(self, node: Call) -> _Value:
        match node.function:
            case "IF":
                return self._if(node)
            case "FILL":
                return self._fill(node)
            case "METRICS":
                return self._all_metrics(node)
            case "TIME_SERIES":
                value = self.value(node.arguments[0])
                if not isinstance(value, float):
                    raise self._wrong(node, "TIME_SERIES takes a number")
                return [value] * self._length
            case _:
                return self._over(node)

    def _all_metrics(self, node: Call) -> _Array:
        part = ""
        for argument in node.arguments:
            if not isinstance(argument, Word) or not argument.quoted:
                what = 'METRICS takes a part of an id, in quotes: METRICS("m")'
                raise self._wrong(argument, what)
            part = argument.text
        found = tuple(self._series[name] for name in sorted(self._metrics) if part in name)
        if not found:
            raise self._wrong(node, f"no metric has {part!r} in its id")
        return found

    def _over(self, node: Call) -> _Series:
        value = self.value(node.arguments[0])
        if not isinstance(value, tuple):
            raise self._wrong(
                node,
                f"{node.function} of one series is one number over all points that CloudWatch "
                "happens to fetch, more than the alarm asks for: give it an array, [a, b]",
            )
        return [_across(node.function, at) for at in zip(*value, strict=True)]

    def _if(self, node: Call) -> _Series:
        condition = self._single(node, node.arguments[0])
        yes = self._single(node, node.arguments[1])
        no = self._single(node, node.arguments[2]) if len(node.arguments) > 2 else None  # noqa: PLR2004  (its third)
        if isinstance(condition, float):
            chosen = yes if condition else no
            if isinstance(chosen, float):
                raise self._wrong(node, "IF over a number gives a series, and this is none")
            return [None] * self._length if chosen is None else chosen
        found: _Series = []
        for n, held in enumerate(condition):
            if held is None:
                found.append(None)
            elif held:
                found.append(_at(yes, n) or 0.0)
            else:
                found.append(None if no is None else _at(no, n))
        return found

    def _single(self, node: Call, argument: Node) -> float | _Series:
        value = self.value(argument)
        if isinstance(value, tuple):
            raise self._wrong(node, f"{node.function} takes numbers and single series")
        return value

    def _fill(self, node: Call) -> _Value:
        what, by = node.arguments
        holes = self.value(what)
        if isinstance(holes, float):
            raise self._wrong(node, "FILL takes a series: a number has no gaps")
        fill: Callable[[_Series], _Series]
        if isinstance(by, Word):
            if by.quoted:
                raise self._wrong(by, "FILL takes REPEAT or LINEAR without quotes")
            fill = _repeated if by.text == "REPEAT" else _drawn
        else:
            filler = self._single(node, by)
            fill = lambda points: [  # noqa: E731  (of three fills the one with something to carry)
                _at(filler, n) if one is None else one for n, one in enumerate(points)
            ]
        return tuple(fill(one) for one in holes) if isinstance(holes, tuple) else fill(holes)


def _at(value: float | _Series, n: int) -> Point:
    return value if isinstance(value, float) else value[n]


def _pair(does: _Does, left: float | _Series, right: float | _Series) -> _Series:
    """Two operands, at least one of them a series."""
    if isinstance(right, float):
        assert isinstance(left, list)
        return [None if one is None else does(one, right) for one in left]
    if isinstance(left, float):
        return [None if one is None else does(left, one) for one in right]
    return [
        None if one is None and other is None else does(one or 0.0, other or 0.0)
        for one, other in zip(left, right, strict=True)
    ]


def _across(function: str, points: Sequence[Point]) -> Point:
    there = [one for one in points if one is not None]
    if not there:
        return None
    if function == "AVG":
        return sum(there) / len(points)
    if function == "SUM":
        return sum(there)
    return max(there) if function == "MAX" else min(there)


def _repeated(points: _Series) -> _Series:
    last, found = None, []
    for one in points:
        last = last if one is None else one
        found.append(last)
    return found


def _drawn(points: _Series) -> _Series:
    """A line from the point before a gap to the one after it."""
    found = list(points)
    before: int | None = None
    for n, one in enumerate(points):
        if one is None:
            continue
        if before is not None:
            start = points[before]
            assert start is not None
            for gap in range(before + 1, n):
                found[gap] = start + (one - start) * (gap - before) / (n - before)
        before = n
    return found


def _compare(does: Callable[[float, float], bool]) -> _Does:
    return lambda left, right: float(does(left, right))


def _divide(left: float, right: float) -> Point:
    return left / right if right else None


def _power(left: float, right: float) -> Point:
    try:
        value = left**right
    except (ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(value, complex) else value


OPERATORS: Final[Mapping[str, _Does]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "^": _power,
    "==": _compare(operator.eq),
    "!=": _compare(operator.ne),
    "<=": _compare(operator.le),
    ">=": _compare(operator.ge),
    "<": _compare(operator.lt),
    ">": _compare(operator.gt),
    "AND": lambda left, right: float(bool(left and right)),
    "OR": lambda left, right: float(bool(left or right)),
}
