"""What is kept of metrics, and what lines of a log are metrics."""

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.alarms.lines import Read, read, read_own
from worker.alarms.samples import Samples, key
from worker.aws.emf import documents
from worker.core.series import Measurement, Metrics

ONE = key("N", "Latency", [("Target", "t"), ("Service", "s")])


@pytest.mark.parametrize(
    ("statistic", "first", "second"),
    [
        ("Sum", 60, 5),
        ("Average", 15, 5),
        ("Minimum", 5, 5),
        ("Maximum", 25, 5),
        ("SampleCount", 4, 1),
        ("p50", 10, 5),
        ("p75", 20, 5),
        ("p75.1", 25, 5),
        ("p100", 25, 5),
        ("p0", 5, 5),
    ],
)
def test_statistics_are_over_every_value_of_the_period(
    statistic: str, first: float, second: float
) -> None:
    samples = Samples()
    samples.add(ONE, 600, [20, 10, 5])
    samples.add(ONE, 659.9, [25])
    samples.add(ONE, 720, [5])

    assert samples.points(ONE, statistic, 1, 9, 13) == [None, first, None, second, None]


def test_a_longer_period_has_what_its_minutes_have() -> None:
    samples = Samples()
    for minute, value in ((0, 5), (1, 5), (2, 7), (6, 1)):
        samples.add(ONE, minute * 60, [value])

    assert samples.points(ONE, "Sum", 3, 0, 8) == [5, 10, 17, 12, 7, None, 1, 1, 1]
    assert samples.points(ONE, "p50", 3, 1, 4) == [5, 5, 5, 7]
    assert samples.points(ONE, "Sum", 1, 0, 2) == [5, 5, 7]


def test_a_metric_is_exactly_its_dimensions() -> None:
    samples = Samples()
    samples.add(ONE, 0, [1])

    assert key("N", "Latency", [("Service", "s"), ("Target", "t")]) in samples
    for other in (
        key("N", "Latency", [("Service", "s")]),
        key("N", "Latency", [("Service", "s"), ("Target", "u")]),
        key("M", "Latency", [("Service", "s"), ("Target", "t")]),
    ):
        assert other not in samples
        assert samples.points(other, "Sum", 1, 0, 1) == [None, None]


def test_points_that_were_asked_for_do_not_outlive_new_values() -> None:
    samples = Samples()
    samples.add(ONE, 0, [1])
    assert samples.points(ONE, "Sum", 1, 0, 0) == [1]

    samples.add(ONE, 0, [1])

    assert samples.points(ONE, "Sum", 1, 0, 0) == [2]


# --- lines -------------------------------------------------------------------


def from_lines(*lines: bytes) -> Read:
    found = Read()
    read(lines, found)
    return found


def from_own(*lines: bytes) -> Read:
    found = Read()
    read_own(lines, found)
    return found


def test_what_a_worker_writes_is_read_back_whole() -> None:
    metrics = Metrics()
    metrics.add_all(Measurement("ModelLatency", float(n), ("near",)) for n in range(250))
    metrics.add(Measurement("ModelCalls", 250, ("near",)))
    lines = documents(metrics.take(), 120, namespace="N", service="s", worker="w")

    found = from_lines(*(line.encode() for line in lines))

    assert (found.broken, found.documents) == ([], 3)
    for dimensions in ([("Service", "s")], [("Service", "s"), ("Target", "near")]):
        latency, calls = (key("N", name, dimensions) for name in ("ModelLatency", "ModelCalls"))
        assert found.samples.points(latency, "SampleCount", 1, 2, 2) == [250]
        assert found.samples.points(latency, "Maximum", 1, 2, 2) == [249]
        assert found.samples.points(calls, "Sum", 1, 2, 2) == [250]


def test_what_is_no_metric_is_passed_over_and_counted() -> None:
    found = from_lines(b"Traceback", b'{"event":"job.settled","at":1.0}', b"", b"[1]", b"{")

    assert (found.passed_over, found.documents, found.broken) == (5, 0, [])
    assert found.samples.first is None


def document(**change: object) -> bytes:
    made: dict[str, object] = {
        "_aws": {
            "Timestamp": 60_000,
            "CloudWatchMetrics": [
                {"Namespace": "N", "Dimensions": [["Service"]], "Metrics": [{"Name": "Calls"}]}
            ],
        },
        "Service": "s",
        "Calls": 3,
    }
    return orjson.dumps(made | change)


CALLS = key("N", "Calls", [("Service", "s")])


def test_a_line_may_have_a_time_before_it() -> None:
    found = from_lines(b"2026-11-25T22:00:00 " + document())

    assert found.samples.points(CALLS, "Sum", 1, 1, 1) == [3]


def directive(**change: object) -> dict[str, object]:
    one: dict[str, object] = {
        "Namespace": "N",
        "Dimensions": [["Service"]],
        "Metrics": [{"Name": "Calls"}],
    }
    return {"Timestamp": 60_000, "CloudWatchMetrics": [one | change]}


