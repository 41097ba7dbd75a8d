"""The cache of answers: which request is the same, which answer is kept, how old it may be.

The same request is exactly the same: messages, system, inference, tools and the
additional fields, whatever model answered. A tenant is part of the key, and stands in
the entry beside it: nobody ever gets what was said to somebody else.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from worker.core.answer import Answer
from worker.core.job import Job, PayloadRef, Request

KEY_VERSION: Final = 1  # another canonical form makes another key, and never a wrong hit
REQUEST_BYTES_MAX: Final = 1_048_576  # hashing a larger one would hold the event loop
# Whole answers. `tool_use` is half a conversation: what it asks for was done once already.
WHOLE: Final = frozenset({"end_turn", "stop_sequence"})

Freshness = Literal["fresh", "stale", "too_old"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAnswer:
    """One entry.

    Attributes:
        tenant: Whose it is, "" for jobs without a tenant.
        content: Content blocks in the Converse shape.
        quality: Of the target that gave it.
        at: When it was given, seconds since 1970.
        places: Where it was processed; none for an entry of an older version.
        stop_reason: The service's own word; "" for an entry of an older version.
    """

    tenant: str
    content: tuple[Mapping[str, Any], ...] = field(repr=False)
    quality: float
    at: float
    places: frozenset[str] = frozenset()
    stop_reason: str = ""


def cache_key(tenant: str, request: Request) -> str:
    """The key of a request: 64 hex digits.

    >>> hello = Request(messages=({"role": "user", "content": [{"text": "Hello."}]},))
    >>> cache_key("a", hello) == cache_key("b", hello)
    False
    """
    asked = [
        KEY_VERSION,
        tenant,
        request.messages,
        request.system,
        request.inference,
        request.tools,
        request.additional,
    ]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def can_be_cached(job: Job) -> bool:
    """Whether the job's request is small enough to be looked for."""
    return not isinstance(job.request, PayloadRef) or job.request.size_bytes <= REQUEST_BYTES_MAX


def is_worth_keeping(answer: Answer) -> bool:
    """Whether the answer is a good and whole one: neither blocked, cut nor half a conversation."""
    return answer.stop_reason in WHOLE and len(answer.content) > 0


def freshness(age_s: float, *, ttl_s: float, stale_s: float, circuit_open: bool) -> Freshness:
    """Whether an entry of this age serves: a stale one does while the circuit is open.

    >>> freshness(90, ttl_s=60, stale_s=60, circuit_open=True)
    'stale'
    >>> freshness(90, ttl_s=60, stale_s=60, circuit_open=False)
    'too_old'
    """
    if age_s <= ttl_s:
        return "fresh"
    return "stale" if circuit_open and age_s <= ttl_s + stale_s else "too_old"
