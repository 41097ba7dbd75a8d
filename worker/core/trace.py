"""Trace contexts: what leads from one run of a job to whoever sent its message.

Every run is a trace of its own, linked to the one before: parked jobs outlive traces. The
ids of a run are drawn from the nonce of its claim, so that whoever sends a doorbell knows
them before a span is made, and nothing has to be carried about. What comes from outside is
taken only if it has the exact form: no text of a producer gets into a log by this way.
"""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
_W3C: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_AWS: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_AWS_SPAN: Final = re.compile(r"[0-9a-f]{16}")


class Context(NamedTuple):
    """Where a span is: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str

    def traceparent(self, *, sampled: bool = True) -> str:
        """The header of the W3C that leads here.

        >>> Context("0" * 31 + "a", "0" * 15 + "b").traceparent()
        '00-0000000000000000000000000000000a-000000000000000b-01'
        """
        return f"00-{self.trace_id}-{self.span_id}-{int(sampled):02}"


def context_of(nonce: str) -> Context:
    """The context of the run whose claim has this nonce; the nonce cannot be told from it."""
    drawn = blake2b(nonce.encode(), digest_size=24, person=b"iw-trace").hexdigest()
    return Context(drawn[:32], drawn[32:])


def child_of(context: Context, number: int) -> Context:
    """The context of a run's span with this number, from 1."""
    drawn = blake2b(f"{context.span_id}:{number}".encode(), digest_size=8, person=b"iw-trace")
    return Context(context.trace_id, drawn.hexdigest())


def is_chosen(context: Context, share: float) -> bool:
    """Whether a run is among the share (0 to 1) of those that are traced.

    >>> is_chosen(context_of("a"), 1.0), is_chosen(context_of("a"), 0.0)
    (True, False)
    """
    return int(context.trace_id[:14], 16) < share * 16**14


def told_by(traceparent: str) -> Context | None:
    """The context that a `traceparent` names; None if it is none."""
    found = _W3C.fullmatch(traceparent)
    return _real(Context(found[1], found[2])) if found else None


def sent_by(aws_header: str, traceparent: str) -> Context | None:
    """Where a message was sent: the `AWSTraceHeader` goes first.

    >>> sent_by("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", "")
    Context(trace_id='5759e988bd862e3fe1be46a994272793', span_id='53995c3f42cd8ad8')
    """
    parts = dict(part.strip().split("=", 1) for part in aws_header.split(";") if "=" in part)
    root, span = _AWS.fullmatch(parts.get("Root", "")), parts.get("Parent", "")
    if root and _AWS_SPAN.fullmatch(span) and (real := _real(Context(root[1] + root[2], span))):
        return real
    return told_by(traceparent)


def _real(context: Context) -> Context | None:
    return context if context.trace_id.strip("0") and context.span_id.strip("0") else None
