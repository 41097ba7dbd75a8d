"""The alarms of the templates: what they read is written, what they tell is heard."""

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.doctor.awscli import parsed
from tests.deploy.alarms import watched
from tests.deploy.alarms.watched import HERE
from tests.deploy.template import (
    DASHBOARD,
    ROOT,
    Template,
    of_type,
    plain,
    properties,
    read,
    watching,
)
from worker.alarms.rule import parse
from worker.core.bill import ALARMS
from worker.core.metric import Unit
from worker.core.metrics import CATALOGUE
from worker.core.policy import BreakerPolicy
from worker.settings import load

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "alarms.md").read_text(encoding="utf-8")
SIMPLE, JOINED = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
SETTINGS = {
    "WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/1/chat-jobs",
    "WORKER_MODEL__ID": "some.model-v1:0",
}


def of(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of its alarms, resolved, by the names of the runbook."""
    return {
        name.removeprefix("Alarm"): plain(one["Properties"], HERE)
        for name, one in (watching(template) if kind == SIMPLE else of_type(template, kind)).items()
    }


def test_what_watches_is_without_fault(template: Template) -> None:
    assert watched.alarms(template) == []
    assert watched.composites(template) == []


def test_every_alarm_has_its_paragraph_and_every_paragraph_its_alarm(template: Template) -> None:
    (part,) = re.findall(r"^## Alarms\n(.*?)^## ", RUNBOOK, re.MULTILINE | re.DOTALL)
    paragraphs = set(re.findall(r"^### (\w+)$", part, re.MULTILINE))
    made = set(of(template, SIMPLE)) | set(of(template, JOINED))

    windows = {one for one in made if one.startswith("SloBurn")}
    assert windows == {"SloBurn1h", "SloBurn5m", "SloBurn6h", "SloBurn30m"}
    assert made - windows == paragraphs
    assert all(f"`{one}`" in part for one in windows)


def test_two_alarms_call_somebody_and_all_else_is_chat(template: Template) -> None:
    topics = of_type(template, "AWS::SNS::Topic")
    (page,) = [one for one in topics if "Page" in one]
    (chat,) = [one for one in topics if "Chat" in one]
    told: dict[str, set[str]] = {page: set(), chat: set(), "": set()}
    for kind in (SIMPLE, JOINED):
        for name, one in of(template, kind).items():
            assert one.get("AlarmActions") == one.get("OKActions")
            (topic,) = one.get("AlarmActions", [""])
            told[topic].add(name)

    assert told[page] == {"UserImpact", "DataAtRisk"}
    assert told[""] == {
        *("UpstreamUnserved", "ThrottleRising", "LatencySpike"),
        *("SloBurn1h", "SloBurn5m", "SloBurn6h", "SloBurn30m"),
    }
    spoken_for = {
        name for one in of(template, JOINED).values() for name in parse(one["AlarmRule"]).names
    }
    assert {f"Alarm{name}" for name in told[""]} <= spoken_for


def test_users_who_wait_call_somebody_whatever_the_reason(template: Template) -> None:
    joined = of(template, JOINED)

    assert joined["UserImpact"]["AlarmRule"] == (
        'ALARM("AlarmSloFastBurn") OR ALARM("AlarmFleetSilent") OR ALARM("AlarmErrorsNew") OR '
        '((ALARM("AlarmCircuitOpenLong") OR ALARM("AlarmStandstill")) AND '
        '(ALARM("AlarmOldestJob") OR ALARM("AlarmParkedOld")))'
    )
    assert joined["DataAtRisk"]["AlarmRule"] == (
        'ALARM("AlarmDlqNotEmpty") OR (ALARM("AlarmParkedOld") AND ALARM("AlarmOldestJob"))'
    )


def test_one_outage_is_one_notice(template: Template) -> None:
    made = of(template, JOINED)["UpstreamWorse"]
    circuit = of(template, SIMPLE)["CircuitOpen"]

    assert made["ActionsSuppressor"] == "AlarmCircuitOpen.Arn"
    assert made["ActionsSuppressorWaitPeriod"] >= 60 * circuit["DatapointsToAlarm"]
    slow = of(template, SIMPLE)["UpstreamUnserved"]
    assert made["ActionsSuppressorExtensionPeriod"] >= 60 * slow["EvaluationPeriods"]


def test_a_window_of_the_slo_is_an_alarm_of_one_period(template: Template) -> None:
    found = of(template, SIMPLE)
    periods = {
        name: {one["Period"] for one in watched.read_by(template)[f"Alarm{name}"]}
        for name in ("SloBurn1h", "SloBurn5m", "SloBurn6h", "SloBurn30m")
    }

    assert periods == {
        "SloBurn1h": {3600},
        "SloBurn5m": {300},
        "SloBurn6h": {21_600},
        "SloBurn30m": {1800},
    }
    thresholds = [found[name]["Threshold"] for name in periods]
    assert thresholds == [14.4, 14.4, 6, 6]  # percent of jobs, at 99 % good ones
    joined = of(template, JOINED)
    assert parse(joined["SloFastBurn"]["AlarmRule"]).names == ("AlarmSloBurn1h", "AlarmSloBurn5m")
    assert parse(joined["SloSlowBurn"]["AlarmRule"]).names == ("AlarmSloBurn6h", "AlarmSloBurn30m")


def test_defaults_are_those_of_the_settings(template: Template) -> None:
    settings = load(SETTINGS)
    (target,) = settings.all_targets().values()
    parameters = template["Parameters"]

    assert parameters["LatencyMilliseconds"]["Default"] == target.slow_s * 1000
    assert CATALOGUE["ModelLatency"].unit is Unit.MILLISECONDS
    assert CATALOGUE["BreakerSyncAge"].unit is Unit.SECONDS
    assert settings.metrics.namespace == watched.NAMESPACE
    assert of(template, SIMPLE)["BreakerStoreStale"]["Threshold"] == 60
    assert "above 60 the store is out of reach" in CATALOGUE["BreakerSyncAge"].meaning


def test_a_right_that_is_lost_calls_once(template: Template) -> None:
    """Workers ask a target that denies them every quarter of an hour, at last."""
    rings = of(template, SIMPLE)["ErrorsNew"]
    (read,) = watched.read_by(template)["AlarmErrorsNew"]

    assert rings["DatapointsToAlarm"] == 1
    assert rings["EvaluationPeriods"] * read["Period"] > BreakerPolicy().quarantine_max_s


def test_the_dead_letter_queue_is_watched_by_its_name(template: Template) -> None:
    where = {
        name: of(template, SIMPLE)[name]["Dimensions"] for name in ("DlqNotEmpty", "OldestJob")
    }

    assert where == {
        "DlqNotEmpty": [{"Name": "QueueName", "Value": "chat-dead"}],
        "OldestJob": [{"Name": "QueueName", "Value": "chat-jobs"}],
    }


# --- who may publish, who is called --------------------------------------------------


def test_cloudwatch_of_this_account_publishes_and_nobody_without_tls(template: Template) -> None:
    policy = properties(template, "AWS::SNS::TopicPolicy")
    topics = of_type(template, "AWS::SNS::Topic")
    alarms, tls = plain(policy["PolicyDocument"]["Statement"], HERE)

    assert set(plain(policy["Topics"], HERE)) == set(topics) == set(alarms["Resource"])
    assert (alarms["Effect"], alarms["Action"]) == ("Allow", "sns:Publish")
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {
        "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:*"},
        "StringEquals": {"aws:SourceAccount": "123456789012"},
    }
    assert (tls["Effect"], tls["Principal"]) == ("Deny", {"AWS": "*"})
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(tls["Resource"]) == set(topics)
    assert all("KmsMasterKeyId" not in one.get("Properties", {}) for one in topics.values())


def test_an_address_is_written_to_only_if_it_is_given(template: Template) -> None:
    ((_, one),) = of_type(template, "AWS::SNS::Subscription").items()
    pattern = template["Parameters"]["PageEmail"]["AllowedPattern"]

    assert one["Condition"] == "SomebodyIsCalled"
    assert template["Conditions"]["SomebodyIsCalled"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "PageEmail"}, ""]}]
    }
    assert "Page" in plain(one["Properties"]["TopicArn"], HERE)
    assert re.fullmatch(pattern, "")
    assert re.fullmatch(pattern, "on-call@example.org")
    assert not re.fullmatch(pattern, "nobody")


def test_a_deployment_is_taken_back_for_errors_of_ours_alone(template: Template) -> None:
    how = plain(properties(template, "AWS::ECS::Service")["DeploymentConfiguration"], HERE)
    (read,) = watched.read_by(template)["AlarmUnhandledErrors"]

    assert how["Alarms"] == {
        "AlarmNames": ["AlarmUnhandledErrors"],
        "Enable": True,
        "Rollback": True,
    }
    assert read["Metric"]["MetricName"] == "UnhandledErrors"


# --- the page ------------------------------------------------------------------------


def test_the_page_has_every_alarm_as_it_is(template: Template) -> None:
    table = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, re.MULTILINE))
    made = of(template, SIMPLE) | of(template, JOINED)

    assert set(made) <= set(table)
    for name, one in of(template, SIMPLE).items():
        points, periods = one["DatapointsToAlarm"], one["EvaluationPeriods"]
        (period,) = {read["Period"] for read in watched.read_by(template)[f"Alarm{name}"]}
        assert f" {points} of {periods} " in table[name], name
        assert f" {period // 60} min " in table[name], name
        assert f" {one['TreatMissingData']} " in table[name], name


def test_the_page_says_what_the_alarms_cost(template: Template) -> None:
    read = sum(len(one) for one in watched.read_by(template).values())
    joined = len(of(template, JOINED))

    assert f"inference-worker plan --alarms {read}`" in PAGE
    assert f"{joined} composites" in PAGE
    assert f"{ALARMS.usd(read)} USD" in PAGE


@pytest.fixture
def alarm_rows(without_cdk: Callable[[str], Any]) -> Any:
    return without_cdk("alarm_rows")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"slo": 0.9}, "SloFastBurn could never ring"),
        ({"slo": 1.0}, "between 0.931 and 1"),
        ({"fallback_percent": 100}, "fallback_percent is 100"),
    ],
)
def test_a_threshold_that_is_never_reached_is_refused(
    alarm_rows: Any, given: dict[str, float], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        alarm_rows.Thresholds(**given)


# --- what may be pasted --------------------------------------------------------------


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines + re.findall(r"`(aws cloudwatch [^`]+)`", PAGE)


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_page_is_one(command: str) -> None:
    if command.startswith("aws cloudformation deploy"):
        words = shlex.split(command)
        (parameter,) = words[words.index("--parameter-overrides") + 1 :]
        assert words[words.index("--template-file") + 1] == "deploy/dashboard.json"
        assert set(read(DASHBOARD)["Parameters"]) == {parameter.partition("=")[0]}
        return
    _, operation, given = parsed(command)

    assert operation
    named = {given["AlarmName"]} if "AlarmName" in given else set(given.get("AlarmNames", ()))
    made = of(read("template.json"), SIMPLE) | of(read("template.json"), JOINED)
    assert named <= {one["AlarmName"] for one in made.values()}


def test_the_thresholds_of_the_page_are_taken(alarm_rows: Any) -> None:
    ((call, arguments),) = re.findall(r"at=(Thresholds\((.*?)\))\)", PAGE)
    at = eval(call, {"Thresholds": alarm_rows.Thresholds})  # noqa: S307  (of our own page)

    made = {one.name: one for one in alarm_rows.alarms(at)}
    assert arguments
    assert made["OldestJob"].above == 900
    assert made["FallbackSustained"].above == 50
    assert made["SloBurn1h"].above == 1.44
    assert "50 %" in made["FallbackSustained"].says
