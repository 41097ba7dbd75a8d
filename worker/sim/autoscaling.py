"""Application Auto Scaling and its alarms, as far as a fleet's size depends on them.

`Plan` reads the policies out of a template, so what is played is what is deployed. `Scaler`
looks at the metrics once a minute, as they are known then: the last minutes may not be there
yet. What AWS does not publish is decided here, and can be seen by whoever reads:

- Out when the figure was above its target in the last 3 minutes, in when it was below 90 % of
  it in the last 15; to as many tasks as bring it to its target, rounded up.
- Nothing moves in a cool-down, except that it is left at once to scale out after a scale-in.
- An alarm fetches two minutes more than it judges, and passes over those that are missing: so
  the user guide's tables of alarms and missing data have it.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.alarms.metric_math import evaluate, parse

ABOVE_MINUTES: Final = 3
BELOW_MINUTES: Final = 15
BELOW: Final = 0.9
SPARE_MINUTES: Final = 2
STATS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "Minimum": min,
    "Maximum": max,
    "Average": lambda of: sum(of) / len(of),
}

Source = tuple[str, str]
"""Name of a metric, and the logical id of the queue that it is of."""


@dataclass(slots=True, eq=False, kw_only=True)
class Telemetry:
    """What CloudWatch was told, by minute.

    Attributes:
        late_minutes: For so long a minute that is over cannot be read yet.
        lost: Metrics that do not arrive at all.
    """

    late_minutes: int = 1
    lost: set[str] = field(default_factory=set)
    minutes: list[dict[Source, list[float]]] = field(default_factory=lambda: [defaultdict(list)])

    def tell(self, name: str, value: float, queue: str = "") -> None:
        """One sample."""
        if name not in self.lost:
            self.minutes[-1][name, queue].append(value)

    def next_minute(self) -> None:
        """A minute is over."""
        self.minutes.append(defaultdict(list))

    def points(self, source: Source, stat: str, minutes: int) -> list[float | None]:
        """The last minutes that are over, oldest first; None where nothing can be read."""
        over = self.minutes[:-1][-minutes:]
        known = len(over) - self.late_minutes
        told = [of.get(source) if n < known else None for n, of in enumerate(over)]
        return [STATS[stat](of) if of else None for of in told]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Metrics and expressions over them, the last of which is watched.

    Attributes:
        metrics: Where each id comes from, and by which statistic.
        expressions: By id, in an order in which they can be worked out.
    """

    metrics: Mapping[str, tuple[Source, str]]
    expressions: Mapping[str, str]

    def last(self, told: Telemetry, minutes: int) -> list[float]:
        """The points that an alarm over so many minutes judges; none if there are too few."""
        fetched = minutes + SPARE_MINUTES
        series = {id_: told.points(*of, fetched) for id_, of in self.metrics.items()}
        watched: list[float | None] = []
        for id_, text in self.expressions.items():
            series[id_] = watched = evaluate(parse(text), series)
        there = [one for one in watched if one is not None]
        return there[-minutes:] if len(there) >= minutes else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a fleet is scaled. All `_s` are seconds.

    Attributes:
        figure: What is tracked.
        target: What it is to be.
        wakes: What wakes a fleet of none, when it is above 0; None for nothing.
        wake_minutes: For how long it must be.
        wake_tasks: How many are added then.
    """

    figure: Figure
    target: float
    tasks_min: int
    tasks_max: int
    out_s: float
    in_s: float
    wakes: Figure | None = None
    wake_minutes: int = 3
    wake_tasks: int = 1

    @classmethod
    def of_template(cls, template: Mapping[str, Any], **given: float) -> "Plan":
        """The policies of a template, with its parameters' defaults where none is given."""
        parameters = {
            name: given.get(name, one.get("Default"))
            for name, one in template["Parameters"].items()
        }

        resources = template["Resources"]

        def of_type(kind: str) -> dict[str, Any]:
            return {n: o["Properties"] for n, o in resources.items() if o["Type"] == kind}

        (target,) = of_type("AWS::ApplicationAutoScaling::ScalableTarget").values()
        policies = of_type("AWS::ApplicationAutoScaling::ScalingPolicy")
        steps = [n for n, one in policies.items() if one["PolicyType"] == "StepScaling"]
        (tracks,) = [
            one["TargetTrackingScalingPolicyConfiguration"]
            for n, one in policies.items()
            if n not in steps
        ]
        (step,) = steps
        (added,) = policies[step]["StepScalingPolicyConfiguration"]["StepAdjustments"]
        (wake,) = [
            one
            for one in of_type("AWS::CloudWatch::Alarm").values()
            if one.get("AlarmActions") == [{"Ref": step}]
        ]
        least = int(_text(target["MinCapacity"], parameters))
        return cls(
            figure=_figure(tracks["CustomizedMetricSpecification"]["Metrics"], parameters),
            target=float(tracks["TargetValue"]),
            tasks_min=least,
            tasks_max=int(_text(target["MaxCapacity"], parameters)),
            out_s=tracks["ScaleOutCooldown"],
            in_s=tracks["ScaleInCooldown"],
            wakes=_figure(wake["Metrics"], parameters) if least == 0 else None,
            wake_minutes=wake["EvaluationPeriods"],
            wake_tasks=added["ScalingAdjustment"],
        )


