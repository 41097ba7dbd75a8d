"""Degraded answers: what a handler is asked, on which terms, and what of its answer counts.

A handler is somebody else's code, so nothing that it gives is taken as it is: an
answer that no record could hold counts as a failure of the handler, and its quality
is never above what the settings say of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal

import orjson

from worker.core.fault import Fault
from worker.core.job import Request
from worker.core.policy import BreakerPolicy
from worker.core.settlement import DegradedAnswer, Origin, Spent
from worker.core.target import Target

ANSWER_BYTES_MAX: Final = 262_144  # with the rest of the envelope it still fits a record


class ModelFaultError(Exception):
    """The target that a handler called failed: its breaker, or its bucket, is to hear of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind.value)
        self.fault = fault


HandlerKind = Literal["rules", "cache", "summary", "plugin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a handler is told beside the job.

    Attributes:
        job: What the job is called.
        request: What is asked, fetched if the job named a payload.
        reason: Why no model answers: `circuit_open`, the kind of the last fault or of the one that
            a call would come to, `expired` where no call can end in time, or
            `below_quality` or `outside_geo` where no target of the
            route may serve the job.
        circuit_open: Whether no target of the route admits anything now.
        left_s: How long the handler may take, in seconds; then it is no longer waited for.
        canary: Whether this is practice: the job has its answer, and this one is dropped.
    """

    job: str = ""
    request: Request
    reason: str
    circuit_open: bool = False
    left_s: float
    canary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a handler serves.

    Attributes:
        quality: The best that it can give, 0 to 1.
        loses: What its answers lack beside a model's: `freshness`, `length`, …
        limit_s: How long it may take, in seconds.
        canary_share: Of the jobs that a model answered, the share that it practises on.
    """

    quality: float = 1.0
    loses: tuple[str, ...] = ()
    limit_s: float = 2.0
    canary_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSpec:
    """One handler as the settings describe it.

    Attributes:
        file: Of `rules`: where they are.
        use: Of a `plugin`: `package.module:name`; "" for an object or an entry point.
        target: Of a `summary`: whom to ask.
        ttl_s: Of a `cache`: how long an answer is fresh, in seconds.
        stale_s: Of a `cache`: how much longer it serves while the circuit is open, in seconds.
        entry_bytes_max: Of a `cache`: larger answers are not kept.
    """

    name: str
    kind: HandlerKind
    terms: Terms
    file: str = ""
    use: str = ""
    target: Target | None = None
    ttl_s: float = 3600.0
    stale_s: float = 86_400.0
    entry_bytes_max: int = 65_536

    @property
    def best(self) -> float:
        """The best quality that an answer of it can have."""
        return min(self.terms.quality, self.target.quality if self.target else 1.0)


def breaker_policy(limit_s: float) -> BreakerPolicy:
    """A handler's own breaker: quick to open, for the next step costs next to nothing.

    >>> breaker_policy(0.2).probe_s, breaker_policy(10).probe_s
    (1.0, 10)
    """
    stuck_s = max(1.0, limit_s)
    return BreakerPolicy(
        window_s=60,
        min_calls=5,
        failure_rate=0.5,
        recent_s=min(BreakerPolicy().recent_s, stuck_s),
        stuck_s=stuck_s,
        probe_s=stuck_s,
        cooldown_s=5.0,
        cooldown_max_s=60.0,
    )


def sound(answer: object, terms: Terms) -> DegradedAnswer | str:
    """The answer on the handler's terms, or what is wrong with it, without any of its text.

    >>> sound(DegradedAnswer.saying("Hi."), Terms(quality=0.2, loses=("length",)))
    DegradedAnswer(quality=0.2, loses=('length',), spent=None, origin=None)
    >>> sound("Hi.", Terms())
    'no DegradedAnswer'
    """
    if not isinstance(answer, DegradedAnswer):
        return "no DegradedAnswer"
    content: Any = answer.content
    if not isinstance(content, tuple | list):
        return "content is no list"
    for block in content:
        if not isinstance(block, Mapping) or len(block) != 1:
            return "a content block is no object with one key"
    blocks = tuple(dict(block) for block in content)
    try:
        size = len(orjson.dumps(blocks))
    except (TypeError, ValueError):  # orjson's own error is a TypeError
        return "content is no JSON"
    if size > ANSWER_BYTES_MAX:
        return "content is too large"
    if wrong := _wrong_beside_content(answer):
        return wrong
    return replace(
        answer,
        content=blocks,
        quality=min(float(answer.quality), terms.quality),
        loses=tuple(dict.fromkeys((*terms.loses, *answer.loses))),
    )


def _wrong_beside_content(answer: DegradedAnswer) -> str:
    quality: Any = answer.quality
    if not isinstance(quality, int | float) or not 0.0 <= quality <= 1.0:
        return "quality is not from 0 to 1"
    loses: Any = answer.loses
    if not isinstance(loses, tuple | list) or not all(isinstance(what, str) for what in loses):
        return "loses is no list of words"
    spent: Any = answer.spent
    if not isinstance(spent, Spent | None):
        return "spent is no Spent"
    return "" if answer.origin is None or _is_origin(answer.origin) else "origin is no Origin"


def _is_origin(origin: Any) -> bool:
    return (
        isinstance(origin, Origin)
        and isinstance(origin.places, frozenset)
        and all(isinstance(place, str) for place in origin.places)
        and isinstance(origin.stop_reason, str)
    )


_LACKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "freshness": "it may be out of date",
        "length": "it is shorter than usual",
        "detail": "it leaves out details",
        "specificity": "it is a prepared text that was not written for your question",
    }
)


def notice_of(loses: tuple[str, ...]) -> str:
    """What an end user is told of a degraded answer, where the route has no text of its own.

    >>> notice_of(("length", "tables")).partition(": ")[2]
    'it is shorter than usual; it may lack tables.'
    >>> notice_of(())
    'Our usual model cannot answer at the moment, so this is a substitute.'
    """
    lacks = "; ".join(_LACKS.get(what, f"it may lack {what}") for what in loses)
    return "Our usual model cannot answer at the moment, so this is a substitute" + (
        f": {lacks}." if lacks else "."
    )
