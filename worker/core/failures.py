"""Why a job was discarded, in a few classes: the values of the dimension `FailureClass`."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from worker.core.fault import Kind


class Failure(StrEnum):
    """Why a job was discarded, in a word."""

    MALFORMED = "malformed"  # the body is no job that this worker knows
    REJECTED = "rejected"  # the model, or its guard, will never take it
    EXPIRED = "expired"  # its deadline, or the longest wait
    POISON = "poison"  # it breaks or hangs whoever takes it
    WORN_OUT = "worn_out"  # all its attempts are used up
    UNSERVED = "unserved"  # nothing could or would serve it, and it would not wait
    OTHER = "other"


_CLASSES: Final = {
    Failure.MALFORMED: (
        "not_json",
        "too_large",
        "too_deep",
        "duplicate_key",
        "schema",
        "unknown_field",
        "missing_field",
        "invalid_field",
        "payload_forbidden",
        "payload_mismatch",
        "payload_missing",
        "unknown_route",
        "unknown_reply_to",
        "task_tokens_off",
        "id_conflict",
    ),
    Failure.REJECTED: (Kind.REJECTED, Kind.TOO_LONG, "answer_too_large"),
    Failure.EXPIRED: ("expired",),
    Failure.POISON: ("poison", "crash_loop"),
    Failure.WORN_OUT: ("attempts_exhausted",),
    Failure.UNSERVED: (
        "below_quality",
        "outside_geo",
        "circuit_open",
        Kind.UNAVAILABLE,
        Kind.TIMED_OUT,
        Kind.THROTTLED,
        Kind.EXHAUSTED,
        Kind.MISCONFIGURED,
        Kind.POOR,
        Kind.UNREACHABLE,
        Kind.LOCAL,
        Kind.UNKNOWN,
    ),
}
FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {str(reason): failure for failure, reasons in _CLASSES.items() for reason in reasons}
)
