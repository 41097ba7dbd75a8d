"""Which answers are good enough to be given out: a route's rules, judged without I/O.

An answer that breaks one is a fault of the kind `poor`: the service is well, the
call was paid for, and nobody gets to see the answer. What is told of it is which
rule it broke, and never a word of it. An answer in whose place a guardrail spoke
is judged by nobody: it is `blocked`, and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from worker.core.answer import Answer
from worker.core.fault import Billed, Fault, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The rules of a route. The default accepts everything.

    Attributes:
        matches: Whether a JSON value is of the shape that is asked for; with it, the
            answer's text must be one JSON value and nothing else.
        chars_min: The shortest text, in characters.
        stop_reasons: Why the model may have stopped; empty for any reason.
    """

    matches: Callable[[Any], bool] | None = None
    chars_min: int = 0
    stop_reasons: frozenset[str] = frozenset()

    def judge(self, answer: Answer) -> Answer | Fault:
        """The answer, or the fault that it is."""
        broken = "" if answer.blocked else self._broken(answer)
        if not broken:
            return answer
        return Fault(
            kind=Kind.POOR,
            code=broken,
            http=HTTPStatus.OK,
            message="The answer breaks a rule of its route",
            request_id=answer.request_id,
            billed=Billed.YES,
            spent=answer.usage,
        )

    def _broken(self, answer: Answer) -> str:
        """The rule that an answer breaks, or ""."""
        if self.stop_reasons and answer.stop_reason not in self.stop_reasons:
            return "wrong_stop_reason"
        text = "".join(block["text"] for block in answer.content if "text" in block)
        if len(text.strip()) < self.chars_min:
            return "too_short"
        if self.matches is None:
            return ""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return "not_json"
        return "" if self.matches(value) else "off_schema"
