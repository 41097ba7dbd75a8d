"""The result envelope: what a producer reads (version 1).

Whoever reads it can decide on `status` and `quality.served` alone. It is built
from values and is plain JSON; `output` is the only part that holds answer text.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from worker.core.answer import Usage
from worker.core.cost import NOTHING, Waste, cost_usd
from worker.core.fault import Billed
from worker.core.job import Job
from worker.core.ledger import Attempt
from worker.core.settlement import Answered, Dead, Degraded, DegradedAnswer, Spent
from worker.core.target import Target
from worker.core.upgrade import upgraded

ATTEMPTS_MAX: Final = 8  # rows of history in a result; the ledger holds more


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the envelope tells about how the job was worked on.

    Attributes:
        queue_ms: From the first send to the start of this run.
        total_ms: From the first send to the end.
        backoff_ms: Waited between attempts of this run.
        handler_ms: Waited for degraded handlers in this run.
        parked_ms: Waited parked, over the job's life.
        requested: The quality of the route's best target, 0 without a route.
        attempts: The job's history, this run included.
        attempts_total: Charged calls over the job's life.
        wasted: What was paid for nothing, over the job's life.
    """

    job_id: str
    worker: str
    queue_ms: int
    total_ms: int
    backoff_ms: int
    attempts: tuple[Attempt, ...]
    attempts_total: int
    deadline_at: float | None
    handler_ms: int = 0
    parked_ms: int = 0
    wasted: Waste = NOTHING
    requested: float = 0.0


_NOBODY: Final = Target(name="", model="")
_NOTHING: Final = Usage()


def build(ended: Answered | Degraded | Dead, job: Job | None, run: Run) -> dict[str, Any]:
    """The result envelope of one finished job, as a JSON-ready dict: `result_schema.SCHEMA`."""
    answer = ended.answer if isinstance(ended, Answered) else None
    usage, target = spent_by(ended)
    wasted = [a for a in run.attempts if a.kind is not None and a.billed is not Billed.NO]
    return {
        "v": 1,
        "job_id": run.job_id,
        "upgrades": upgraded(run.job_id),
        "status": _status(ended),
        "output": _output(ended),
        "stop": {"reason": answer.stop_reason, "truncated": answer.truncated} if answer else None,
        "quality": {
            "requested": run.requested,
            "minimum": job.min_quality if job else 0.0,
            "served": served_by(ended),
        },
        "degraded": _stand_in(ended) if isinstance(ended, Degraded) else None,
        "error": _error(ended) if isinstance(ended, Dead) else None,
        "route": {
            "name": job.route if job else "",
            "target": target.name,
            "model_id": target.model,
            "region": target.region,
            "tier": {"requested": target.tier, "served": answer.tier if answer else ""},
        },
        "usage": {
            **asdict(usage),
            "cost_usd": round(cost_usd(usage, target), 9),
            "wasted_calls": len(wasted),
            "wasted_usd": round(run.wasted.sure_usd, 9),
            "wasted_most_usd": round(run.wasted.most_usd, 9),
        },
        "latency_ms": {
            "queue": run.queue_ms,
            "parked": run.parked_ms,
            "total": run.total_ms,
            "backoff": run.backoff_ms,
            "handler": run.handler_ms,
            "model": answer.model_ms if answer else 0,
            "first_token": answer.first_token_ms if answer else None,
        },
        "attempts": [_row(a) for a in run.attempts[-ATTEMPTS_MAX:]],
        "attempts_total": run.attempts_total,
        "deadline_at": run.deadline_at,
        "metadata": dict(job.metadata) if job else {},
        "worker": run.worker,
    }


def spent_by(ended: Answered | Degraded | Dead) -> tuple[Usage, Target]:
    """The tokens of the answer, and who gave it; nothing, and nobody, if no model did."""
    match ended:
        case Answered(answer=answer, target=target):
            return answer.usage, target
        case Degraded(answer=DegradedAnswer(spent=Spent(usage=usage, target=target))):
            return usage, target
        case _:
            return _NOTHING, _NOBODY


def _status(ended: Answered | Degraded | Dead) -> str:
    match ended:
        case Answered(answer=answer):
            return "blocked" if answer.blocked else "ok"
        case Degraded():
            return "degraded"
        case Dead(reason=reason):  # pragma: no branch  (closed union)
            return "expired" if reason == "expired" else "failed"


def _output(ended: Answered | Degraded | Dead) -> Mapping[str, Any] | None:
    if isinstance(ended, Dead):
        return None
    return {"message": {"role": "assistant", "content": list(ended.answer.content)}}


def served_by(ended: Answered | Degraded | Dead) -> float:
    """The quality that was served; 0 without an answer."""
    match ended:
        case Answered(target=target):
            return target.quality
        case Degraded(answer=answer):
            return answer.quality
        case Dead():  # pragma: no branch  (closed union)
            return 0.0


def _stand_in(degraded: Degraded) -> Mapping[str, Any]:
    return {
        "reason": degraded.why,
        "cause": degraded.code,
        "handler": degraded.handler,
        "loses": list(degraded.answer.loses),
        "notice": degraded.notice,
        "will_upgrade": degraded.will_upgrade,
    }


def _error(dead: Dead) -> Mapping[str, Any]:
    return {"reason": dead.reason, "code": dead.code, "detail": dead.detail}


def _row(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "n": attempt.number,
        "target": attempt.target,
        "kind": attempt.kind or "ok",
        "code": attempt.code,
        "http": attempt.http,
        "duration_ms": attempt.duration_ms,
        "billed": attempt.billed,
        "timer": attempt.timer,
        "request_id": attempt.request_id,
    }
