"""What CloudWatch asks for our metrics and logs, by its price list.

A series is one metric with the values of one set of its dimensions. It is paid for by
the hour in which it was written, so what is told here is the most: a series that every
configured name might come to, in every hour of the month.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from worker.core.failures import Failure
from worker.core.fault import Kind
from worker.core.measures import OTHER, Names
from worker.core.metric import By, Metric, Profile, Way
from worker.core.metrics import CATALOGUE
from worker.core.series import Measurement

GB: Final = 10**9  # where the list means 2**30 bytes, it is 7 % less


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One line of the price list, in USD.

    Attributes:
        steps: So many units at this price, then the next; the last is for all the rest.
        free: Units a month that cost nothing, for the whole account.
        per: What a unit is.
    """

    steps: tuple[tuple[int | None, Decimal], ...]
    free: int
    per: str

    def usd(self, units: Decimal | int) -> Decimal:
        """What so many units cost in a month, if nobody else uses what is free.

        >>> SERIES.usd(110), SERIES.usd(10_020)
        (Decimal('30.00'), Decimal('3001.00'))
        """
        left, total = max(Decimal(0), Decimal(units) - self.free), Decimal(0)
        for size, usd in self.steps:
            taken = left if size is None else min(left, Decimal(size))
            total += taken * usd
            left -= taken
        return total


# Amazon CloudWatch, "Pricing", us-east-1. Other Regions ask up to a quarter more.
SOURCE: Final = "https://aws.amazon.com/cloudwatch/pricing/"
READ_ON: Final = "2026-11-23"
SERIES: Final = Price(
    steps=(
        (10_000, Decimal("0.30")),
        (240_000, Decimal("0.10")),
        (750_000, Decimal("0.05")),
        (None, Decimal("0.02")),
    ),
    free=10,
    per="series and month",
)
ALARMS: Final = Price(
    steps=((None, Decimal("0.10")),), free=10, per="metric that a standard alarm reads, and month"
)
LOGS: Final = Price(steps=((None, Decimal("0.50")),), free=5, per="GB taken in")

# Bytes in the log for a job that is answered at once, 200 of them a second: measured by
# `python -m bench --only telemetry`, and held by tests/telemetry/test_bytes.py.
LINE_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": 1263, "info": 840, "warning": 0, "error": 0}
)
METRIC_BYTES: Final[Mapping[Profile, int]] = MappingProxyType({Profile.CORE: 17, Profile.FULL: 34})


def series(names: Names, profile: Profile) -> dict[str, int]:
    """How many series each metric comes to at most; metrics that cannot be told are left out."""
    found = {row.name: _series_of(row, names, profile) for row in CATALOGUE.values()}
    return {name: count for name, count in found.items() if count}


def _series_of(row: Metric, names: Names, profile: Profile) -> int:
    if not all(_values(row, by, names) for by in row.by):
        return 0  # nothing is configured that it could tell of
    if row.name in OF_TASKS and TASKS not in names.stores:
        return 0  # likewise: no state machine is answered
    kept = row.within(profile)
    return 0 if kept is None else kept.total + sum(_values(row, by, names) for by in kept.by)


def idle(names: Names) -> list[Measurement]:
    """What a worker measures between two flushes in which it has nothing to do.

    A quota bucket that is not paced has no gauge.
    """
    gauges = [row for row in CATALOGUE.values() if row.way is Way.GAUGE and By.BUCKET not in row.by]
    found = [Measurement("Heartbeat", 1)]
    for row in gauges:
        labels = [(name,) for name in sorted(names.breakers)] if row.by else [()]
        found += [Measurement(row.name, 0.0, one) for one in labels]
    return found


def _values(row: Metric, by: By, names: Names) -> int:
    match by:
        case By.ROUTE:
            return len(names.routes | {OTHER})  # whatever a job asks for
        case By.TARGET:
            return len(names.targets)
        case By.BREAKER:
            # A bucket's pace refuses calls as well.
            return len(names.breakers | names.buckets if row.name == REFUSED else names.breakers)
        case By.HANDLER:
            return len(names.handlers)
        case By.BUCKET:
            return len(names.buckets)
        case By.STORE:
            return len(names.stores)
        case By.ERROR:
            return len(Kind)
        case By.FAILURE:  # pragma: no branch  (closed enum)
            return len(Failure)


REFUSED: Final = "CallsRefused"
TASKS: Final = "tasks"
OF_TASKS: Final = frozenset({"TasksAnswered", "TasksGone"})


def log_bytes(profile: Profile, level: str, jobs: int) -> int:
    """What so many jobs write to the log, metrics included, in bytes.

    Args:
        profile: Of the metrics.
        level: Lines below it are not written.
        jobs: How many.
    """
    return jobs * (LINE_BYTES[level] + METRIC_BYTES[profile])
