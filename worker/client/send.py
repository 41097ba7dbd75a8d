"""Sending messages to the jobs queue, and telling truly what became of each.

Two promises:

1. Nothing is told as submitted that the queue did not take by name.
2. A send whose answer was lost is sent again: the job's id is its idempotency
   key, and a worker runs an id once.

The SDK's own retries are off here: what was tried, and what may have been sent,
is known in one place.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from botocore.exceptions import ClientError

from worker.aws.trouble import FOREIGN, code_of, unavailable
from worker.client.prepare import Message
from worker.core.retry import backoff_s
from worker.core.trace import TRACEPARENT

BATCH_MAX: Final = 10
BATCH_BYTES_MAX: Final = 1_048_576  # SQS counts all bodies and attributes of a call together

_BASE_S: Final = 0.1
_CAP_S: Final = 5.0
_AGAIN: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "KmsThrottled",
        "OverLimit",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# Refusals of a whole call for which one of its messages may be to blame.
_ONE_OF_THEM: Final = frozenset(
    {"BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue"}
)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The queue took the job."""

    job_id: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSubmitted:
    """The queue did not take the job, as far as is known.

    Attributes:
        index: Its place in what was given to `submit_many`, from 0.
        job_id: Its id; "" if it has none, because it cannot be read.
        code: `InvalidJob`'s reason, or the code of the last refusal.
        detail: What is wrong, for a person; never text of the job.
        maybe_sent: Whether the answer to a send was lost, so that it may run after
            all. Submitting it again under the same id is safe in any case.
    """

    index: int
    job_id: str
    code: str
    detail: str
    maybe_sent: bool = False


class SubmitFailed(Exception):
    """The queue did not take the one job that `submit` was given."""

    def __init__(self, outcome: NotSubmitted) -> None:
        unsure = " (a send went unanswered: the job may run)" if outcome.maybe_sent else ""
        super().__init__(f"job {outcome.job_id}: {outcome.code}: {outcome.detail}{unsure}")
        self.outcome = outcome


def batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Cut into calls that SQS takes: by count, and by bytes."""
    batch: list[Message] = []
    size_bytes = 0
    for message in messages:
        full = len(batch) == BATCH_MAX or size_bytes + message.size_bytes > BATCH_BYTES_MAX
        if batch and full:
            yield batch
            batch, size_bytes = [], 0
        batch.append(message)
        size_bytes += message.size_bytes
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why the queue did not take a message, and whether trying again could help."""

    code: str
    detail: str
    again: bool
    unanswered: bool = False


class Sender:
    """Sends batches to one queue, and stays with each message until its fate is known."""

    def __init__(self, sqs: Any, queue_url: str, *, attempts: int) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._attempts = attempts

    async def send(self, batch: Sequence[Message]) -> list[Submitted | NotSubmitted]:
        """Send one batch of `batches`; one outcome each, in order."""
        ended: dict[int, Submitted | NotSubmitted] = {}
        left = {message.index: message for message in batch}
        unsure: set[int] = set()
        for attempt in range(1, self._attempts + 1):
            for index, fate in (await self._try(list(left.values()))).items():
                if isinstance(fate, Submitted):
                    ended[index] = fate
                    del left[index]
                    continue
                if fate.unanswered:
                    unsure.add(index)
                if not fate.again or attempt == self._attempts:
                    ended[index] = NotSubmitted(
                        index=index,
                        job_id=left.pop(index).job_id,
                        code=fate.code,
                        detail=fate.detail,
                        maybe_sent=index in unsure,
                    )
            if not left:
                break
            await asyncio.sleep(
                backoff_s(attempt, random.random(), base_s=_BASE_S, cap_s=_CAP_S)  # noqa: S311 - jitter
            )
        return [ended[message.index] for message in batch]

    async def _try(self, messages: Sequence[Message]) -> dict[int, Submitted | _Refused]:
        try:
            answer = await self._sqs.send_message_batch(
                QueueUrl=self._queue_url, Entries=[_entry(message) for message in messages]
            )
        except FOREIGN as error:
            refused = _refusal(error)
            if len(messages) > 1 and refused.code in _ONE_OF_THEM:
                return {n: fate for m in messages for n, fate in (await self._try([m])).items()}
            return {message.index: refused for message in messages}
        return _fates(messages, answer)


def _entry(message: Message) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": str(message.index), "MessageBody": message.body}
    if message.group:
        entry["MessageGroupId"] = message.group
    if message.traceparent:
        value = {"DataType": "String", "StringValue": message.traceparent}
        entry["MessageAttributes"] = {TRACEPARENT: value}
    return entry


def _fates(
    messages: Sequence[Message], answer: Mapping[str, Any]
) -> dict[int, Submitted | _Refused]:
    taken = {entry["Id"]: entry["MessageId"] for entry in answer.get("Successful", [])}
    failed = {entry["Id"]: entry for entry in answer.get("Failed", [])}
    fates: dict[int, Submitted | _Refused] = {}
    for message in messages:
        entry_id = str(message.index)
        if entry_id in taken:
            fates[message.index] = Submitted(message.job_id, taken[entry_id])
        elif entry_id in failed:
            entry = failed[entry_id]
            fates[message.index] = _Refused(
                entry["Code"], entry.get("Message", ""), again=not entry["SenderFault"]
            )
        else:
            fates[message.index] = _Refused(
                "unanswered", "the queue's answer does not name it", again=True, unanswered=True
            )
    return fates


def _refusal(error: BaseException) -> _Refused:
    """What an exception of the SDK says about the call that raised it."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, broken = code_of(error), status >= HTTPStatus.INTERNAL_SERVER_ERROR
        detail = str(error.response.get("Error", {}).get("Message", ""))
        return _Refused(code, detail, again=broken or code in _AGAIN, unanswered=broken)
    trouble = unavailable("queue", error)
    if trouble.local:
        detail = "this process cannot sign or send a call"
        return _Refused(trouble.why, detail, again=False)
    if trouble.network:
        return _Refused(trouble.why, "the queue cannot be reached", again=True)
    return _Refused(trouble.why, "the queue did not answer", again=True, unanswered=True)
