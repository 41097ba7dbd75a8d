"""What a metric is: a row of the catalogue in `metrics.py`.

A metric is told for the whole fleet (`[Service]`), by one more dimension
(`[Service, Target]`), or both, and maybe by another (`[Service, Route]`): CloudWatch
adds nothing up by itself. Two dimensions beside `Service` in one set there are not:
they would be paid for by pair.
"""

from dataclasses import dataclass, replace
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


class Profile(StrEnum):
    """How much of the catalogue is written."""

    CORE = "core"  # what the SLO, the alarms and autoscaling need
    FULL = "full"


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
        core: Whether its total is in the profile `core`.
        core_by: The dimensions that it is told by in the profile `core`.

    Raises:
        ValueError: The profile `core` has a set that the row has not.
    """

    name: str
    unit: Unit = Unit.COUNT
    way: Way = Way.SUM
    total: bool = True
    by: tuple[By, ...] = ()
    when: str
    meaning: str
    core: bool = False
    core_by: tuple[By, ...] = ()

    def __post_init__(self) -> None:
        if self.core > self.total or not set(self.core_by) <= set(self.by):
            msg = f"{self.name}: the profile `core` is a part of `full`"
            raise ValueError(msg)

    def within(self, profile: Profile) -> "Metric | None":
        """The row as a profile writes it, with fewer sets maybe; None if it does not.

        >>> row = Metric(name="Calls", by=(By.TARGET,), core=True, when="", meaning="")
        >>> row.within(Profile.CORE).dimensions
        (('Service',),)
        """
        if profile is Profile.FULL:
            return self
        if not self.core and not self.core_by:
            return None
        return replace(self, total=self.core, by=self.core_by)

    @property
    def dimensions(self) -> tuple[tuple[str, ...], ...]:
        """The dimension sets that it is told under.

        >>> Metric(name="Calls", by=(By.ROUTE, By.TARGET), when="", meaning="").dimensions
        (('Service',), ('Service', 'Route'), ('Service', 'Target'))
        """
        total: tuple[tuple[str, ...], ...] = (("Service",),) if self.total else ()
        return (*total, *(("Service", by.value) for by in self.by))
