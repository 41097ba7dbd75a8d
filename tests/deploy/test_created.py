"""The templates, created on the embedded stack, and what doctor says of it.

The stack's CloudFormation makes queues, tables and the bucket for real, so jobs can go through
them (tests/deploy/test_rights.py); of roles, tasks and networks it keeps the description. It
starts no task and routes nothing: that an image starts or a packet arrives is not shown here.
What it does not know at all is in `UNKNOWN`, and a test tells when it has learnt. Of alarms it
makes those on one metric; it evaluates none.
"""

import json

import pytest
from botocore.exceptions import ClientError

from tests.deploy.account import (
    LOST,
    MORE,
    NAME,
    UNKNOWN,
    Account,
    doctor,
    in_account,
    known,
)
from tests.deploy.template import DASHBOARD, FILES, of_type, plain, read
from worker.cli.doctor.finding import Level


@pytest.mark.parametrize("name", FILES)
def test_doctor_is_content_with_what_a_template_creates(name: str) -> None:
    async def story(here: Account) -> None:
        template = known(read(name))
        made = await here.create(template)
        environment = here.environment(template, made) | MORE

        first = await doctor(environment)
        lost = [one for one in first.findings if one.level is not Level.GREEN]
        await here.mend([one.run for one in lost])
        then = await doctor(environment)

        assert first.ok
        assert [one.says for one in lost if not any(words in one.says for words in LOST)] == []
        assert [one for one in then.findings if one.level is not Level.GREEN] == []
        queues = {f"queue {NAME}-{role}" for role in ("jobs", "parked", "dead")}
        tables = {f"table {NAME}-{what}" for what in ("jobs", "breakers", "cache")}
        assert queues | tables | {f"bucket {made['PayloadsBucket']}"} < {
            one.of for one in then.findings
        }

    in_account(story)


def test_what_the_embedded_stack_does_not_know_is_still_unknown() -> None:
    async def story(here: Account) -> None:
        with pytest.raises(ClientError) as told:
            await here.create(read("template.json"))

        assert f"[{', '.join(UNKNOWN)}]" in str(told.value)

    in_account(story)


def test_alarms_on_expressions_are_still_beyond_the_embedded_stack() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        template["Resources"] |= {
            name: one
            for name, one in of_type(read("template.json"), "AWS::CloudWatch::Alarm").items()
            if name == "AlarmThrottleRising"
        }

        with pytest.raises(AssertionError, match="metric math"):
            await here.create(template)

    in_account(story)


def test_alarms_on_one_metric_are_created_as_they_are_written() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        rows = of_type(template, "AWS::CloudWatch::Alarm").values()
        made = await here.create(template)

        async with here.client("cloudwatch") as cloudwatch:
            told = (await cloudwatch.describe_alarms())["MetricAlarms"]

        names = {"AWS::StackName": NAME, "JobsQueue.QueueName": f"{NAME}-jobs"}
        wanted = {plain(one["Properties"]["AlarmName"], names) for one in rows}
        assert {one["AlarmName"] for one in told} == wanted
        assert f"{NAME}-CircuitOpen" in wanted
        (oldest,) = [one for one in told if one["AlarmName"] == f"{NAME}-OldestJob"]
        assert oldest["Dimensions"] == [{"Name": "QueueName", "Value": f"{NAME}-jobs"}]
        assert oldest["Threshold"] == 300
        (chat,) = oldest["AlarmActions"]
        assert chat == made["ChatTopic"]

    in_account(story)


def test_the_dashboard_is_created_beside_the_stack_that_it_shows() -> None:
    async def story(here: Account) -> None:
        made = await here.create(known(read("template.json")))

        await here.create(read(DASHBOARD), {"Worker": NAME}, name=f"{NAME}-dashboard")
        async with here.client("cloudwatch") as cloudwatch:
            told = await cloudwatch.get_dashboard(DashboardName=f"{NAME}-us-east-1")
        body = json.loads(told["DashboardBody"])

        (logs,) = [made[name] for name in made if name.startswith("WorkerLogs")]
        queries = [one["properties"]["query"] for one in body["widgets"] if one["type"] == "log"]
        assert queries
        assert all(query.startswith(f"SOURCE '{logs}' | ") for query in queries)

    in_account(story)


def test_a_defect_in_the_template_is_red_in_what_it_creates() -> None:
    async def story(here: Account) -> None:
        template = known(read("template.json"))
        template["Resources"]["JobsQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] = 3
        made = await here.create(template)

        report = await doctor(here.environment(template, made))

        (red,) = [one for one in report.findings if one.level is Level.RED]
        assert "gives up too early: maxReceiveCount is 3" in red.says

    in_account(story)
