"""Metric math, by the examples of CloudWatch's documentation and by what it must refuse."""

import pytest

from worker.alarms.metric_math import MathError, evaluate, parse

O = None  # noqa: E741  (a hole, narrow as one)


@pytest.mark.parametrize(
    ("text", "comes_to"),
    [
        # "Comparison and logical operators", its table.
        ("m1 < m2", [0, 0, 1, 0]),
        ("m1 >= 30", [1, 0, 0, 0]),
        ("m1 > 15 AND m2 > 15", [1, 0, 0, 0]),
        ("m1 > 15 && m2 > 15", [1, 0, 0, 0]),
        ("m1 > 15 OR m2 > 15", [1, 1, 1, 0]),
        ("m1 > 15 || m2 > 15", [1, 1, 1, 0]),
        ("m2 == 20", [1, O, 1, O]),
        ("m2 != 20", [0, O, 0, O]),
        ("m1 <= 20", [0, 1, 1, 1]),
        # "Basic arithmetic functions": what is missing is 0, what is divided by 0 is dropped.
        ("m1 + m2", [50, 20, 20, 0]),
        ("m1 - m2", [10, 20, -20, 0]),
        ("m1 / m2", [1.5, O, 0, O]),
        ("m2 / m1", [20 / 30, 0, O, O]),
        ("100 / m2", [5, O, 5, O]),
        ("m2 * 2", [40, O, 40, O]),
        ("-m2", [-20, O, -20, O]),
        ("5 - -m2", [25, O, 25, O]),
        ("m2 ^ 2", [400, O, 400, O]),
        ("m1 ^ -1", [30**-1, 20**-1, O, O]),
        ("none + none", [O, O, O, O]),
        # What binds more.
        ("1 + 2 * m2 ^ 2 / 4 - 1", [200, O, 200, O]),
        ("(1 + 2) * m2", [60, O, 60, O]),
        ("10 - 4 - m2", [-14, O, -14, O]),
        ("m1 + 1 > 20 AND m1 < 25 OR m1 == 30", [1, 1, 0, 0]),
        ("1.5e1 + .5 + m2", [35.5, O, 35.5, O]),
        # FILL.
        ("FILL(m2, 7)", [20, 7, 20, 7]),
        ("FILL(m2, m1)", [20, 20, 20, 0]),
        ("FILL(m2, REPEAT)", [20, 20, 20, 20]),
        ("FILL(m2 + 0, LINEAR)", [20, 20, 20, O]),
        ("FILL(late, REPEAT)", [O, 1, 1, 4]),
        ("FILL(late, LINEAR)", [O, 1, 2.5, 4]),
        ("SUM(FILL([m2, late], 0))", [20, 1, 20, 4]),
        ("FILL(none, 3)", [3, 3, 3, 3]),
        # Arrays.
        ("SUM([m1, m2])", [50, 20, 20, 0]),
        ("MAX([m1, m2, none])", [30, 20, 20, 0]),
        ("MIN([m1, m2])", [20, 20, 0, 0]),
        ("AVG([m1, m2])", [25, 10, 10, 0]),
        ("SUM([m2, none] * 2)", [40, O, 40, O]),
        ("SUM(2 * [m2, late])", [40, 2, 40, 8]),
        ("MAX([late, METRICS()])", [30, 20, 20, 4]),
        ('SUM(METRICS("m"))', [50, 20, 20, 0]),
        ("TIME_SERIES(4 / 2)", [2, 2, 2, 2]),
    ],
)
def test_an_expression_comes_to_what_the_documentation_says(
    text: str, comes_to: list[float]
) -> None:
    given: dict[str, list[float | None]] = {
        "m1": [30, 20, 0, 0],
        "m2": [20, O, 20, O],
        "none": [O] * 4,
        "late": [O, 1, O, 4],
    }

    found = evaluate(parse(text), given)

    assert found == pytest.approx(comes_to)


