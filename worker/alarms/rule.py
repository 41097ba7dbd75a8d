"""The rule of a composite alarm.

    ALARM("a") AND NOT (OK("b") OR INSUFFICIENT_DATA("c"))

NOT binds more than AND, and AND more than OR. A name may do without quotes, and may be an ARN.

Source: PutCompositeAlarm of the CloudWatch API, `AlarmRule`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from worker.alarms.alarm import State
from worker.alarms.placed import PlacedError

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<sign>[()])|\"(?P<quoted>[^\"]*)\"|'(?P<single>[^']*)'|(?P<word>[^\s()\"',]+))"
)
_STATES: Final = frozenset(State)
_DEEPEST: Final = 100


class RuleError(PlacedError):
    """A rule that CloudWatch would refuse."""


@dataclass(frozen=True, slots=True)
class Is:
    """An alarm is in a state."""

    state: State
    alarm: str


@dataclass(frozen=True, slots=True)
class Constant:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    of: "Term"


@dataclass(frozen=True, slots=True)
class Both:
    """AND."""

    left: "Term"
    right: "Term"


@dataclass(frozen=True, slots=True)
class Either:
    """OR."""

    left: "Term"
    right: "Term"


Term = Is | Constant | Not | Both | Either


@dataclass(frozen=True)
class Rule:
    """A rule that was read."""

    text: str
    root: Term

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The alarms that it asks, in the order in which it names them."""
        return tuple(dict.fromkeys(_names(self.root)))

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether it rings, with the state of each alarm by its name."""
        return _holds(self.root, states)


def _names(term: Term) -> Iterator[str]:
    match term:
        case Is():
            yield term.alarm
        case Not():
            yield from _names(term.of)
        case Both() | Either():
            yield from _names(term.left)
            yield from _names(term.right)
        case Constant():
            return


def _holds(term: Term, states: Mapping[str, State]) -> bool:
    match term:
        case Is():
            return states[term.alarm] is term.state
        case Constant():
            return term.value
        case Not():
            return not _holds(term.of, states)
        case Both():
            return _holds(term.left, states) and _holds(term.right, states)
        case Either():
            return _holds(term.left, states) or _holds(term.right, states)


def parse(text: str) -> Rule:
    """Read a rule.

    Raises:
        RuleError: CloudWatch would refuse it.

    >>> parse('ALARM("a") OR NOT OK("b")').names
    ('a', 'b')
    """
    return Rule(text, _Reader(text).whole())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut())
        self._next = 0
        self._deep = 0

    def _cut(self) -> Iterator[tuple[int, str, str]]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                start = at + len(self._text[at:]) - len(self._text[at:].lstrip())
                what = f"{self._text[start]!r} has no meaning in a rule, or a quote has no end"
                raise self._wrong(start + 1, what)
            kind = found.lastgroup or ""
            yield found.start(kind) + 1, kind, found[kind]
            at = found.end()
        yield end + 1, "end", ""

    def _wrong(self, at: int, what: str) -> RuleError:
        return RuleError(self._text, at, what)

    def _taken(self, kind: str, text: str) -> bool:
        """Whether that comes next; then it is taken."""
        _, its, word = self._tokens[self._next]
        found = (its, word) == (kind, text)
        self._next += found
        return found

    def _expect(self, sign: str) -> None:
        at, _, word = self._tokens[self._next]
        if not self._taken("sign", sign):
            found = f"found {word!r}" if word else "the rule ends"
            raise self._wrong(at, f"expected {sign!r}, {found}")

    def whole(self) -> Term:
        term = self._either()
        at, kind, word = self._tokens[self._next]
        if kind != "end":
            raise self._wrong(at, f"{word!r} is not expected here: AND or OR must come before it")
        return term

    def _either(self) -> Term:
        term = self._both()
        while self._taken("word", "OR"):
            term = Either(term, self._both())
        return term

    def _both(self) -> Term:
        term = self._one()
        while self._taken("word", "AND"):
            term = Both(term, self._one())
        return term

    def _one(self) -> Term:
        self._deep += 1
        if self._deep > _DEEPEST:
            raise self._wrong(self._tokens[self._next][0], f"nested more than {_DEEPEST} deep")
        term = self._inner()
        self._deep -= 1
        return term

    def _inner(self) -> Term:
        if self._taken("word", "NOT"):
            return Not(self._one())
        if self._taken("sign", "("):
            term = self._either()
            self._expect(")")
            return term
        for word in ("TRUE", "FALSE"):
            if self._taken("word", word):
                return Constant(word == "TRUE")
        at, kind, word = self._tokens[self._next]
        if kind != "word" or word not in _STATES:
            found = f"found {word!r}" if word else "the rule ends"
            raise self._wrong(
                at, f"expected ALARM(…), OK(…), INSUFFICIENT_DATA(…), TRUE, FALSE or NOT, {found}"
            )
        self._next += 1
        self._expect("(")
        return Is(State(word), self._name())

    def _name(self) -> str:
        at, kind, name = self._tokens[self._next]
        if kind not in ("quoted", "single", "word") or not name:
            raise self._wrong(at, "expected the name of an alarm, in quotes")
        self._next += 1
        self._expect(")")
        return name
