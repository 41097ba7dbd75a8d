"""Whole workers through short outages, and the service and the oracle they are held against."""

import math
import random
from dataclasses import replace

import pytest

from worker.core.answer import Answer
from worker.sim.outages import Outage
from worker.sim.scenarios import LEAD_S, SCENARIOS, Scenario, oracle
from worker.sim.service import BROKEN, BUSY, THROTTLED, Phase, Service

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def short(name: str, phases: tuple[Phase, ...]) -> Scenario:
    return replace(BY_NAME[name], phases=phases, after_s=60.0)


def service(*phases: Phase, servers: int | None = None, latency_s: float = 2.0) -> Service:
    dice = random.Random(1)  # noqa: S311 - a simulation's dice
    return Service(phases=phases, roll=dice.random, latency=lambda: latency_s, servers=servers)


def test_a_short_outage_costs_no_job_and_the_fleet_opens_once() -> None:
    found = Outage(short("hard_fast", (Phase(lasts_s=90.0, errors=1.0),)), 1).measured()

    assert (found.opens, found.reopens, found.dead) == (1, 0, 0)
    assert found.goodput >= 0.6
    assert found.wasted <= 300, "without a breaker it would be thousands"
    assert found.stopped_s is not None
    assert found.recovered_s is not None


@pytest.mark.parametrize("name", ["bg_8pct", "hang_8pct", "slow_3x", "partial_25"])
def test_no_circuit_opens_where_nothing_is_gained_by_it(name: str) -> None:
    phases = (replace(BY_NAME[name].phases[0], lasts_s=60.0),)

    found = Outage(short(name, phases), 1).measured()

    assert BY_NAME[name].healthy
    assert found.opens == 0
    assert found.goodput >= 0.9


def test_the_service_follows_its_story() -> None:
    one = service(Phase(lasts_s=10.0, errors=0.0), Phase(lasts_s=10.0, errors=1.0))

    assert isinstance(one.serve(5.0).outcome, Answer)
    assert one.serve(15.0).outcome is BROKEN
    assert isinstance(one.serve(25.0).outcome, Answer) or one.serve(25.0).outcome is BROKEN
    assert one.wasted == 1
    assert (one.whole(15.0), one.whole(25.0)) == (False, True)


def test_a_phase_hits_only_its_share_of_the_workers() -> None:
    one = service(Phase(lasts_s=10.0, errors=1.0, hit=0.25))

    assert one.serve(1.0, place=0.2).outcome is BROKEN
    assert isinstance(one.serve(1.0, place=0.3).outcome, Answer)


def test_calls_wait_for_a_server_in_order_and_not_for_ever() -> None:
    one = service(Phase(lasts_s=100.0, errors=0.0), servers=2, latency_s=15.0)

    waits = [one.serve(0.0).latency_s for _ in range(4)]
    busy = one.serve(0.0)

    assert waits == [15.0, 15.0, 30.0, 30.0]
    assert busy.outcome is BUSY, "30 s would be too long a wait"
    assert one.room(0.0) == 0
    assert one.room(31.0) == 2


def test_a_throttle_lets_through_what_it_allows() -> None:
    one = service(Phase(lasts_s=100.0, errors=0.0, per_s=5.0))

    outcomes = [one.serve(10.0 + n / 20).outcome for n in range(200)]

    assert sum(outcome is THROTTLED for outcome in outcomes) == 200 - 5 - 49


def test_a_cold_service_warms_up_only_while_it_is_not_overrun() -> None:
    calm, overrun = (service(Phase(lasts_s=300.0, cold=True), servers=100) for _ in range(2))

    for second in range(200):
        calm.serve(float(second))
        for n in range(100):
            overrun.serve(second + n / 100)

    assert calm.warm == 1.0
    assert overrun.warm < 0.2


def test_the_oracle_sends_nothing_to_the_dead_and_loses_nothing_of_the_living() -> None:
    well = short("bg_1pct", (Phase(lasts_s=60.0, errors=0.0),))
    dead = short("hard_fast", (Phase(lasts_s=60.0, errors=1.0),))

    served, after = oracle(well, 1), oracle(dead, 1)

    assert served == pytest.approx(120 * 20, rel=0.1)
    assert 60 * 20 < after <= 60 * 34 + 160
    assert LEAD_S + 120 == well.ends_at < math.inf
