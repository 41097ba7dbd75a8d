"""For producers: submit jobs, and wait for their results.

    async with Client.open(queue_url, "jobs") as client:
        job_id = await client.submit("Why is the sky blue?", deadline_s=60)
        result = await client.wait(job_id, timeout_s=60)

A producer in another language needs only SQS SendMessage; this client adds what
is easily got wrong: checking before sending, ids that make a repeated send
harmless, batches that fit, large requests through S3, and reads that many
waiting callers share.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, Final, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from worker.aws.clients import CONNECT_S, USER_AGENT, creator
from worker.aws.ledger import DynamoLedger
from worker.aws.payloads import S3Payloads
from worker.client.prepare import INLINE_MAX_BYTES, InvalidJob, Message, Preparer, tree_of
from worker.client.result import Result, result_of
from worker.client.send import NotSubmitted, Sender, SubmitFailed, Submitted, batches
from worker.client.watch import Watcher
from worker.core.job import Limits
from worker.core.job_id import job_id_of
from worker.core.ledger import Record
from worker.core.trace import told_by
from worker.core.upgrade import SUFFIX, upgrade_id
from worker.ports import Ledger, Payloads, RecordUnreadable, Unavailable

RESULT_MAX_BYTES: Final = 64_000_000  # far above any model's answer
_ROUND: Final = 100  # jobs prepared before more are drawn from the caller's iterable
_PAUSE_S: Final = 0.5
_POOL: Final = 20  # connections per service
_LIMITS: Final = Limits()

Outcome = Submitted | NotSubmitted


class Client:
    """One queue, and the ledger of those who work on it. Safe for many tasks of one loop."""

    def __init__(
        self,
        *,
        sender: Sender,
        preparer: Preparer,
        ledger: Ledger,
        payloads: Payloads,
        batches_at_once: int = 8,
    ) -> None:
        """`Client.open` is the usual way in; this one takes its parts ready-made."""
        self._sender = sender
        self._preparer = preparer
        self._payloads = payloads
        self._at_once = asyncio.Semaphore(batches_at_once)
        self._watcher = Watcher(ledger.load)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        queue_url: str,
        table: str,
        *,
        bucket: str | None = None,
        session: Any = None,
        region: str | None = None,
        limits: Limits = _LIMITS,
        inline_max_bytes: int = INLINE_MAX_BYTES,
        attempts: int = 5,
        batches_at_once: int = 8,
    ) -> AsyncIterator[Self]:
        """Open a client, and close it on leaving.

        Args:
            queue_url: The jobs queue.
            table: The workers' jobs table: its name or its ARN.
            bucket: Where requests larger than `inline_max_bytes` go, one of those that
                the workers allow; without one, a job that fits no message is refused.
            session: An aiobotocore or an aioboto3 session; a new one when None.
            region: The SDK's own when None.
            limits: What a job may be; as the workers have it.
            inline_max_bytes: The largest body that is sent as it is, if there is a bucket.
            attempts: How often a message is sent before it counts as not submitted.
            batches_at_once: Calls of `submit_many` at a time.

        Raises:
            ValueError: An argument is out of range; the message names it.
        """
        for name, value in (("attempts", attempts), ("batches_at_once", batches_at_once)):
            if value < 1:
                msg = f"{name} must be at least 1, got {value}"
                raise ValueError(msg)
        if not 0 <= inline_max_bytes <= limits.body_bytes:
            msg = f"inline_max_bytes must lie in 0 to {limits.body_bytes}, got {inline_max_bytes}"
            raise ValueError(msg)
        if bucket is not None:
            limits = replace(limits, payload_buckets=limits.payload_buckets | {bucket})
        create = creator(get_session() if session is None else session)
        where = {} if region is None else {"region_name": region}
        async with AsyncExitStack() as stack:

            async def opened(service: str, *, read_s: float, tries: int) -> Any:
                config = AioConfig(
                    connect_timeout=CONNECT_S,
                    read_timeout=read_s,
                    max_pool_connections=_POOL,
                    retries={"mode": "standard", "total_max_attempts": tries},
                    user_agent=USER_AGENT,
                )
                return await stack.enter_async_context(create(service, config=config, **where))

            payloads = S3Payloads(await opened("s3", read_s=20, tries=3), bucket or "")
            dynamodb = await opened("dynamodb", read_s=5, tries=1)  # asked again soon anyway
            sqs = await opened("sqs", read_s=10, tries=1)  # `Sender` tells each try apart
            client = cls(
                sender=Sender(sqs, queue_url, attempts=attempts),
                preparer=Preparer(
                    payloads if bucket is not None else None,
                    limits=limits,
                    inline_max_bytes=inline_max_bytes,
                ),
                # What a writer must know of time, a reader need not.
                ledger=DynamoLedger(dynamodb, table, skew_s=0.0, keep_s=0.0),
                payloads=payloads,
                batches_at_once=batches_at_once,
            )
            try:
                yield client
            finally:
                await client.close()

    async def submit(
        self,
        job: Mapping[str, Any] | str,
        *,
        id: str | None = None,  # noqa: A002 - the envelope's own word
        traceparent: str = "",
        **fields: Any,
    ) -> str:
        """Send one job, and return its id.

        Args:
            job: An envelope, or just a prompt.
            id: Its name and idempotency key; made up when neither here nor in `job`.
            traceparent: Where the caller is in a trace of its own, as W3C Trace Context has it:
                the traces of the job are linked to it.
            fields: More fields of the envelope: `tenant="acme"`, `deadline_s=60`, …

        Raises:
            InvalidJob: A worker would refuse it; the message names the field.
            SubmitFailed: The queue did not take it.
            ValueError: `traceparent` is none.
        """
        if id is not None:
            fields["id"] = id
        if traceparent and told_by(traceparent) is None:
            msg = "traceparent must be that of W3C Trace Context: 00-<32 hex>-<16 hex>-01"
            raise ValueError(msg)
        tree = tree_of(job, fields)
        prepared = await self._prepared(0, tree)
        if isinstance(prepared, Message):
            prepared = prepared.traced(traceparent)
        outcome: Outcome
        if isinstance(prepared, NotSubmitted):
            outcome = prepared
        else:
            (outcome,) = await self._sender.send([prepared])
        if isinstance(outcome, NotSubmitted):
            raise SubmitFailed(outcome)
        return outcome.job_id

    async def submit_many(self, jobs: Iterable[Mapping[str, Any] | str]) -> list[Outcome]:
        """Send many jobs in as few calls as they fit in; one outcome each, in order.

        A job that cannot be sent holds up no other.
        """
        outcomes: dict[int, Outcome] = {}

        async def send(batch: list[Message]) -> None:
            try:
                sent = await self._sender.send(batch)
            finally:
                self._at_once.release()
            outcomes.update(zip((message.index for message in batch), sent, strict=True))

        async with asyncio.TaskGroup() as calls:
            for some in _rounds(jobs):
                prepared = await asyncio.gather(*(self._tried(n, job) for n, job in some))
                outcomes.update((p.index, p) for p in prepared if isinstance(p, NotSubmitted))
                for batch in batches(p for p in prepared if isinstance(p, Message)):
                    await self._at_once.acquire()
                    calls.create_task(send(batch))
        return [outcomes[n] for n in sorted(outcomes)]

    async def wait(self, job_id: str, *, timeout_s: float) -> Result:
        """The result of one job, once it has one.

        Raises:
            TimeoutError: It has none after `timeout_s` seconds.
            ValueError: `job_id` is no job id, or `timeout_s` is negative.
            Unavailable: The ledger cannot be asked from here (no credentials).
            RecordUnreadable: An `Unavailable`: the record of this job, and of no other, cannot be
                read, say because a later version wrote it.
            PayloadMissing: Its result was in S3, and the bucket's life cycle removed it.
        """
        async with aclosing(self.as_completed([job_id], timeout_s=timeout_s)) as results:
            return await anext(results)

    async def upgrade(self, job_id: str, *, timeout_s: float) -> Result:
        """The answer that replaces a degraded one, once there is one.

        To be asked for where `Result.will_upgrade` says that it will come; its status is
        `ok` or `blocked`, or `failed` or `expired` if the degraded answer is to stay.

        Raises:
            As `wait` does.
        """
        _checked([job_id])
        return await self.wait(upgrade_id(job_id), timeout_s=timeout_s)

    def as_completed(
        self, job_ids: Iterable[str], *, timeout_s: float
    ) -> AsyncGenerator[Result, None]:
        """The results of these jobs as they come in, each job once.

        A job that failed for good is a `Result` with status `failed` or `expired`.

        Raises:
            As `wait` does. `TimeoutError` tells how many are missing; `RecordUnreadable` comes
            after all the other results.
        """
        if isinstance(job_ids, str):
            msg = "job_ids must be several ids; for one id there is wait()"
            raise ValueError(msg)  # noqa: TRY004 - one kind of error for bad input
        ids = _checked(job_ids)
        if not timeout_s >= 0:
            msg = f"timeout_s must not be negative, got {timeout_s}"
            raise ValueError(msg)
        return self._as_completed(ids, timeout_s)

    async def close(self) -> None:
        """Stop asking the ledger. `open` does it on leaving."""
        await self._watcher.close()

    async def _as_completed(self, ids: list[str], timeout_s: float) -> AsyncGenerator[Result, None]:
        until = asyncio.get_running_loop().time() + timeout_s
        unreadable: RecordUnreadable | None = None
        with self._watcher.watching(ids) as news:
            for missing in range(len(ids), 0, -1):
                try:
                    async with asyncio.timeout_at(until):
                        found = await news.get()
                        if isinstance(found, RecordUnreadable):
                            unreadable = found
                            continue
                        result = await self._result(found)
                except TimeoutError:
                    msg = f"{missing} of {len(ids)} jobs have no result after {timeout_s:g} s"
                    if trouble := self._watcher.trouble:
                        msg += f"; the last read failed: {trouble}"
                    raise TimeoutError(msg) from None
                yield result
        if unreadable is not None:
            raise unreadable

    async def _result(self, found: Record | Exception) -> Result:
        if isinstance(found, Exception):
            raise found
        if not found.result_ref:
            return result_of(found, found.result)
        bucket, _, key = found.result_ref.removeprefix("s3://").partition("/")
        while True:
            try:
                content = await self._payloads.get(bucket, key, bytes_max=RESULT_MAX_BYTES)
            except Unavailable as error:
                if error.local:
                    raise
                self._watcher.trouble = str(error)
                await asyncio.sleep(_PAUSE_S)
            else:
                return result_of(found, content)

    async def _prepared(self, index: int, tree: Mapping[str, Any]) -> Message | NotSubmitted:
        try:
            return await self._preparer.prepare(index, tree)
        except Unavailable as error:
            return NotSubmitted(
                index=index,
                job_id=tree["id"],
                code="payloads_unavailable",
                detail=f"its request could not be stored: {error.why}",
            )

    async def _tried(self, index: int, job: Mapping[str, Any] | str) -> Message | NotSubmitted:
        named = ""
        try:
            tree = tree_of(job, {})
            named = tree["id"] if isinstance(tree["id"], str) else ""
            return await self._prepared(index, tree)
        except InvalidJob as refused:
            wrong = refused.malformed
            return NotSubmitted(index=index, job_id=named, code=wrong.reason, detail=str(refused))


def _checked(job_ids: Iterable[str]) -> list[str]:
    """Each id once, in order; a wrong one would fail the reads of all who wait."""
    ids = list(job_ids)
    for n, job_id in enumerate(ids):
        if not isinstance(job_id, str) or not job_id_of(job_id):
            msg = (
                f"job id number {n + 1} is none: 1 to 128 characters of A-Z a-z 0-9 . _ : -, "
                f"and for an upgrade `{SUFFIX}` behind them"
            )
            raise ValueError(msg)
    return list(dict.fromkeys(ids))


def _rounds(
    jobs: Iterable[Mapping[str, Any] | str],
) -> Iterator[list[tuple[int, Mapping[str, Any] | str]]]:
    numbered = enumerate(jobs)
    while some := list(islice(numbered, _ROUND)):
        yield some
