"""Where ministack's SQS differs from Amazon's, and the worker would notice: put right.

A worker tested against the emulator alone would learn to handle errors that AWS
never sends, and would not meet some that it does. These handlers take the place of
the emulator's own:

* A delete is idempotent. Whoever deletes a message twice, or with a receipt that
  has been superseded, is told that it went well; a superseded receipt deletes nothing.
* An extension needs a delivery to extend. After the visibility has lapsed it is
  refused with `MessageNotInflight`; when the message is deleted or delivered anew,
  with the `InvalidParameterValue` that AWS really sends (aws/aws-sdk-net#1927); a
  string that never was a receipt is `ReceiptHandleIsInvalid`.
* `VisibilityTimeout` ends at 43,200 s, and `DelaySeconds` at 900 s.
* Message move tasks exist; see `worker.local.movetasks`.

One shim goes the other way and is less like AWS: each account has a namespace of
buckets of its own, so that tests with an account each may all call theirs the same.

They work on the emulator's own records, so they fit exactly one release of it;
tests/local holds each of them against an SDK.
"""

import re
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from worker.local.movetasks import MoveTasks

Data = dict[str, Any]
Handler = Callable[[Data, str], Data | Coroutine[None, None, Data]]

VISIBILITY_MAX_S: Final = 43_200
DELAY_MAX_S: Final = 900

_RECEIPT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INVALID: Final = "InvalidParameterValue"
_MISSING: Final = "MissingParameter"
_NOT_IN_FLIGHT: Final = "MessageNotInflight"
_BAD_RECEIPT: Final = "ReceiptHandleIsInvalid"


def install(sqs: Any, moves: MoveTasks) -> None:
    """Put the corrected handlers into the emulator's module `services.sqs`. Call it once."""
    handlers = sqs._HANDLERS  # noqa: SLF001 - the one place where ministack looks them up
    corrected = _Corrected(sqs, dict(handlers))
    handlers.update(
        {
            "DeleteMessage": corrected.delete,
            "DeleteMessageBatch": corrected.delete_batch,
            "ChangeMessageVisibility": corrected.change_visibility,
            "ChangeMessageVisibilityBatch": corrected.change_visibility_batch,
            "ReceiveMessage": corrected.receive,
            "SendMessage": corrected.send,
            "SendMessageBatch": corrected.send_batch,
            "StartMessageMoveTask": moves.start,
            "ListMessageMoveTasks": moves.listed,
            "CancelMessageMoveTask": moves.cancel,
        }
    )


def separate_buckets(s3: Any) -> None:
    """Let an account see its own buckets only, in the emulator's module `services.s3`."""

    def owner(bucket: str) -> str | None:
        account: str = s3.get_account_id()
        return account if bucket in s3._buckets else None  # noqa: SLF001 - scoped to the caller

    s3._bucket_owner_account = owner  # noqa: SLF001 - the one index over all accounts