@pytest.mark.parametrize(
    ("text", "comes_to"),
    [
        # "Using IF expressions", its tables.
        ("IF(m1, m2, m3)", [30, 0, 20, O, O]),
        ("IF(m1, 5, m3)", [5, 5, 20, O, O]),
        ("IF(m1, m2, 5)", [30, 0, 5, 5, O]),
        ("IF(m1, m2)", [30, 0, O, O, O]),
        ("IF(m1, 10, 2)", [10, 10, 2, 2, O]),
        ("IF(-m1, 10, 2)", [10, 10, 2, 2, O]),
        ("IF(1, m2, m3)", [30, O, 0, 0, 30]),
        ("IF(0, m2, m3)", [0, 0, 20, O, 20]),
        ("IF(0, m2)", [O, O, O, O, O]),
        ("IF(m3 < 10, m3)", [0, 0, O, O, O]),
        ("IF(m3 < 10, m3, m2) + 1", [1, 1, 1, O, 31]),
    ],
)
def test_if_comes_to_what_its_tables_say(text: str, comes_to: list[float]) -> None:
    given: dict[str, list[float | None]] = {
        "m1": [1, 1, 0, 0, O],
        "m2": [30, O, 0, 0, 30],
        "m3": [0, 0, 20, O, 20],
    }

    assert evaluate(parse(text), given) == comes_to


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 1, "the expression ends"),
        ("m1 +", 5, "the expression ends"),
        ("(m1", 4, "expected ')', the expression ends"),
        ("m1)", 3, "')' is not expected"),
        ("m1 m2", 4, "'m2' is not expected"),
        ("m1 % 2", 4, "'%' has no meaning"),
        ("m1 = 2", 4, "'=' has no meaning"),
        ("IF(m1, 2", 9, "expected ')'"),
        ("IF(m1, , 2)", 8, "found ','"),
        ("IF(m1)", 1, "IF takes 2 to 3 arguments, not 1"),
        ("FILL(m1)", 1, "FILL takes 2 arguments, not 1"),
        ("fill(m1, 0)", 1, "written in capitals: FILL"),
        ("NOPE(m1)", 1, "CloudWatch has no function NOPE"),
        ("m1 + RATE(m1)", 6, "not evaluated here"),
        ("ANOMALY_DETECTION_BAND(m1, 2)", 1, "not evaluated here"),
        ("FILL", 1, "begin with a small letter"),
        ("m1 + REPEAT", 6, "no value of its own"),
        ("m1 + 'm2'", 6, "no value of its own"),
        ("m1 + m9", 6, "no metric has the id m9; there are: m1, m2"),
        ("SUM(m1)", 1, "one number over all points"),
        ("2 + 3", 1, "comes to a number"),
        ("[m1, m2]", 1, "comes to 2 series"),
        ("[m1, m2] * [m1]", 10, "two arrays"),
        ("SUM([m1, 2])", 10, "this is a number"),
        ("SUM([])", 5, "an array of nothing"),
        ("IF([m1], 1, 0)", 1, "numbers and single series"),
        ("IF(1, 2, 3)", 1, "gives a series"),
        ("FILL(1, 2)", 1, "a number has no gaps"),
        ("FILL(m1, [m1, m2])", 1, "numbers and single series"),
        ("FILL(m1, 'REPEAT')", 10, "without quotes"),
        ("m1 + 1 / 0", 8, "no result"),
        ("TIME_SERIES(m1)", 1, "takes a number"),
        ("SUM(METRICS(REPEAT))", 13, "a part of an id"),
        ("SUM(METRICS(m1))", 13, "a part of an id"),
        ("SUM(METRICS('x'))", 5, "no metric has 'x'"),
        ("(" * 101 + "m1" + ")" * 101, 101, "nested"),
        ("-" * 101 + "m1", 101, "nested"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_its_place(text: str, at: int, says: str) -> None:
    with pytest.raises(MathError) as refused:
        evaluate(parse(text), {"m1": [1.0], "m2": [2.0]})

    assert (refused.value.at, says in str(refused.value)) == (at, True), refused.value


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="all of one length"):
        evaluate(parse("a + b"), {"a": [1.0], "b": [1.0, 2.0]})


def test_metrics_leaves_expressions_out() -> None:
    given = {"a": [1.0], "b": [2.0], "e": [100.0]}

    assert evaluate(parse("SUM(METRICS())"), given, metrics=("a", "b")) == [3.0]


def test_an_expression_tells_what_it_reads() -> None:
    found = parse("IF(FILL(c, REPEAT) + u >= 20, -[e, u] * 2, 0)")

    assert found.names == {"c", "u", "e"}
