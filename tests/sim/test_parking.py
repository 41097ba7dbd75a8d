"""The short form of what `python -m worker.sim parking` shows for six hours and 100,000 jobs."""

from dataclasses import replace

import pytest

from worker.sim.parking import (
    CALM,
    SIX_HOURS,
    Measured,
    Story,
    findings,
    measured,
    recoveries,
    recovery,
)

GOOD = Measured(
    lost=0,
    charged=0,
    dead=0,
    parks=100,
    probes=90,
    sqs_per_job=2.0,
    ramp_s=3.0,
    closed_s=9.0,
    first_s=0.5,
    last_s=60.0,
    trips=0,
    drained=0.98,
)


@pytest.fixture(scope="module")
def calm() -> Measured:
    return measured(replace(CALM, jobs=1_000))


def test_a_long_outage_loses_charges_and_kills_nobody_and_costs_little(calm: Measured) -> None:
    # As many jobs a second as in six hours: what an outage costs grows with its length.
    story = Story(jobs=5_600, outage_s=1_200.0)

    missed = [one for one in findings(story, measured(story), calm) if not one.kept]

    assert not missed


def test_a_circuit_that_closes_stays_closed() -> None:
    found = recoveries([recovery(seed) for seed in range(1, 6)])

    assert found.kept, found.measured


@pytest.mark.parametrize(
    ("change", "misses"),
    [
        ({}, 0),
        ({"lost": 1}, 1),
        ({"charged": 1}, 1),
        ({"dead": 1}, 1),
        ({"sqs_per_job": 2.4}, 1),
        ({"first_s": 5.1}, 1),
        ({"first_s": float("nan")}, 1),
        ({"drained": 0.89}, 1),
    ],
)
def test_a_miss_is_told_as_one(change: dict[str, float], misses: int) -> None:
    calm = replace(GOOD, sqs_per_job=1.7)

    found = findings(SIX_HOURS, replace(GOOD, **change), calm)  # type: ignore[arg-type]

    assert sum(not one.kept for one in found) == misses


@pytest.mark.parametrize("change", [{"trips": 1}, {"lost": 1}, {"dead": 1}, {"charged": 1}])
def test_one_bad_recovery_of_fifty_is_a_miss(change: dict[str, int]) -> None:
    runs = [GOOD] * 49

    assert recoveries([*runs, GOOD]).kept
    assert not recoveries([*runs, replace(GOOD, **change)]).kept
