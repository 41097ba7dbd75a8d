"""Alarms out of a CloudFormation template, and what is refused."""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alarms.stack import metric, template
from worker.alarms.alarm import Computed, Measured, Missing
from worker.alarms.references import TemplateError
from worker.alarms.samples import key
from worker.alarms.template import alarms


def test_an_alarm_on_an_expression_is_read_with_its_references() -> None:
    found = alarms(template(), {"AWS::StackName": "fleet"})

    unserved = found.metric[0]
    assert (unserved.id, unserved.name) == ("Unserved", "fleet-Unserved")
    assert unserved.metrics == tuple(
        key("Lab", name, [("Service", "fleet")]) for name in ("Calls", "Errors", "Unserved")
    )
    assert [type(one) for one in unserved.reads] == [Measured, Measured, Measured, Computed]
    assert (unserved.watches, unserved.threshold) == ("share", 20)
    assert (unserved.periods, unserved.to_alarm, unserved.window_min) == (5, 3, 5)
    assert unserved.missing is Missing.NOT_BREACHING
    assert (unserved.actions, unserved.ok_actions) == (("Chat",), ("Chat",))


def test_an_alarm_on_a_metric_is_read() -> None:
    _, dead = alarms(template()).metric

    assert dead.name == "inference-worker-DeadJobs"
    assert dead.reads == (
        Measured(
            "m", key("AWS/SQS", "Visible", [("QueueName", "inference-worker-dead")]), "Maximum"
        ),
    )
    assert (dead.periods, dead.to_alarm, dead.period_s) == (1, 1, 60)


def test_composites_come_after_what_they_ask() -> None:
    worse, both = alarms(template()).composite

    assert (worse.id, both.id) == ("Worse", "Both")
    assert (worse.wait_s, worse.extension_s) == (60, 120)
    assert (worse.suppressor or "").endswith(":alarm:inference-worker-DeadJobs")
    assert both.rule.names[1] == "inference-worker-DeadJobs"
    assert both.actions == ("Page",)
    assert both.ok_actions == ()


def test_what_the_account_alone_knows_can_be_given() -> None:
    made = template()
    del made["Resources"]["Dead"]["Properties"]["QueueName"]

    unknown, given = (
        alarms(made, more).metric[1].metrics[0].dimensions
        for more in ({}, {"Dead.QueueName": "d-1"})
    )

    assert unknown == (("QueueName", "Dead.QueueName"),)
    assert given == (("QueueName", "d-1"),)


def test_a_parameter_can_be_given() -> None:
    assert alarms(template(), {"Percent": "35.5"}).metric[0].threshold == 35.5


def test_a_condition_that_is_given_otherwise_holds_otherwise() -> None:
    found = alarms(template(), {"AWS::Region": "nowhere"})

    assert found.composite[1].actions == ()


def test_an_alarm_whose_actions_are_off_tells_nobody() -> None:
    made = template()
    made["Resources"]["DeadJobs"]["Properties"]["ActionsEnabled"] = False

    assert alarms(made).metric[1].actions == ()


Change = Callable[[dict[str, Any], dict[str, Any]], object]


def put(**more: Any) -> Change:
    """More properties of the alarm on an expression."""
    return lambda one, _: one.update(more)


def queries(*more: dict[str, Any], first: str = "calls") -> Change:
    return put(Metrics=[{"Id": "share", "Expression": first}, metric("Calls"), *more])


def dropped(name: str) -> Change:
    return lambda one, _: one.pop(name)


