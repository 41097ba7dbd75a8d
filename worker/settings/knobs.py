"""What can be set: names, defaults and the limits of single values.

The docstring under a field is its row in `docs/settings.md`. Rules *between*
fields are in `rules.py` and `names.py`; where values come from is `load.py`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from worker.core.accept import Accept
from worker.core.answer import ANSWERED
from worker.core.degrade import HandlerKind, HandlerSpec, Terms
from worker.core.fault import Kind
from worker.core.geo import is_place
from worker.core.pacer import PacePolicy
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.core.route import Action
from worker.core.target import Api, Target
from worker.settings.schema import matcher

DAY_S: Final = 86_400.0
MIB: Final = 1_048_576
_TARGET: Final = Target(name="", model="")
_RETRY: Final = RetryPolicy()
_BREAKER: Final = BreakerPolicy()
_SPEC: Final = HandlerSpec(name="", kind="cache", terms=Terms())
_PACE: Final = PacePolicy()

_NAME: Final = re.compile(r"[a-z0-9](?:_?[a-z0-9-]){0,31}")
_MEMBER: Final = rf"(?:{_NAME.pattern})(?::[0-9]{{1,6}}(?:\.[0-9]{{1,3}})?)?"
_STEP: Final = re.compile(rf"{_MEMBER}(?: *\| *{_MEMBER})*")
_TOKEN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_TABLE: Final = re.compile(r"[A-Za-z0-9._-]{3,255}|arn:[!-~]{1,1000}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAMESPACE: Final = re.compile(r"(?!AWS/)[A-Za-z0-9._#:/-]{1,255}")
_MODEL: Final = re.compile(r"[!-~]{1,2048}")
_ON_OPEN: Final = re.compile(r"park|fail|degrade|degrade_after:[0-9]{1,7}(?:\.[0-9]{1,3})?")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_WORD: Final = re.compile(r"[a-z][a-z_ -]{0,31}")


def _valid(is_valid: Callable[[str], object], says: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_valid(value):
            raise ValueError(says)
        return value

    return AfterValidator(check)


def _matching(pattern: re.Pattern[str], says: str) -> AfterValidator:
    return _valid(pattern.fullmatch, says)


def _is_about_a_target(kind: Kind) -> Kind:
    if kind in (Kind.REJECTED, Kind.LOCAL):
        msg = (
            "must be a fault that another target may not have; a bad job has it everywhere, and "
            "our own trouble is no target's"
        )
        raise ValueError(msg)
    return kind


def _is_schema(value: str) -> bool:
    try:
        matcher(value)
    except ValueError:
        return False
    return True


def _queue_url(value: str) -> str:
    parts = urlsplit(value)
    wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.username
    if wrong or not _queue_path(parts.path) or parts.query or parts.fragment:
        msg = "must be the URL of a queue, https://<host>/<account>/<name>, and not its name or ARN"
        raise ValueError(msg)
    return value


def _queue_path(path: str) -> bool:
    return re.fullmatch(r"(?:/[A-Za-z0-9_.-]+)+", path) is not None


def _split(value: object) -> object:
    """A list in one environment variable: `a,b`, or JSON for those who like it."""
    if not isinstance(value, str):
        return value
    return [part.strip(' "') for part in value.strip(" []").split(",") if part.strip()]


Name = Annotated[
    str, _matching(_NAME, "must be 1 to 32 characters of a-z 0-9 - and single _ between them")
]
Step = Annotated[
    str,
    _matching(
        _STEP,
        "must be the name of a target, or of several that share the work, with a weight where "
        "they do not share evenly: `near:3 | far`",
    ),
]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
BucketName = Annotated[str, _matching(_BUCKET, "must be the name of a bucket")]
Steps = Annotated[tuple[Step, ...], NoDecode, BeforeValidator(_split)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split)]
BucketNames = Annotated[tuple[BucketName, ...], NoDecode, BeforeValidator(_split)]
Words = Annotated[
    tuple[Annotated[str, _matching(_WORD, "must be 1 to 32 characters of a-z _ -")], ...],
    NoDecode,
    BeforeValidator(_split),
]
Place = Annotated[str, _valid(is_place, "must be a geography (`eu`, `us`, `apac`, …) or a Region")]
Places = Annotated[tuple[Place, ...], NoDecode, BeforeValidator(_split)]
JsonSchema = Annotated[
    str,
    _valid(_is_schema, "must be a JSON Schema, as JSON text, that refers to no other document"),
]
StopReason = Annotated[
    str, _valid(ANSWERED.__contains__, f"must be one of {', '.join(sorted(ANSWERED))}")
]
StopReasons = Annotated[tuple[StopReason, ...], NoDecode, BeforeValidator(_split)]
# A bad job and our own trouble are no target's fault: what is done about them is no choice.
TargetsFault = Annotated[
    Kind,
    AfterValidator(_is_about_a_target),
]
Quality = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0.01, le=0.99)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of settings: frozen, and closed to names it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


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


class TargetSettings(Section):
    """A model or inference profile in one Region."""

    id: Annotated[str, _matching(_MODEL, "must be a model id, an inference profile id or an ARN")]
    """Model id, inference profile id or ARN."""
    region: str = _TARGET.region
    """Region of the endpoint; by default the SDK's own."""
    api: Api = _TARGET.api
    """Which operation serves it: `auto` streams where answers may be long."""
    max_tokens: Annotated[int, Field(ge=1)] = _TARGET.max_tokens
    """The longest answer, for jobs that do not say."""
    attempt_s: Seconds = _TARGET.attempt_s
    """The longest that one call may take."""
    first_token_s: Seconds = _TARGET.first_token_s
    """The longest wait for a stream's first event; never longer than `attempt_s`."""
    stall_s: Seconds = _TARGET.stall_s
    """The longest silence inside a stream; never longer than `attempt_s`."""
    slow_s: Seconds = _TARGET.slow_s
    """A success that took longer counts as slow; never longer than `attempt_s`. So much \
of a job's time is kept for it while the target before it is tried; half of what is left at most."""
    min_useful_s: Seconds = _TARGET.min_useful_s
    """With less time left before its deadline a job is not worth a call."""
    quality: Quality = _TARGET.quality
    """Compared with the `min_quality` of a job and of its route."""
    geo: Place | None = None
    """Where its calls are processed, for `allow_geo`; by default what the id's prefix (`eu.`) and \
the Region tell. To be set where they tell nothing: for the SDK's own Region, or the ARN of an \
application inference profile."""
    context_tokens: Annotated[int, Field(ge=0)] = _TARGET.context_tokens
    """Its context window; a job that is too long tries larger ones only. 0 if unknown."""
    bucket: Name | Literal[""] = _TARGET.bucket
    """Targets that name the same one share one quota; by default each has one of its own."""
    tier: Literal["", "default", "priority", "flex", "reserved"] = ""
    """The service tier to ask for."""
    price_input: Price = _TARGET.price_input
    """USD per million input tokens, 0 if unknown."""
    price_output: Price = _TARGET.price_output
    """USD per million output tokens, 0 if unknown."""

    def target(self, name: str) -> Target:
        """The core's value. Timers that were not set are cut to `attempt_s`."""
        return Target(
            name=name,
            model=self.id,
            region=self.region,
            api=self.api,
            max_tokens=self.max_tokens,
            attempt_s=self.attempt_s,
            first_token_s=min(self.first_token_s, self.attempt_s),
            stall_s=min(self.stall_s, self.attempt_s),
            slow_s=min(self.slow_s, self.attempt_s),
            min_useful_s=min(self.min_useful_s, self.attempt_s),
            quality=self.quality,
            geo=self.geo or "",
            context_tokens=self.context_tokens,
            bucket=self.bucket,
            tier=self.tier,
            price_input=self.price_input,
            price_output=self.price_output,
        )


