"""What can be set of targets, routes and degraded handlers.

As in `knobs.py`, the docstring under a field is its row in `docs/settings.md`. Rules
*between* them are in `names.py` and `plans.py`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field

from worker.core.accept import Accept
from worker.core.degrade import HandlerKind, HandlerSpec, Terms
from worker.core.route import Action
from worker.core.target import Api, Target
from worker.settings.schema import matcher
from worker.settings.values import (
    DAY_S,
    JsonSchema,
    Name,
    Names,
    Place,
    Places,
    Price,
    Quality,
    Seconds,
    Section,
    Steps,
    StopReasons,
    TargetsFault,
    Words,
    matching,
)

_TARGET: Final = Target(name="", model="")
_SPEC: Final = HandlerSpec(name="", kind="cache", terms=Terms())
_MODEL: Final = re.compile(r"[!-~]{1,2048}")
_ON_OPEN: Final = re.compile(r"park|fail|degrade|degrade_after:[0-9]{1,7}(?:\.[0-9]{1,3})?")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class TargetSettings(Section):
    """A model or inference profile in one Region."""

    id: Annotated[str, matching(_MODEL, "must be a model id, an inference profile id or an ARN")]
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
        str, matching(_ON_OPEN, "must be park, fail, degrade or degrade_after:<seconds>")
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
    use: Annotated[str, matching(_DOTTED, "must be package.module:name")] | None = None
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
