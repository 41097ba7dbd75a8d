"""The endings of a delivery: a closed set, matched exhaustively.

Answered, Degraded   the job has its one answer
Dead                 the job is given up; its dead letter says why
Parked               the job waits in the parked queue; nobody is to blame
Released             the delivery goes back to its queue, uncharged
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.core.answer import Answer, Usage
from worker.core.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A model answered, or its guardrail did."""

    answer: Answer
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The model call that a degraded answer cost."""

    usage: Usage
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Of an answer that a model once gave to another job: where, and how it ended.

    Attributes:
        places: Where it was processed (`geo.py`); none if that is not known.
        stop_reason: The service's own word, "" if it is not known.
    """

    places: frozenset[str] = frozenset()
    stop_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedAnswer:
    """What a degraded handler gives.

    Attributes:
        content: Content blocks in the Converse shape; none for no answer, where a model was
            called all the same.
        quality: 0 to 1; counts up to what the settings say of the handler.
        loses: What it lacks beside a model's answer: `freshness`, `length`, …
        spent: What it cost, if a model was called for it.
        origin: Of what a model gave before: it must keep the borders of this job too, and
            the `accept` rules of its route.
    """

    content: tuple[Mapping[str, Any], ...] = field(repr=False)
    quality: float = 1.0
    loses: tuple[str, ...] = ()
    spent: Spent | None = None
    origin: Origin | None = None

    @classmethod
    def saying(
        cls, text: str, *, quality: float = 1.0, loses: tuple[str, ...] = ()
    ) -> "DegradedAnswer":
        """A plain text as an answer."""
        return cls(content=({"text": text},), quality=quality, loses=loses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A handler answered in the model's place, because of `why`.

    Attributes:
        why: `circuit_open`, the kind of the last fault or of the one that a call would come to,
            `below_quality`, `outside_geo` or `expired`.
        code: The last fault's code, "" if nothing was called.
        notice: What an end user is told of it.
        will_upgrade: Whether a model's answer is to replace it later.
    """

    answer: DegradedAnswer
    handler: str
    why: str
    code: str = ""
    notice: str = ""
    will_upgrade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """The job is given up for good.

    Attributes:
        reason: A stable code: a `Malformed.reason`, a fault's kind, `expired`,
            `crash_loop`, `poison`, `attempts_exhausted`, `id_conflict`, `unknown_route`, …
        detail: What is wrong, for a person; never text of the job.
        code: The last fault's code, or "".
    """

    reason: str
    detail: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """The job comes back after `delay_s` seconds, at most 900."""

    delay_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The delivery is given back for anybody, visible again after `delay_s`."""

    why: str
    delay_s: float = 0.0


Settlement = Answered | Degraded | Dead | Parked | Released
