"""Side by side with what one would write by hand: one JSON line per result.

    python -m bench                      three rounds of bare, pipeline, worker; and all the rest
    python -m bench --jobs 500 --rounds 1 --peers bare worker
    python -m bench --only parts
    python -m bench --only breaker
    python -m bench --only telemetry
    python -m bench --only start --image OUT

Every round runs each peer once, so that whatever else the machine does falls on
all of them; the ratios are medians over the rounds. `docs/bench.md` says what the
figures mean. Exit code 1 when a target is missed.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from bench.runs import SLOTS, Run, RunFailed, measure

PEERS: Final = ("bare", "pipeline", "worker")
SUITES: Final = ("peers", "parts", "breaker", "telemetry", "start")
ROUNDS_MAX: Final = 9
JOBS_MAX: Final = 50_000

# What the product promises (docs/bench.md).
CPU_OVER_BARE_MAX: Final = 1.5
CPU_OVER_PIPELINE_MAX: Final = 1.0
SQS_CALLS_MAX: Final = 0.25
RSS_MIB_MAX: Final = 150.0


def tell(line: Mapping[str, Any]) -> None:
    """Print one result."""
    print(orjson.dumps(_rounded(line)).decode(), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    return value


def summary(peer: str, runs: Sequence[Run]) -> dict[str, Any]:
    """The medians of one peer."""
    return {
        "result": "peer",
        "peer": peer,
        "rounds": len(runs),
        "jobs": runs[0].jobs,
        "cpu_ms_per_job": median(run.cpu_ms for run in runs),
        "cpu_ms_per_job_without_start": median(
            run.cpu_ms - 1000 * run.start_cpu_s / run.jobs for run in runs
        ),
        "sqs_calls_per_job": median(run.sqs_calls for run in runs),
        "peak_rss_mib": max(run.rss_mib for run in runs),
        "jobs_per_s": median(run.jobs_per_s for run in runs),
    }


def verdicts(runs: Mapping[str, Sequence[Run]]) -> Iterator[dict[str, Any]]:
    """The targets, each with what was measured, over the rounds in which all peers ran."""
    rounds = list(zip(*(runs[peer] for peer in PEERS), strict=True))
    # What the two ledger writes cost is what the pipeline costs over the bare loop.
    over_bare = [(w.cpu_ms - (p.cpu_ms - b.cpu_ms)) / b.cpu_ms for b, p, w in rounds]
    over_pipeline = [w.cpu_ms / p.cpu_ms for _, p, w in rounds]
    measured = {
        "cpu_without_the_writes_over_bare": (median(over_bare), CPU_OVER_BARE_MAX),
        "cpu_over_pipeline": (median(over_pipeline), CPU_OVER_PIPELINE_MAX),
        "sqs_calls_per_job": (median(w.sqs_calls for w in runs["worker"]), SQS_CALLS_MAX),
        "peak_rss_mib": (max(w.rss_mib for w in runs["worker"]), RSS_MIB_MAX),
    }
    for name, (value, limit) in measured.items():
        yield {
            "result": "target",
            "name": name,
            "value": value,
            "limit": limit,
            "met": value <= limit,
        }


def compare(peers: Sequence[str], *, jobs: int, rounds: int, latency_ms: float) -> bool:
    """Run the peers in turn, tell what they cost, and whether every target was met."""
    runs: dict[str, list[Run]] = {peer: [] for peer in peers}
    for number in range(1, rounds + 1):
        for peer in peers:
            run = measure(peer, jobs=jobs, latency_ms=latency_ms)
            runs[peer].append(run)
            tell({"result": "run", "round": number, "slots": SLOTS, **asdict(run)})
    for peer in peers:
        tell(summary(peer, runs[peer]))
    if set(peers) != set(PEERS):
        return True
    lines = list(verdicts(runs))
    for line in lines:
        tell(line)
    return all(line["met"] for line in lines)


def alone(suite: str, image: Path | None) -> Iterator[Mapping[str, Any]]:
    """The lines of a suite without peers.

    Imported only now: what they import would count as every peer's memory.
    """
    match suite:
        case "parts":
            from bench import parts  # noqa: PLC0415

            yield from parts.measure()
        case "breaker":
            from bench import breaker  # noqa: PLC0415

            yield from breaker.measure()
        case "telemetry":
            from bench import telemetry  # noqa: PLC0415

            yield from telemetry.measure_all()
        case _:
            from bench import start  # noqa: PLC0415

            yield from start.measure(image)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--only", choices=SUITES)
    parser.add_argument("--image", type=Path, help="what deploy/image.py has built, to be started")
    args = parser.parse_args()
    if not (1 <= args.jobs <= JOBS_MAX and 1 <= args.rounds <= ROUNDS_MAX):
        parser.error(f"at most {JOBS_MAX} jobs and {ROUNDS_MAX} rounds, and at least one of each")
    suites = SUITES if args.only is None else (args.only,)
    met = True
    if "peers" in suites:
        try:
            met = compare(
                args.peers, jobs=args.jobs, rounds=args.rounds, latency_ms=args.latency_ms
            )
        except RunFailed as failed:
            print(failed, file=sys.stderr)
            return 1
    for name in SUITES[1:]:
        if name in suites:
            for line in alone(name, args.image):
                tell(line)
                met = met and line.get("met", True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
