"""The bill, by hand: every figure here was worked out from the price list alone."""

from dataclasses import replace
from decimal import Decimal

import pytest

from worker.core.bill import ALARMS, LOGS, SERIES, idle, log_bytes, series
from worker.core.failures import Failure
from worker.core.fault import Kind
from worker.core.measures import Names
from worker.core.metric import By, Profile, Way
from worker.core.metrics import CATALOGUE

SMALLEST = Names(
    routes=frozenset({"default"}),
    targets=frozenset({"default"}),
    breakers=frozenset({"default", "endpoint:default"}),
    buckets=frozenset({"default"}),
    stores=frozenset({"ledger", "queue", "breakers"}),
)


@pytest.mark.parametrize(
    ("count", "usd"),
    [
        (0, "0"),
        (10, "0"),
        (11, "0.30"),
        (24, "4.20"),
        (10_010, "3000"),
        (10_011, "3000.10"),
        (250_010, "27000"),  # 3,000 and 240,000 at 0.10
        (1_000_010, "64500"),  # and 750,000 at 0.05
        (1_000_110, "64502"),
    ],
)
def test_series_cost_what_the_price_list_says(count: int, usd: str) -> None:
    assert SERIES.usd(count) == Decimal(usd)


def test_alarms_cost_by_the_metric_and_logs_by_the_gigabyte() -> None:
    assert ALARMS.usd(10) == 0
    assert ALARMS.usd(35) == Decimal("2.50")
    assert LOGS.usd(5) == 0
    assert LOGS.usd(Decimal("7.5")) == Decimal("1.25")


def test_the_core_profile_of_the_smallest_configuration_is_about_24_series() -> None:
    counted = series(SMALLEST, Profile.CORE)

    assert sum(counted.values()) == 23
    assert counted["BreakerOpen"] == 2
    assert counted["ModelCalls"] == counted["Heartbeat"] == 1
    assert "JobsDegraded" not in counted, "nothing is configured that degrades"


def test_tasks_cost_series_only_where_they_are_answered() -> None:
    answering = replace(SMALLEST, stores=SMALLEST.stores | {"tasks"})
    before, after = series(SMALLEST, Profile.FULL), series(answering, Profile.FULL)

    grown = {name: after[name] - before.get(name, 0) for name in after}

    assert {n: by for n, by in grown.items() if by} == {
        "TasksAnswered": 1,
        "TasksGone": 1,
        "StoreErrors": 1,
    }


def test_every_name_counts_where_it_may_be_a_value() -> None:
    counted = series(SMALLEST, Profile.FULL)

    assert counted["ModelCalls"] == 2  # the fleet, and its target
    assert counted["JobsTerminal"] == 3  # the fleet, its route, and other
    assert counted["CostUsd"] == 4
    assert counted["ModelErrorsByType"] == len(Kind)
    assert counted["JobsDeadLettered"] == 1 + len(Failure)
    assert counted["StoreErrors"] == 4
    assert counted["BreakerTransitions"] == 3
    assert counted["CallsRefused"] == 3  # the bucket's name is the target's
    assert counted["Pace"] == 1
    assert not {row.name for row in CATALOGUE.values() if By.HANDLER in row.by} & set(counted)


def test_one_more_target_in_another_region_costs_what_it_may_write() -> None:
    more = Names(
        routes=SMALLEST.routes,
        targets=SMALLEST.targets | {"far"},
        breakers=SMALLEST.breakers | {"far", "endpoint:us-east-1"},
        buckets=SMALLEST.buckets | {"shared"},
        stores=SMALLEST.stores,
        handlers=frozenset({"sorry"}),
    )
    before, after = series(SMALLEST, Profile.FULL), series(more, Profile.FULL)

    grown = {name: after[name] - before.get(name, 0) for name in after}

    rows = CATALOGUE.values()
    assert {n for n, by in grown.items() if by} == {
        row.name for row in rows if {By.TARGET, By.BREAKER, By.BUCKET, By.HANDLER} & set(row.by)
    }
    assert grown["ModelCalls"] == 1
    assert grown["Probes"] == 2
    assert grown["CallsRefused"] == 3
    assert grown["JobsDegraded"] == 4  # the fleet, its route, other, its handler
    assert sum(series(more, Profile.CORE).values()) == 23 + 2 + 1


def test_the_core_profile_is_never_more_than_the_full_one() -> None:
    full, core = series(SMALLEST, Profile.FULL), series(SMALLEST, Profile.CORE)

    assert all(count <= full[name] for name, count in core.items())


def test_the_log_grows_with_the_jobs_and_with_the_level() -> None:
    one = log_bytes(Profile.FULL, "info", 1)

    assert log_bytes(Profile.FULL, "info", 1000) == 1000 * one
    assert log_bytes(Profile.FULL, "debug", 1) > one > log_bytes(Profile.FULL, "error", 1) > 0
    assert log_bytes(Profile.CORE, "info", 1) < one


def test_a_worker_that_waits_tells_its_heartbeat_and_its_gauges() -> None:
    told = {(one.metric, *one.labels): one.value for one in idle(SMALLEST)}

    assert told.pop(("Heartbeat",)) == 1
    assert set(told.values()) == {0.0}
    assert ("BreakerOpen", "endpoint:default") in told
    assert {name for name, *_ in told} == {
        row.name for row in CATALOGUE.values() if row.way is Way.GAUGE
    } - {"Pace"}
