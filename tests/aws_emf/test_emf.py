import json
import subprocess
import sys
from typing import Any

from worker.aws.emf import documents, flusher
from worker.core.measures import Measurement, Metrics, Series
from worker.core.metric import Metric, Way
from worker.core.metrics import CATALOGUE

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


def check_document(document: dict[str, Any]) -> None:
    """What CloudWatch asks of a document ("Specification: Embedded metric format")."""
    meta = document["_aws"]
    assert isinstance(meta["Timestamp"], int)
    (directive,) = meta["CloudWatchMetrics"]
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    assert directive["Dimensions"]
    for names in directive["Dimensions"]:
        assert 0 < len(names) <= 30
        assert all(isinstance(document[name], str) and document[name] for name in names)
    assert 0 < len(directive["Metrics"]) <= 100
    for metric in directive["Metrics"]:
        values = document[metric["Name"]]
        values = values if isinstance(values, list) else [values]
        assert 0 < len(values) <= 100
        assert all(isinstance(value, int | float) for value in values)
    assert len(json.dumps(document)) < 256 * 1024


def test_every_document_is_what_cloudwatch_asks_for() -> None:
    for document in rendered(one_of_each()):
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
from worker.core.measures import Series
from worker.core.metrics import CATALOGUE
sys.addaudithook(refuse)
series = [Series(CATALOGUE["Heartbeat"], (), (1.0,))]
print(len(list(documents(series, 1.0, namespace="T", service="s", worker="w"))))
"""

    ran = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stdout.strip()) == (0, "1"), ran.stderr
