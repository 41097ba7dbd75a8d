"""How many workers run: what Application Auto Scaling, CloudWatch and ECS ask of the template.

What becomes of a fleet by it is played in tests/sim/test_scaling.py; none of these services is
asked here, and the embedded stack knows none of them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tests.cli.doctor.awscli import parsed
from tests.deploy.conftest import need_tools
from tests.deploy.template import (
    DEPLOY,
    ROOT,
    Template,
    container,
    of_type,
    plain,
    properties,
)
from worker.alarms.metric_math import evaluate, parse
from worker.core.metrics import CATALOGUE
from worker.settings import Settings
from worker.settings.knobs import MetricsSettings

POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
HERE = {"AWS::StackName": "chat", "Slots": "32", "WaitingPerTask": "192", "TasksMax": "10"}
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
EXPRESSION_MAX, SIZE_MAX = 2048, 50 * 1024
VARIANTS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import app
app.use_node_of_wheel()
from aws_cdk import App, BootstraplessSynthesizer, Stack
from inference_worker_cdk import Dashboard, InferenceWorker, Network, network
told = {}
for name, more in json.loads(sys.argv[2]).items():
    made = App(analytics_reporting=False, tree_metadata=False, outdir=f"{sys.argv[3]}/{name}")
    stack = Stack(made, "theirs", synthesizer=BootstraplessSynthesizer())
    try:
        worker = InferenceWorker(
            stack, "Worker", service="chat", image="i", model_id="m", model_arns=["arn:x"],
            profile_arns=[], vpc=network(stack, Network.ISOLATED), **more)
        Dashboard(stack, "Board", service="chat", places=worker.places)
    except ValueError as wrong:
        told[name] = str(wrong)
    else:
        told[name] = made.synth().get_stack_by_name("theirs").template
print(json.dumps(told))
"""
GIVEN: dict[str, dict[str, Any]] = {
    "usual": {},
    "zero": {"tasks_min": 0, "tasks_max": 1},
    "own": {
        "settings": {
            "WORKER_SLOTS": "16",
            "WORKER_SERVICE": "other",
            "WORKER_METRICS__NAMESPACE": "Own/of-us",
        },
        "waiting_per_task": 80,
    },
    "above": {"tasks_min": 5, "tasks_max": 2},
    "less": {"tasks_min": -1},
    "none": {"tasks_min": 0, "tasks_max": 0},
    "nobody": {"waiting_per_task": 0},
}


def policy(template: Template, kind: str) -> Any:
    (found,) = [
        one for one in of_type(template, POLICY).values() if one["Properties"]["PolicyType"] == kind
    ]
    return found


def tracked(template: Template) -> Any:
    one = policy(template, "TargetTrackingScaling")["Properties"]
    return one["TargetTrackingScalingPolicyConfiguration"]


def queries(template: Template) -> list[Any]:
    found: list[Any] = tracked(template)["CustomizedMetricSpecification"]["Metrics"]
    return found


def wake_alarm(template: Template) -> Any:
    (found,) = [
        one
        for one in of_type(template, "AWS::CloudWatch::Alarm").values()
        if "due_to_nobody" in str(one["Properties"].get("Metrics"))
    ]
    return found


def worked_out(all_of: list[Any], **points: float) -> float | None:
    """The last expression of these queries, over one minute."""
    series: dict[str, list[float | None]] = {}
    for one in all_of:
        if "Expression" in one:
            expression = parse(plain(one["Expression"], HERE))
            series[one["Id"]] = evaluate(expression, series)
        else:
            series[one["Id"]] = [points.get(one["Id"])]
    return series[all_of[-1]["Id"]][0]


def test_both_policies_are_requests_that_the_service_takes(template: Template) -> None:
    model = botocore.session.get_session().get_service_model("application-autoscaling")
    shape = model.operation_model("PutScalingPolicy").input_shape

    for one in of_type(template, POLICY).values():
        made = plain(one["Properties"], HERE)
        where = {
            "ServiceNamespace": "ecs",
            "ResourceId": "service/a/b",
            "ScalableDimension": "ecs:service:DesiredCount",
        }
        made = {key: value for key, value in made.items() if key != "ScalingTargetId"} | where
        assert ParamValidator().validate(made, shape).generate_report() == ""
        assert len(json.dumps(made)) <= SIZE_MAX


def test_the_figure_keeps_the_rules_of_the_service(template: Template) -> None:
    told = queries(template)
    ids = [one["Id"] for one in told]
    expressions = [plain(one["Expression"], HERE) for one in told if "Expression" in one]

    assert [one["Id"] for one in told if one["ReturnData"]] == ["fullness"]
    assert ids[-1] == "fullness"
    assert len(set(ids)) == len(ids)
    assert all(("Expression" in one) is not ("MetricStat" in one) for one in told)
    assert all(len(one) <= EXPRESSION_MAX for one in expressions)
    assert len(told) <= 10  # of an alarm
    for n, one in enumerate(told):
        if "Expression" in one:
            assert parse(plain(one["Expression"], HERE)).names <= set(ids[:n])


