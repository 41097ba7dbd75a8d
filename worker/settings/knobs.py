"""What can be set: names, defaults and the limits of single values.

The docstring under a field is its row in `docs/settings.md`. Rules *between*
fields are in `rules.py` and `names.py`; where values come from is `load.py`.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from worker.core.metric import Profile
from worker.core.pacer import PacePolicy
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.settings.values import (
    DAY_S,
    BucketName,
    BucketNames,
    Names,
    QueueUrl,
    Rate,
    Seconds,
    Section,
    matching,
)

_RETRY: Final = RetryPolicy()
_BREAKER: Final = BreakerPolicy()
_PACE: Final = PacePolicy()
_TABLE: Final = re.compile(r"[A-Za-z0-9._-]{3,255}|arn:[!-~]{1,1000}")
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,255}")
_HTTP: Final = re.compile(r"https?://[!-~]{1,2000}")
_NAMESPACE: Final = re.compile(r"(?!AWS/)[A-Za-z0-9._#:/-]{1,255}")


class QueueSettings(Section):
    """The queue that jobs come from, and how it is read."""

    url: QueueUrl | None = None
    """URL of the jobs queue. The one setting, beside `model.id`, without a default."""
    parked_url: QueueUrl | None = None
    """URL of the queue for parked jobs; by default the jobs queue's with `-parked` for `-jobs`."""
    dead_url: QueueUrl | None = None
    """URL of the dead-letter queue; by default the jobs queue's with `-dead` for `-jobs`."""
    lease_s: Annotated[float, Field(ge=2, le=43_200, allow_inf_nan=False)] = 90.0
    """How long a delivery is ours (visibility timeout); renewed while its job runs."""
    clock_skew_s: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 2.0
    """How far the clocks of two workers may be apart."""
    wait_s: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 20.0
    """How long a receive waits for the first message."""
    linger_s: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """How long a poller waits for more free slots, where that saves receives."""
    pollers_max: Annotated[int, Field(ge=1, le=16)] = 4
    """Receives in flight at once, per lane."""


class LaneSettings(Section):
    """One pair of queues, and the routes whose jobs it carries."""

    url: QueueUrl
    """URL of the lane's jobs queue."""
    parked_url: QueueUrl | None = None
    """URL of its queue for parked jobs; derived as `queue.parked_url` is."""
    dead_url: QueueUrl | None = None
    """URL of its dead-letter queue; derived as `queue.dead_url` is."""
    routes: Names = Field(min_length=1)
    """Names of the routes whose jobs come through this lane."""


class CacheSettings(Section):
    """Where degraded handlers of kind `cache` keep their answers."""

    table: Annotated[str, matching(_TABLE, "must be the name or ARN of a table")] | None = None
    """Name of the table; by default `<service>-cache`. Needed only where a route has a cache."""


class BreakerSettings(Section):
    """When a circuit opens and how it recovers, for every target; see docs/breaker.md."""

    table: Annotated[str, matching(_TABLE, "must be the name or ARN of a table")] | None = None
    """Table that the fleet shares its circuits in; by default `<service>-breakers`."""
    shared: bool = True
    """Whether the fleet decides together; `false` lets every process decide alone."""
    failure_rate: Rate | None = None
    """Opens when surely more calls fail; by default 0.5 where every route that has the target \
has another one too, else 0.8."""
    slow_rate: Rate | None = None
    """Opens when surely more calls are slow; unset, slowness never opens a circuit."""
    window_s: Annotated[int, Field(ge=2, le=600)] = int(_BREAKER.window_s)
    """How far back the evidence goes."""
    window_calls: Annotated[int, Field(ge=10)] | None = None
    """The evidence is also no more than about so many calls; unset for no limit."""
    min_calls: Annotated[int, Field(ge=1, le=10_000)] = _BREAKER.min_calls
    """With fewer calls in the window a process does not judge alone."""
    cooldown_s: Seconds = _BREAKER.cooldown_s
    """How long an open circuit rests at first; half as long again after each bad round."""
    cooldown_max_s: Seconds = _BREAKER.cooldown_max_s
    """The longest rest."""
    probes: Annotated[int, Field(ge=1, le=32)] = _BREAKER.probes
    """Calls that the whole fleet may make in one round of probes."""
    probes_good: Annotated[int, Field(ge=1, le=32)] = _BREAKER.probes_good
    """So many good ones begin the recovery."""


