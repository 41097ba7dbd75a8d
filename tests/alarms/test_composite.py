"""Composite alarms: their rules, and when they may tell."""

import itertools

import pytest

from worker.alarms.alarm import State
from worker.alarms.composite import told
from worker.alarms.rule import RuleError, parse

OK, RINGS, LACKS = State.OK, State.ALARM, State.INSUFFICIENT_DATA
A = 'ALARM("a")'
B = 'ALARM("b")'
C = 'ALARM("c")'


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (A, lambda a, b, c: a),  # noqa: ARG005
        (f"NOT {A}", lambda a, b, c: not a),  # noqa: ARG005
        (f"{A} AND {B}", lambda a, b, c: a and b),  # noqa: ARG005
        (f"{A} OR {B} AND {C}", lambda a, b, c: a or (b and c)),
        (f"({A} OR {B}) AND {C}", lambda a, b, c: (a or b) and c),
        (f"NOT {A} AND {B}", lambda a, b, c: (not a) and b),  # noqa: ARG005
        (f"NOT ({A} AND {B})", lambda a, b, c: not (a and b)),  # noqa: ARG005
        (f"{A} AND OK('b') OR FALSE", lambda a, b, c: a and not b),  # noqa: ARG005
        (f"TRUE AND NOT NOT {C}", lambda a, b, c: c),  # noqa: ARG005
        ("ALARM(a)OR(ALARM(b))", lambda a, b, c: a or b),  # noqa: ARG005
    ],
)
def test_a_rule_holds_as_it_reads(text: str, holds: object) -> None:
    rule = parse(text)

    for a, b, c in itertools.product((False, True), repeat=3):
        states = {"a": RINGS if a else OK, "b": RINGS if b else OK, "c": RINGS if c else OK}
        assert rule.holds(states) == holds(a, b, c), (a, b, c)  # type: ignore[operator]


def test_a_rule_can_ask_for_lack_of_data() -> None:
    rule = parse('INSUFFICIENT_DATA("a") OR ALARM("arn:aws:cloudwatch:r:1:alarm:b")')

    assert rule.names == ("a", "arn:aws:cloudwatch:r:1:alarm:b")
    assert rule.holds({"a": LACKS, "arn:aws:cloudwatch:r:1:alarm:b": OK})
    assert not rule.holds({"a": OK, "arn:aws:cloudwatch:r:1:alarm:b": OK})


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 1, "the rule ends"),
        (f"{A} AND", 15, "the rule ends"),
        (f"{A} {B}", 12, "AND or OR must come before"),
        (f"({A}", 12, "expected ')', the rule ends"),
        (f"{A})", 11, "is not expected"),
        ("ALARM", 6, "expected '('"),
        ("ALARM()", 7, "the name of an alarm"),
        ('ALARM("")', 8, "the name of an alarm"),
        ('ALARM("a"', 10, "expected ')'"),
        ('ALARM("a', 7, "a quote has no end"),
        ('ALARM("a", "b")', 10, "has no meaning"),
        ('alarm("a")', 1, "expected ALARM"),
        (f"{A} and {B}", 12, "is not expected"),
        (f"{A} XOR {B}", 12, "is not expected"),
        ("a OR b", 1, "expected ALARM"),
        (f"NOT AND {A}", 5, "expected ALARM"),
        ("NOT " * 101 + A, 401, "nested"),
    ],
)
def test_a_rule_that_cloudwatch_would_refuse_is_refused(text: str, at: int, says: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse(text)

    assert (refused.value.at, says in str(refused.value)) == (at, True), refused.value


def test_a_rule_names_whom_it_asks_once() -> None:
    rule = parse(f"NOT ({B} OR {A}) AND TRUE OR {A}")

    assert rule.names == ("b", "a")


def drawn(text: str) -> list[State]:
    return [{"X": RINGS, "0": OK, "-": LACKS}[one] for one in text.split()]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("- 0 0 X X 0 0", [(3, RINGS), (5, OK)]),
        ("X X 0", [(0, RINGS), (2, OK)]),
        ("0 X - X", [(1, RINGS), (2, LACKS), (3, RINGS)]),
        ("- - 0 - 0", []),
    ],
)
def test_changes_are_told_once(states: str, expected: list[tuple[int, State]]) -> None:
    assert told(drawn(states)) == expected


@pytest.mark.parametrize(
    ("states", "suppressor", "wait_s", "extension_s", "expected"),
    [
        # It waits for the suppressor, which comes in time, and both end together.
        ("0 X X X X 0", "0 0 X X X 0", 120, 0, []),
        # It comes too late.
        ("0 X X X X 0", "0 0 0 0 X X", 120, 0, [(3, RINGS)]),
        # Nobody comes: told when the wait is over.
        ("0 X X X X 0", "0 0 0 0 0 0", 120, 0, [(3, RINGS), (5, OK)]),
        ("0 X X X X 0", "0 0 0 0 0 0", 61, 0, [(3, RINGS), (5, OK)]),
        ("0 X X X X 0", "0 0 0 0 0 0", 0, 0, [(1, RINGS), (5, OK)]),
        # Over before the wait is.
        ("0 X X 0 0 0", "0 0 0 0 0 0", 180, 0, []),
        # The composite rings longer than the suppressor: told, unless it ends in the extension.
        ("0 X X X X X", "0 X X 0 0 0", 0, 0, [(3, RINGS)]),
        ("0 X X X X X", "0 X X 0 0 0", 0, 60, [(4, RINGS)]),
        ("0 X X X 0 0", "0 X X 0 0 0", 0, 60, []),
        # An end is told late, if the suppressor rings when it comes.
        ("0 X X 0 0 0", "0 0 X X X 0", 0, 0, [(1, RINGS), (5, OK)]),
    ],
)
def test_a_suppressor_keeps_a_composite_from_telling(
    states: str,
    suppressor: str,
    wait_s: int,
    extension_s: int,
    expected: list[tuple[int, State]],
) -> None:
    found = told(
        drawn(states), suppressor=drawn(suppressor), wait_s=wait_s, extension_s=extension_s
    )

    assert found == expected
