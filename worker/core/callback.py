"""What a state machine is told of a finished job, by the token of the task that waits for it.

An answer makes the task succeed with the result envelope; a dead job makes it fail with a
stable error, `InferenceWorker.<reason>`, and a cause in our own words. Neither the job's
text nor the service's is in a cause: it is shown and logged wherever executions are.
"""

from dataclasses import dataclass, field
from typing import Final

import orjson

from worker.core.ledger import Record, State

ERRORS: Final = "InferenceWorker."
RESULT_MISSING: Final = "result_missing"
# Of the 262,144 that Step Functions takes; the rest is for what a state lays beside it.
OUTPUT_BYTES_MAX: Final = 250_000
_SAYS: Final = "The job was given up; `inference-worker why {}` tells how it came to that."
_LATE: Final = "The job's time was over; `inference-worker why {}` tells where it went."
_CANCELLED: Final = "The job was cancelled before it ran."
_MISSING: Final = "The job was answered, and its result has been removed from the bucket since."


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task succeeds with `output`, JSON of at most `OUTPUT_BYTES_MAX` bytes."""

    output: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The task fails with `error`, a stable code, because of `cause`, a JSON object."""

    error: str
    cause: str


def callback_of(record: Record, content: bytes | None) -> Succeeded | Failed:
    """What the task of a finished job is told.

    Args:
        record: In a final state.
        content: Its result envelope; None if there is none (any more), and not needed of a
            job without an answer.
    """
    assert record.state.final, f"{record.job} is not finished"
    match record.state:
        case State.DEAD:
            late = record.reason == "expired"
            says = (_LATE if late else _SAYS).format(record.job)
            return _failed(record, record.reason, says, status="expired" if late else "failed")
        case State.CANCELLED:
            return _failed(record, "cancelled", _CANCELLED)
        case _ if content is None:
            return _failed(record, RESULT_MISSING, _MISSING)
        case _ if len(content) <= OUTPUT_BYTES_MAX:
            return Succeeded(content.decode())
        case _:
            envelope = orjson.loads(content)
            envelope["output"] = None
            envelope["output_ref"] = record.result_ref
            return Succeeded(orjson.dumps(envelope).decode())


def _failed(record: Record, reason: str, says: str, *, status: str = "failed") -> Failed:
    cause = {
        "job_id": record.job,
        "status": status,
        "reason": reason,
        "code": record.history[-1].code if record.history else "",
        "says": says,
    }
    return Failed(ERRORS + reason, orjson.dumps(cause).decode())
