"""Which metrics a worker writes: the catalogue of docs/metrics.md, as `catalogue.json` has it.

That file is written by `python -m worker.cli.docs docs`. Whoever draws a metric or alarms on one
asks here first, so what is not written cannot be drawn: the synthesis fails.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any


class UnknownMetricError(LookupError):
    """A metric that no worker writes, or not under these dimensions."""


@cache
def _rows() -> dict[str, Any]:
    rows: dict[str, Any] = json.loads(
        files("inference_worker_cdk").joinpath("catalogue.json").read_text(encoding="utf-8")
    )
    return rows


def written(metric: str, *by: str, core: bool = False) -> str:
    """The metric's name, if workers write it under `Service` and the dimensions `by`.

    Args:
        metric: Its name.
        by: Dimensions beside `Service`.
        core: Whether the profile `core` must have it, too.

    Raises:
        UnknownMetricError: They do not.

    >>> written("ModelCalls", "Target")
    'ModelCalls'
    >>> written("InFlight", core=True)
    Traceback (most recent call last):
    inference_worker_cdk.catalogue.UnknownMetricError: InFlight by [Service] is not in ...
    """
    sets = _rows().get(metric, {}).get("core" if core else "full", [])
    if ["Service", *by] not in sets:
        profile = "the profile `core`" if core else "the catalogue"
        names = ", ".join(("Service", *by))
        msg = f"{metric} by [{names}] is not in {profile}: see docs/metrics.md"
        raise UnknownMetricError(msg)
    return metric
