"""What the stand-in saw: every HTTP request, by target, by ending and by job.

Counting is by request, not by what a client thinks it made: a test that compares
these figures with a worker's own record finds hidden retries.

Memory is bounded. When more than `JOBS_MAX` jobs are known the oldest one's count
is dropped, and `jobs_dropped` says how many were; targets beyond `TARGETS_MAX` are
counted together, as `OTHER`, and so are Regions.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

JOBS_MAX: Final = 200_000
TARGETS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """What a call was made to."""

    model: str
    region: str
    operation: str


OTHER: Final = Target("other", "other", "other")


@dataclass(slots=True)
class Stats:
    """Counts since the start or the last reset. Times are not kept.

    `by_outcome` and `by_target` count calls that have ended; `total` and `begun_by_region`
    count those that have begun. An ending is an error's code, or one of: `answer`,
    `client_gone`, or the name of the fault that was acted.
    """

    total: int = 0
    in_flight: int = 0
    in_flight_max: int = 0
    begun_by_region: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    by_target: dict[Target, Counter[str]] = field(default_factory=dict)
    calls_by_job: dict[str, int] = field(default_factory=dict)
    answers_by_job: dict[str, int] = field(default_factory=dict)
    jobs_dropped: int = 0

    def begin(self, target: Target, job: str | None) -> None:
        """Count a call that has arrived."""
        self.total += 1
        known = target.region in self.begun_by_region or len(self.begun_by_region) < TARGETS_MAX
        self.begun_by_region[target.region if known else OTHER.region] += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        if job is None:
            return
        if job not in self.calls_by_job and len(self.calls_by_job) >= JOBS_MAX:
            oldest = next(iter(self.calls_by_job))
            del self.calls_by_job[oldest]
            self.answers_by_job.pop(oldest, None)
            self.jobs_dropped += 1
        self.calls_by_job[job] = self.calls_by_job.get(job, 0) + 1

    def end(self, target: Target, job: str | None, outcome: str) -> None:
        """Count how a call ended; `answer` means that a whole answer was sent."""
        self.in_flight -= 1
        self.by_outcome[outcome] += 1
        if target not in self.by_target and len(self.by_target) >= TARGETS_MAX:
            target = OTHER
        self.by_target.setdefault(target, Counter())[outcome] += 1
        if job in self.calls_by_job and outcome == "answer":
            self.answers_by_job[job] = self.answers_by_job.get(job, 0) + 1

    def reset(self) -> None:
        """Forget all counts, except of the calls that are still in flight."""
        self.total = self.in_flight_max = self.in_flight
        self.jobs_dropped = 0
        for counts in (
            self.begun_by_region,
            self.by_outcome,
            self.by_target,
            self.calls_by_job,
            self.answers_by_job,
        ):
            counts.clear()

    def as_json(self) -> dict[str, object]:
        """All counts as JSON values."""
        return {
            "total": self.total,
            "in_flight": self.in_flight,
            "in_flight_max": self.in_flight_max,
            "begun_by_region": dict(self.begun_by_region),
            "by_outcome": dict(self.by_outcome),
            "by_target": [
                {
                    "model": target.model,
                    "region": target.region,
                    "operation": target.operation,
                    "calls": outcomes.total(),
                    "outcomes": dict(outcomes),
                }
                for target, outcomes in self.by_target.items()
            ],
            "calls_by_job": self.calls_by_job,
            "answers_by_job": self.answers_by_job,
            "jobs_dropped": self.jobs_dropped,
        }
