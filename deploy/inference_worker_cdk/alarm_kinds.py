"""What an alarm is: a row of `alarm_rows.py`, and the thresholds that the rows are made for.

Neither file knows the CDK; `alarms.py` makes resources of the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MINUTE_S: Final = 60
FAST: Final = 14.4
SLOW: Final = 6.0
"""So many times too fast a budget burns: it would last for two days of its month, or for five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When alarms ring. In a stack two of them may be parameters.

    Attributes:
        oldest_job_s: OldestJob: how long a job may wait in its queue. Half of the deadline.
        latency_ms: LatencySpike: the 95th percentile of answers that is too slow. Three times
            what is budgeted.
        unserved_percent: UpstreamUnserved: of what was to be called in a minute.
        calls_min: With fewer calls in a minute no share of them is judged.
        throttled_percent: ThrottleRising: of the calls of a minute.
        fallback_percent: FallbackSustained: of the final records of a minute.
        jobs_min: With fewer final records no share of them is judged: in a minute for
            FallbackSustained, in the longer window for the SLO, where it is at least so many
            that one job alone does not ring.
        slo: The share of jobs that must get a good answer in time, below 1.
        sync_age_s: BreakerStoreStale: how old a worker's view of the verdicts may be.

    Raises:
        ValueError: An alarm could never ring, or would always.
    """

    oldest_job_s: Any = 300
    latency_ms: Any = 30_000
    unserved_percent: float = 20
    calls_min: int = 20
    throttled_percent: float = 5
    fallback_percent: float = 25
    jobs_min: int = 5
    slo: float = 0.99
    sync_age_s: float = 60

    def __post_init__(self) -> None:
        if not 0 < self.burnt(FAST) < 100:  # noqa: PLR2004  (percent)
            msg = (
                f"slo is {self.slo:g}: {FAST:g} times its budget is {self.burnt(FAST):g} % of all "
                "jobs, and SloFastBurn could never ring. It lies between 0.931 and 1"
            )
            raise ValueError(msg)
        for name in ("unserved_percent", "throttled_percent", "fallback_percent"):
            if not 0 <= (value := getattr(self, name)) < 100:  # noqa: PLR2004  (percent)
                msg = f"{name} is {value:g}: nothing is above 100 %, and the alarm could never ring"
                raise ValueError(msg)

    def burnt(self, times: float) -> float:
        """The percentage of jobs without a good answer that burns the budget so much too fast.

        >>> Thresholds(slo=0.999).burnt(14.4)
        1.44
        """
        return round(100 * times * (1 - self.slo), 6)


@dataclass(frozen=True, slots=True)
class Reads:
    """One metric, with a statistic.

    `of` is whose: ours (`worker`), or what AWS tells of a queue (`jobs`, `parked`, `dead`), of
    the tasks (`fleet`) or of the log (`log`).
    """

    of: str
    metric: str
    statistic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm on metrics.

    Attributes:
        says: What it means, in one sentence.
        run: The first command.
        reads: What it reads, by id. A single metric without `math` is read as it is.
        math: The expression over them.
        above: It rings above this, or from `at_least` on, or below `below`.
        points: So many of the last `of` periods must be bad.
        missing: What CloudWatch takes a missing point for.
        tells: Whether it tells the chat by itself. Else only a composite speaks of it.
        anchor: The paragraph of the runbook, where it is not that of its name.
    """

    name: str
    says: str
    run: str
    reads: Mapping[str, Reads]
    math: str | None = None
    above: Any = None
    at_least: Any = None
    below: Any = None
    points: int = 1
    of: int = 1
    period_s: int = MINUTE_S
    missing: Any = "notBreaching"
    tells: bool = True
    anchor: str | None = None

    @property
    def description(self) -> str:
        """As whoever gets the notice reads it."""
        return described(self.says, self.run, self.anchor or self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """An alarm on alarms.

    Attributes:
        rule: In CloudWatch's words, with the names of alarms alone: `A OR (B AND C)`.
        pages: Whether it calls somebody. Else it tells the chat.
        quiet_while: The alarm that keeps it from telling anybody.
    """

    name: str
    says: str
    run: str
    rule: str
    pages: bool = False
    quiet_while: str | None = None
    parts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        words = self.rule.replace("(", " ").replace(")", " ").split()
        names = tuple(word for word in words if word not in ("AND", "OR", "NOT"))
        object.__setattr__(self, "parts", names)

    @property
    def description(self) -> str:
        """As whoever gets the notice reads it."""
        return described(self.says, self.run, self.name)


def described(says: str, run: str, anchor: str) -> str:
    """One sentence, the first command, and the place in the runbook."""
    return f"{says} First: {run}. docs/runbook.md#{anchor.lower()}"


USUAL: Final = Thresholds()
