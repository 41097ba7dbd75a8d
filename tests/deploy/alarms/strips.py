"""All strips. What one is, is in `strip.py`."""

from typing import Final

from tests.deploy.alarms import strips_circuits, strips_queues, strips_slo, strips_upstream

STRIPS: Final = (
    *strips_upstream.STRIPS,
    *strips_circuits.STRIPS,
    *strips_queues.STRIPS,
    *strips_slo.STRIPS,
)
