"""How an expression of metric math is written, and what it is made of.

`parse` refuses what CloudWatch would refuse, and what it alone can evaluate. Which functions are
evaluated, and how, is in `metric_math.py`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from worker.alarms.placed import PlacedError


class MathError(PlacedError):
    """An expression that CloudWatch would refuse, or that only CloudWatch can evaluate."""


# --- what it is made of ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    at: int
    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """The id of a metric, or of another expression."""

    at: int
    id: str


@dataclass(frozen=True, slots=True)
class Word:
    """REPEAT or LINEAR, as an argument of FILL; or a string in quotes, as that of METRICS."""

    at: int
    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Negative:
    """`-x`."""

    at: int
    of: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`."""

    at: int
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Listed:
    """`[a, b]`."""

    at: int
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`FUNCTION(…)`."""

    at: int
    function: str
    arguments: tuple["Node", ...]


Node = Number | Name | Word | Negative | Binary | Listed | Call


@dataclass(frozen=True)
class Expression:
    """An expression that was read.

    Attributes:
        text: As written.
        root: What it is made of.
    """

    text: str
    root: Node

    @cached_property
    def names(self) -> frozenset[str]:
        """The ids that it reads; `METRICS()` names none."""
        return frozenset(one.id for one in self.nodes() if isinstance(one, Name))

    def nodes(self) -> Iterator[Node]:
        """Everything in it, from the outside in."""
        waiting: list[Node] = [self.root]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += _children(one)


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Negative():
            return (node.of,)
        case Binary():
            return (node.left, node.right)
        case Listed():
            return node.items
        case Call():
            return node.arguments
        case _:
            return ()


# --- reading -----------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<string>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/^<>(),\[\]]))"
)
_SAME: Final = {"&&": "AND", "||": "OR"}
_COMPARISONS: Final = frozenset({"==", "!=", "<=", ">=", "<", ">"})
# From what binds least to what binds most; all of them from left to right.
_LEVELS: Final = (
    frozenset({"OR"}),
    frozenset({"AND"}),
    _COMPARISONS,
    frozenset("+-"),
    frozenset("*/"),
    frozenset("^"),
)
# How many arguments each function takes, at least and at most.
ARGUMENTS: Final[Mapping[str, tuple[int, int]]] = {
    "AVG": (1, 1),
    "FILL": (2, 2),
    "IF": (2, 3),
    "MAX": (1, 1),
    "METRICS": (0, 1),
    "MIN": (1, 1),
    "SUM": (1, 1),
    "TIME_SERIES": (1, 1),
}
FILLERS: Final = frozenset({"REPEAT", "LINEAR"})
# Functions that CloudWatch has, and that are not evaluated here.
ITS_OWN: Final = frozenset(
    re.split(
        r"\s+",
        "ABS ANOMALY_DETECTION_BAND CEIL DATAPOINT_COUNT DATE DAY DB_PERF_INSIGHTS DIFF DIFF_TIME "
        "EPOCH FIRST FLOOR HOUR INSIGHT_RULE_METRIC LAMBDA LAST LOG LOG10 METRIC_COUNT MINUTE "
        "MONTH PERIOD RATE REMOVE_EMPTY RUNNING_SUM SEARCH SERVICE_QUOTA SLICE SORT STDDEV YEAR",
    )
)
_DEEPEST: Final = 100


@dataclass(frozen=True, slots=True)
class _Token:
    at: int
    kind: str
    text: str


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        MathError: CloudWatch would refuse it, or it has a function that is not evaluated here.

    >>> sorted(parse("IF(calls > 0, 100 * errors / calls, 0)").names)
    ['calls', 'errors']
    """
    return Expression(text, _Reader(text).whole())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut())
        self._next = 0
        self._deep = 0

    def _cut(self) -> Iterator[_Token]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                while self._text[at].isspace():
                    at += 1
                raise self._wrong(at + 1, f"{self._text[at]!r} has no meaning in metric math")
            kind = found.lastgroup or ""
            yield _Token(found.start(kind) + 1, kind, found[kind])
            at = found.end()
        yield _Token(end + 1, "end", "")

    def _wrong(self, at: int, what: str) -> MathError:
        return MathError(self._text, at, what)

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, sign: str) -> None:
        if self._here.text != sign:
            what = f"found {self._here.text!r}" if self._here.text else "the expression ends"
            raise self._wrong(self._here.at, f"expected {sign!r}, {what}")
        self._next += 1

    def whole(self) -> Node:
        node = self._level(0)
        if self._here.kind != "end":
            raise self._wrong(self._here.at, f"{self._here.text!r} is not expected here")
        return node

    def _level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._one()
        left = self._level(level + 1)
        while (found := self._operator()) in _LEVELS[level]:
            at, self._next = self._here.at, self._next + 1
            left = Binary(at, found, left, self._level(level + 1))
        return left

    def _operator(self) -> str:
        here = self._here
        return _SAME.get(here.text, here.text) if here.kind in ("sign", "word") else ""

    def _one(self) -> Node:
        self._deep += 1
        if self._deep > _DEEPEST:
            raise self._wrong(self._here.at, f"it is nested more than {_DEEPEST} deep")
        node = self._inner()
        self._deep -= 1
        return node

    def _inner(self) -> Node:
        here = self._here
        self._next += here.kind != "end"
        if here.kind == "number":
            return Number(here.at, float(here.text))
        if here.kind == "string":
            return Word(here.at, here.text[1:-1], quoted=True)
        if here.text == "-":
            return Negative(here.at, self._one())
        if here.text == "(":
            node = self._level(0)
            self._take(")")
            return node
        if here.text == "[":
            return Listed(here.at, self._items("]"))
        if here.kind == "word":
            return self._word(here)
        what = f"found {here.text!r}" if here.text else "the expression ends"
        raise self._wrong(here.at, f"expected a number, an id or a function, {what}")

    def _word(self, here: _Token) -> Node:
        if self._here.text != "(":
            if here.text in FILLERS:
                return Word(here.at, here.text, quoted=False)
            if here.text[0].islower():
                return Name(here.at, here.text)
            raise self._wrong(
                here.at,
                f"{here.text} is no id, for ids begin with a small letter; and no function, for "
                "none of its arguments are there",
            )
        if here.text not in ARGUMENTS:
            raise self._wrong(here.at, _no_function(here.text))
        self._next += 1
        call = Call(here.at, here.text, self._items(")"))
        least, most = ARGUMENTS[here.text]
        if not least <= len(call.arguments) <= most:
            takes = str(least) if least == most else f"{least} to {most}"
            raise self._wrong(
                here.at, f"{here.text} takes {takes} arguments, not {len(call.arguments)}"
            )
        return call

    def _items(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        if self._here.text != end:
            found.append(self._level(0))
            while self._here.text == ",":
                self._next += 1
                found.append(self._level(0))
        self._take(end)
        return tuple(found)


def _no_function(name: str) -> str:
    if name in ITS_OWN:
        return (
            f"{name} is CloudWatch's, and not evaluated here: what an alarm with it would do is "
            "unknown before it is deployed"
        )
    if name.upper() in ARGUMENTS or name.upper() in ITS_OWN:
        return f"functions are written in capitals: {name.upper()}"
    return f"CloudWatch has no function {name}: it would refuse the alarm"
