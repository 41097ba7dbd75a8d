"""The result envelope: what a producer reads (version 1).

Whoever reads it can decide on `status` and `quality.served` alone. It is built
from values and is plain JSON; `output` is the only part that holds answer text.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.core.answer import Usage
from worker.core.fault import Billed
from worker.core.job import Job
from worker.core.ledger import Attempt
from worker.core.route import Target
from worker.core.settlement import Answered, Dead, Degraded

ATTEMPTS_MAX = 8  # rows of history in a result; the ledger holds more


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the envelope tells about how the job was worked on.

    Attributes:
        queue_ms: From the first send to the start of this run.
        total_ms: From the first send to the end.
        backoff_ms: Waited between attempts of this run.
        attempts: The job's history, this run included.
        attempts_total: Charged calls over the job's life.
    """

    job_id: str
    worker: str
    queue_ms: int
    total_ms: int
    backoff_ms: int
    attempts: tuple[Attempt, ...]
    attempts_total: int
    deadline_at: float | None


def cost_usd(usage: Usage, target: Target) -> float:
    """What the tokens cost at the target's prices, in USD; 0 where none is set.

    >>> cost_usd(Usage(input=1000, output=500),
    ...          Target(name="a", model="m", price_input=3.0, price_output=15.0))
    0.0105
    """
    return (usage.input * target.price_input + usage.output * target.price_output) / 1e6


def build(ended: Answered | Degraded | Dead, job: Job | None, run: Run) -> dict[str, Any]:
    """The result envelope of one finished job, as a JSON-ready dict."""
    minimum = job.min_quality if job else 0.0
    maybe_billed = [a for a in run.attempts if a.kind is not None and a.billed is not Billed.NO]
    head: dict[str, Any] = {"v": 1, "job_id": run.job_id}
    tail: dict[str, Any] = {
        "latency_ms": {
            "queue": run.queue_ms,
            "total": run.total_ms,
            "backoff": run.backoff_ms,
        },
        "attempts": [_row(a) for a in run.attempts[-ATTEMPTS_MAX:]],
        "attempts_total": run.attempts_total,
        "deadline_at": run.deadline_at,
        "metadata": dict(job.metadata) if job else {},
        "worker": run.worker,
    }
    match ended:
        case Answered(answer=answer, target=target):
            usage = asdict(answer.usage)
            usage["cost_usd"] = round(cost_usd(answer.usage, target), 9)
            usage["wasted_calls"] = len(maybe_billed)
            body = {
                "status": "blocked" if answer.blocked else "ok",
                "output": {"message": {"role": "assistant", "content": list(answer.content)}},
                "stop": {"reason": answer.stop_reason, "truncated": answer.truncated},
                "quality": {"minimum": minimum, "served": target.quality},
                "degraded": None,
                "route": {
                    "name": job.route if job else "",
                    "target": target.name,
                    "model_id": target.model,
                    "region": target.region,
                    "tier": {"requested": target.tier, "served": answer.tier},
                },
                "usage": usage,
            }
            tail["latency_ms"]["model"] = answer.model_ms
            tail["latency_ms"]["first_token"] = answer.first_token_ms
        case Degraded(answer=degraded):
            body = {
                "status": "degraded",
                "output": {"message": {"role": "assistant", "content": list(degraded.content)}},
                "quality": {"minimum": minimum, "served": degraded.quality},
                "degraded": {
                    "reason": ended.why,
                    "cause": ended.code,
                    "handler": ended.handler,
                    "loses": list(degraded.loses),
                    "notice": ended.notice,
                },
            }
        case Dead(reason=reason, detail=detail, code=code):  # pragma: no branch  (closed union)
            body = {
                "status": "expired" if reason == "expired" else "failed",
                "output": None,
                "quality": {"minimum": minimum, "served": 0.0},
                "degraded": None,
                "error": {"reason": reason, "code": code, "detail": detail},
            }
    return {**head, **body, **tail}


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
