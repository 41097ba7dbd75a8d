"""The endings of a delivery: a closed set, matched exhaustively.

Answered, Degraded   the job has its one answer
Dead                 the job is given up; its dead letter says why
Parked               the job waits in the parked queue; nobody is to blame
Released             the delivery goes back to its queue, uncharged
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.core.answer import Answer
from worker.core.route import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A model answered, or its guardrail did."""

    answer: Answer
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedAnswer:
    """What a degraded handler gives.

    Attributes:
        content: Content blocks in the Converse shape.
        quality: 0 to 1.
        loses: What it lacks beside a model's answer: `freshness`, `length`, …
    """

    content: tuple[Mapping[str, Any], ...]
    quality: float
    loses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A handler answered in the model's place, because of `why`."""

    answer: DegradedAnswer
    handler: str
    why: str


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