class AcceptSettings(Section):
    """Which answers are good enough; others are tried again, and never given out."""

    json_schema: JsonSchema | None = None
    """A JSON Schema, as JSON text: an answer must be one JSON value of this shape, and no more."""
    chars_min: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """The shortest text of an answer, in characters."""
    stop_reasons: StopReasons = ()
    """Why the model may have stopped, of `end_turn`, `stop_sequence`, `tool_use`, `max_tokens`; \
unset for any of them. Without `max_tokens`, an answer that was cut off is none."""

    def rules(self) -> Accept:
        """The core's value."""
        return Accept(
            matches=matcher(self.json_schema) if self.json_schema else None,
            chars_min=self.chars_min,
            stop_reasons=frozenset(self.stop_reasons),
        )


class RouteSettings(Section):
    """An ordered plan for a kind of job."""

    targets: Steps = Field(min_length=1)
    """Names of targets, the preferred one first; `default` is `model`. `near:3 | far:1` is one \
step of two targets: three of four jobs try `near` first, the others `far`."""
    degraded: Names = ()
    """Names of degraded handlers, the preferred one first; see docs/degraded.md."""
    accept: AcceptSettings = AcceptSettings()
    on_fault: dict[TargetsFault, Action] = Field(default_factory=dict)
    """What to do about a kind of fault (docs/faults.md) instead of the usual: `next` (no second \
call at the same target), `degrade` (a handler at once), `park` (later), `fail` (a dead letter)."""
    min_quality: Quality = 0.0
    """No job of it is served below this, whatever the job itself accepts."""
    allow_geo: Places = ()
    """Geographies or Regions that its jobs may be processed in; unset for anywhere."""
    on_open: Annotated[
        str, _matching(_ON_OPEN, "must be park, fail, degrade or degrade_after:<seconds>")
    ] = "park"
    """What becomes of a job that no target admits: `park`, `fail`, `degrade`, or \
`degrade_after:<seconds>` of its age, parked until then; see docs/parking.md."""
    upgrade_later: bool = False
    """Whether a degraded answer is replaced by a model's when calls are to spare again, for jobs \
that say nothing of it; see docs/degraded.md."""
    notice: Annotated[str, Field(max_length=1000)] = ""
    """What an end user is told of a degraded answer; by default a sentence by what it lacks."""
    deadline_s: Seconds | None = None
    """Deadline of jobs that name none, counted from the first send; unset for never."""
    park_base_s: Seconds = 5.0
    """The first park; it doubles with each, up to `park_cap_s`."""
    park_cap_s: Annotated[float, Field(gt=0, le=900, allow_inf_nan=False)] = 300.0
    """The longest park."""
    park_max_s: Annotated[float, Field(gt=0, le=14 * DAY_S, allow_inf_nan=False)] = DAY_S
    """A job older than this is not parked again: it degrades if it can, or expires."""

    def groups(self) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The targets' names and weights, step by step.

        >>> RouteSettings(targets=("near:3 | far", "cheap")).groups()
        ((('near', 3.0), ('far', 1.0)), (('cheap', 1.0),))
        """
        return tuple(
            tuple(
                (name, float(weight or 1))
                for name, _, weight in (part.strip().partition(":") for part in step.split("|"))
            )
            for step in self.targets
        )

    def target_names(self) -> tuple[str, ...]:
        """The names of all its targets, in order."""
        return tuple(name for group in self.groups() for name, _ in group)


# What a kind of handler is worth, and what its answers lack, unless the settings say.
KINDS: Final[Mapping[HandlerKind, tuple[float, tuple[str, ...]]]] = MappingProxyType(
    {
        "rules": (0.3, ("specificity",)),
        "cache": (1.0, ("freshness",)),
        "summary": (0.5, ("length", "detail")),
        "plugin": (0.5, ()),
    }
)


class HandlerSettings(Section):
    """A handler of second-best answers; acts only where a route names it."""

    kind: HandlerKind
    """`rules`: the first pattern that matches; `cache`: what the same request got before; \