def of_both(**more: Any) -> Change:
    """More properties of the composite `Both`."""
    return lambda _, all_: all_["Both"]["Properties"].update(more)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        # What CloudFormation or CloudWatch would refuse.
        (queries(first="calls +"), "Unserved: 'calls +', character 8: expected a number"),
        (
            queries(first="calls + nope"),
            "Unserved: share: 'calls + nope': no metric has the id nope",
        ),
        (queries(first="share + 1"), "expressions read each other"),
        (
            queries(
                {"Id": "e", "Expression": "f", "ReturnData": False},
                {"Id": "f", "Expression": "e", "ReturnData": False},
            ),
            "expressions read each other",
        ),
        (queries(first="RATE(calls)"), "RATE is CloudWatch's, and not evaluated here"),
        (queries(first="[calls, calls]"), "comes to 2 series"),
        (queries(first="1 + 1"), "comes to a number"),
        (queries(metric("Calls")), "'calls' is no id of a metric, or there twice"),
        (queries(metric("Errors") | {"Id": "Errors"}), "'Errors' is no id of a metric"),
        (queries(metric("Errors", period=300)), "have one Period"),
        (
            queries(metric("Errors") | {"ReturnData": True}),
            "one query is watched (ReturnData), not 2",
        ),
        (queries(metric("Errors", stat="tm99")), "the statistic 'tm99' is not evaluated"),
        (queries({"Id": "x", "ReturnData": False, "MetricStat": {}}), "x has neither Expression"),
        (queries({"Id": "x", "ReturnData": False}), "x has neither Expression"),
        (queries(*(metric(f"M{n}") for n in range(9))), "10 queries in an alarm, not 11"),
        (put(DatapointsToAlarm=6), "DatapointsToAlarm is from 1 to EvaluationPeriods (5)"),
        (put(DatapointsToAlarm=0), "DatapointsToAlarm is from 1"),
        (put(EvaluationPeriods=1441), "CloudWatch looks back 86400 s"),
        (put(ComparisonOperator="GreaterThan"), "ComparisonOperator is one of"),
        (put(TreatMissingData="notbreaching"), "TreatMissingData is one of"),
        (put(Threshold="many"), "Threshold is no number"),
        (put(Threshold={"Ref": "Chat"}), "Threshold is no number"),
        (put(ThresholdMetricId="share"), "ThresholdMetricId: not evaluated here"),
        (dropped("Threshold"), "lacks Threshold"),
        (dropped("Metrics"), "m has neither Expression nor MetricStat"),
        # References.
        (put(Threshold={"Ref": "Nowhere"}), "Ref to Nowhere, which is neither"),
        (put(Threshold={"Ref": "Pager"}), "the parameter Pager has no default"),
        (put(AlarmActions=[{"Fn::GetAtt": ["No", "Arn"]}]), "GetAtt of No, which is no resource"),
        (put(AlarmActions=[{"Fn::Select": [0, ["a"]]}]), "Fn::Select is not resolved here"),
        (put(AlarmActions=[{"Fn::If": ["No", 1, 2]}]), "there is no condition No"),
        # Shapes.
        (put(Metrics="many"), "has not the shape"),
        (put(Metrics=[{"Id": 1}]), "has not the shape"),
        (put(AlarmActions={"Fn::Join": 1}), "has not the shape"),
        (put(EvaluationPeriods=[1]), "EvaluationPeriods is no number"),
        (put(AlarmName={"Ref": "Unserved"}), "has not the shape"),
        (queries(metric("Errors") | {"MetricStat": 1}), "has not the shape"),
        # Composites.
        (of_both(AlarmRule='ALARM("x") AND'), "Both: 'ALARM(\"x\") AND', character 15"),
        (of_both(AlarmRule='ALARM("x")'), "there is no alarm x"),
        (of_both(AlarmRule='ALARM("both")'), "composites ask each other"),
        (of_both(ActionsSuppressor="x"), "there is no alarm x"),
        (of_both(Anything=1), "Anything: not evaluated here"),
    ],
)
def test_what_would_be_refused_is_refused_by_logical_id(change: Change, says: str) -> None:
    made = template()
    resources = made["Resources"]
    change(resources["Unserved"]["Properties"], resources)

    with pytest.raises(TemplateError) as refused:
        alarms(made)

    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"Fn::Contains": []}, "Fn::Contains in a condition is not resolved"),
        ({"Fn::Or": [{"Fn::Equals": ["a", {"Ref": "Pager"}]}]}, "the parameter Pager"),
    ],
)
def test_a_condition_that_cannot_be_resolved_is_refused(
    condition: dict[str, Any], says: str
) -> None:
    made = template()
    made["Conditions"]["Never"] = condition

    with pytest.raises(TemplateError) as refused:
        alarms(made)

    assert says in str(refused.value)


def test_a_text_with_references_of_its_own_is_resolved() -> None:
    made = template()
    own = {"Fn::Sub": ['ALARM("${Of}") OR ALARM("${DeadJobs}")', {"Of": {"Ref": "Unserved"}}]}
    made["Resources"]["Worse"]["Properties"]["AlarmRule"] = own

    worse = alarms(made).composite[0]

    assert worse.rule.names == ("inference-worker-Unserved", "inference-worker-DeadJobs")


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 3, "", "x", [], {}, [1], {"a": 1}]
)


@given(data=st.data())
def test_a_template_of_any_shape_is_read_or_refused(data: st.DataObject) -> None:
    made = copy.deepcopy(template())
    here: Any = made["Resources"]
    while True:
        inner = sorted(here) if isinstance(here, dict) else range(len(here))
        step = data.draw(st.sampled_from(list(inner)))
        if not isinstance(here[step], dict | list) or not here[step] or data.draw(st.booleans()):
            here[step] = copy.deepcopy(data.draw(JUNK))
            break
        here = here[step]

    with contextlib.suppress(TemplateError):
        alarms(made)


@pytest.mark.parametrize("name", ["Percents", "AWS::Stackname", "Gone.Arn", "percent"])
def test_a_name_that_nothing_has_is_refused(name: str) -> None:
    """Passed over, it would say of the usual what was asked of something else."""
    with pytest.raises(TemplateError, match=f"no parameter {name}"):
        alarms(template(), {name: "1"})


@pytest.mark.parametrize("what", [{}, {"Resources": []}, {"Resources": None}, [], "x"])
def test_what_is_no_template_is_refused(what: Any) -> None:
    with pytest.raises(TemplateError, match="no CloudFormation template"):
        alarms(what)
