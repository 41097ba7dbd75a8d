"""States of an alarm, by the tables of CloudWatch's documentation."""

from collections.abc import Sequence

import pytest

from worker.alarms.alarm import Alarm, Computed, Measured, Missing, State
from worker.alarms.metric_math import parse
from worker.alarms.samples import Samples, key

CALLS = key("N", "Calls", [("Service", "s")])
KEEPS = State.ALARM  # what it is before, so that "retain current state" can be told from all else
LACKS = State.INSUFFICIENT_DATA
OK, RINGS = State.OK, State.ALARM


def alarm(n: int, m: int, missing: Missing = Missing.MISSING, period_s: int = 60) -> Alarm:
    return Alarm(
        id="A",
        name="a",
        reads=(Measured("m", CALLS, "Sum"),),
        watches="m",
        period_s=period_s,
        comparison="GreaterThanThreshold",
        threshold=10,
        periods=n,
        to_alarm=m,
        missing=missing,
    )


def points(drawn: str) -> list[float | None]:
    """`X` breaches, `0` does not, `-` is missing."""
    return [{"X": 20.0, "0": 0.0, "-": None}[one] for one in drawn.split()]


def last(drawn: str, one: Alarm) -> State:
    """The state after those points, of an alarm that rang for so long as it takes to forget it."""
    before = "X X X X X " if one.missing is Missing.IGNORE else ""
    # With `ignore` the run-up is out of sight before the points that count begin.
    return one.states(points(before + drawn), further=2)[-1]


# "How alarm state is evaluated when data is missing": Datapoints to Alarm 3 of 3, and 2 of 3.
TABLE = [
    # drawn, M, missing, ignore, breaching, notBreaching
    ("0 - X - X", 3, OK, OK, OK, OK),
    ("0 - - - -", 3, OK, OK, OK, OK),
    ("- - - - 0", 3, OK, OK, OK, OK),
    ("- - - - -", 3, LACKS, KEEPS, RINGS, OK),
    ("0 X X - X", 3, RINGS, RINGS, RINGS, RINGS),
    ("- - - - X", 3, LACKS, KEEPS, RINGS, OK),
    ("X - - - -", 3, RINGS, KEEPS, RINGS, OK),
    ("- - X - -", 3, RINGS, KEEPS, RINGS, OK),
    ("0 - X - X", 2, RINGS, RINGS, RINGS, RINGS),
    ("0 0 X 0 X", 2, RINGS, RINGS, RINGS, RINGS),
    ("0 - X - -", 2, OK, OK, RINGS, OK),
    ("- - - - 0", 2, OK, OK, RINGS, OK),
    ("- - - - X", 2, LACKS, KEEPS, RINGS, OK),
    ("- - - X -", 2, RINGS, KEEPS, RINGS, OK),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[1]} of 3: {row[0]}")
@pytest.mark.parametrize(
    ("column", "missing"),
    [
        (2, Missing.MISSING),
        (3, Missing.IGNORE),
        (4, Missing.BREACHING),
        (5, Missing.NOT_BREACHING),
    ],
)
def test_missing_points_are_treated_as_in_the_documentation(
    row: tuple[str, int, State, State, State, State], column: int, missing: Missing
) -> None:
    drawn, m = row[:2]

    assert last(drawn, alarm(3, m, missing)) == row[column]


def test_an_alarm_that_keeps_its_state_keeps_any() -> None:
    ignores = alarm(2, 2, Missing.IGNORE)

    assert set(ignores.states(points("- - -"))) == {LACKS}
    assert ignores.states(points("0 - - - - -"))[-1] is OK
    assert ignores.states(points("X X - - - - -"))[-1] is RINGS


def test_what_was_before_the_first_point_is_not_missing() -> None:
    silent = alarm(3, 3, Missing.BREACHING)

    assert silent.states(points("- - - -")) == [OK, OK, RINGS, RINGS]
    assert silent.states(points("X X X")) == [OK, OK, RINGS]


def test_m_of_n_rings_at_the_mth_breach_and_clears_when_it_slides_out() -> None:
    shares = alarm(5, 3)

    found = shares.states(points("0 0 0 0 0 X X X 0 0 0 0 0"))

    assert [n for n, state in enumerate(found) if state is RINGS] == [7, 8, 9]


@pytest.mark.parametrize(
    ("comparison", "at_threshold", "above"),
    [
        ("GreaterThanThreshold", OK, RINGS),
        ("GreaterThanOrEqualToThreshold", RINGS, RINGS),
        ("LessThanThreshold", OK, OK),
        ("LessThanOrEqualToThreshold", RINGS, OK),
    ],
)
def test_a_point_at_the_threshold(comparison: str, at_threshold: State, above: State) -> None:
    one = Alarm(
        id="A",
        name="a",
        reads=(Measured("m", CALLS, "Sum"),),
        watches="m",
        period_s=60,
        comparison=comparison,
        threshold=10,
        periods=1,
        to_alarm=1,
        missing=Missing.MISSING,
    )

    assert one.states([10.0, 11.0]) == [at_threshold, above]


def measured(minutes: Sequence[float | None], metric: str = "Calls") -> Samples:
    found = Samples()
    found.add(key("N", "Other", []), 0, [1])
    for minute, value in enumerate(minutes):
        if value is not None:
            found.add(key("N", metric, [("Service", "s")]), minute * 60 + 30, [value])
    return found


def test_a_longer_period_slides_by_the_minute() -> None:
    five = alarm(1, 1, period_s=300)
    samples = measured([0, 0, 6, 6, 0, 0, 0, 0, 0])

    watched = five.points(samples, 0, 8)

    assert watched == [0, 0, 6, 12, 12, 12, 12, 6, 0]
    assert [n for n, one in enumerate(five.states(watched)) if one is RINGS] == [3, 4, 5, 6]


def test_two_longer_periods_lie_side_by_side() -> None:
    two_of_two = alarm(2, 2, period_s=120)
    samples = measured([11, 0, 0, 11, 0, 0, 0])

    found = two_of_two.states(two_of_two.points(samples, 0, 6))

    # At minute 3 the two periods are minutes 2-3 and 0-1, and both breach; at 4 they are 3-4, 1-2.
    assert [n for n, one in enumerate(found) if one is RINGS] == [3]


def test_what_repeats_repeats_the_period_before() -> None:
    repeats = Alarm(
        id="A",
        name="a",
        reads=(Measured("m", CALLS, "Sum"), Computed("e", parse("FILL(m, REPEAT)"))),
        watches="e",
        period_s=120,
        comparison="GreaterThanThreshold",
        threshold=10,
        periods=1,
        to_alarm=1,
        missing=Missing.MISSING,
    )

    assert repeats.points(measured([1, None, None, None, 8]), 0, 5) == [1, 1, 1, 1, 8, 8]
