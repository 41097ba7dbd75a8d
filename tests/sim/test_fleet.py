"""The short form of what `python -m worker.sim fleet` shows at full size."""

import pytest

from worker.sim.__main__ import main
from worker.sim.clock import in_virtual_time
from worker.sim.experiments import (
    Finding,
    background_errors,
    bad_hosts,
    cost,
    hang,
    hard_outage,
    no_alternative,
    partial_outage,
    store_lost,
)
from worker.sim.fleet import Fleet, Setting
from worker.sim.service import Phase


@pytest.mark.parametrize(
    "finding",
    [
        pytest.param(lambda: hard_outage(100), id="full outage"),
        pytest.param(lambda: hang(100), id="hang"),
        pytest.param(lambda: partial_outage(100, seeds=5), id="partial outage"),
        pytest.param(lambda: no_alternative(60, lasts_s=120.0), id="nowhere else to go"),
        pytest.param(lambda: bad_hosts(100), id="bad hosts"),
        pytest.param(lambda: store_lost(40), id="store lost"),
        pytest.param(lambda: background_errors(20, hours=1.0), id="background errors"),
    ],
)
def test_a_fleet_keeps_what_is_wanted_of_it(finding: "type[Finding]") -> None:
    found = finding()  # type: ignore[call-arg]

    assert found.kept, f"{found.name}: wanted {found.wanted}, measured {found.measured}"


def test_what_a_calm_fleet_writes_does_not_grow_with_it() -> None:
    small, large = cost(40, lasts_s=60.0), cost(160, lasts_s=60.0)

    assert large.writes_calm <= 1.2 * small.writes_calm
    assert large.reads_calm >= 3 * small.reads_calm, "reads do"
    assert large.writes_open <= 2 * small.writes_open


def test_one_seed_tells_one_story() -> None:
    def story() -> list[tuple[float, str]]:
        phases = (Phase(lasts_s=20.0), Phase(lasts_s=20.0, errors=1.0))
        fleet = Fleet(Setting(workers=10, phases=phases, lasts_s=60.0, seed=7))
        in_virtual_time(fleet.run())
        return [(move.now, move.why) for move in fleet.moves]

    assert story() == story() != []


def test_the_command_prints_a_table_and_says_by_its_exit_whether_all_was_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["outages", "--only", "burst_4x", "--seeds", "1", "--processes", "1"])

    told = capsys.readouterr().out
    assert code == 0
    assert "| burst_4x | 0.9" in told or "| burst_4x | 1.0" in told
    assert "Mean goodput" in told
