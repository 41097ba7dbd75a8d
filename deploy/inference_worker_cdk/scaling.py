"""How many workers run: as many as the jobs need, and no more for an outage.

A target tracking policy over one figure: how full the workers' slots are, in percent, with
what waits counted in. While no route can take work it is held at its target, so nothing moves;
when that has lasted long it is 0, and the fleet shrinks to its minimum. docs/scaling.md says
how the figure was found and what it does in an outage.

The CDK's own target tracking takes no metric math, so these are the plain resources.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import CfnCondition, Fn, Token
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from inference_worker_cdk.stores import Queues

FULL_PERCENT: Final = 80  # of the slots: above it for 3 minutes more workers come
OUT_S: Final = 180  # until new workers are counted: sooner they would be asked for twice
IN_S: Final = 300
WAKE_MINUTES: Final = 3  # the count of workers may come two minutes late

WAITING: Final = "ApproximateNumberOfMessagesVisible"
IN_HAND: Final = "ApproximateNumberOfMessagesNotVisible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many workers there may be, and how much a worker can do.

    Attributes:
        tasks_min: Workers that stay when there is nothing to do. With 0 the first job after a
            rest waits for minutes.
        tasks_max: The most there may be: not more than the models' quotas can feed.
        slots: Jobs that a worker has in hand at most, `WORKER_SLOTS`.
        waiting_per_task: Jobs that may wait for each worker: its slots, times the wait that is
            acceptable, over the mean time that a job is in hand.

    Raises:
        ValueError: A value is out of range. What is a parameter of a template is not known
            yet, and checked by CloudFormation.
    """

    tasks_min: int
    tasks_max: int
    slots: str
    waiting_per_task: float

    def __post_init__(self) -> None:
        for name, least in (("tasks_min", 0), ("tasks_max", 1), ("waiting_per_task", 1)):
            if _known(value := getattr(self, name)) and value < least:
                msg = f"{name} must be {least} or more, not {value}"
                raise ValueError(msg)
        if _known(self.tasks_min, self.tasks_max) and self.tasks_min > self.tasks_max:
            msg = (
                f"tasks_min is {self.tasks_min} and tasks_max {self.tasks_max}: the least number "
                "of workers is above the most, and CloudFormation would fail with half a stack"
            )
            raise ValueError(msg)


