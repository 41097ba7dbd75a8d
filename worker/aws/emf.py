"""Metrics as lines of CloudWatch's embedded metric format.

The documents are made by `aws-embedded-metrics`' own context and serializer,
which split them at 100 values per metric and 100 metrics. Nothing else of that
library is used: no environment is probed, no socket opened, and no logger's
timestamp is that of the flush before.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from aws_embedded_metrics.constants import TIMESTAMP
from aws_embedded_metrics.logger.metrics_context import MetricsContext
from aws_embedded_metrics.serializers.log_serializer import LogSerializer

from worker.core.metric import By
from worker.core.series import Series

Write = Callable[[bytes], object]
Flush = Callable[[Sequence[Series], float], None]


def documents(
    series: Iterable[Series], at: float, *, namespace: str, service: str, worker: str
) -> Iterator[str]:
    """The lines of one flush, without line ends.

    Args:
        series: What was measured.
        at: When, seconds since 1970.
        namespace: CloudWatch's namespace.
        service: Value of the dimension `Service`.
        worker: The process, as a property: one can search for it, and no metric is kept by it.
    """
    for (total, by, labels), group in groupby(sorted(series, key=_dimensions), key=_dimensions):
        sets = [{"Service": service}] if total else []
        sets += [{"Service": service, name: label} for name, label in zip(by, labels, strict=True)]
        context = MetricsContext(namespace, properties={"worker": worker})
        context.set_dimensions(sets, use_default=False)
        # Its own `set_timestamp` refuses the virtual time of a simulation.
        context.meta[TIMESTAMP] = round(at * 1000)
        for one in group:
            name, (first, *others) = one.metric.name, one.values
            context.put_metric(name, round(first, 9), one.metric.unit.value)
            # Its checks take longer than the rest of a flush; what they look at is the same.
            context.metrics[name].values += [round(value, 9) for value in others]
        yield from LogSerializer.serialize(context)


def _dimensions(one: Series) -> tuple[bool, tuple[By, ...], tuple[str, ...]]:
    return one.metric.total, one.metric.by, one.labels


def flusher(write: Write, *, namespace: str, service: str, worker: str) -> Flush:
    """What writes one flush, each document with one call of `write`."""

    def flush(series: Sequence[Series], at: float) -> None:
        lines = documents(series, at, namespace=namespace, service=service, worker=worker)
        for line in lines:
            write(line.encode() + b"\n")

    return flush