def test_what_is_measured_is_there(template: Template) -> None:
    hold = CATALOGUE["UpstreamHold"]
    metrics = {one["Id"]: one["MetricStat"] for one in queries(template) if "MetricStat" in one}

    def of(id_: str) -> tuple[str, ...]:
        one = metrics[id_]
        values = {d["Name"]: plain(d["Value"], HERE) for d in one["Metric"]["Dimensions"]}
        names = (one["Metric"]["Namespace"], one["Metric"]["MetricName"], one["Stat"])
        return (*names, json.dumps(values, sort_keys=True))

    for id_, queue in (("jobs", "JobsQueue"), ("due", "ParkedQueue")):
        name = json.dumps({"QueueName": f"{queue}.QueueName"})
        assert of(id_) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", name)
    for id_, queue in (("taken", "JobsQueue"), ("resumed", "ParkedQueue")):
        name = json.dumps({"QueueName": f"{queue}.QueueName"})
        assert of(id_) == ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Maximum", name)
    namespace = MetricsSettings().namespace
    assert of("held") == (namespace, hold.name, "Minimum", json.dumps({"Service": "chat"}))
    assert hold.core
    assert of("counted")[:3] == ("ECS/ContainerInsights", "RunningTaskCount", "Average")
    (service,) = of_type(template, "AWS::ECS::Service")
    (cluster,) = of_type(template, "AWS::ECS::Cluster")
    assert json.loads(of("counted")[3]) == {
        "ClusterName": cluster,
        "ServiceName": f"{service}.Name",
    }
    insights = properties(template, "AWS::ECS::Cluster")["ClusterSettings"]
    assert insights == [{"Name": "containerInsights", "Value": "enabled"}]


@pytest.mark.parametrize(
    ("points", "figure"),
    [
        ({}, 0),
        ({"taken": 32, "counted": 1}, 100),
        ({"taken": 24, "counted": 1}, 75),
        ({"jobs": 192, "counted": 1}, 100),
        ({"jobs": 96, "due": 96, "taken": 16, "resumed": 16, "counted": 2}, 100),
        ({"jobs": 192}, 100),
        ({"jobs": 9_000, "counted": 1, "held": 1}, 80),
        ({"jobs": 9_000, "counted": 1, "held": 2}, 0),
    ],
)
def test_the_figure_is_how_full_the_slots_are(
    template: Template, points: dict[str, float], figure: float
) -> None:
    assert worked_out(queries(template), **points) == figure
    assert tracked(template)["TargetValue"] == 80


@pytest.mark.parametrize(
    ("points", "due"),
    [
        ({}, 0),
        ({"jobs": 1}, 1),
        ({"due": 2}, 2),
        ({"jobs": 1, "counted": 1}, 0),
        ({"counted": 1}, 0),
    ],
)
def test_what_is_due_to_nobody_wakes(
    template: Template, points: dict[str, float], due: float
) -> None:
    alarm = wake_alarm(template)["Properties"]

    assert worked_out(alarm["Metrics"], **points) == due
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["EvaluationPeriods"] == 3
    assert "DatapointsToAlarm" not in alarm  # all of them
    assert [one["MetricStat"]["Period"] for one in alarm["Metrics"][:-1]] == [60, 60, 60]


def test_a_stack_has_what_wakes_only_where_it_may_sleep(template: Template) -> None:
    step = policy(template, "StepScaling")
    (name,) = [n for n, one in of_type(template, POLICY).items() if one is step]
    alarm = wake_alarm(template)

    assert template["Conditions"][step["Condition"]] == {"Fn::Equals": [{"Ref": "TasksMin"}, "0"]}
    assert alarm["Condition"] == step["Condition"]
    assert alarm["Properties"]["AlarmActions"] == [{"Ref": name}]
    how = step["Properties"]["StepScalingPolicyConfiguration"]
    assert how["AdjustmentType"] == "ChangeInCapacity"  # a count that is lost cuts no fleet
    (adjusted,) = how["StepAdjustments"]
    assert adjusted == {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}


def test_the_workers_have_as_many_slots_as_the_figure_takes_them_for(template: Template) -> None:
    environment = {row["Name"]: row["Value"] for row in container(template)["Environment"]}
    parameters = template["Parameters"]

    assert environment["WORKER_SLOTS"] == {"Ref": "Slots"}
    assert parameters["Slots"]["Default"] == Settings.model_fields["slots"].default
    assert "/ 48 +" in plain(queries(template)[-1]["Expression"], {"Slots": "48"})
    assert parameters["WaitingPerTask"]["Default"] == parameters["Slots"]["Default"] * 30 / 5


def test_a_deployment_leaves_the_number_of_tasks_alone(template: Template) -> None:
    assert "DesiredCount" not in properties(template, "AWS::ECS::Service")


