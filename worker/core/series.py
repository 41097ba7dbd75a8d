"""Measurements, and what they come to between two flushes: series.

A series is what CloudWatch keeps, and is paid for: one metric with the values of one
set of its dimensions. Which of them are written is the profile's word.
"""

from typing import Final, NamedTuple

from worker.core.metric import Metric, Profile, Way
from worker.core.metrics import CATALOGUE


class Measurement(NamedTuple):
    """One number: the metric, its value, and the values of its dimensions `by`, in order.

    A named tuple, because ten are made for every job.
    """

    metric: str
    value: float
    labels: tuple[str, ...] = ()


class Series(NamedTuple):
    """What one metric and its labels came to between two flushes."""

    metric: Metric
    labels: tuple[str, ...]
    values: tuple[float, ...]


_Key = tuple[str, tuple[str, ...]]
_ORDER: Final = {name: n for n, name in enumerate(CATALOGUE)}


class Metrics:
    """Adds up measurements between two flushes.

    Args:
        profile: What it leaves out is not kept.
    """

    __slots__ = ("_each", "_rows", "_sums")

    def __init__(self, profile: Profile = Profile.FULL) -> None:
        self._rows = {name: row.within(profile) for name, row in CATALOGUE.items()}
        self._sums: dict[_Key, float] = {}
        self._each: dict[_Key, list[float]] = {}

    def add(self, one: Measurement) -> None:
        """Add one measurement; its metric must be in the catalogue."""
        name, value, labels = one
        row = self._rows[name]
        if row is None:
            return
        if len(row.by) < len(labels):
            of = zip(CATALOGUE[name].by, labels, strict=True)
            labels = tuple(label for by, label in of if by in row.by)
        key = (name, labels)
        if row.way is Way.SUM:
            self._sums[key] = self._sums.get(key, 0) + value
        else:
            self._each.setdefault(key, []).append(value)

    def take(self) -> tuple[Series, ...]:
        """Everything since the last time, in the catalogue's order."""
        found: dict[_Key, tuple[float, ...]] = {key: (value,) for key, value in self._sums.items()}
        found |= {key: tuple(values) for key, values in self._each.items()}
        self._sums, self._each = {}, {}
        keys = sorted(found, key=lambda key: (_ORDER[key[0]], key[1]))
        series = []
        for name, labels in keys:
            row = self._rows[name]
            assert row is not None, "what is left out is not kept"
            series.append(Series(row, labels, found[name, labels]))
        return tuple(series)
