"""The simulations: `python -m worker.sim fleet | outages | cost | parking | throttle | scaling`.

They print tables for `docs/breaker.md`, `docs/parking.md`, `docs/pacing.md` and
`docs/scaling.md`, and exit 1 if something was not kept. All but the last take minutes.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from worker.sim.experiments import FULL, Cost, Finding, cost
from worker.sim.outages import Measured, Outage
from worker.sim.parking import CALM, RECOVERIES, SIX_HOURS, findings, recoveries, recovery
from worker.sim.parking import measured as parked
from worker.sim.scaling_findings import findings as scaled
from worker.sim.scaling_findings import prices
from worker.sim.scenarios import SCENARIOS, Scenario
from worker.sim.throttle import STORMS, Found, Storm, measured

GOODPUT_MIN = 0.97
FLEETS = (10, 1_000, 10_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the six."""
    parser = argparse.ArgumentParser(prog="python -m worker.sim", description=__doc__)
    parser.add_argument(
        "what", choices=("fleet", "outages", "cost", "parking", "throttle", "scaling")
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each outage or storm")
    parser.add_argument("--only", default="", help="names of outages, with commas between them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    if given.what == "scaling":
        return _scaling()
    with ProcessPoolExecutor(given.processes) as pool:
        if given.what == "fleet":
            return _fleet(pool)
        if given.what == "cost":
            return _cost(pool)
        if given.what == "parking":
            return _parking(pool)
        if given.what == "throttle":
            return _throttle(pool, given.seeds)
        return _outages(pool, given.seeds, frozenset(filter(None, given.only.split(","))))


def _fleet(pool: ProcessPoolExecutor) -> int:
    return _table(pool.map(_finding, range(len(FULL))))


def _table(rows: Iterable[Finding]) -> int:
    print("| Experiment | Wanted | Measured | |\n| --- | --- | --- | --- |")
    kept = True
    for found in rows:
        kept &= found.kept
        mark = "kept" if found.kept else "**missed**"
        print(f"| {found.name} | {found.wanted} | {found.measured} | {mark} |", flush=True)
    return 0 if kept else 1


def _parking(pool: ProcessPoolExecutor) -> int:
    long, calm = pool.submit(parked, SIX_HOURS), pool.submit(parked, CALM)
    short = pool.map(recovery, range(1, RECOVERIES + 1))
    last = recoveries(list(short))
    return _table((*findings(SIX_HOURS, long.result(), calm.result()), last))


def _scaling() -> int:
    code = _table(scaled())
    print(
        "\n| Jobs/s | Tasks | At most | Task-minutes | By waiting jobs per task | Saved "
        "| Drained, s | By waiting jobs per task | Times |\n" + "| --- " * 9 + "|"
    )
    for row in prices():
        print(f"| {' | '.join(row)} |", flush=True)
    return code


def _finding(number: int) -> Finding:
    return FULL[number]()


def _cost(pool: ProcessPoolExecutor) -> int:
    print(
        "| Workers | Reads/s, calm | Writes/s, calm | USD a month, calm "
        "| Reads/s, open | Writes/s, open | USD an hour, open |\n" + "| --- " * 7 + "|"
    )
    for one in pool.map(cost, FLEETS):
        print(_row(one), flush=True)
    return 0


def _row(one: Cost) -> str:
    cells = (
        f"{one.workers:,}",
        f"{one.reads_calm:,.1f}",
        f"{one.writes_calm:.1f}",
        f"{one.usd_a_month:,.2f}",
        f"{one.reads_open:,.1f}",
        f"{one.writes_open:.1f}",
        f"{one.usd_an_hour_open:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _throttle(pool: ProcessPoolExecutor, seeds: int) -> int:
    storms = [replace(storm, seed=seed) for storm in STORMS for seed in range(1, seeds + 1)]
    print(
        "| Workers x slots | Allowed, calls/s | Offered, jobs/s | Burst, s | Used | Throttled "
        "| Circuits opened | Dead letters | Parks per answer | Doubled quota found, s | |\n"
        + "| --- " * 11
        + "|"
    )
    kept = True
    runs: list[Found] = []
    for found in pool.map(measured, storms):
        runs.append(found)
        kept &= found.kept or not found.storm.promised
        if len(runs) == seeds:
            print(_storm_line(runs), flush=True)
            runs.clear()
    return 0 if kept else 1


def _storm_line(runs: Sequence[Found]) -> str:
    storm: Storm = runs[0].storm
    mark = "kept" if all(run.kept for run in runs) else "**missed**"
    cells = (
        f"{storm.workers} x {storm.slots}",
        f"{storm.per_s:g}",
        f"{storm.offered_per_s:g}",
        f"{storm.burst_s:g}",
        _range([run.used for run in runs]),
        _range([run.throttled for run in runs]),
        _range([run.opens for run in runs]),
        _range([run.dead for run in runs]),
        _range([run.parks for run in runs]),
        _range([math.inf if run.found_s is None else run.found_s for run in runs]),
        mark if storm.promised else "not promised",
    )
    return f"| {' | '.join(cells)} |"


def _outages(pool: ProcessPoolExecutor, seeds: int, only: frozenset[str]) -> int:
    scenarios = [s for s in SCENARIOS if not only or s.name in only]
    jobs = [(scenario, seed) for scenario in scenarios for seed in range(1, seeds + 1)]
    print(
        "| Outage | Goodput | Wasted calls | Opens | Opens again | Stopped, s "
        "| Recovered, s | Peak load | Dead letters |\n" + "| --- " * 9 + "|"
    )
    kept, goodputs = True, []
    by_name: dict[str, list[Measured]] = {}
    for (scenario, _), found in zip(jobs, pool.map(_measured, jobs), strict=True):
        runs = by_name.setdefault(scenario.name, [])
        runs.append(found)
        goodputs.append(found.goodput)
        kept &= not (scenario.healthy and found.opens)
        if len(runs) == seeds:
            print(_line(runs), flush=True)
    mean = sum(goodputs) / len(goodputs)
    print(f"\nMean goodput: {mean:.3f} of the oracle's.")
    return 0 if kept and mean >= GOODPUT_MIN else 1


def _measured(job: tuple[Scenario, int]) -> Measured:
    scenario, seed = job
    return Outage(scenario, seed).measured()


def _line(runs: Sequence[Measured]) -> str:
    stopped = [run.stopped_s for run in runs if run.stopped_s is not None]
    recovered = [run.recovered_s for run in runs if run.recovered_s is not None]
    cells = (
        runs[0].scenario,
        f"{sum(run.goodput for run in runs) / len(runs):.3f}",
        f"{sum(run.wasted for run in runs) / len(runs):,.0f}",
        _range([run.opens for run in runs]),
        _range([run.reopens for run in runs]),
        _range(stopped),
        _range(recovered),
        _range([run.peak for run in runs]),
        f"{max(run.dead for run in runs)}",
    )
    return f"| {' | '.join(cells)} |"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


if __name__ == "__main__":
    sys.exit(main())
