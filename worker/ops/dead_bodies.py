"""Reading the messages of dead letters. The log says who has read them.

A body is somebody's text, so nothing shows one by itself.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any, Final

from worker.core.dead import Copy, Letter, Pick, copy_of
from worker.core.ledger import Record, State
from worker.ops.dead_desk import (
    DeadDesk,
    Shown,
    chosen,
    detail_of,
    history_of,
    noted,
    records_of,
    show,
    words_of,
)
from worker.ops.dead_sweep import Found, Sweep, sweeping
from worker.ops.desk import Misused
from worker.ports import PayloadMissing

ORIGINAL_BYTES_MAX: Final = 1_048_576  # no message is larger


async def show_body(desk: DeadDesk, job: str, *, author: str, why: str = "") -> Shown:
    """One job with its message, as it was sent.

    Raises:
        Misused: There is no such job, or it is no dead letter.
        Unavailable: A service could not be asked.
    """
    shown = await show(desk, job)
    record = await dead_record(desk, job)
    row = await noted(desk, "show", author=author, why=why, job=job, what="its body")
    async with holding(desk, record) as held:
        body = None if held is None else held[1].delivery.body.decode(errors="replace")
    return replace(shown, notes=(*shown.notes, row), body=body, found=body is not None)


async def original(desk: DeadDesk, row: str, *, author: str, why: str = "") -> bytes:
    """The body that an edit replaced, by the row of the log that keeps it.

    Raises:
        Misused: The log has no such row, or it keeps no body.
        Unavailable: A service could not be asked.
    """
    found = await desk.index.note_of(row)
    if found is None or (found.original is None and not found.original_ref):
        msg = f"the log has no row {row!r} that keeps a message; `dead log` names the edits"
        raise Misused(msg)
    if found.original is None and desk.payloads is None:
        msg = f"it lies in {found.original_ref}, and no payload bucket is configured"
        raise Misused(msg)
    await noted(desk, "show", author=author, why=why, job=found.job, what=f"original of {row}")
    if found.original is not None:
        return found.original
    assert desk.payloads is not None, "it was looked at above"
    bucket, _, key = found.original_ref.removeprefix("s3://").partition("/")
    try:
        return await desk.payloads.get(bucket, key, bytes_max=ORIGINAL_BYTES_MAX)
    except PayloadMissing:
        msg = f"{found.original_ref} is gone: the bucket's own life cycle has removed it"
        raise Misused(msg) from None


async def export(
    desk: DeadDesk, pick: Pick, *, bodies: bool, author: str, why: str = ""
) -> AsyncIterator[Mapping[str, Any]]:
    """The letters that are meant, whole, as plain data.

    With `bodies` each has its message too, null where that is not in reach.

    Raises:
        Unavailable: A service could not be asked.
    """
    letters = {letter.job: letter for letter in await chosen(desk, pick)}
    if bodies:
        what = f"{words_of(pick)}: {len(letters)} bodies exported"
        await noted(desk, "show", author=author, why=why, what=what)
        for queue in desk.dead_queues():
            async with sweeping(queue, desk.limits) as sweep:
                while batch := await sweep.take():
                    for copy, record in await with_records(desk, batch):
                        if copy.job in letters and is_letter(copy, record):
                            text = copy.delivery.body.decode(errors="replace")
                            yield {**_exported(letters.pop(copy.job), record), "body": text}
    left = list(letters.values())
    for n in range(0, len(left), 100):
        records = await records_of(desk, (letter.job for letter in left[n : n + 100]))
        for letter in left[n : n + 100]:
            row = _exported(letter, records.get(letter.job))
            yield {**row, "body": None} if bodies else row


def _exported(letter: Letter, record: Record | None) -> Mapping[str, Any]:
    if record is None:
        return asdict(letter)
    return {
        **asdict(letter),
        "detail": detail_of(record),
        "parks": record.parks,
        "interruptions": record.interruptions,
        "crashes": record.crashes,
        "history": history_of(record),
    }


def is_letter(copy: Found, record: Record | None) -> bool:
    """Whether a message is the letter of the death that its record tells of."""
    return kind_of(copy, record) is Copy.LETTER


def kind_of(copy: Found, record: Record | None) -> Copy:
    """What a message is, by the record of its job."""
    return copy_of(
        record,
        generation=copy.generation,
        message=copy.delivery.message_id,
        digest=copy.digest,
    )


async def with_records(desk: DeadDesk, batch: Sequence[Found]) -> list[tuple[Found, Record | None]]:
    """Messages with the records of their jobs, as they are now.

    A message that was adopted under its MessageId is that job's, whatever its body says.

    Raises:
        Unavailable: The ledger could not be asked.
    """
    ids = [copy.delivery.message_id for copy in batch]
    records = await records_of(desk, [*(copy.job for copy in batch), *ids])
    return [
        (replace(copy, job=own), records[own]) if own in records else (copy, records.get(copy.job))
        for copy, own in zip(batch, ids, strict=True)
    ]


async def dead_record(desk: DeadDesk, job: str) -> Record:
    """The record of a dead job.

    Raises:
        Misused: It is not dead, or unknown.
        Unavailable: The ledger could not be asked.
    """
    record = (await records_of(desk, [job])).get(job)
    if record is None or record.state is not State.DEAD:
        now = "unknown to the ledger" if record is None else record.state.value
        msg = f"job {job!r} is {now}, and no dead letter"
        raise Misused(msg)
    return record


@asynccontextmanager
async def holding(
    desk: DeadDesk, record: Record
) -> AsyncIterator[tuple[Sweep, Found, Record] | None]:
    """The message of a dead job, held until the end, and its record as it is now.

    None if no letter of its present death is in reach.

    Raises:
        Unavailable: A queue could not be asked.
    """
    for queue in desk.dead_queues():
        async with sweeping(queue, desk.limits) as sweep:
            while batch := await sweep.take():
                for copy, now in await with_records(desk, batch):
                    if copy.job == record.job and now is not None and is_letter(copy, now):
                        yield sweep, copy, now
                        return
    yield None
