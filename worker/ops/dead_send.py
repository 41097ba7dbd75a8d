"""One dead letter goes back to its jobs queue, if it has a chance there."""

from typing import Final

from worker.core.envelope import parse
from worker.core.job import Job
from worker.core.ledger import Record
from worker.ops.dead_desk import DeadDesk
from worker.ops.dead_sweep import Found
from worker.ports import Outgoing

MOVED_ON: Final = "redriven by somebody else meanwhile"


async def send_back(desk: DeadDesk, copy: Found, record: Record, body: bytes) -> None:
    """Send a body to the jobs queue of its route, for the next generation of its job.

    A body that died under its MessageId, and has an id of its own, begins its first life
    under that. When the job was first sent is left out: its time begins anew.

    Raises:
        Unavailable: It may or may not have been sent; again is safe.
    """
    lane = desk.lane_of(copy.queue, route_of(desk, record, body))
    attributes = {"iw-job": own_id(desk, record, body)}
    if attributes["iw-job"] == record.job:
        attributes["iw-redrive"] = str(record.generation + 1)
    await lane.jobs.send(Outgoing(body=body, attributes=attributes, group=record.tenant))


def own_id(desk: DeadDesk, record: Record, body: bytes) -> str:
    """The id that a body runs under."""
    job = parse(body, desk.limits)
    return job.id if isinstance(job, Job) and job.id is not None else record.job


def route_of(desk: DeadDesk, record: Record, body: bytes) -> str:
    """The route that a body asks for; the record's where nobody can read the body."""
    job = parse(body, desk.limits)
    return job.route if isinstance(job, Job) else record.route


async def taken(desk: DeadDesk, record: Record, body: bytes) -> str | None:
    """Why a body must not run under its own id, if that is not its record's; else None.

    That other job may be dead: then the body would run as its redrive, or not at all.

    Raises:
        Unavailable: The ledger could not be asked.
    """
    own = own_id(desk, record, body)
    if own == record.job or not await desk.ledger.load([own]):
        return None
    return "would die again: id_conflict"


def would_die(desk: DeadDesk, record: Record, body: bytes) -> str | None:
    """Why a body would surely die again with these settings; None if it may well not."""
    job = parse(body, desk.limits)
    reason = None
    if not isinstance(job, Job):
        reason = job.reason
    elif record.reason == "id_conflict" and job.id not in (None, record.job):
        reason = "id_conflict"
    elif job.route not in desk.routes:
        reason = "unknown_route"
    elif job.reply_to is not None and job.reply_to not in desk.replies:
        reason = "unknown_reply_to"
    elif job.task_token and not desk.task_tokens:
        reason = "task_tokens_off"
    elif job.deadline_at is not None and job.deadline_at <= desk.at():
        reason = "expired"
    return reason and f"would die again: {reason}"
