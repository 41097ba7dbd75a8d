"""Port `Queue` on Amazon SQS, standard queues.

Two clients: a long poll holds its connection for 20 s, and a delete must never
wait behind one. Times are rounded up to whole seconds: SQS knows no others.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.aws.trouble import asking
from worker.core.job import generation_of, instant_of, share_of
from worker.core.job_id import job_id_of
from worker.core.trace import TRACEPARENT
from worker.ports import Delivery, Fate, Outgoing

BATCH_MAX: Final = 10
WAIT_MAX_S: Final = 20
LEASE_MAX_S: Final = 43_200
OVERDUE_S: Final = 30.0  # longer than the client's own timers, shorter than `pulse.LATE_S`

# What a worker writes on the messages it sends, and reads on those it receives.
JOB: Final = "iw-job"
SENT_MS: Final = "iw-sent-ms"
DOORBELL: Final = "iw-doorbell"
ABOVE: Final = "iw-above"
REDRIVE: Final = "iw-redrive"

_SYSTEM: Final = ["ApproximateReceiveCount", "SentTimestamp", "AWSTraceHeader", "MessageGroupId"]
_OURS: Final = [JOB, SENT_MS, DOORBELL, ABOVE, REDRIVE, TRACEPARENT]


class SqsQueue:
    """One queue, by its URL. `poll_client` is for long polls only.

    `every_attribute` brings all attributes of a message, and not only what workers act on.
    """

    def __init__(
        self, poll_client: Any, control_client: Any, url: str, *, every_attribute: bool = False
    ) -> None:
        self._poll = poll_client
        self._control = control_client
        self._url = url
        self._attributes = ["All"] if every_attribute else _OURS

    @property
    def name(self) -> str:
        return self._url.rpartition("/")[2]

    async def receive(self, most: int, *, wait_s: float, lease_s: float) -> list[Delivery]:
        with asking("queue"):
            # The client's own timers bind neither the resolver nor the way to credentials.
            async with asyncio.timeout(wait_s + OVERDUE_S):
                answer = await self._poll.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=most,
                    WaitTimeSeconds=min(math.ceil(wait_s), WAIT_MAX_S),
                    VisibilityTimeout=min(math.ceil(lease_s), LEASE_MAX_S),
                    MessageSystemAttributeNames=_SYSTEM,
                    MessageAttributeNames=self._attributes,
                )
        return [_delivery(self._url, message) for message in answer.get("Messages", ())]

    async def delete(self, receipts: Sequence[str]) -> list[Fate]:
        entries = [{"Id": str(n), "ReceiptHandle": r} for n, r in enumerate(receipts)]
        return await self._batch(self._control.delete_message_batch, entries)

    async def extend(self, leases: Sequence[tuple[str, float]]) -> list[Fate]:
        entries = [
            {
                "Id": str(n),
                "ReceiptHandle": receipt,
                "VisibilityTimeout": min(math.ceil(lease_s), LEASE_MAX_S),
            }
            for n, (receipt, lease_s) in enumerate(leases)
        ]
        return await self._batch(self._control.change_message_visibility_batch, entries)

    async def send(self, message: Outgoing) -> str:
        group = {"MessageGroupId": message.group} if message.group else {}
        with asking("queue"):
            answer = await self._control.send_message(
                QueueUrl=self._url,
                MessageBody=message.body.decode(),
                DelaySeconds=math.ceil(message.delay_s),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in message.attributes.items()
                },
                **group,
            )
        return str(answer["MessageId"])

    async def _batch(self, do: Callable[..., Any], entries: list[dict[str, Any]]) -> list[Fate]:
        if not entries:
            return []
        with asking("queue"):
            answer = await do(QueueUrl=self._url, Entries=entries)
        fates: list[Fate] = ["failed"] * len(entries)
        for done in answer.get("Successful", ()):
            fates[int(done["Id"])] = "done"
        for failed in answer.get("Failed", ()):
            fates[int(failed["Id"])] = _fate(failed)
        return fates


def _fate(failed: Mapping[str, Any]) -> Fate:
    """Whether a refused entry is worth another try.

    An expired receipt comes as any of three codes; the third means other things, too.
    """
    code = str(failed.get("Code", "")).rpartition(".")[2]
    if code in {"ReceiptHandleIsInvalid", "MessageNotInflight"}:
        return "gone"
    expired = code == "InvalidParameterValue" and "receipt" in str(failed.get("Message")).lower()
    return "gone" if expired else "failed"


def _delivery(url: str, message: Mapping[str, Any]) -> Delivery:
    system = message.get("Attributes", {})
    ours = {
        name: str(value.get("StringValue", ""))
        for name, value in message.get("MessageAttributes", {}).items()
    }
    sent_ms = ours.get(SENT_MS, "")
    return Delivery(
        queue=url,
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        body=message["Body"].encode(),
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_at=int(system.get("SentTimestamp", 0)) / 1000,
        tenant=system.get("MessageGroupId", ""),
        job=job_id_of(ours.get(JOB, "")),
        first_sent_at=instant_of(sent_ms),
        doorbell=DOORBELL in ours,
        above=share_of(ours.get(ABOVE, "")),
        redrive=generation_of(ours.get(REDRIVE, "")),
        attributes=ours,
        trace=system.get("AWSTraceHeader", ""),
    )
