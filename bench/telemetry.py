"""What telling costs: CPU as a share of the worker's own, and bytes in the log.

A whole worker process beside the stub of the services, at about 200 jobs a second: so many
slots as such a pace fills. Share and total are of one run, so the machine falls out.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any, Final

from bench.runs import Run, measure
from worker.core.bill import log_bytes
from worker.core.metric import Profile

JOBS: Final = 4000
LATENCY_MS: Final = 100.0
SLOTS: Final = 29  # about 200 jobs a second: 100 ms for the model, some more for the rest
ROUNDS: Final = 3

SHARE_MAX: Final = 0.02
LOG_MB_MAX: Final = 5.0  # per 1,000 jobs
# Each in the profile and at the level that it has; the first is the default, and the target.
SCENES: Final = ((Profile.FULL, "info"), (Profile.CORE, "info"), (Profile.FULL, "debug"))


def run(profile: Profile, level: str, *, jobs: int, latency_ms: float, slots: int) -> Run:
    """One worker works `jobs` jobs off."""
    environment = {"WORKER_METRICS__PROFILE": profile.value, "WORKER_LOG_LEVEL": level}
    return measure("timed", jobs=jobs, latency_ms=latency_ms, slots=slots, environment=environment)


def figures(run: Run, profile: Profile, level: str) -> dict[str, Any]:
    """What one run showed."""
    return {
        "result": "telemetry",
        "profile": profile.value,
        "level": level,
        "jobs": run.jobs,
        "jobs_per_s": run.jobs_per_s,
        "us_per_job": run.clock["cpu_s"] * 1e6 / run.jobs,
        "worker_us_per_job": run.clock["of_s"] * 1e6 / run.jobs,
        "share_of_cpu": run.clock["cpu_s"] / run.clock["of_s"],
        "line_bytes_per_job": (run.log_bytes - run.metric_bytes) / run.jobs,
        "metric_bytes_per_job": run.metric_bytes / run.jobs,
        "planned_bytes_per_job": log_bytes(profile, level, 1),
    }


def measure_all(*, jobs: int = JOBS, rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """A line for each run, and one for each target."""
    shares, sizes = [], []
    for _ in range(rounds):
        for profile, level in SCENES:
            one = run(profile, level, jobs=jobs, latency_ms=LATENCY_MS, slots=SLOTS)
            yield figures(one, profile, level)
            if (profile, level) == SCENES[0]:
                shares.append(one.clock["cpu_s"] / one.clock["of_s"])
                sizes.append(one.log_bytes / one.jobs * 1000 / 1e6)
    for name, value, limit in (
        ("telemetry_share_of_cpu", median(shares), SHARE_MAX),
        ("log_mb_per_1000_jobs", median(sizes), LOG_MB_MAX),
    ):
        yield {
            "result": "target",
            "name": name,
            "value": value,
            "limit": limit,
            "met": value <= limit,
        }
