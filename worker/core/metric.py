"""What a metric is: a row of the catalogue in `metrics.py`.

A metric is told for the whole fleet (`[Service]`), by one more dimension
(`[Service, Target]`), or both, and maybe by another (`[Service, Route]`): CloudWatch
adds nothing up by itself. Two dimensions beside `Service` in one set there are not:
they would be paid for by pair.
"""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """CloudWatch's own words."""

    COUNT = "Count"
    SECONDS = "Seconds"
    MILLISECONDS = "Milliseconds"
    PER_SECOND = "Count/Second"
    NONE = "None"


class By(StrEnum):
    """A dimension beside `Service`."""

    ROUTE = "Route"
    TARGET = "Target"
    ERROR = "ErrorType"
    FAILURE = "FailureClass"
    STORE = "Store"
    BREAKER = "Breaker"
    HANDLER = "Handler"
    BUCKET = "Bucket"


class Way(StrEnum):
    """What becomes of the measurements between two flushes."""

    SUM = "sum"  # one number
    EACH = "each"  # every value, for percentiles
    GAUGE = "gauge"  # read at the flush


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the catalogue.

    Attributes:
        total: Whether it is told for the whole fleet, under `[Service]`.
        by: The dimensions that it is told by as well, each in a set of its own.
        when: What makes it a number.
    """

    name: str
    unit: Unit = Unit.COUNT
    way: Way = Way.SUM
    total: bool = True
    by: tuple[By, ...] = ()
    when: str
    meaning: str

    @property
    def dimensions(self) -> tuple[tuple[str, ...], ...]:
        """The dimension sets that it is told under.

        >>> Metric(name="Calls", by=(By.ROUTE, By.TARGET), when="", meaning="").dimensions
        (('Service',), ('Service', 'Route'), ('Service', 'Target'))
        """
        total: tuple[tuple[str, ...], ...] = (("Service",),) if self.total else ()
        return (*total, *(("Service", by.value) for by in self.by))
