"""What a document of metrics has to be, by the published schema and by somebody else's library.

Two judges that know nothing of our code: the rules of AWS's specification
(`emf.schema.json`), and the metrics of Powertools for AWS Lambda, which are asked to make
the same document and have to come to the same.
"""

import json
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
from aws_lambda_powertools.metrics import EphemeralMetrics

SCHEMA: Final = json.loads((Path(__file__).parent / "emf.schema.json").read_text("utf-8"))
_VALIDATOR: Final = jsonschema_rs.validator_for(SCHEMA)
VALUES_MAX: Final = 100
BYTES_MAX: Final = 256 * 1024
_OWN: Final = frozenset({"_aws", "worker"})  # our one property that is no dimension


def check_line(line: bytes | str) -> dict[str, Any]:
    """One line of a log: one document, and nothing before or after it."""
    size = len(line if isinstance(line, bytes) else line.encode())
    assert size < BYTES_MAX
    document: dict[str, Any] = json.loads(line, parse_constant=_no_number)
    check_document(document)
    return document


def _no_number(name: str) -> float:
    msg = f"{name} is no JSON"
    raise AssertionError(msg)


def check_document(document: dict[str, Any]) -> None:
    """Both judges, and what a schema cannot say of references."""
    _VALIDATOR.validate(document)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        names = [metric["Name"] for metric in directive["Metrics"]]
        keys = {key for keys in directive["Dimensions"] for key in keys}
        assert names
        assert len(set(names)) == len(names)
        assert set(document) == {*names, *keys, *_OWN}
        assert all(isinstance(document[key], str) and document[key].strip() for key in keys)
        for name in names:
            values = document[name] if isinstance(document[name], list) else [document[name]]
            assert 0 < len(values) <= VALUES_MAX
            assert all(type(value) in (int, float) for value in values)
    assert as_powertools_makes_it(document) == _plain(document)


def as_powertools_makes_it(document: dict[str, Any]) -> dict[str, Any]:
    """The same metrics and dimensions, through the checks and the serializer of Powertools."""
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    metrics = EphemeralMetrics(namespace=directive["Namespace"])
    first, *others = directive["Dimensions"]
    for key in first:
        metrics.add_dimension(name=key, value=document[key])
    for keys in others:
        metrics.add_dimensions(**{key: document[key] for key in keys})
    for metric in directive["Metrics"]:
        values = document[metric["Name"]]
        values = values if isinstance(values, list) else [values]
        metrics.add_metric(name=metric["Name"], unit=metric["Unit"], value=values[0])
        # At the hundredth value it would print and forget; all are checked as the first is.
        metrics.metric_set[metric["Name"]]["Value"] += values[1:]
    return _plain(metrics.serialize_metric_set())


def _plain(document: Any) -> dict[str, Any]:
    """What two documents have to share: timestamps and the form of single values aside."""
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    names = [metric["Name"] for metric in directive["Metrics"]]
    return {
        "namespace": directive["Namespace"],
        "sets": directive["Dimensions"],
        "dimensions": {key: document[key] for keys in directive["Dimensions"] for key in keys},
        "metrics": directive["Metrics"],
        "values": {
            name: document[name] if isinstance(document[name], list) else [document[name]]
            for name in names
        },
    }