`summary`: a short answer of a cheaper target; `plugin`: your own code."""
    quality: Quality | None = None
    """The best that it can give, compared with the `min_quality` of a job and of its route; by \
default 0.3 for `rules`, 1 for a `cache` (whose entries have the quality of their target), 0.5 for \
the others."""
    loses: Words | None = None
    """What its answers lack beside a model's, told in the result; `specificity` for `rules`, \
`freshness` for a `cache`, `length` and `detail` for a `summary`."""
    limit_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = Terms().limit_s
    """How long it may take; then the next step follows. So much of a job's time is kept for it \
while targets are tried; half of what is left at most."""
    canary_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Of the jobs that a model answered, the share that it practises on, beside them."""
    file: str = ""
    """Of `rules`: the file that they are in, *.toml or *.json."""
    use: Annotated[str, _matching(_DOTTED, "must be package.module:name")] | None = None
    """Of a `plugin`: `package.module:name`; by default the entry point of its name."""

    target: Name | None = None
    """Of a `summary`: whom to ask, a target that is in no route; its `max_tokens` is the cap."""
    ttl_s: Seconds = _SPEC.ttl_s
    """Of a `cache`: how long an answer is fresh."""
    stale_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _SPEC.stale_s
    """Of a `cache`: how much longer it serves while no target of the route admits anything."""
    entry_bytes_max: Annotated[int, Field(ge=1, le=262_144)] = _SPEC.entry_bytes_max
    """Of a `cache`: larger answers are not kept."""

    def spec(self, name: str, targets: Mapping[str, Target]) -> HandlerSpec:
        """The core's value; `targets` are all that there are."""
        quality, loses = KINDS[self.kind]
        return HandlerSpec(
            name=name,
            kind=self.kind,
            terms=Terms(
                quality=quality if self.quality is None else self.quality,
                loses=loses if self.loses is None else self.loses,
                limit_s=self.limit_s,
                canary_share=self.canary_share,
            ),
            file=self.file,
            use=self.use or "",
            target=targets[self.target] if self.target else None,
            ttl_s=self.ttl_s,
            stale_s=self.stale_s,
            entry_bytes_max=self.entry_bytes_max,
        )


class CacheSettings(Section):
    """Where degraded handlers of kind `cache` keep their answers."""

    table: Annotated[str, _matching(_TABLE, "must be the name or ARN of a table")] | None = None
    """Name of the table; by default `<service>-cache`. Needed only where a route has a cache."""


class BreakerSettings(Section):
    """When a circuit opens and how it recovers, for every target; see docs/breaker.md."""

    table: Annotated[str, _matching(_TABLE, "must be the name or ARN of a table")] | None = None
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

    table: Annotated[str, _matching(_TABLE, "must be the name or ARN of a table")] | None = None
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
        str, _matching(_NAMESPACE, "must be a CloudWatch namespace, not beginning with AWS/")
    ] = "InferenceWorker"
    """CloudWatch namespace."""
    flush_s: Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)] = 10.0
    """How often metrics are written."""


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


Service = Annotated[str, _matching(_TOKEN, "must be letters and digits, with . _ - between them")]
