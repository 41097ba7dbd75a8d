"""What is measured: one catalogue.

`CATALOGUE` is the whole list: `docs/metrics.md`, dashboard and alarms are drawn
from it, and nothing is emitted that is not in it. Its rows are in the files
`metrics_….py`, by subject; what a row is, in `metric.py`; how events become numbers,
in `measures.py`.

Values of dimensions come from our own enums and from the configuration, never from
a job: a name that is not configured is told as `other`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from worker.core import (
    metrics_breakers,
    metrics_calls,
    metrics_handlers,
    metrics_jobs,
    metrics_process,
)
from worker.core.metric import Metric

CATALOGUE: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        metric.name: metric
        for subject in (
            metrics_process,
            metrics_jobs,
            metrics_calls,
            metrics_breakers,
            metrics_handlers,
        )
        for metric in subject.ROWS
    }
)