class PacingSettings(Section):
    """How a quota is kept that nobody tells us, for every quota bucket; see docs/pacing.md."""

    cut: Annotated[float, Field(ge=0.1, le=0.95)] = _PACE.cut
    """What a throttle leaves of the rate, and of the calls in flight."""
    wait_s: Annotated[float, Field(ge=0.1, le=60)] = _PACE.wait_s
    """The longest wait of a job in its slot for its turn; else it goes elsewhere or is parked."""
    quarantine_s: Annotated[float, Field(ge=1, le=DAY_S)] = _PACE.quarantine_s
    """How long a bucket is left alone whose quota of the day is used up; doubles each time."""
    quarantine_max_s: Annotated[float, Field(ge=1, le=DAY_S)] = _PACE.quarantine_max_s
    """The longest of these rests."""

    def policy(self) -> PacePolicy:
        """The core's value."""
        return PacePolicy(**self.model_dump())


class LedgerSettings(Section):
    """The table where the life of every job is recorded."""

    table: Annotated[str, matching(_TABLE, "must be the name or ARN of a table")] | None = None
    """Name of the table; by default `<service>-jobs`."""
    keep_s: Annotated[float, Field(ge=60, allow_inf_nan=False)] = 14 * DAY_S
    """How long a finished job stays known; a later duplicate runs again."""


class PayloadSettings(Section):
    """Where requests and answers lie that are too large for a message or a record."""

    bucket: BucketName | None = None
    """Our bucket; unset switches claim checks off."""
    allowed_buckets: BucketNames = ()
    """Further buckets that a job's `payload_ref` may name."""
    inline_answer_bytes: Annotated[int, Field(ge=0, le=300_000)] = 8192
    """Answers up to this size lie in the ledger itself."""
    payload_bytes_max: Annotated[int, Field(ge=1024, le=200_000_000)] = 20_000_000
    """The largest payload that is fetched."""


class RetrySettings(Section):
    """How a job tries again."""

    attempts: Annotated[int, Field(ge=1)] = _RETRY.attempts
    """Calls within one delivery, the first included."""
    attempts_max: Annotated[int, Field(ge=1)] = _RETRY.attempts_max
    """Charged calls over a job's life, after which it is discarded if it may be the cause."""
    cap_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _RETRY.cap_s
    """The longest ceiling of a backoff."""
    longest_wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _RETRY.longest_wait_s
    """A longer wait parks the job instead."""
    budget_per_success: Annotated[float, Field(ge=0, le=10)] = _RETRY.budget_per_success
    """Retries that each success earns."""
    budget_max: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _RETRY.budget_max
    """Retries that can be saved up, and what a new worker starts with."""

    def policy(self) -> RetryPolicy:
        """The core's value."""
        return RetryPolicy(**self.model_dump())


class MetricsSettings(Section):
    """Metrics, written to stdout in the embedded metric format."""

    namespace: Annotated[
        str, matching(_NAMESPACE, "must be a CloudWatch namespace, not beginning with AWS/")
    ] = "InferenceWorker"
    """CloudWatch namespace."""
    flush_s: Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)] = 10.0
    """How often metrics are written."""
    profile: Profile = Profile.FULL
    """`core`: what the SLO, alarms and autoscaling need; `full`: all of docs/metrics.md. \
`inference-worker plan` tells what each costs."""


class TracesSettings(Section):
    """Traces by OpenTelemetry; see docs/traces.md. They need the extra `otel`."""

    exporter: Literal["off", "otlp"] = "off"
    """`otlp` sends the spans of every job over HTTP to a collector."""
    endpoint: Annotated[str, matching(_HTTP, "must be an http:// or https:// URL")] | None = None
    """URL that takes traces; by default what the `OTEL_EXPORTER_OTLP_…` variables say, else \
`http://localhost:4318/v1/traces`."""
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0
    """The share of the runs that is traced."""


class HealthSettings(Section):
    """The worker's own port, for health checks; see docs/health.md."""

    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """TCP port that answers `/livez` and `/readyz`; unset, there is none. The image sets 8081."""
    host: Annotated[str, matching(_HOST, "must be an IP address or a host name")] = "127.0.0.1"
    """Address that it is bound to; `0.0.0.0` where the one who asks is outside the container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One pair of queues, and the routes whose jobs it carries."""

    name: str
    url: str
    parked_url: str
    dead_url: str
    routes: tuple[str, ...]


def sibling(url: str, suffix: str) -> str:
    """The URL of a queue beside `url`.

    >>> sibling("https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs", "parked")
    'https://sqs.eu-west-1.amazonaws.com/123456789012/chat-parked'
    >>> sibling("http://127.0.0.1:4566/123456789012/chat", "dead")
    'http://127.0.0.1:4566/123456789012/chat-dead'
    """
    return f"{url.removesuffix('-jobs')}-{suffix}"
