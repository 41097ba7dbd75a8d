import json
import subprocess
import sys
from collections import Counter
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.aws_emf.documents import check_document, check_line
from worker.aws.emf import documents, flusher
from worker.core.metric import Metric, Profile, Way
from worker.core.metrics import CATALOGUE
from worker.core.series import Measurement, Metrics, Series

AT = 1_767_225_600.123


def rendered(series: tuple[Series, ...]) -> list[dict[str, Any]]:
    lines = documents(series, AT, namespace="Test", service="chat", worker="w-1")
    return [json.loads(line) for line in lines]


def labels_of(metric: Metric) -> tuple[str, ...]:
    return tuple(f"a-{by}" for by in metric.by)


def one_of_each() -> tuple[Series, ...]:
    metrics = Metrics()
    for metric in CATALOGUE.values():
        metrics.add(Measurement(metric.name, 1.5, labels_of(metric)))
    return metrics.take()


def test_every_document_is_what_cloudwatch_asks_for() -> None:
    for document in rendered(one_of_each()):
        check_document(document)


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=32)
# Whatever is measured fits: 1e12 is 30,000 years in milliseconds.
VALUE = st.floats(-1e12, 1e12) | st.integers(0, 10**12)


@st.composite
def series_of_a_flush(draw: st.DrawFn) -> tuple[Series, ...]:
    """What one flush may have to write: any rows, in one profile, with labels and values."""
    profile = draw(st.sampled_from(Profile))
    metrics = Metrics(profile)
    for name in draw(st.lists(st.sampled_from(sorted(CATALOGUE)), max_size=40)):
        row = CATALOGUE[name]
        labels = draw(st.tuples(*(LABEL for _ in row.by)))
        several = st.lists(VALUE, min_size=1, max_size=4)
        for value in draw(several) * draw(st.sampled_from((1, 1, 1, 49, 50))):
            metrics.add(Measurement(name, value, labels))
    return metrics.take()


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(series_of_a_flush(), st.floats(0, 4e9))
def test_whatever_is_flushed_is_what_cloudwatch_asks_for_and_nothing_is_lost(
    series: tuple[Series, ...], at: float
) -> None:
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for line in documents(series, at, namespace="Test", service="chat", worker="w-1"):
        assert "\n" not in line
        document = check_line(line)
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            row = CATALOGUE[metric["Name"]]
            assert metric["Unit"] == row.unit.value
            assert set(map(tuple, directive["Dimensions"])) <= set(row.dimensions)
            values = document[metric["Name"]]
            by = [keys[1] for keys in directive["Dimensions"] if len(keys) > 1]
            labels = tuple(document[key] for key in by)
            found[metric["Name"], labels] += len(values) if isinstance(values, list) else 1

    assert found == {(one.metric.name, one.labels): len(one.values) for one in series}


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": "Parsecs"},
        {"values": [1.0] * 101},
        {"values": []},
        {"values": [True]},
        {"values": "1"},
        {"name": ""},
        {"namespace": ""},
        {"sets": []},
        {"sets": [["Service", *(f"d-{n}" for n in range(30))]]},
        {"sets": [["Nobody"]]},
        {"label": ""},
        {"more": {"Odd": 1}},
    ],
    ids=str,
)
def test_the_judges_refuse_what_cloudwatch_would(wrong: dict[str, Any]) -> None:
    name, more = wrong.get("name", "Calls"), wrong.get("more", {})
    document = {
        "_aws": {
            "Timestamp": 1,
            "CloudWatchMetrics": [
                {
                    "Namespace": wrong.get("namespace", "Test"),
                    "Dimensions": wrong.get("sets", [["Service"]]),
                    "Metrics": [{"Name": name, "Unit": wrong.get("unit", "Count")}],
                    **more,
                }
            ],
        },
        "Service": wrong.get("label", "chat"),
        "worker": "w-1",
        name: wrong.get("values", 1),
        **{f"d-{n}": "x" for n in range(30) if "sets" in wrong and len(wrong["sets"]) == 1},
    }

    with pytest.raises((AssertionError, KeyError, jsonschema_rs.ValidationError)):
        check_document(document)


def test_every_metric_of_the_catalogue_is_emitted_as_the_catalogue_says() -> None:
    told: dict[str, Any] = {}
    for document in rendered(one_of_each()):
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        sets = tuple(tuple(names) for names in directive["Dimensions"])
        told |= {metric["Name"]: (metric["Unit"], sets) for metric in directive["Metrics"]}

    assert told == {m.name: (m.unit.value, m.dimensions) for m in CATALOGUE.values()}


def test_more_than_100_values_are_split_and_none_is_lost() -> None:
    values = tuple(float(n) for n in range(250))
    series = tuple(
        Series(metric, labels_of(metric), values)
        for metric in CATALOGUE.values()
        if metric.way is Way.EACH
    )

    documents_ = rendered(series)

    for document in documents_:
        check_document(document)
    parts = [document.get("ModelLatency", []) for document in documents_]
    assert [value for part in parts for value in part] == list(values)


def test_the_timestamp_is_that_of_the_flush_and_not_of_the_one_before() -> None:
    assert {d["_aws"]["Timestamp"] for d in rendered(one_of_each())} == {1_767_225_600_123}


def test_the_worker_is_a_property_and_never_a_dimension() -> None:
    for document in rendered(one_of_each()):
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        assert document["worker"] == "w-1"
        assert all("worker" not in names for names in directive["Dimensions"])


def test_each_document_is_one_write_of_one_line() -> None:
    written: list[bytes] = []
    flush = flusher(written.append, namespace="Test", service="chat", worker="w-1")

    flush(one_of_each(), AT)

    assert len(written) > 1
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in written)


def test_nothing_measured_is_nothing_written() -> None:
    assert rendered(()) == []


def test_rendering_probes_no_environment_and_opens_no_socket() -> None:
    program = """
import sys

def refuse(event, args):
    if event.startswith("socket."):
        raise SystemExit(f"opened a socket: {event}")

from worker.aws.emf import documents
from worker.core.series import Series
from worker.core.metrics import CATALOGUE
sys.addaudithook(refuse)
series = [Series(CATALOGUE["Heartbeat"], (), (1.0,))]
print(len(list(documents(series, 1.0, namespace="T", service="s", worker="w"))))
"""

    ran = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stdout.strip()) == (0, "1"), ran.stderr