def test_one_task_is_never_on_spot_and_how_many_others_are_is_said(template: Template) -> None:
    ((name, providers),) = of_type(
        template, "AWS::ECS::ClusterCapacityProviderAssociations"
    ).items()
    ((_, service),) = of_type(template, "AWS::ECS::Service").items()
    made = service["Properties"]

    assert made["CapacityProviderStrategy"] == [
        {"CapacityProvider": "FARGATE", "Base": 1, "Weight": 1},
        {"CapacityProvider": "FARGATE_SPOT", "Weight": {"Ref": "SpotWeight"}},
    ]
    assert template["Parameters"]["SpotWeight"]["Default"] == 0
    assert "LaunchType" not in made
    wanted = {one["CapacityProvider"] for one in made["CapacityProviderStrategy"]}
    assert set(providers["Properties"]["CapacityProviders"]) == wanted
    assert name in service["DependsOn"]


# --- the construct -------------------------------------------------------------------


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The construct with each of `GIVEN`: its template, or what it says is wrong."""
    need_tools()
    at: Path = tmp_path_factory.mktemp("variants")
    ran = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", VARIANTS, str(DEPLOY), json.dumps(GIVEN), str(at)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def test_a_number_that_cannot_be_is_refused_with_its_name(variants: dict[str, Any]) -> None:
    assert "tasks_min is 5 and tasks_max 2" in variants["above"]
    assert variants["less"].startswith("tasks_min must be 0 or more")
    assert variants["none"].startswith("tasks_max must be 1 or more")
    assert variants["nobody"].startswith("waiting_per_task must be 1 or more")


def test_a_number_that_is_known_needs_no_condition(variants: dict[str, Any]) -> None:
    assert len(of_type(variants["usual"], POLICY)) == 1
    assert "due_to_nobody" not in json.dumps(variants["usual"])
    assert len(of_type(variants["zero"], POLICY)) == 2
    assert "Conditions" not in variants["zero"]
    assert properties(variants["zero"], TARGET)["MinCapacity"] == 0


def test_settings_of_the_app_are_those_that_it_scales_by(variants: dict[str, Any]) -> None:
    told = queries(variants["own"])
    (hold,) = [one["MetricStat"]["Metric"] for one in told if one["Id"] == "held"]

    assert hold["Namespace"] == "Own/of-us"
    assert hold["Dimensions"] == [{"Name": "Service", "Value": "other"}]
    assert re.search(r"\) / 16 \+ \(.+\) / 80\) / IF", told[-1]["Expression"])


def test_what_watches_follows_the_settings_of_the_app(variants: dict[str, Any]) -> None:
    """The fleet's own metrics are by its name in the settings, its alarms by the app's."""
    alarms = of_type(variants["own"], "AWS::CloudWatch::Alarm").values()
    silent, *_ = [
        one["Properties"] for one in alarms if one["Properties"]["AlarmName"] == "chat-FleetSilent"
    ]
    beats, *_ = [one["MetricStat"]["Metric"] for one in silent["Metrics"] if one["Id"] == "beats"]
    body = json.dumps(properties(variants["own"], "AWS::CloudWatch::Dashboard")["DashboardBody"])

    assert beats["Namespace"] == "Own/of-us"
    assert beats["Dimensions"] == [{"Name": "Service", "Value": "other"}]
    spoken = body.replace("\\", "")
    assert set(re.findall(r'Service="(\w+)"', spoken)) == {"other"}
    assert set(re.findall(r"{([^{}]*),Service,\w+} MetricName", spoken)) == {'"Own/of-us"'}


def test_a_fleet_that_may_go_is_silent_on_purpose(variants: dict[str, Any]) -> None:
    told = {}
    for name in ("usual", "zero"):
        for one in of_type(variants[name], "AWS::CloudWatch::Alarm").values():
            given = one["Properties"]
            if given.get("AlarmName") == "chat-FleetSilent":
                told[name] = given["TreatMissingData"], given["Metrics"][0]["Expression"]

    assert told == {
        "usual": ("breaching", "IF(FILL(wanted,1) < 1, 1, FILL(beats,0))"),
        "zero": ("notBreaching", "IF(FILL(wanted,0) < 1, 1, FILL(beats,0))"),
    }


# --- the page ------------------------------------------------------------------------


def test_the_pages_commands_are_requests_that_aws_takes() -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    for command in block.splitlines():
        assert parsed(command)[2]


def test_the_pages_parameters_are_the_templates(template: Template) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)
    ours = {"TasksMin", "TasksMax", "Slots", "WaitingPerTask", "SpotWeight"}

    assert {name for name, _ in rows} == ours
    for name, usual in rows:
        assert str(template["Parameters"][name]["Default"]) == usual


def test_the_pages_example_is_what_the_figure_comes_to(template: Template) -> None:
    figure = worked_out(queries(template), taken=72, jobs=384, counted=3)

    assert figure is not None
    assert f"= {figure:.0f}, and" in PAGE
