"""Adopting what lies in a dead-letter queue and is on no list.

SQS itself moves a message there that was received too often, anybody may send one, and
letters of a worker without the index are in no index. An adopted message gets a record
by the ledger's own rules, a claim and an ending: a life that is under way is left alone,
and a job that has its answer is not touched. Nobody gets a reply for an adopted message.
"""

import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Final, assert_never

import orjson

from worker.core.dead import Copy, Pick
from worker.core.envelope import parse
from worker.core.fault import fingerprint, normalised
from worker.core.job import Job
from worker.core.ledger import Claim, Conflict, Ending, Finished, Record, RunningElsewhere, State
from worker.core.result import Run, build
from worker.core.settlement import Dead
from worker.core.strict_json import Malformed
from worker.core.upgrade import upgraded
from worker.ops.dead_bodies import kind_of, with_records
from worker.ops.dead_desk import DeadDesk, chosen, ended, noted
from worker.ops.dead_sweep import Found, Sweep, sweeping
from worker.ports import Outgoing, RecordUnreadable, Unavailable

OWNER: Final = "operator"
NO_LIFE: Final = -1  # no dead job has this generation next, so that none is woken
LEASE_S: Final = 60.0
FOREIGN: Final = Dead(
    reason="foreign",
    detail="no worker wrote this letter: SQS moved it after too many receives, or somebody sent it",
)
_CONFLICT: Final = Dead(
    reason="id_conflict", detail="id: another job, with another request, has this id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was found in the dead-letter queues.

    Attributes:
        seen: Messages.
        listed: Letters that were on the list already.
        relisted: Dead records that were on no list, and are now.
        adopted: Messages that got a record, by the reason of it.
        finished: Messages of jobs that have their answer; they were deleted.
        untold: Messages of jobs whose answer nobody was told, or whose task token may not be
            answered yet; they were sent to a worker, who sees to it.
        outdated: Copies of earlier lives; they were deleted.
        alive: Messages that a life of their job may need; they were left.
        unreadable: Messages of jobs whose record only a later version can read; likewise.
        stopped: Why it stopped before its end, "" if it did not.
        dry: Whether nothing was to be written: then all is what would be.
    """

    seen: int
    listed: int
    relisted: int
    adopted: dict[str, int]
    finished: int
    untold: int
    outdated: int
    alive: int
    unreadable: int
    stopped: str = ""
    dry: bool = False


async def adopt(desk: DeadDesk, *, author: str, why: str, dry: bool = False) -> Imported:
    """Look at every message of the dead-letter queues, and list what was on no list.

    A dry run receives too, but writes and deletes nothing. It cannot tell whether an
    answered job was asked for the same.

    Raises:
        Misused: A text is out of range.
        Unavailable: A service could not be asked; nothing was done.
    """
    listed = {letter.job: letter.fence for letter in await chosen(desk, Pick())}
    if not dry:
        row = await noted(desk, "import", author=author, why=why, what="begun")
    count: Counter[str] = Counter()
    adopted: Counter[str] = Counter()
    stopped = ""
    try:
        for queue in desk.dead_queues():
            async with sweeping(queue, desk.limits) as sweep:
                while batch := await sweep.take():
                    for copy, record in await with_records(desk, batch):
                        known = record is not None and listed.get(copy.job) == record.fence
                        try:
                            kind = await _one(desk, sweep, copy, record, known=known, dry=dry)
                        except RecordUnreadable:
                            kind = "unreadable"
                        (adopted if isinstance(kind, Dead) else count)[
                            kind.reason if isinstance(kind, Dead) else kind
                        ] += 1
    except Unavailable as error:
        stopped = f"{error.store} could not be asked ({error.why})"
    told = Imported(
        seen=count.total() + adopted.total(),
        listed=count["listed"],
        relisted=count["relisted"],
        adopted=dict(adopted),
        finished=count["finished"],
        untold=count["untold"],
        outdated=count["outdated"],
        alive=count["alive"],
        unreadable=count["unreadable"],
        stopped=stopped,
        dry=dry,
    )
    if not dry:
        what = f"{told.relisted} listed again, {adopted.total()} adopted of {told.seen}"
        await ended(desk, row, what)
    return told


async def _one(
    desk: DeadDesk, sweep: Sweep, copy: Found, record: Record | None, *, known: bool, dry: bool
) -> str | Dead:
    match kind_of(copy, record):
        case Copy.LETTER:
            assert record is not None, "a letter has its record"
            if known or (not dry and not await desk.index.enlist(record)):
                return "listed"
            return "relisted"
        case Copy.OUTDATED:
            if not dry:
                await sweep.delete([copy])
            return "outdated"
        case Copy.FOREIGN:
            if _may_be_needed(desk, copy, record):
                return "alive"
            if dry:
                return _guess(desk, copy, record)
            if record is not None and record.state is State.DEAD:
                return await _adopted_apart(desk, copy)
            return await _adopted(desk, sweep, copy, record)
        case never:
            assert_never(never)


def _may_be_needed(desk: DeadDesk, copy: Found, record: Record | None) -> bool:
    """Whether a life of the job is under way, or a worker wrote the message for another one.

    A claim that an earlier import left behind is no life.
    """
    if record is None:
        return False
    if record.state is State.DEAD:
        return copy.generation is not None
    ours = record.state is State.RUNNING and record.owner == OWNER
    return not record.state.final and not (ours and record.lease_until <= desk.at())


def _guess(desk: DeadDesk, copy: Found, record: Record | None) -> str | Dead:
    if record is not None and record.state is State.DEAD:
        return _CONFLICT
    if record is not None and record.state.final:
        return "finished" if record.told and not _has_token(desk, copy) else "untold"
    job = parse(copy.delivery.body, desk.limits)
    return FOREIGN if isinstance(job, Job) else Dead(reason=job.reason, detail=str(job))


def _has_token(desk: DeadDesk, copy: Found) -> bool:
    """Whether a task may still wait: the record does not know, for a job may have many tokens."""
    job = parse(copy.delivery.body, desk.limits)
    return isinstance(job, Job) and job.task_token != ""


async def _adopted(desk: DeadDesk, sweep: Sweep, copy: Found, record: Record | None) -> str | Dead:
    read = parse(copy.delivery.body, desk.limits)
    job = read if isinstance(read, Job) else None
    ended = Dead(reason=read.reason, detail=str(read)) if isinstance(read, Malformed) else FOREIGN
    claimed = await desk.ledger.claim(_ask(copy, copy.job, job))
    match claimed:
        case Record():
            if claimed.fence != (record.fence if record else 0) + 1:
                # A worker has had it since we looked: any of its messages wakes it again.
                await desk.ledger.finish(claimed, _given_back(claimed))
                return "alive"
            await desk.ledger.finish(claimed, _ending(desk, claimed, job, ended))
            if upgraded(claimed.job) is None:
                return ended
            await sweep.delete([copy])  # its user has an answer: nothing of it is reviewed
            return "finished"
        case Conflict():
            return await _adopted_apart(desk, copy)
        case Finished(record=there) if there.state is State.DEAD:
            return "alive"  # it died since we looked, and another look knows its letter
        case Finished(record=there):
            told = there.told and not _has_token(desk, copy)
            if not told:
                await _ring(desk, copy, there)
            await sweep.delete([copy])
            return "finished" if told else "untold"
        case RunningElsewhere():
            return "alive"
        case never:
            assert_never(never)


async def _adopted_apart(desk: DeadDesk, copy: Found) -> str | Dead:
    """The id is another job's: this message is a job of its own, as for workers."""
    claimed = await desk.ledger.claim(_ask(copy, copy.delivery.message_id, None))
    if not isinstance(claimed, Record):
        return "alive"
    await desk.ledger.finish(claimed, _ending(desk, claimed, None, _CONFLICT))
    return _CONFLICT


async def _ring(desk: DeadDesk, copy: Found, record: Record) -> None:
    """Let a worker tell an answer: this message is the only thing that makes one do it."""
    kept = {
        name: text
        for name, text in copy.delivery.attributes.items()
        if name in ("iw-doorbell", "iw-above")
    }
    attributes = {**kept, "iw-job": record.job, "iw-sent-ms": str(round(record.sent_at * 1000))}
    body, group = copy.delivery.body, record.tenant
    lane = desk.lane_of(copy.queue, record.route)
    await lane.jobs.send(Outgoing(body=body, attributes=attributes, group=group))


def _given_back(record: Record) -> Ending:
    return Ending(
        state=State.INTERRUPTED,
        attempts=record.attempts - 1,
        parks=record.parks,
        interruptions=record.interruptions,
        crashes=record.crashes,
        history=record.history,
        told=record.told,
        parked_s=record.parked_s,
        wasted_usd=record.wasted_usd,
        wasted_most_usd=record.wasted_most_usd,
    )


def _ask(copy: Found, job_id: str, job: Job | None) -> Claim:
    delivery = copy.delivery
    sent_at = delivery.sent_at if delivery.first_sent_at is None else delivery.first_sent_at
    return Claim(
        job=job_id,
        owner=OWNER,
        nonce=uuid.uuid4().hex,
        doorbell=delivery.message_id,
        lease_s=LEASE_S,
        digest=job.digest if job else "",
        sent_at=sent_at,
        route=job.route if job else "",
        tenant=(job.tenant if job else "") or delivery.tenant,
        redrive=NO_LIFE,
    )


def _ending(desk: DeadDesk, record: Record, job: Job | None, ended: Dead) -> Ending:
    attempts = record.attempts - 1  # the claim charged a call that nobody makes
    age_ms = max(0, round((desk.at() - record.sent_at) * 1000))
    run = Run(
        job_id=record.job,
        worker=OWNER,
        queue_ms=age_ms,
        total_ms=age_ms,
        backoff_ms=0,
        attempts=record.history,
        attempts_total=attempts,
        deadline_at=job.deadline(record.sent_at) if job else None,
    )
    return Ending(
        state=State.DEAD,
        attempts=attempts,
        parks=record.parks,
        interruptions=record.interruptions,
        crashes=record.crashes,
        history=record.history,
        reason=ended.reason,
        fingerprint=fingerprint(ended.reason, ended.code, normalised(ended.detail)),
        result=orjson.dumps(build(ended, job, run)),
        parked_s=record.parked_s,
        wasted_usd=record.wasted_usd,
        wasted_most_usd=record.wasted_most_usd,
    )