class Scaling(Construct):
    """Sets the desired count of a service.

    Args:
        scope: Where it belongs.
        id_: Its name there.
        cluster: Name of the cluster; Container Insights must be on.
        fleet: Name of its service.
        service: Name of the fleet, as its metrics have it.
        namespace: Namespace of its metrics.
        queues: What is counted.
        bounds: How many there may be.

    `to_zero` is the condition that there may be none; None where that is known.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cluster: str,
        fleet: str,
        service: str,
        namespace: str,
        queues: Queues,
        bounds: Bounds,
    ) -> None:
        super().__init__(scope, id_)
        self._queues = queues
        self._running = ("ECS/ContainerInsights", "RunningTaskCount", "Average")
        self._of_fleet = {"ClusterName": cluster, "ServiceName": fleet}
        self._hold = (namespace, "UpstreamHold", "Minimum")
        self._of_service = {"Service": service}
        self.target = scaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=f"service/{cluster}/{fleet}",
            min_capacity=bounds.tasks_min,
            max_capacity=bounds.tasks_max,
        )
        self.to_zero: CfnCondition | None = None
        if not _known(bounds.tasks_min):
            none = Fn.condition_equals(bounds.tasks_min, "0")
            self.to_zero = CfnCondition(self, "ToZero", expression=none)
        self._follow(bounds)
        self._wake(bounds)

    def _follow(self, bounds: Bounds) -> None:
        query = scaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty
        scaling.CfnScalingPolicy(
            self,
            "Follow",
            policy_name="fullness",
            policy_type="TargetTrackingScaling",
            scaling_target_id=self.target.ref,
            target_tracking_scaling_policy_configuration=(
                scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                    target_value=FULL_PERCENT,
                    scale_out_cooldown=OUT_S,
                    scale_in_cooldown=IN_S,
                    customized_metric_specification=(
                        scaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty(
                            metrics=[
                                *(query(**one) for one in self._measured(_OF_TRACKING)),
                                *(query(**one) for one in _worked_out(bounds)),
                            ]
                        )
                    ),
                )
            ),
        )

    def _wake(self, bounds: Bounds) -> None:
        """From none to one: with none there is no figure that a target could be tracked by."""
        if _known(bounds.tasks_min) and bounds.tasks_min > 0:
            return
        step = scaling.CfnScalingPolicy.StepAdjustmentProperty
        policy = scaling.CfnScalingPolicy(
            self,
            "Wake",
            policy_name="wake",
            policy_type="StepScaling",
            scaling_target_id=self.target.ref,
            step_scaling_policy_configuration=(
                scaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty(
                    # One more and not exactly one: where the count of workers is lost and not
                    # zero, a fleet at work would be cut to one.
                    adjustment_type="ChangeInCapacity",
                    cooldown=IN_S,
                    step_adjustments=[step(metric_interval_lower_bound=0, scaling_adjustment=1)],
                )
            ),
        )
        query = cloudwatch.CfnAlarm.MetricDataQueryProperty
        alarm = cloudwatch.CfnAlarm(
            self,
            "Asleep",
            alarm_description="Jobs are due and no worker runs: one is started.",
            alarm_actions=[policy.ref],
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            evaluation_periods=WAKE_MINUTES,
            metrics=[
                *(query(**one) for one in self._measured(_OF_ALARMS) if one["id"] in _TO_WAKE),
                query(
                    id="due_to_nobody",
                    # The last count of a fleet that has gone is not repeated: it is over.
                    expression=f"IF(FILL(counted, 0) < 1, {_WAITING}, 0)",
                    return_data=True,
                ),
            ],
        )
        policy.cfn_options.condition = alarm.cfn_options.condition = self.to_zero

    def _measured(self, of: "_Shapes") -> Iterator[dict[str, Any]]:
        """The metrics, as queries of a policy or of an alarm."""
        jobs, parked = self._queues.jobs.queue_name, self._queues.parked.queue_name
        for id_, (namespace, name, stat), dimensions in (
            ("jobs", ("AWS/SQS", WAITING, "Maximum"), {"QueueName": jobs}),
            ("due", ("AWS/SQS", WAITING, "Maximum"), {"QueueName": parked}),
            ("taken", ("AWS/SQS", IN_HAND, "Maximum"), {"QueueName": jobs}),
            ("resumed", ("AWS/SQS", IN_HAND, "Maximum"), {"QueueName": parked}),
            ("counted", self._running, self._of_fleet),
            ("held", self._hold, self._of_service),
        ):
            metric = of.metric(
                namespace=namespace,
                metric_name=name,
                dimensions=[of.dimension(name=n, value=v) for n, v in dimensions.items()],
            )
            told = of.stat(metric=metric, stat=stat, **of.more)
            yield {"id": id_, "metric_stat": told, "return_data": False}


@dataclass(frozen=True, slots=True)
class _Shapes:
    """The same query is another class in a policy and in an alarm, which alone has a period."""

    metric: Any
    dimension: Any
    stat: Any
    more: dict[str, Any]


_OF_TRACKING: Final = _Shapes(
    scaling.CfnScalingPolicy.TargetTrackingMetricProperty,
    scaling.CfnScalingPolicy.TargetTrackingMetricDimensionProperty,
    scaling.CfnScalingPolicy.TargetTrackingMetricStatProperty,
    {},
)
_OF_ALARMS: Final = _Shapes(
    cloudwatch.CfnAlarm.MetricProperty,
    cloudwatch.CfnAlarm.DimensionProperty,
    cloudwatch.CfnAlarm.MetricStatProperty,
    {"period": 60},
)
_TO_WAKE: Final = frozenset({"jobs", "due", "counted"})


def _last(metric: str) -> str:
    """What was told last; 0 if nothing was for long.

    A 0 for a minute that is only late would look like a fleet with nothing to do, or like a
    circuit that has closed, at every single look.
    """
    return f"FILL(FILL({metric}, REPEAT), 0)"


_WAITING: Final = f"{_last('jobs')} + {_last('due')}"
_IN_HAND: Final = f"{_last('taken')} + {_last('resumed')}"


def _worked_out(bounds: Bounds) -> Iterator[dict[str, Any]]:
    """The figure. An alarm takes ten queries, metrics and expressions together."""
    for id_, metric in (("running", "counted"), ("hold", "held")):
        yield {"id": id_, "expression": _last(metric), "return_data": False}
    full = f"({_IN_HAND}) / {bounds.slots} + ({_WAITING}) / {bounds.waiting_per_task}"
    yield {
        "id": "fullness",
        "expression": f"IF(hold >= 2, 0, IF(hold >= 1, {FULL_PERCENT}, "
        f"100 * ({full}) / IF(running < 1, 1, running)))",
        "return_data": True,
    }


def _known(*values: Any) -> bool:
    """Whether these are numbers, and not parameters of a template."""
    return not any(Token.is_unresolved(one) for one in values)
