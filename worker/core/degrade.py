"""Degraded answers: what a handler is asked, on which terms, and what of its answer counts.

A handler is somebody else's code, so nothing that it gives is taken as it is: an
answer that no record could hold counts as a failure of the handler, and its quality
is never above what the settings say of it.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal

import orjson

from worker.core.answer import Usage
from worker.core.fault import Fault
from worker.core.job import Request
from worker.core.policy import BreakerPolicy
from worker.core.settlement import DegradedAnswer, Origin, Spent
from worker.core.target import Target

ANSWER_BYTES_MAX: Final = 262_144  # with the rest of the envelope it still fits a record
WORDS_MAX: Final = 32  # in `loses`; the notice repeats each
WORD_CHARS_MAX: Final = 64
_NAME_CHARS_MAX: Final = 2048  # of a target that a handler names
_TOKENS_MAX: Final = 2**53  # JSON readers count no further
_USD_MAX: Final = 1e9  # for a million tokens


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
        # As deep as it lies in a result: JSON is not written at every depth.
        size = len(orjson.dumps({"output": {"message": {"content": blocks}}}))
    except (TypeError, ValueError):  # orjson's own error is a TypeError
        return "content is no JSON"
    if size > ANSWER_BYTES_MAX:
        return "content is too large"
    if not all(isinstance(block.get("text", ""), str) for block in blocks):
        return "a text is no string"
    if wrong := _wrong_beside_content(answer):
        return wrong
    return replace(
        answer,
        content=blocks,
        quality=min(float(answer.quality), terms.quality),
        loses=tuple(dict.fromkeys((*terms.loses, *answer.loses))),
    )


def _wrong_beside_content(answer: DegradedAnswer) -> str:
    if not _lies_in(answer.quality, 1.0):
        return "quality is not from 0 to 1"
    if not is_words(answer.loses):
        return "loses is no list of words"
    if answer.spent is not None and not _is_spent(answer.spent):
        return "spent is no Spent"
    return "" if answer.origin is None or _is_origin(answer.origin) else "origin is no Origin"


def is_words(loses: object) -> bool:
    r"""Whether it is a list of words for what is lost: few, short, and fit to be shown.

    >>> is_words(["length"]), is_words("length"), is_words(["length" * 99]), is_words(["\ud800"])
    (True, False, False, False)
    """
    return (
        isinstance(loses, tuple | list)
        and len(loses) <= WORDS_MAX
        and all(_is_text(word, WORD_CHARS_MAX) for word in loses)
    )


def _is_text(value: object, chars_max: int) -> bool:
    # A lone surrogate is not printable, and no UTF-8.
    return isinstance(value, str) and len(value) <= chars_max and value.isprintable()


def _lies_in(value: object, most: float) -> bool:
    return isinstance(value, int | float) and 0 <= value <= most


def _is_spent(spent: Any) -> bool:
    return isinstance(spent, Spent) and _is_usage(spent.usage) and _is_target(spent.target)


def _is_usage(usage: Any) -> bool:
    return isinstance(usage, Usage) and all(
        isinstance(tokens, int) and 0 <= tokens <= _TOKENS_MAX for tokens in astuple(usage)
    )


def _is_target(target: Any) -> bool:
    """Whether the result can say whom it names, and at which prices."""
    return (
        isinstance(target, Target)
        and all(
            _is_text(name, _NAME_CHARS_MAX)
            for name in (target.name, target.model, target.region, target.tier)
        )
        and all(_lies_in(usd, _USD_MAX) for usd in (target.price_input, target.price_output))
    )


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
