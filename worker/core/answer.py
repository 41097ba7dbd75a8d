"""What a model gave: content, why it stopped, and what it cost.

Content is the Converse shape: a tuple of content blocks. Answers are held, stored and
returned, and never logged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# Every reason for which a model stops with an answer that we return. The rest,
# `malformed_model_output` and `malformed_tool_use`, are faults (`poor`), and
# `model_context_window_exceeded` is one as well (`too_long`).
ANSWERED: Final = frozenset({"end_turn", "stop_sequence", "tool_use", "max_tokens"})
BLOCKED: Final = frozenset({"guardrail_intervened", "content_filtered"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the service counted them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer of one call.

    Attributes:
        content: Content blocks in the Converse shape.
        stop_reason: The service's own word.
        model_ms: The service's own latency, in milliseconds; 0 if it told none.
        first_token_ms: Time to the first event of a stream; None for a call without.
        tier: The service tier that served it, "" if it told none.
    """

    content: tuple[Mapping[str, Any], ...]
    stop_reason: str
    usage: Usage
    model_ms: int = 0
    first_token_ms: int | None = None
    request_id: str = ""
    tier: str = ""

    @property
    def blocked(self) -> bool:
        """Whether a guardrail or a content filter took the answer's place."""
        return self.stop_reason in BLOCKED

    @property
    def truncated(self) -> bool:
        """Whether the answer ends where the token limit cut it."""
        return self.stop_reason == "max_tokens"
