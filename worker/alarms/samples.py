"""What CloudWatch keeps of metrics: the values of each minute, and statistics over them.

A metric is its namespace, its name and exactly these dimensions: nothing is added up over others.
A point covers the minutes of one period and stands at the last of them, so there is one for every
minute, whatever the period: CloudWatch looks at an alarm each minute, over a window that slides.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

MINUTE_S: Final = 60
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_PLAIN: Final = frozenset({"Sum", "Average", "Minimum", "Maximum", "SampleCount"})


class Key(NamedTuple):
    """One metric."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """As a person reads it."""
        by = ", ".join(f"{name}={value}" for name, value in self.dimensions)
        return f"{self.namespace} {self.metric} [{by}]"


def key(namespace: str, metric: str, dimensions: Iterable[tuple[str, str]]) -> Key:
    """The key of a metric, whatever the order of its dimensions."""
    return Key(namespace, metric, tuple(sorted(dimensions)))


def is_statistic(name: str) -> bool:
    """Whether it can be worked out here; CloudWatch has more (trimmed means and their like).

    >>> [is_statistic(name) for name in ("Sum", "p99.9", "tm99", "sum")]
    [True, True, False, False]
    """
    return name in _PLAIN or _PERCENTILE.fullmatch(name) is not None


class Samples:
    """Values by metric and minute.

    Attributes:
        first: The first minute of all, since 1970; None while there is no value.
        last: The last one.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.last: int | None = None
        # Eight bytes a value: most of a large log are latencies, each another number.
        self._kept: dict[Key, dict[int, array[float]]] = {}
        self._points: dict[tuple[Key, str, int, int, int], list[float | None]] = {}

    def __contains__(self, metric: Key) -> bool:
        """Whether any value of that metric was seen."""
        return metric in self._kept

    def __iter__(self) -> Iterator[Key]:
        """The metrics of which there are values."""
        return iter(self._kept)

    def __len__(self) -> int:
        """How many metrics there are."""
        return len(self._kept)

    def add(self, metric: Key, at: float, values: Iterable[float]) -> None:
        """Keep values that were measured at `at`, seconds since 1970."""
        minute = int(at // MINUTE_S)
        self.first = minute if self.first is None else min(self.first, minute)
        self.last = minute if self.last is None else max(self.last, minute)
        self._kept.setdefault(metric, {}).setdefault(minute, array("d")).extend(values)
        self._points.clear()

    def points(
        self, metric: Key, statistic: str, minutes: int, start: int, end: int
    ) -> list[float | None]:
        """A statistic at each minute from `start` to `end`, both among them.

        Args:
            metric: Which; one that was never seen has no points.
            statistic: See `is_statistic`.
            minutes: The period.
            start: The first minute, since 1970. What was before counts in the first periods.
            end: The last one.

        Returns:
            For each minute the statistic over the period that ends with it; None without values.
        """
        asked = metric, statistic, minutes, start, end
        if asked not in self._points:
            self._points[asked] = self._worked_out(*asked)
        return self._points[asked]

    def _worked_out(
        self, metric: Key, statistic: str, minutes: int, start: int, end: int
    ) -> list[float | None]:
        kept = self._kept.get(metric, {})
        found: list[float | None] = []
        window: Counter[float] = Counter()
        for minute in range(start - minutes + 1, start):
            window.update(kept.get(minute, ()))
        for minute in range(start, end + 1):
            window.update(kept.get(minute, ()))
            found.append(_statistic(window, statistic) if window else None)
            for value in kept.get(minute - minutes + 1, ()):
                window[value] -= 1
                if not window[value]:
                    del window[value]
        return found


def _statistic(values: Counter[float], statistic: str) -> float:
    match statistic:
        case "Sum":
            return float(math.fsum(value * times for value, times in values.items()))
        case "Average":
            return _statistic(values, "Sum") / values.total()
        case "SampleCount":
            return float(values.total())
        case "Minimum":
            return float(min(values))
        case "Maximum":
            return float(max(values))
        case _:
            return _percentile(values, float(statistic[1:]))


def _percentile(values: Counter[float], percent: float) -> float:
    """The smallest value that so many percent of all are not above."""
    rank = max(1, math.ceil(percent / 100 * values.total()))
    for value in sorted(values):
        rank -= values[value]
        if rank <= 0:
            return float(value)
    msg = "no percentile of nothing"
    raise AssertionError(msg)
