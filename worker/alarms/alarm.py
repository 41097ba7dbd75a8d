"""An alarm of CloudWatch, and its state minute by minute.

An alarm watches one series, of a metric or of an expression over several. Each minute CloudWatch
takes the last N points (`periods`), and rings if M of them (`to_alarm`) breach. When points are
missing it looks a little further back, and treats as `missing` says only what real points cannot
cover:

- N real points or more: the last N of them decide, and `missing` is not needed.
- Fewer: `breaching` and `notBreaching` fill up to N. With `ignore` and `missing`, one point that
  does not breach makes it OK; without one, `ignore` keeps the state, and `missing` has not enough
  data, unless the oldest breach is at least M points old: then it is an alarm.

How far back CloudWatch looks it does not say; in the only examples of its documentation it takes
five points for three (`FURTHER`).

Of the time before the first line nothing is known: it is neither data nor missing.

Sources: Amazon CloudWatch User Guide, "Alarm evaluation", "Configuring how CloudWatch alarms treat
missing data" (its tables are our tests), and the knowledge centre's "Why did my CloudWatch alarm
send me a notification after a single breached data point?". That the window slides by the minute
where a period is longer: guardian/cdk#1063.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from worker.alarms.metric_math import Expression, Point, evaluate
from worker.alarms.samples import MINUTE_S, Key, Samples

FURTHER: Final = 2


class State(StrEnum):
    """As CloudWatch writes it."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(StrEnum):
    """What becomes of a point that is missing: `TreatMissingData`."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric that an alarm reads, by one statistic."""

    id: str
    metric: Key
    statistic: str


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression over what has other ids."""

    id: str
    expression: Expression


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One metric alarm.

    Attributes:
        id: Its logical id in the template.
        name: As composites call it.
        reads: What it reads and computes, in an order in which each needs only what is before.
        watches: The id of what is compared.
        period_s: A multiple of 60.
        comparison: A key of `COMPARISONS`.
        periods: N.
        to_alarm: M.
        actions: Who is told that it rings.
        ok_actions: Who is told that it is over.
    """

    id: str
    name: str
    reads: tuple[Measured | Computed, ...]
    watches: str
    period_s: int
    comparison: str
    threshold: float
    periods: int
    to_alarm: int
    missing: Missing
    actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()

    @property
    def minutes(self) -> int:
        """The period in minutes."""
        return self.period_s // MINUTE_S

    @property
    def window_min(self) -> int:
        """The time over which M points can come together: N periods, in minutes."""
        return self.periods * self.minutes

    @cached_property
    def metrics(self) -> tuple[Key, ...]:
        """The metrics that it reads."""
        return tuple(one.metric for one in self.reads if isinstance(one, Measured))

    def points(self, samples: Samples, start: int, end: int) -> list[Point]:
        """What it watches, for each minute; each point covers the period that ends there.

        Raises:
            MathError: An expression cannot be evaluated.
        """
        metrics = [one.id for one in self.reads if isinstance(one, Measured)]
        series: dict[str, Sequence[Point]] = {}
        for one in self.reads:
            if isinstance(one, Measured):
                series[one.id] = samples.points(one.metric, one.statistic, self.minutes, start, end)
            else:
                series[one.id] = self._computed(one.expression, series, metrics)
        return list(series[self.watches])

    def _computed(
        self, expression: Expression, series: Mapping[str, Sequence[Point]], metrics: Sequence[str]
    ) -> list[Point]:
        """Neighbours are a period apart, and between them lie as many rows of neighbours."""
        length = len(next(iter(series.values()), ()))
        found: list[Point] = [None] * length
        for row in range(min(self.minutes, length)):
            part = {name: points[row :: self.minutes] for name, points in series.items()}
            found[row :: self.minutes] = evaluate(expression, part, metrics=metrics)
        return found

    def states(self, points: Sequence[Point], *, further: int = FURTHER) -> list[State]:
        """Its state at each minute. It begins without enough data, as a new alarm does."""
        breaches = COMPARISONS[self.comparison]
        flags = [None if one is None else breaches(one, self.threshold) for one in points]
        state, found = State.INSUFFICIENT_DATA, []
        for n in range(len(flags)):
            first = max(n - (self.periods + further - 1) * self.minutes, n % self.minutes)
            newest_first = flags[first : n + 1 : self.minutes][::-1]
            state = self._judged(newest_first, state)
            found.append(state)
        return found

    def _judged(self, flags: Sequence[bool | None], before: State) -> State:
        real = [(age, bad) for age, bad in enumerate(flags, 1) if bad is not None][: self.periods]
        breaches = sum(bad for _, bad in real)
        if breaches >= self.to_alarm:
            return State.ALARM
        if len(real) >= self.periods:
            return State.OK
        holes = min(self.periods - len(real), len(flags) - len(real))
        if self.missing is Missing.BREACHING:
            return State.ALARM if breaches + holes >= self.to_alarm else State.OK
        if self.missing is Missing.NOT_BREACHING or breaches < len(real):
            return State.OK
        if self.missing is Missing.IGNORE:
            return before
        old_enough = bool(real) and real[-1][0] >= self.to_alarm
        return State.ALARM if old_enough else State.INSUFFICIENT_DATA
