"""The alarms and the two topics that they tell, made of the rows of `alarm_rows.py`.

`page` is for what must call somebody: the two composites UserImpact and DataAtRisk. All else
goes to `chat`. The topics are not encrypted: under SNS's own key CloudWatch could not publish,
and every alarm would be silent. A description never holds text of a job.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aws_cdk import Aws, CfnCondition, Fn
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from inference_worker_cdk.alarm_kinds import Alarm, Composite, Reads, Thresholds
from inference_worker_cdk.alarm_rows import alarms, composites
from inference_worker_cdk.catalogue import written

SUPPRESSOR_WAIT_S: Final = 120
"""How long UpstreamWorse waits for CircuitOpen to ring, before it speaks itself."""
SUPPRESSOR_EXTENSION_S: Final = 300
"""How long it stays quiet after the circuit has closed: shares of five minutes still ring then."""
_COMPARED: Final = MappingProxyType(
    {
        "above": "GreaterThanThreshold",
        "at_least": "GreaterThanOrEqualToThreshold",
        "below": "LessThanThreshold",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where metrics are kept: a namespace, and the values of their dimensions."""

    namespace: str
    dimensions: Mapping[str, str]


class Alarms(Construct):
    """Every alarm, and the topics `page` and `chat`.

    Args:
        scope: Where it belongs.
        id_: Its name there.
        service: Name of the fleet; the names of alarms begin with it.
        places: Whose metrics lie where, by the names of `Reads.of`.
        at: When they ring.
        tasks_min: The least number of workers.
        to_zero: The condition that it is 0, where only a parameter says so.

    `named` has every alarm by its name, composites too.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        service: str,
        places: Mapping[str, Place],
        at: Thresholds,
        tasks_min: Any = 1,
        to_zero: CfnCondition | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self._service = service
        self._places = places
        self.page, self.chat = sns.Topic(self, "Page"), sns.Topic(self, "Chat")
        self._admit()
        self.named: dict[str, Any] = {}
        asleep, dead = "notBreaching", "breaching"
        silence = asleep if tasks_min == 0 else dead
        if to_zero is not None:
            silence = Fn.condition_if(to_zero.logical_id, asleep, dead).to_string()
        for row in alarms(at, tasks_min=tasks_min, silence=silence):
            self.named[row.name] = self._alarm(row)
        for joined in composites():
            self.named[joined.name] = self._composite(joined)

    def _admit(self) -> None:
        """Let the alarms of this account publish, and nobody without TLS."""
        topics = [self.page.topic_arn, self.chat.topic_arn]
        alarms_here = f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:*"
        policy = sns.TopicPolicy(self, "Topics", topics=[self.page, self.chat])
        policy.document.add_statements(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=topics,
                conditions={
                    "ArnLike": {"aws:SourceArn": alarms_here},
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            ),
            iam.PolicyStatement(
                sid="ByTlsAlone",
                effect=iam.Effect.DENY,
                actions=["sns:Publish"],
                principals=[iam.AnyPrincipal()],
                resources=topics,
                conditions={"Bool": {"aws:SecureTransport": "false"}},
            ),
        )

    def _alarm(self, row: Alarm) -> Any:
        (compared,) = [name for name in _COMPARED if getattr(row, name) is not None]
        told = {"alarm_actions": [self.chat.topic_arn], "ok_actions": [self.chat.topic_arn]}
        return cloudwatch.CfnAlarm(
            self,
            row.name,
            alarm_name=f"{self._service}-{row.name}",
            alarm_description=row.description,
            comparison_operator=_COMPARED[compared],
            threshold=getattr(row, compared),
            datapoints_to_alarm=row.points,
            evaluation_periods=row.of,
            treat_missing_data=row.missing,
            **self._watched(row),
            **(told if row.tells else {}),
        )

    def _watched(self, row: Alarm) -> dict[str, Any]:
        if row.math is None:
            ((_, read),) = row.reads.items()
            return {
                **self._named(read),
                "statistic": read.statistic,
                "period": row.period_s,
            }
        asked = cloudwatch.CfnAlarm.MetricDataQueryProperty
        result = asked(id="result", expression=row.math, return_data=True)
        return {
            "metrics": [
                result,
                *(
                    asked(
                        id=name,
                        return_data=False,
                        metric_stat=cloudwatch.CfnAlarm.MetricStatProperty(
                            metric=cloudwatch.CfnAlarm.MetricProperty(**self._named(read)),
                            period=row.period_s,
                            stat=read.statistic,
                        ),
                    )
                    for name, read in row.reads.items()
                ),
            ]
        }

    def _named(self, read: Reads) -> dict[str, Any]:
        place = self._places[read.of]
        ours = read.of == "worker"
        return {
            "namespace": place.namespace,
            "metric_name": written(read.metric, core=True) if ours else read.metric,
            "dimensions": [
                cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
                for name, value in place.dimensions.items()
            ],
        }

    def _composite(self, row: Composite) -> Any:
        # By reference, so that CloudFormation makes the parts first.
        rule = re.sub(
            r"\w+",
            lambda word: f'ALARM("{self.named[word[0]].ref}")' if word[0] in row.parts else word[0],
            row.rule,
        )
        topic = (self.page if row.pages else self.chat).topic_arn
        quiet = {}
        if row.quiet_while is not None:
            quiet = {
                "actions_suppressor": self.named[row.quiet_while].attr_arn,
                "actions_suppressor_wait_period": SUPPRESSOR_WAIT_S,
                "actions_suppressor_extension_period": SUPPRESSOR_EXTENSION_S,
            }
        return cloudwatch.CfnCompositeAlarm(
            self,
            row.name,
            alarm_name=f"{self._service}-{row.name}",
            alarm_description=row.description,
            alarm_rule=rule,
            alarm_actions=[topic],
            ok_actions=[topic],
            **quiet,
        )
