"""What the committed template's scaling does in an outage, and that each part of it is needed.

docs/scaling.md has the tables that `python -m worker.sim scaling` prints.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from worker.sim import scaling_findings as scaling
from worker.sim.__main__ import main
from worker.sim.autoscaling import Plan
from worker.sim.experiments import Finding
from worker.sim.scaling import DELAYED, HOLD, MINUTE_S, TEMPLATE, Run, Story, ours, usual

PAGE = (TEMPLATE.parents[1] / "docs" / "scaling.md").read_text(encoding="utf-8")
TEXT = json.dumps(json.loads(TEMPLATE.read_bytes()))


def changed(*changes: tuple[str, str]) -> dict[str, Any]:
    """The template with texts of it replaced; what replaces nothing is a mistake."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    made: dict[str, Any] = json.loads(text)
    return made


def test_the_committed_template_keeps_what_is_wanted_as_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["scaling"])

    tables = capsys.readouterr().out.strip().split("\n\n")
    assert code == 0, tables
    for name, table in zip(("findings", "prices"), tables, strict=True):
        assert f"<!-- {name} -->\n\n{table}\n\n<!-- /{name} -->" in PAGE, table


@pytest.mark.parametrize(("late", "share"), [(0, 0.4), (2, 0.5)])
def test_it_holds_for_metrics_that_come_at_once_or_two_minutes_late(
    late: int, share: float
) -> None:
    held = scaling.outages(ours(), late_minutes=late)
    without = scaling.outages(usual(ours(), in_hand=False), late_minutes=late)

    assert held.task_minutes <= share * without.task_minutes
    assert held.drained_s <= 2 * without.drained_s


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ([("hold >= 2", "hold >= 9"), ("hold >= 1", "hold >= 9")], scaling.an_outage),
        ([("hold >= 2", "hold >= 9")], scaling.a_long_outage),
        ([("FILL(FILL(held, REPEAT), 0)", "FILL(held, 0)")], scaling.a_long_outage),
        ([("FILL(FILL(held, REPEAT), 0)", "held")], scaling.nothing_is_heard),
        (
            [("FILL(FILL(held, REPEAT), 0)", "FILL(held, REPEAT)")],
            scaling.nothing_is_heard,
        ),
        ([('"Stat": "Minimum"', '"Stat": "Maximum"')], scaling.more_load_and_a_bad_host),
        ([("taken, REPEAT), 0)", "taken, REPEAT), 0) * 0")], scaling.a_steady_day),
        ([("jobs, REPEAT), 0)", "jobs, REPEAT), 0) * 0")], scaling.more_load),
        ([("FILL(FILL(jobs, REPEAT), 0)", "FILL(jobs, 0)")], scaling.more_load),
        ([("IF(running < 1, 1, running)", "running")], scaling.more_load_uncounted),
        ([(" + FILL(FILL(due, REPEAT), 0)", "")], scaling.parked_jobs_come_back),
        ([('"TargetValue": 80', '"TargetValue": 150')], scaling.a_steady_day),
        ([("hold >= 1, 80", "hold >= 1, 81")], scaling.an_outage),
        ([("hold >= 1, 80", "hold >= 1, 71")], scaling.an_outage),
    ],
    ids=lambda one: one.__name__ if callable(one) else one[0][1],
)
def test_each_part_of_the_figure_is_needed(
    changes: list[tuple[str, str]], missed: Callable[[Plan], Finding]
) -> None:
    found = missed(ours(changed(*changes)))

    assert not found.kept, found.measured


def test_jobs_that_are_parked_for_later_must_not_be_counted() -> None:
    delayed = json.loads(TEXT)
    (policy,) = [
        one["Properties"]["TargetTrackingScalingPolicyConfiguration"]
        for one in delayed["Resources"].values()
        if one.get("Properties", {}).get("PolicyType") == "TargetTrackingScaling"
    ]
    (due,) = [
        one for one in policy["CustomizedMetricSpecification"]["Metrics"] if one["Id"] == "due"
    ]
    due["MetricStat"]["Metric"]["MetricName"] = DELAYED

    assert not scaling.a_shut_route(ours(delayed)).kept


@pytest.mark.parametrize(
    "change",
    [
        ("REPEAT), 0) + FILL(FILL(due, REPEAT), 0), 0)", "REPEAT), 0), 0)"),
        ("IF(FILL(counted, 0) < 1", "IF(FILL(counted, REPEAT) < 1"),
        ('"ScalingAdjustment": 1', '"ScalingAdjustment": 0'),
    ],
)
def test_each_part_of_the_wake_is_needed(change: tuple[str, str]) -> None:
    found = scaling.to_zero(changed(change))

    assert any(not one.kept for one in found)


def test_without_none_as_its_least_number_nothing_wakes_a_fleet() -> None:
    assert ours().wakes is None
    assert ours(TasksMin=0).wakes is not None


def test_a_hold_freezes_a_fleet_that_is_too_large_too() -> None:
    """Fewer would do for now; but what waits will need them."""
    story = Story(
        per_s=((0, 0.5),),
        tasks=6,
        lasts_s=25 * MINUTE_S,
        outages=((5 * MINUTE_S, 25 * MINUTE_S),),
    )

    held, unheard = Run(ours(), story), Run(ours(changed((f'"{HOLD}"', '"Else"'))), story)

    assert held.scaler.moves == []
    assert unheard.scaler.moves != []