SECRET = "the text of a job"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (document()[:-1], "no whole JSON object"),
        (document() + document(), "no whole JSON object"),
        (b'["_aws"', "no whole JSON object"),
        (b'["_aws"]', "no JSON object"),
        (document(_aws=SECRET), "no list CloudWatchMetrics"),
        (document(_aws={"Timestamp": 1, "CloudWatchMetrics": [1]}), "no list CloudWatchMetrics"),
        (document(_aws={"CloudWatchMetrics": []}), "no Timestamp"),
        (document(_aws=directive() | {"Timestamp": -1}), "no Timestamp"),
        (document(_aws=directive() | {"Timestamp": 1e18}), "no Timestamp"),
        (document(Calls=[1e308, 1.1e308]), "a metric is no member"),
        (document(_aws=directive(Namespace=1)), "needs Namespace"),
        (document(_aws=directive(Dimensions="Service")), "needs Namespace"),
        (document(_aws=directive(Dimensions=["Service"])), "a set of dimensions is a list"),
        (document(_aws=directive(Dimensions=[["Else"]])), "a dimension is no member"),
        (document(_aws=directive(Dimensions=[[1]])), "a dimension is no member"),
        (document(_aws=directive(Metrics=[1])), "has no Name"),
        (document(_aws=directive(Metrics=[{"Name": "Calls"}] * 101)), "more than 100 metrics"),
        (document(_aws=directive(Metrics=[{"Name": "Else"}])), "a metric is no member"),
        (document(Calls=SECRET), "a metric is no member"),
        (document(Calls=True), "a metric is no member"),
        (document(Calls=[1.0] * 101), "more than 100 values"),
        (document(Service=5), "a dimension is no member"),
    ],
)
def test_a_broken_line_is_named_by_number_and_not_by_what_it_says(line: bytes, says: str) -> None:
    found = from_lines(b"text", line)

    ((number, why),) = found.broken
    assert (number, says in why) == (2, True), why
    assert SECRET not in why
    assert found.samples.first is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    where=st.sampled_from(["_aws", "Service", "Calls", "Timestamp", "Namespace", "Dimensions"]),
    junk=JSON,
)
def test_a_document_of_any_shape_is_read_or_named(where: str, junk: object) -> None:
    one = (
        document(**{where: junk})
        if where[0] in "_SC"
        else document(_aws=directive(**{where: junk}))
    )
    if where == "Timestamp":
        one = document(_aws=directive() | {where: junk})

    found = from_lines(one)

    assert found.documents + len(found.broken) == 1


def own(**change: object) -> bytes:
    made: dict[str, object] = {
        "at": 60,
        "namespace": "AWS/SQS",
        "metric": "Age",
        "dimensions": {"QueueName": "jobs"},
        "value": 3,
    }
    return orjson.dumps({name: one for name, one in (made | change).items() if one is not None})


@pytest.mark.parametrize("at", [60, 60.5, "1970-01-01T00:01:00Z", "1970-01-01T01:01:00+01:00"])
def test_metrics_of_aws_are_read_in_a_form_of_our_own(at: object) -> None:
    found = from_own(own(at=at), b"", own(at=at, dimensions=None))

    for by in ([("QueueName", "jobs")], []):
        assert found.samples.points(key("AWS/SQS", "Age", by), "Sum", 1, 1, 1) == [3]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"namespace": None}, "are texts"),
        ({"at": None}, "at is neither"),
        ({"at": "yesterday"}, "at is neither"),
        ({"at": -1}, "at is neither"),
        ({"at": "9999-12-31T23:59:59Z"}, "at is neither"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at is neither"),
        ({"value": -1e200}, "value is no number"),
        ({"value": "3"}, "value is no number"),
        ({"value": None}, "value is no number"),
        ({"namespace": 1}, "are texts"),
        ({"dimensions": [1]}, "are texts"),
        ({"dimensions": {"QueueName": 1}}, "a dimension is no text"),
    ],
)
def test_a_broken_metric_of_aws_is_named(change: dict[str, object], says: str) -> None:
    found = from_own(own(**change))

    ((number, why),) = found.broken
    assert (number, says in why) == (1, True), why


def test_what_is_kept_is_smaller_than_the_log() -> None:
    """A log may be of a gigabyte, and most of it are latencies, each another number."""
    lines = [document(Calls=[n + share / 100 for share in range(100)]) for n in range(500)]
    tracemalloc.start()
    found = from_lines(*lines)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(found.samples) == 1
    assert kept < sum(len(line) for line in lines) * 2


def test_samples_know_from_when_to_when_they_are() -> None:
    samples = from_own(own(at=600), own(at=61), own(at=61, metric="Other")).samples

    assert (samples.first, samples.last, len(samples)) == (1, 10, 2)
