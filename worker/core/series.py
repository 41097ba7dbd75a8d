"""Measurements, and what they come to between two flushes: series.

A series is what CloudWatch keeps, and is paid for: one metric with the values of one
set of its dimensions. Which of them are written is the profile's word.
"""

from collections.abc import Iterable
from typing import NamedTuple

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


class Metrics:
    """Adds up measurements between two flushes.

    Args:
        profile: What it leaves out is not kept.
    """

    __slots__ = ("_kept",)

    def __init__(self, profile: Profile = Profile.FULL) -> None:
        rows = ((row, row.within(profile)) for row in CATALOGUE.values())
        self._kept = {row.name: None if less is None else _Kept(row, less) for row, less in rows}

    def add(self, one: Measurement) -> None:
        """Add one measurement; its metric must be in the catalogue."""
        self.add_all((one,))

    def add_all(self, measurements: Iterable[Measurement]) -> None:
        """Add what one event came to."""
        rows = self._kept
        for name, value, by in measurements:
            kept = rows[name]
            if kept is None:
                continue
            labels = by if kept.picks is None else tuple(by[n] for n in kept.picks)
            values = kept.values.get(labels)
            if values is None:
                kept.values[labels] = [value]
            elif kept.adds:
                values[0] += value
            else:
                values.append(value)

    def take(self) -> tuple[Series, ...]:
        """Everything since the last time, in the catalogue's order."""
        taken = []
        for kept in self._kept.values():
            if kept is not None and kept.values:
                found, kept.values = kept.values, {}
                taken += [Series(kept.row, by, tuple(found[by])) for by in sorted(found)]
        return tuple(taken)


class _Kept:
    """What one row came to since the last flush, by its labels.

    Attributes:
        row: As the profile has it.
        picks: Which of a measurement's labels it is kept by; None for all of them.
        adds: Whether its values are added up.
    """

    __slots__ = ("adds", "picks", "row", "values")

    def __init__(self, full: Metric, row: Metric) -> None:
        self.row = row
        self.adds = row.way is Way.SUM
        picks = tuple(n for n, by in enumerate(full.by) if by in row.by)
        self.picks = None if len(picks) == len(full.by) else picks
        self.values: dict[tuple[str, ...], list[float]] = {}
