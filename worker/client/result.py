"""What became of a job, as its producer reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from worker.core.ledger import Record, State
from worker.core.upgrade import upgraded

Status = Literal["ok", "degraded", "blocked", "failed", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finished job. Decide on `status` and `quality` alone.

    Attributes:
        status: `ok`; `degraded` (a second-best answer); `blocked` (a guardrail's text in
            the answer's place); `failed` or `expired` (no answer, and a dead letter; an
            upgrade leaves none).
        text: The answer's text blocks, joined; None if there is none.
        output: The answer in the Converse shape, `{"message": …}`; None if there is none.
        quality: What was served, 0 to 1; 0 without an answer.
        reason: Why it is degraded, failed or expired; "" otherwise.
        notice: What to tell the end user of a degraded answer; "" otherwise.
        will_upgrade: Whether a better answer is to follow (`Client.upgrade`).
        upgrades: The job whose degraded answer this one replaces; None for any other.
        attempts: Charged model calls over the job's life.
        cost_usd: What the answer's tokens cost; 0 where no prices are set.
        metadata: The job's own, returned.
        envelope: The whole result envelope (`docs/result.schema.json`).
    """

    job_id: str
    status: Status
    text: str | None = field(default=None, repr=False)
    output: Mapping[str, Any] | None = field(default=None, repr=False)
    quality: float = 0.0
    reason: str = ""
    notice: str = ""
    will_upgrade: bool = False
    upgrades: str | None = None
    attempts: int = 0
    cost_usd: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    envelope: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def answered(self) -> bool:
        """Whether there is an answer, be it second-best."""
        return self.status in ("ok", "degraded")


def result_of(record: Record, envelope: bytes | None) -> Result:
    """The result of a job whose final record this is.

    Args:
        record: In a final state.
        envelope: Its result envelope as JSON; None if it has none (a job that was
            cancelled, or that died before it could be read).
    """
    assert record.state.final, f"{record.job} is not finished"
    if envelope is None:
        reason = record.reason or str(record.state)
        expired = record.state is State.DEAD and record.reason == "expired"
        return Result(
            job_id=record.job,
            upgrades=upgraded(record.job),
            status="expired" if expired else "failed",
            reason=reason,
            attempts=record.attempts,
        )
    told: dict[str, Any] = orjson.loads(envelope)
    output = told.get("output")
    why = told.get("degraded") or told.get("error") or {}
    return Result(
        job_id=record.job,
        status=told["status"],
        text=_text(output),
        output=output,
        quality=told["quality"]["served"],
        reason=why.get("reason", ""),
        notice=why.get("notice", ""),
        will_upgrade=why.get("will_upgrade", False),
        upgrades=upgraded(record.job),
        attempts=told["attempts_total"],
        cost_usd=told.get("usage", {}).get("cost_usd", 0.0),
        metadata=told["metadata"],
        envelope=told,
    )


def _text(output: Mapping[str, Any] | None) -> str | None:
    if output is None:
        return None
    texts = [block["text"] for block in output["message"]["content"] if "text" in block]
    return "".join(texts) if texts else None
