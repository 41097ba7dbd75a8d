"""A job: what is asked, and under which conditions.

These are the values; `envelope.py` reads them from a message body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MILLISECONDS_DIGITS: Final = 14  # until the year 5138
GENERATION_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a body may be. Sizes are bytes of UTF-8.

    `body_bytes` leaves room below the queue's 1 MiB for the attributes that a
    parked doorbell and a dead letter carry.
    """

    body_bytes: int = 1_048_576 - 16_384
    payload_bytes: int = 20_000_000
    depth: int = 32
    metadata_bytes: int = 16_384
    payload_buckets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of the model, in the shapes of Bedrock's Converse."""

    messages: tuple[Mapping[str, Any], ...]
    system: tuple[Mapping[str, Any], ...] = ()
    inference: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, Any] | None = None
    additional: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadRef:
    """A claim check: the request lies in S3 under `bucket`/`key`."""

    bucket: str
    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One parsed envelope. Defaults are the envelope's own.

    Attributes:
        id: The producer's id, None if the MessageId is to serve.
        request: The request itself, or where it lies.
        deadline_s: Seconds after the first send, None if unset.
        deadline_at: Seconds since 1970, None if unset. The earlier one holds.
        on_open: What to do while nothing admits the job, None for the route's policy.
        degrade_after_s: For `degrade_after:<s>`, seconds; None otherwise.
        allow_geo: Where it may be processed (`geo.py`), None for anywhere.
        upgrade_later: Whether a degraded answer is to be replaced later, None for the route's word.
        task_token: Of the task in a state machine that waits for it, "" for none. Never log it.
        digest: What the job asks for, hashed (16 hex digits).
    """

    id: str | None = None
    request: Request | PayloadRef
    route: str = "default"
    deadline_s: float | None = None
    deadline_at: float | None = None
    on_open: str | None = None
    degrade_after_s: float | None = None
    min_quality: float = 0.0
    allow_geo: frozenset[str] | None = None
    upgrade_later: bool | None = None
    tenant: str = ""
    priority: str = "normal"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reply_to: str | None = None
    task_token: str = field(default="", repr=False)
    digest: str = ""

    def deadline(self, sent_at: float) -> float | None:
        """When an answer becomes worthless, seconds since 1970; None for never."""
        ends = [self.deadline_at] if self.deadline_at is not None else []
        if self.deadline_s is not None:
            ends.append(sent_at + self.deadline_s)
        return min(ends, default=None)


def share_of(text: str) -> float:
    """A number from 0 to 1 that stands in an attribute; 0 for what is none.

    >>> share_of("0.4"), share_of("nan"), share_of("x"), share_of("7")
    (0.4, 0.0, 0.0, 0.0)
    """
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def instant_of(milliseconds: str) -> float | None:
    """Seconds since 1970 of an attribute in milliseconds; None for what is no time.

    Anybody who may send messages may write such an attribute.

    >>> instant_of("1795431702000")
    1795431702.0
    >>> instant_of("9" * 5000) is None
    True
    """
    if not milliseconds.isascii() or not milliseconds.isdecimal():
        return None
    return int(milliseconds) / 1000 if len(milliseconds) <= MILLISECONDS_DIGITS else None


def generation_of(text: str) -> int:
    """The generation that a redrive asks for, from its attribute; 0 for what is none.

    >>> generation_of("2"), generation_of("-1"), generation_of("9" * 5000)
    (2, 0, 0)
    """
    sound = text.isascii() and text.isdecimal() and len(text) <= GENERATION_DIGITS
    return int(text) if sound else 0
