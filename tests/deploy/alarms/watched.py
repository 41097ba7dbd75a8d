"""The gates for what watches: alarms and composites, each as a list of faults.

No linter knows what CloudWatch refuses of them, nor which metrics there are. Expressions are
read and evaluated elsewhere, over the metrics of incidents.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tests.deploy.template import ROOT, Template, of_type, plain, watching
from worker.alarms.rule import RuleError, parse
from worker.core.metric import Profile
from worker.core.metrics import CATALOGUE

NAMESPACE = "InferenceWorker"
HERE = {
    "AWS::StackName": "chat",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "Worker": "chat",
    "OldestJobSeconds": 300,
    "LatencyMilliseconds": 30_000,
    "TasksMin": 1,
    "WorkerScalingToZero": False,
    "JobsQueue.QueueName": "chat-jobs",
    "ParkedQueue.QueueName": "chat-parked",
    "DeadQueue.QueueName": "chat-dead",
}
# What AWS tells by itself; no botocore model lists it. Sources: the pages "Available CloudWatch
# metrics for Amazon SQS", "Container Insights metrics for Amazon ECS", "Monitoring with
# CloudWatch metrics" of CloudWatch Logs, and "Monitoring the performance of Amazon Bedrock".
_THEIRS: Mapping[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "AWS/SQS": (
        ("QueueName",),
        frozenset(
            {
                "ApproximateAgeOfOldestMessage",
                "ApproximateNumberOfMessagesDelayed",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesVisible",
            }
        ),
    ),
    "ECS/ContainerInsights": (
        ("ClusterName", "ServiceName"),
        frozenset({"DesiredTaskCount", "RunningTaskCount"}),
    ),
    "AWS/Logs": (("LogGroupName",), frozenset({"EMFParsingErrors", "EMFValidationErrors"})),
    "AWS/Bedrock": (
        ("ModelId",),
        frozenset({"EstimatedTPMQuotaUsage", "InvocationServerErrors", "InvocationThrottles"}),
    ),
}
STATISTICS = re.compile(r"Sum|Minimum|Maximum|Average|SampleCount|p\d{1,2}(\.\d+)?")
_SPARE = 2  # minutes whose data may still be under way
_DAY_S = 86_400


def unknown(
    namespace: str, metric: str, dimensions: tuple[str, ...], profile: Profile
) -> Iterator[str]:
    """Why there is no such metric."""
    if namespace == NAMESPACE:
        row = CATALOGUE.get(metric)
        kept = None if row is None else row.within(profile)
        if kept is None:
            yield f"{metric} is not written with the profile {profile}"
        elif dimensions not in kept.dimensions:
            yield f"{metric} has no dimensions {', '.join(dimensions)} with the profile {profile}"
        return
    theirs = _THEIRS.get(namespace)
    if theirs is None or metric not in theirs[1]:
        yield f"there is no {metric} in {namespace}"
    elif tuple(sorted(dimensions)) != theirs[0]:
        yield f"{metric} of {namespace} has no dimensions {', '.join(dimensions)}"


def refused(operation: str, given: Mapping[str, Any]) -> Iterator[str]:
    """What an AWS client would refuse to send."""
    model = botocore.session.get_session().get_service_model("cloudwatch")
    report = ParamValidator().validate(dict(given), model.operation_model(operation).input_shape)
    if report.has_errors():
        yield report.generate_report()


# --- alarms --------------------------------------------------------------------------


def alarms(template: Template) -> list[str]:
    """What is wrong with its alarms on metrics."""
    found = []
    topics = set(of_type(template, "AWS::SNS::Topic"))
    for name, one in watching(template).items():
        given = plain(one["Properties"], HERE)
        found += [f"{name}: {why}" for why in _alarm(given, topics)]
    return found


def _alarm(given: dict[str, Any], topics: set[str]) -> Iterator[str]:
    yield from refused("PutMetricAlarm", given)
    yield from _told(given, topics)
    points, of = given["DatapointsToAlarm"], given["EvaluationPeriods"]
    if points > of:
        yield f"{points} points of {of}: it can never ring"
    stats = list(_read(given))
    periods = {one["Period"] for one in stats}
    if len(periods) != 1:
        yield f"its metrics have several periods: {sorted(periods)}"
        return
    if str(given.get("Statistic", "")).startswith("p"):
        yield f"{given['Statistic']} is no statistic of one metric: ExtendedStatistic is"
    (period,) = periods
    if period % 60:
        yield f"a period of {period} s needs metrics of high resolution"
    if of * period > (_DAY_S if period < 3600 else 7 * _DAY_S):
        yield f"{of} periods of {period} s are longer than CloudWatch looks back"
    for one in stats:
        metric = one["Metric"]
        names = tuple(row["Name"] for row in metric["Dimensions"])
        yield from unknown(metric["Namespace"], metric["MetricName"], names, Profile.CORE)
        if not STATISTICS.fullmatch(one["Stat"]):
            yield f"{one['Stat']} is no statistic"
    filled = any("FILL(" in one.get("Expression", "") for one in given.get("Metrics", ()))
    if (
        filled
        and period == 60
        and given["TreatMissingData"] != "breaching"
        and of < points + _SPARE
    ):
        yield f"FILL fills what is under way: {points} points of {of} may never be seen"


def _read(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each metric that an alarm reads, in the form of a `MetricStat`."""
    if "Metrics" not in given:
        names = ("Namespace", "MetricName", "Dimensions")
        metric = {key: given.get(key) for key in names}
        yield {"Metric": metric, "Period": given["Period"], "Stat": given["Statistic"]}
    for one in given.get("Metrics", ()):
        if "MetricStat" in one:
            yield one["MetricStat"]


def read_by(template: Template) -> dict[str, list[dict[str, Any]]]:
    """What each alarm reads."""
    return {
        name: list(_read(plain(one["Properties"], HERE)))
        for name, one in watching(template).items()
    }


def _told(given: dict[str, Any], topics: set[str]) -> Iterator[str]:
    for topic in {*given.get("AlarmActions", ()), *given.get("OKActions", ())} - topics:
        yield f"it tells {topic}, which is no topic of the template"
    place = re.search(
        r"First: inference-worker .+\. docs/runbook\.md#(\w+)$", given["AlarmDescription"]
    )
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    if place is None or place[1] not in {one.lower() for one in headings}:
        yield "its description leads to no command and no paragraph of the runbook"


# --- composites ----------------------------------------------------------------------


def composites(template: Template) -> list[str]:
    """What is wrong with its alarms on alarms."""
    found = []
    topics = set(of_type(template, "AWS::SNS::Topic"))
    joined = of_type(template, "AWS::CloudWatch::CompositeAlarm")
    all_ = {*watching(template), *joined}
    for name, one in joined.items():
        given = plain(one["Properties"], HERE)
        found += [f"{name}: {why}" for why in _composite(given, all_ - {name}, topics)]
    return found


def _composite(given: dict[str, Any], others: set[str], topics: set[str]) -> Iterator[str]:
    yield from refused("PutCompositeAlarm", given)
    yield from _told(given, topics)
    try:
        names = parse(given["AlarmRule"]).names
    except RuleError as error:
        yield f"its rule is none: {error}"
        return
    for name in set(names) - others:
        yield f"its rule names {name}, which is no other alarm of the template"
    suppressor = given.get("ActionsSuppressor")
    if suppressor is not None and suppressor.removesuffix(".Arn") not in others:
        yield f"{suppressor} is to keep it quiet, and is no alarm of the template"
    periods = {"ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"}
    if (suppressor is not None) != (periods <= set(given)):
        yield "a suppressor has both of its periods"
