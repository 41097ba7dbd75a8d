"""Message move tasks: redriving dead letters, which ministack lacks.

As on AWS: a source must be some queue's dead-letter queue; one task at a time runs
per source; without a destination each message goes back to the queue that it came
from, and a message that was *sent* to the dead-letter queue came from nowhere, so
the task fails with `CouldNotDetermineMessageSource`. A moved message is a new one,
with a new id and a receive count of zero; its body and attributes stay.

Messages in flight or delayed are left where they are. Sources: API_StartMessageMoveTask
and "Troubleshooting DLQ redrive" in the SQS developer guide; the texts of the errors
are those that LocalStack and moto give as AWS's own, and were not checked against AWS.
"""

import asyncio
import base64
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

PER_SECOND_MAX: Final = 500
LISTED_MAX: Final = 10

_INVALID: Final = "InvalidParameterValue"
_NOT_FOUND: Final = "ResourceNotFoundException"

Data = dict[str, Any]


@dataclass(slots=True)
class _Move:
    """One move task."""

    source: Data
    destination: Data | None
    per_second: int
    to_move: int
    handle: str
    started_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    status: str = "RUNNING"
    moved: int = 0
    failure: str | None = None
    runner: asyncio.Task[None] | None = None

    def as_result(self) -> Data:
        result: Data = {
            "Status": self.status,
            "SourceArn": _arn(self.source),
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "StartedTimestamp": self.started_ms,
            "MaxNumberOfMessagesPerSecond": self.per_second,
        }
        if self.destination is not None:
            result["DestinationArn"] = _arn(self.destination)
        if self.status == "RUNNING":
            result["TaskHandle"] = self.handle
        if self.failure is not None:
            result["FailureReason"] = self.failure
        return result


class MoveTasks:
    """Every move task of the process, by source; the handlers of the three operations."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs
        self._error: type[Exception] = sqs._Err  # noqa: SLF001
        self._moves: defaultdict[str, list[_Move]] = defaultdict(list)

    def start(self, data: Data, _url: str) -> Data:
        """StartMessageMoveTask."""
        source_arn, destination_arn = data.get("SourceArn", ""), data.get("DestinationArn")
        source = self._existing(source_arn, "SourceArn")
        destination = None
        if destination_arn is not None:
            destination = self._existing(destination_arn, "DestinationArn")
        if not self._is_dead_letter_queue(source_arn):
            raise self._error(_INVALID, "Source queue must be configured as a Dead Letter Queue.")
        if destination is source:
            raise self._error(
                _INVALID, "Source queue arn and destination queue arn cannot be the same."
            )
        if any(move.status == "RUNNING" for move in self._moves[source_arn]):
            raise self._error(
                _INVALID,
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time.",
            )
        per_second = int(data.get("MaxNumberOfMessagesPerSecond") or PER_SECOND_MAX)
        if not 1 <= per_second <= PER_SECOND_MAX:
            raise self._error(
                _INVALID,
                f"Value {per_second} for parameter MaxNumberOfMessagesPerSecond is invalid. "
                f"Reason: Must be between 1 and {PER_SECOND_MAX}.",
            )
        identity = {"taskId": str(uuid4()), "sourceArn": source_arn}
        handle = base64.b64encode(json.dumps(identity).encode()).decode()
        move = _Move(source, destination, per_second, len(_visible(source)), handle)
        move.runner = asyncio.get_running_loop().create_task(self._run(move))
        self._moves[source_arn] = [*self._moves[source_arn][-LISTED_MAX + 1 :], move]
        return {"TaskHandle": handle}

    def listed(self, data: Data, _url: str) -> Data:
        """ListMessageMoveTasks, the newest first."""
        source_arn = data.get("SourceArn", "")
        self._existing(source_arn, "SourceArn")
        most = int(data.get("MaxResults") or 1)
        if not 1 <= most <= LISTED_MAX:
            raise self._error(
                _INVALID,
                f"Value {most} for parameter MaxResults is invalid. "
                f"Reason: Must be between 1 and {LISTED_MAX}.",
            )
        newest = self._moves.get(source_arn, [])[::-1][:most]
        return {"Results": [move.as_result() for move in newest]}

    def cancel(self, data: Data, _url: str) -> Data:
        """CancelMessageMoveTask."""
        handle = data.get("TaskHandle", "")
        for moves in self._moves.values():
            for move in moves:
                if move.handle == handle and move.status == "RUNNING":
                    assert move.runner is not None, "a running move has a runner"
                    move.runner.cancel()
                    move.status = "CANCELLED"
                    return {"ApproximateNumberOfMessagesMoved": move.moved}
        raise self._error(_NOT_FOUND, "Task does not exist.", 404)

    async def stop(self) -> None:
        """Cancel what still runs, and wait for it."""
        runners = [
            move.runner
            for moves in self._moves.values()
            for move in moves
            if move.runner is not None and not move.runner.done()
        ]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        self._moves.clear()

    async def _run(self, move: _Move) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while waiting := _visible(move.source):
            message = waiting[0]
            destination = move.destination or self._origin(message)
            if destination is None:
                move.status, move.failure = "FAILED", "CouldNotDetermineMessageSource"
                return
            _transfer(message, move.source, destination)
            self._sqs.esm_wake.set()
            move.moved += 1
            due += 1 / move.per_second
            await asyncio.sleep(due - loop.time())
        move.status = "COMPLETED"

    def _origin(self, message: Data) -> Data | None:
        arn = message.get("sys", {}).get("DeadLetterQueueSourceArn")
        queue: Data | None = self._sqs._queue_by_arn(arn) if arn else None  # noqa: SLF001
        return queue

    def _existing(self, arn: str, parameter: str) -> Data:
        queue: Data | None = self._sqs._queue_by_arn(arn)  # noqa: SLF001
        if queue is None:
            raise self._error(
                _NOT_FOUND,
                f"The resource that you specified for the {parameter} parameter doesn't exist.",
                404,
            )
        return queue

    def _is_dead_letter_queue(self, arn: str) -> bool:
        policies = (
            queue["attributes"].get("RedrivePolicy") or "{}"
            for queue in self._sqs._queues.values()  # noqa: SLF001 - those of the caller's account
        )
        return any(json.loads(policy).get("deadLetterTargetArn") == arn for policy in policies)


def _arn(queue: Data) -> str:
    arn: str = queue["attributes"]["QueueArn"]
    return arn


def _visible(queue: Data) -> list[Data]:
    now = time.time()
    return [message for message in queue["messages"] if message["visible_at"] <= now]


def _transfer(message: Data, source: Data, destination: Data) -> None:
    now = time.time()
    told = {**message["sys"], "SentTimestamp": str(int(now * 1000))}
    told.pop("DeadLetterQueueSourceArn", None)
    moved = message | {
        "id": str(uuid4()),
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now,
        "receive_count": 0,
        "first_receive_at": None,
        "sys": told,
    }
    source["messages"] = [kept for kept in source["messages"] if kept is not message]
    destination["messages"].append(moved)
