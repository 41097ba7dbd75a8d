"""What leaves the worker besides the record: doorbells, dead letters, replies.

All carry the body as it came, or the result envelope; what is ours travels in
message attributes named `iw-…`, so that a dead letter can be sent back to its
queue by AWS's own redrive and is the same job again.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from worker.core.ledger import Attempt, Record
from worker.core.retry import backoff_s
from worker.core.trace import TRACEPARENT, context_of, is_chosen
from worker.core.upgrade import RING_S, upgrade_id, upgraded
from worker.ports import Outgoing, Queue, Unavailable
from worker.runtime.flights import Flight
from worker.runtime.house import House

SEND_TRIES: Final = 4
MESSAGE_BYTES_MAX: Final = 1_048_576
REPLY_BYTES_MAX: Final = 900_000
# Beside the value, SQS counts the name and the type of each attribute.
ATTRIBUTE_OVERHEAD_BYTES: Final = 32


class Letters:
    """Writes and sends them."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def send_doorbell(self, flight: Flight, record: Record, delay_s: float) -> None:
        """Ring again after `delay_s` seconds: the parked record is the truth.

        Raises:
            Unavailable: It may or may not have been sent; a second doorbell does no harm but
                to wake the job twice as often.
        """
        attributes = {**_identity(record), **self._trace(record), "iw-doorbell": "1"}
        if upgraded(record.job) is not None:
            attributes["iw-above"] = str(flight.delivery.above)
        await self._send(flight.lane.parked, _parked(flight, record, attributes, delay_s))

    async def send_upgrade(self, flight: Flight, record: Record, *, served: float) -> None:
        """Ring for the upgrade of a degraded answer; its record begins with its first claim.

        Args:
            flight: The job that got the degraded answer.
            record: Its final record.
            served: The quality of that answer.

        Raises:
            Unavailable: It may or may not have been sent; a second doorbell is harmless.
        """
        attributes = {
            **_identity(record),
            **self._trace(record),
            "iw-job": upgrade_id(record.job),
            "iw-doorbell": "1",
            "iw-above": str(served),
        }
        delay_s = RING_S * (1 + self._house.roll())
        await self._send(flight.lane.parked, _parked(flight, record, attributes, delay_s))

    async def send_dead(self, flight: Flight, record: Record, content: bytes) -> None:
        """Send the dead letter of a final record: the body, and why.

        Raises:
            Unavailable: It may or may not have been sent.
        """
        story = orjson.dumps(self._story(record, content)).decode()
        attributes = {
            **_identity(record),
            "iw-reason": record.reason,
            "iw-fingerprint": record.fingerprint,
            "iw-dead": story,
        }
        body = flight.delivery.body
        if not _fits(body, attributes):
            body = await self._set_aside(body)
        if not _fits(body, attributes):
            # No bucket to set it aside in. The ledger has the story; the body must be kept.
            del attributes["iw-dead"]
        if not _fits(body, attributes):
            attributes = {}
        message = Outgoing(body=body, attributes=attributes, group=record.tenant)
        await self._send(flight.lane.dead, message)

    async def send_reply(self, reply_to: str, record: Record, content: bytes) -> None:
        """Send the result envelope to a configured reply queue.

        Raises:
            Unavailable: It may or may not have been sent; readers know a second by its `job_id`.
        """
        envelope = orjson.loads(content)
        attributes = {
            "iw-job": record.job,
            "iw-status": str(envelope["status"]),
            "iw-quality": str(envelope["quality"]["served"]),
            **self._trace(record),
        }
        if len(content) > REPLY_BYTES_MAX:
            envelope["output"] = None
            envelope["output_ref"] = record.result_ref
            content = orjson.dumps(envelope)
        message = Outgoing(body=content, attributes=attributes, group=record.tenant)
        await self._send(self._house.replies[reply_to], message)

    async def content_of(self, record: Record) -> bytes:
        """The result envelope of a final record, from wherever it lies.

        Raises:
            Unavailable: The payload store could not be asked.
            PayloadMissing: The payload store's own life cycle has removed it.
        """
        if record.result is not None:
            return record.result
        payloads = self._house.payloads
        assert payloads is not None, "a result lies in a payload store only where there is one"
        bucket, _, key = record.result_ref.removeprefix("s3://").partition("/")
        return await payloads.get(bucket, key, bytes_max=self._house.rules.bytes_max)

    def _story(self, record: Record, content: bytes) -> Mapping[str, Any]:
        error = orjson.loads(content).get("error") or {}
        return {
            "v": 1,
            "job": record.job,
            "reason": record.reason,
            "code": error.get("code", ""),
            "detail": error.get("detail", ""),
            "fingerprint": record.fingerprint,
            "generation": record.generation,
            "attempts": record.attempts,
            "parks": record.parks,
            "interruptions": record.interruptions,
            "crashes": record.crashes,
            "route": record.route,
            "tenant": record.tenant,
            "age_s": round(max(0.0, self._house.at() - record.sent_at), 3),
            "history": [_row(attempt) for attempt in record.history],
        }

    def _trace(self, record: Record) -> dict[str, str]:
        """Leads whoever receives the message back to the run that sent it, if runs are traced."""
        share = self._house.traces
        if share is None:
            return {}
        context = context_of(record.nonce)
        return {TRACEPARENT: context.traceparent(sampled=is_chosen(context, share))}

    async def _set_aside(self, body: bytes) -> bytes:
        """Put a body that leaves no room for its story into the payload store."""
        if self._house.payloads is None:
            return body
        ref = await self._house.payloads.put(body)
        return orjson.dumps(
            {
                "raw_body": {
                    "uri": f"s3://{ref.bucket}/{ref.key}",
                    "sha256": hashlib.sha256(body).hexdigest(),
                    "bytes": len(body),
                }
            }
        )

    async def _send(self, queue: Queue, message: Outgoing) -> None:
        for tried in range(1, SEND_TRIES):
            try:
                await queue.send(message)
            except Unavailable as error:
                if error.local:
                    raise
                roll = self._house.roll()
                await asyncio.sleep(backoff_s(tried, roll, base_s=0.5, cap_s=5.0))
            else:
                return
        await queue.send(message)


def _identity(record: Record) -> dict[str, str]:
    return {"iw-job": record.job, "iw-sent-ms": str(round(record.sent_at * 1000))}


def _parked(
    flight: Flight, record: Record, attributes: Mapping[str, str], delay_s: float
) -> Outgoing:
    return Outgoing(
        body=flight.delivery.body, attributes=attributes, delay_s=delay_s, group=record.tenant
    )


def _row(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "n": attempt.number,
        "target": attempt.target,
        "kind": attempt.kind or "ok",
        "code": attempt.code,
        "http": attempt.http,
        "message": attempt.message,
        "duration_ms": attempt.duration_ms,
        "billed": attempt.billed,
        "breaker": attempt.breaker,
        "request_id": attempt.request_id,
    }


def _fits(body: bytes, attributes: Mapping[str, str]) -> bool:
    size = len(body) + sum(
        len(name) + len(value.encode()) + ATTRIBUTE_OVERHEAD_BYTES
        for name, value in attributes.items()
    )
    return size <= MESSAGE_BYTES_MAX