class _Corrected:
    """The handlers; each takes a request's data and the queue's URL."""

    def __init__(self, sqs: Any, original: dict[str, Handler]) -> None:
        self._sqs = sqs
        self._original = original
        self._error: type[Exception] = sqs._Err  # noqa: SLF001

    def delete(self, data: Data, url: str) -> Any:
        try:
            return self._original["DeleteMessage"](data, url)
        except self._error as error:
            if getattr(error, "code", "") == _BAD_RECEIPT and _was_a_receipt(data):
                return {}
            raise

    def delete_batch(self, data: Data, url: str) -> Data:
        answer = self._original["DeleteMessageBatch"](data, url)
        assert isinstance(answer, dict), "deletes do not wait"
        receipts = {entry.get("Id"): entry for entry in data.get("Entries", ())}
        failed = []
        for failure in answer["Failed"]:
            if _was_a_receipt(receipts[failure["Id"]]):
                answer["Successful"].append({"Id": failure["Id"]})
            else:
                failed.append(failure)
        return {"Successful": answer["Successful"], "Failed": failed}

    def change_visibility(self, data: Data, url: str) -> Data:
        queue = self._sqs._get_q(data.get("QueueUrl", url), "sqs:ChangeMessageVisibility")  # noqa: SLF001
        self._extend(queue, data)
        return {}

    def change_visibility_batch(self, data: Data, url: str) -> Data:
        queue = self._sqs._get_q(data.get("QueueUrl", url), "sqs:ChangeMessageVisibility")  # noqa: SLF001
        entries = data.get("Entries", [])
        self._sqs._validate_batch_entries(  # noqa: SLF001
            entries, "ChangeMessageVisibilityBatchRequestEntry"
        )
        successful, failed = [], []
        for entry in entries:
            try:
                self._extend(queue, entry)
            except self._error as error:
                failed.append(_failure(entry, error))
            else:
                successful.append({"Id": entry["Id"]})
        return {"Successful": successful, "Failed": failed}

    def receive(self, data: Data, url: str) -> Any:
        self._check_visibility(data.get("VisibilityTimeout"))
        return self._original["ReceiveMessage"](data, url)

    def send(self, data: Data, url: str) -> Any:
        self._check_delay(data.get("DelaySeconds"))
        return self._original["SendMessage"](data, url)

    def send_batch(self, data: Data, url: str) -> Data:
        entries = data.get("Entries", [])
        self._sqs._validate_batch_entries(entries, "SendMessageBatchRequestEntry")  # noqa: SLF001
        good, failed = [], []
        for entry in entries:
            try:
                self._check_delay(entry.get("DelaySeconds"))
            except self._error as error:
                failed.append(_failure(entry, error))
            else:
                good.append(entry)
        if not good:
            return {"Successful": [], "Failed": failed}
        answer = self._original["SendMessageBatch"]({**data, "Entries": good}, url)
        assert isinstance(answer, dict), "sends do not wait"
        return {**answer, "Failed": answer["Failed"] + failed}

    def _extend(self, queue: Data, entry: Data) -> None:
        seconds = entry.get("VisibilityTimeout")
        if seconds is None:
            raise self._error(_MISSING, "The request must contain the parameter VisibilityTimeout.")
        self._check_visibility(seconds)
        receipt, now = entry.get("ReceiptHandle", ""), time.time()
        for message in queue["messages"]:
            if receipt and message["receipt_handle"] == receipt:
                break
        else:
            if _was_a_receipt(entry):
                raise self._error(
                    _INVALID,
                    f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: Message does "
                    "not exist or is not available for visibility timeout change.",
                )
            raise self._error(_BAD_RECEIPT, "The input receipt handle is invalid.")
        if message["visible_at"] <= now:
            raise self._error(_NOT_IN_FLIGHT, "The specified message isn't in flight.")
        message["visible_at"] = now + int(seconds)
        if not int(seconds):
            self._sqs.esm_wake.set()

    def _check_visibility(self, seconds: int | None) -> None:
        if seconds is not None and not 0 <= int(seconds) <= VISIBILITY_MAX_S:
            raise self._error(
                _INVALID,
                f"Value {seconds} for parameter VisibilityTimeout is invalid. "
                f"Reason: Must be between 0 and {VISIBILITY_MAX_S}, if provided.",
            )

    def _check_delay(self, seconds: int | None) -> None:
        if seconds is not None and not 0 <= int(seconds) <= DELAY_MAX_S:
            raise self._error(
                _INVALID,
                f"Value {seconds} for parameter DelaySeconds is invalid. "
                f"Reason: DelaySeconds must be >= 0 and <= {DELAY_MAX_S}.",
            )


def _was_a_receipt(entry: Data) -> bool:
    """Whether the handle has the form of those that the emulator gives out."""
    return _RECEIPT.fullmatch(entry.get("ReceiptHandle", "")) is not None


def _failure(entry: Data, error: Exception) -> Data:
    return {
        "Id": entry["Id"],
        "Code": getattr(error, "code", "InternalError"),
        "Message": str(error),
        "SenderFault": True,
    }