@dataclass(slots=True, eq=False)
class Scaler:
    """Moves the desired count, once a minute."""

    plan: Plan
    told: Telemetry
    desired: int
    moves: list[tuple[float, int]] = field(default_factory=list)
    _out_until: float = -math.inf
    _in_until: float = -math.inf

    def look(self, now: float) -> int:
        """How many tasks are wanted from now on."""
        plan = self.plan
        if plan.wakes is not None and now >= self._out_until:
            due = plan.wakes.last(self.told, plan.wake_minutes)
            if due and min(due) > 0 and self._move(now, self.desired + plan.wake_tasks):
                self._out_until = now + plan.in_s
                return self.desired
        high = plan.figure.last(self.told, ABOVE_MINUTES)
        low = plan.figure.last(self.told, BELOW_MINUTES)
        if high and min(high) > plan.target:
            if now >= self._out_until and self._move(now, self._wanted(high[-1])):
                self._out_until = now + plan.out_s
        elif (
            low
            and max(low) < BELOW * plan.target
            and now >= max(self._in_until, self._out_until)
            and self._move(now, self._wanted(low[-1]))
        ):
            self._in_until = now + plan.in_s
        return self.desired

    def _wanted(self, figure: float) -> int:
        return math.ceil(round(self.desired * figure / self.plan.target, 6))

    def _move(self, now: float, wanted: int) -> bool:
        wanted = min(max(wanted, self.plan.tasks_min), self.plan.tasks_max)
        if wanted == self.desired:
            return False
        self.desired = wanted
        self.moves.append((now, wanted))
        return True


def _figure(queries: Iterable[Mapping[str, Any]], given: Mapping[str, Any]) -> Figure:
    metrics, expressions = {}, {}
    for query in queries:
        if "Expression" in query:
            expressions[query["Id"]] = _text(query["Expression"], given)
            continue
        metric = query["MetricStat"]["Metric"]
        of = [d["Value"] for d in metric["Dimensions"] if d["Name"] == "QueueName"]
        queue = of[0]["Fn::GetAtt"][0] if of else ""
        metrics[query["Id"]] = ((metric["MetricName"], queue), query["MetricStat"]["Stat"])
    return Figure(metrics=metrics, expressions=expressions)


def _text(value: Any, given: Mapping[str, Any]) -> str:
    """A value of a template that is put together from its parameters."""
    if not isinstance(value, dict):
        return str(value)
    ((function, of),) = value.items()
    if function == "Ref":
        return str(given[of])
    assert function == "Fn::Sub", f"{function} is not worked out here"
    return re.sub(r"\$\{(\w+)\}", lambda name: str(given[name[1]]), of)
