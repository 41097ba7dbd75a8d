"""Lines of a log as samples, as CloudWatch makes metrics of them.

Two forms, one JSON object a line:

- Embedded metric format, as workers write it to stdout. What else a log has (events, text) is
  passed over and counted. A line may have something before its object, as `aws logs tail` has.
- Metrics of AWS's own (queues, tasks, logs), which no worker writes, in a form of our own:

      {"at": 1795421580, "namespace": "AWS/SQS", "metric": "ApproximateNumberOfMessagesVisible",
       "dimensions": {"QueueName": "inference-jobs"}, "value": 3}

  `at` is in seconds since 1970, or a time as `2026-11-25T22:00:00Z`. Every line must be one.

A line that should be a metric and is none is told by its number, and never by what it says.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

import orjson

from worker.alarms.samples import Samples, key

_MS: Final = 1000
_VALUES_MOST: Final = 100
_METRICS_MOST: Final = 100
_DIMENSIONS_MOST: Final = 30
_VALUE_MOST: Final = 2.0**360  # as CloudWatch takes it; with more a sum might have no end
_END_S: Final = 253_370_764_800  # the year 9999: what is later is no time, but a mistake


@dataclass(slots=True)
class Read:
    """What came of some lines.

    Attributes:
        samples: The metrics.
        documents: Lines that held metrics.
        passed_over: Lines that never meant to.
        broken: Lines that meant to, by number from 1, and why they do not.
    """

    samples: Samples = field(default_factory=Samples)
    documents: int = 0
    passed_over: int = 0
    broken: list[tuple[int, str]] = field(default_factory=list)


class _BrokenError(Exception):
    """A line that is no metric; it says why, without a word of the line."""


def read(lines: Iterable[bytes], into: Read) -> None:
    """Read lines of a log: embedded metrics, and what else it has."""
    for number, line in enumerate(lines, 1):
        if b'"_aws"' not in line:
            into.passed_over += 1
            continue
        try:
            _embedded(_document(line), into.samples)
            into.documents += 1
        except _BrokenError as broken:
            into.broken.append((number, str(broken)))


def read_own(lines: Iterable[bytes], into: Read) -> None:
    """Read metrics of AWS's own, in the form that the module describes."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            into.passed_over += 1
            continue
        try:
            _own(_document(line), into.samples)
            into.documents += 1
        except _BrokenError as broken:
            into.broken.append((number, str(broken)))


def _document(line: bytes) -> Mapping[str, Any]:
    """The object in a line."""
    try:
        document = orjson.loads(line[max(0, line.find(b"{")) :])
    except orjson.JSONDecodeError:
        msg = "no whole JSON object: cut off, or two lines in one"
        raise _BrokenError(msg) from None
    if not isinstance(document, dict):
        msg = "no JSON object"
        raise _BrokenError(msg)
    return document


# --- the embedded metric format ----------------------------------------------


def _embedded(document: Mapping[str, Any], samples: Samples) -> None:
    head = document.get("_aws")
    if not isinstance(head, dict):
        head = {}
    directives = head.get("CloudWatchMetrics")
    if not isinstance(directives, list) or not all(isinstance(one, dict) for one in directives):
        msg = "_aws has no list CloudWatchMetrics of objects"
        raise _BrokenError(msg)
    at = head.get("Timestamp")
    if not _is_number(at) or not 0 <= at / _MS < _END_S:
        msg = "_aws has no Timestamp in milliseconds since 1970"
        raise _BrokenError(msg)
    found = [one for directive in directives for one in _directive(document, directive)]
    for namespace, metric, dimensions, values in found:
        samples.add(key(namespace, metric, dimensions), at / _MS, values)


def _directive(
    document: Mapping[str, Any], directive: Mapping[str, Any]
) -> Iterable[tuple[str, str, list[tuple[str, str]], list[float]]]:
    namespace, sets, metrics = (
        directive.get(name) for name in ("Namespace", "Dimensions", "Metrics")
    )
    if (
        not isinstance(namespace, str)
        or not isinstance(sets, list)
        or not isinstance(metrics, list)
    ):
        msg = "a directive needs Namespace, Dimensions and Metrics"
        raise _BrokenError(msg)
    if len(metrics) > _METRICS_MOST:
        msg = f"more than {_METRICS_MOST} metrics in one directive"
        raise _BrokenError(msg)
    by = [_dimensions(document, one) for one in sets]
    for metric in metrics:
        name = metric.get("Name") if isinstance(metric, dict) else None
        if not isinstance(name, str):
            msg = "a metric has no Name"
            raise _BrokenError(msg)
        values = _values(document.get(name))
        yield from ((namespace, name, dimensions, values) for dimensions in by)


def _dimensions(document: Mapping[str, Any], names: Any) -> list[tuple[str, str]]:
    if not isinstance(names, list) or len(names) > _DIMENSIONS_MOST:
        msg = f"a set of dimensions is a list of at most {_DIMENSIONS_MOST} names"
        raise _BrokenError(msg)
    found = [(name, document.get(name)) for name in names if isinstance(name, str)]
    if len(found) < len(names) or not all(isinstance(value, str) for _, value in found):
        msg = "a dimension is no member of the object, or no text"
        raise _BrokenError(msg)
    return [(name, str(value)) for name, value in found]


def _values(value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    if len(values) > _VALUES_MOST:
        msg = f"more than {_VALUES_MOST} values of one metric"
        raise _BrokenError(msg)
    if not all(_is_number(one) for one in values):
        msg = "a metric is no member of the object, or no number"
        raise _BrokenError(msg)
    return [float(one) for one in values]


def _is_number(value: Any) -> TypeGuard[float]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= _VALUE_MOST


# --- AWS's own metrics -------------------------------------------------------


def _own(document: Mapping[str, Any], samples: Samples) -> None:
    names = [document.get(name) for name in ("namespace", "metric")]
    dimensions = document.get("dimensions", {})
    if not all(isinstance(one, str) for one in names) or not isinstance(dimensions, dict):
        msg = "namespace and metric are texts, dimensions an object"
        raise _BrokenError(msg)
    if not all(isinstance(one, str) for one in dimensions.values()):
        msg = "a dimension is no text"
        raise _BrokenError(msg)
    value = document.get("value")
    if not _is_number(value):
        msg = "value is no number"
        raise _BrokenError(msg)
    namespace, metric = (str(one) for one in names)
    at = _instant(document.get("at"))
    samples.add(key(namespace, metric, dimensions.items()), at, [float(value)])


def _instant(value: Any) -> float:
    msg = "at is neither seconds since 1970 nor a time as 2026-11-25T22:00:00Z"
    if _is_number(value):
        at = float(value)
    else:
        try:
            told = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise _BrokenError(msg) from None
        at = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    if not 0 <= at < _END_S:
        raise _BrokenError(msg)
    return at
