"""The dashboard draws what is written, and everything of the profile `core` is drawn or watched."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from tests.deploy import gates
from tests.deploy.alarms import board as board_gate
from tests.deploy.alarms import watched
from tests.deploy.alarms.defects_watched import DRAWN
from tests.deploy.alarms.watched import HERE, NAMESPACE
from tests.deploy.template import DASHBOARD, ROOT, Template, of_type, plain, read
from worker.alarms.metric_math import evaluate, parse
from worker.core.events import BreakerMoved, JobSettled
from worker.core.metric import Profile
from worker.core.metrics import CATALOGUE

ALARM_KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
LINES = {"event", *(one.name for kind in (JobSettled, BreakerMoved) for one in fields(kind))}
PAGE = (ROOT / "docs" / "alarms.md").read_text(encoding="utf-8")
UNSEEN: dict[str, str] = {}
"""Metrics of the profile `core` that nothing draws and nothing watches, each with its reason."""


def alarm_names() -> set[str]:
    made = read("template.json")
    return {
        plain(one["Properties"]["AlarmName"], HERE)
        for kind in ALARM_KINDS
        for one in of_type(made, kind).values()
        if "AlarmName" in one["Properties"]
    }


@pytest.fixture(scope="module")
def board() -> Template:
    return read(DASHBOARD)


def test_the_dashboard_is_without_fault(board: Template) -> None:
    assert board_gate.faults(board, alarm_names(), LINES) == []


@pytest.mark.parametrize(
    ("old", "new", "told"), [row[1:] for row in DRAWN], ids=[row[0] for row in DRAWN]
)
def test_a_seeded_defect_is_seen(board: Template, old: str, new: str, told: str) -> None:
    text = json.dumps(board, separators=(",", ":"))
    was, is_ = (json.dumps(one)[1:-1] for one in (old, new))  # the body is a text in a text
    assert was in text, old
    worse = json.loads(text.replace(was, is_, 1))

    found = board_gate.faults(worse, alarm_names(), LINES)

    assert any(told in one for one in found), found


def test_what_waits_for_a_fleet_of_none_is_drawn(board: Template) -> None:
    """Container Insights tells nothing of a service without tasks."""
    (text,) = [
        row[-1]["expression"]
        for one in board_gate.body_of(board)["widgets"]
        for row in one["properties"].get("metrics", ())
        if row[-1].get("label") == "jobs for each"
    ]

    assert evaluate(parse(text), {"visible": [3, 8], "hand": [None, 4], "run": [None, 2]}) == [3, 6]


def test_the_same_fleet_in_two_regions_has_two_dashboards(board: Template) -> None:
    """Dashboards are of the account and not of a Region: the later one would replace the other."""
    ((_, one),) = of_type(board, "AWS::CloudWatch::Dashboard").items()

    assert plain(one["Properties"]["DashboardName"], HERE) == "chat-eu-west-1"


def test_its_template_passes_every_gate(board: Template) -> None:
    assert (gates.lint(board), gates.validate(board)) == ([], [])


def test_what_core_writes_is_drawn_or_watched(board: Template) -> None:
    seen = {
        (metric, names)
        for namespace, metric, names, _ in board_gate.drawn(board_gate.body_of(board))
        if namespace == NAMESPACE
    }
    seen |= {
        (one["Metric"]["MetricName"], tuple(row["Name"] for row in one["Metric"]["Dimensions"]))
        for alarm in watched.read_by(read("template.json")).values()
        for one in alarm
    }
    core = {
        (row.name, names)
        for row in CATALOGUE.values()
        if (kept := row.within(Profile.CORE)) is not None
        for names in kept.dimensions
    }

    assert {metric for metric, _ in core - seen} == set(UNSEEN)


@pytest.mark.parametrize(
    ("metric", "by", "profile"),
    [
        ("ModelCall", (), Profile.FULL),
        ("ModelCalls", ("Breaker",), Profile.FULL),
        ("ModelCalls", ("Target",), Profile.CORE),
        ("JobsExpired", (), Profile.CORE),
        ("BreakerOpen", (), Profile.FULL),
    ],
)
def test_what_nobody_writes_cannot_be_drawn(
    without_cdk: Callable[[str], Any], metric: str, by: tuple[str, ...], profile: Profile
) -> None:
    catalogue = without_cdk("catalogue")

    with pytest.raises(catalogue.UnknownMetricError, match=f"{metric} by .* is not in"):
        catalogue.written(metric, *by, core=profile is Profile.CORE)
    assert catalogue.written("ModelCalls", "Target") == "ModelCalls"


def test_gauges_that_each_worker_knows_are_read_as_the_catalogue_says(board: Template) -> None:
    """Added up over workers, they say nothing."""
    read_as = {
        (metric, stat)
        for namespace, metric, _, stat in board_gate.drawn(board_gate.body_of(board))
        if namespace == NAMESPACE
    }
    read_as |= {
        (one["Metric"]["MetricName"], one["Stat"])
        for alarm in watched.read_by(read("template.json")).values()
        for one in alarm
    }
    gauges = {"BreakersOpen", "BreakerOpen", "BreakerHalfOpen", "BreakerSyncAge", "EventLoopLag"}

    assert not {(metric, stat) for metric, stat in read_as if metric in gauges and stat == "Sum"}
    assert {stat for metric, stat in read_as if metric == "UpstreamHold"} == {"Minimum"}


def test_a_widget_that_needs_the_full_catalogue_says_so(board: Template) -> None:
    """With the profile `core` it would look as if nothing happened."""
    for one in board_gate.body_of(board)["widgets"]:
        shown = one["properties"]
        for row in board_gate.drawn({"widgets": [one]}):
            namespace, metric, names, _ = row
            if namespace != NAMESPACE:
                continue
            kept = CATALOGUE[metric].within(Profile.CORE)
            if kept is None or names not in kept.dimensions:
                labels = [entry[-1].get("label", "") for entry in shown["metrics"]]
                assert "(full)" in shown["title"] or any("(full)" in label for label in labels), (
                    shown["title"],
                    metric,
                )


def test_the_page_tells_what_each_row_answers(board: Template) -> None:
    rows = {one["y"] for one in board_gate.body_of(board)["widgets"]}
    (table,) = [part for part in PAGE.split("\n\n") if part.startswith("| row | answers |")]

    assert len(table.splitlines()) - 2 == len(rows)


def test_the_dashboard_has_the_region_of_its_stack(board: Template) -> None:
    ((_, one),) = of_type(board, "AWS::CloudWatch::Dashboard").items()
    body = str(one["Properties"]["DashboardBody"])

    assert "{'Ref': 'AWS::Region'}" in body
    assert "eu-west-1" not in body


def test_what_it_imports_the_stack_exports(board: Template, template: Template) -> None:
    imported = {
        name
        for name in ("ClusterName", "ServiceName", "LogGroupName")
        if f"-{name}" in str(board["Resources"])
    }
    exported = {
        plain(one["Export"]["Name"], HERE)
        for one in template["Outputs"].values()
        if "Export" in one
    }

    assert {f"chat-{name}" for name in imported} == exported
    assert len(exported) == 3
