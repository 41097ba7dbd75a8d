"""Mending one dead job: its message is changed, checked as a worker would, and sent back.

The edit and the redrive are one act. A dead-letter queue that held both an edited
message and the one before it could not say which of them is to run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from worker.core.dead import Note, letter_of
from worker.core.envelope import parse
from worker.core.job import Job
from worker.core.ledger import Record
from worker.core.strict_json import Malformed, loads
from worker.ops.dead_bodies import dead_record, holding
from worker.ops.dead_desk import DeadDesk, row_of, shut_routes
from worker.ops.dead_send import MOVED_ON, route_of, send_back, taken, would_die
from worker.ops.desk import Misused

ROW_BYTES_MAX: Final = 300_000  # DynamoDB's limit is 400 KB for the whole item
DEPTH: Final = 250  # orjson writes no deeper than 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What became of an edit.

    Attributes:
        sent: Whether the job was sent back; else `wrong` says why not, unless it was `dry`.
        changed: Fields of the envelope that differ.
        row: The row of the log that keeps the original, or names it in `original_ref`.
    """

    job: str
    sent: bool
    changed: tuple[str, ...] = ()
    wrong: str = ""
    row: str = ""
    original_ref: str = ""
    dry: bool = False


async def edit(
    desk: DeadDesk,
    job: str,
    *,
    put: Mapping[str, Any],
    drop: Sequence[str] = (),
    body: bytes | None = None,
    fence: int | None = None,
    author: str,
    why: str,
    force: bool = False,
    dry: bool = False,
) -> Edited:
    """Send a dead job back with another body; the one that was there is kept in the log.

    Args:
        desk: Where we sit.
        job: Its id in the ledger. The body's own stays too.
        put: Values by their paths, as `{"inference.maxTokens": 512}`.
        drop: Paths of what is to go.
        body: The whole new body instead; `put` and `drop` are made to it.
        fence: The letter's whose message was looked at: a later letter is left alone.
        author: Who does it.
        why: The reason, for the log.
        force: Send it into an open circuit too.
        dry: Say whether it would do; send and write nothing.

    Raises:
        Misused: There is no such letter, or what is asked for cannot be done to its body.
        Unavailable: A service could not be asked.
    """
    row = row_of(desk, "edit", author=author, why=why, job=job, what="")
    record = await dead_record(desk, job)
    if fence not in (None, record.fence):
        return Edited(job=job, sent=False, wrong=MOVED_ON, dry=dry)
    async with holding(desk, record) as held:
        if held is None:
            return Edited(job=job, sent=False, wrong="its message is not in reach", dry=dry)
        sweep, copy, now = held
        if now.fence != record.fence:
            return Edited(job=job, sent=False, wrong=MOVED_ON, dry=dry)
        old = copy.delivery.body
        new = changed(old if body is None else body, put, drop)
        told = Edited(job=job, sent=False, changed=_differs(old, new), dry=dry)
        wrong = _wrong(desk, record, old, new) or await taken(desk, record, new) or ""
        if not (wrong or force):
            wrong = await _barred(desk, route_of(desk, record, new))
        if wrong or dry:
            return replace(told, wrong=wrong)
        row = replace(row, what=f"changed {', '.join(told.changed) or 'nothing'}")
        row = await _kept(desk, row, old)
        await desk.index.note(row)
        await send_back(desk, copy, record, new)
        await sweep.delete([copy])
    letter = letter_of(record)
    assert letter is not None, "a dead record is a letter"
    await desk.index.dismiss(letter)
    return replace(told, sent=True, row=row.id, original_ref=row.original_ref)


def changed(body: bytes, put: Mapping[str, Any], drop: Sequence[str]) -> bytes:
    """A body with values put to paths, and others taken out.

    >>> changed(b'{"prompt": "a", "tools": {}}', {"inference.maxTokens": 9}, ["tools"])
    b'{"prompt":"a","inference":{"maxTokens":9}}'

    Raises:
        Misused: The body is no JSON object, or a path leads nowhere.
    """
    if not put and not drop:
        return body
    tree = loads(body, body_bytes=len(body), depth=DEPTH)
    if isinstance(tree, Malformed):
        msg = f"the message is no JSON object ({tree.reason}), so give the whole one with --body"
        raise Misused(msg)
    for path in drop:
        parent, key = _end(tree, path, make=False)
        if isinstance(parent, dict) and key not in parent:
            msg = f"there is no {path!r} to take out"
            raise Misused(msg)
        del parent[key]
    for path, value in put.items():
        parent, key = _end(tree, path, make=True)
        parent[key] = value
    return orjson.dumps(tree)


def _end(tree: Any, path: str, *, make: bool) -> tuple[Any, Any]:
    """Where a path ends: the object or list that holds it, and its key there."""
    *way, last = path.split(".")
    for step in way:
        if isinstance(tree, dict) and make:
            tree = tree.setdefault(step, {})
        else:
            tree = _inside(tree, step, path)
    return tree, _key(tree, last, path)


def _inside(tree: Any, step: str, path: str) -> Any:
    key = _key(tree, step, path)
    if isinstance(tree, dict) and key not in tree:
        msg = f"the path {path!r} leads nowhere: there is no {step!r}"
        raise Misused(msg)
    return tree[key]


def _key(tree: Any, step: str, path: str) -> Any:
    if isinstance(tree, dict):
        return step
    if isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
        return int(step)
    msg = f"the path {path!r} leads nowhere: {step!r} is in no object"
    raise Misused(msg)


def _differs(old: bytes, new: bytes) -> tuple[str, ...]:
    trees = [loads(body, body_bytes=len(body), depth=DEPTH) for body in (old, new)]
    before, after = ({} if isinstance(tree, Malformed) else tree for tree in trees)
    fields = dict.fromkeys((*before, *after))
    missing = object()
    return tuple(f for f in fields if before.get(f, missing) != after.get(f, missing))


def _wrong(desk: DeadDesk, record: Record, old: bytes, new: bytes) -> str:
    """Why no worker would take the new body for this job; "" if one would."""
    job = parse(new, desk.limits)
    if not isinstance(job, Job):
        return f"no worker would take it: {job} ({job.reason})"
    # A body that nobody could read died under its MessageId: mended, it has its own id.
    tree = loads(old, body_bytes=len(old), depth=1_000)
    own = None if isinstance(tree, Malformed) else tree.get("id")
    if job.id not in (None, record.job, own):
        return f"id: must stay what it was, or be {record.job!r}, or be absent"
    return would_die(desk, record, new) or ""


async def _barred(desk: DeadDesk, route: str) -> str:
    """Why no target of the route may be called now; "" if one may."""
    shut = await shut_routes(desk, [route])
    return f"route {route}: {shut[route]}" if shut else ""


async def _kept(desk: DeadDesk, row: Note, body: bytes) -> Note:
    if len(body) <= ROW_BYTES_MAX:
        return replace(row, original=body)
    if desk.payloads is None:
        msg = (
            f"the original has {len(body)} bytes, the log's rows take {ROW_BYTES_MAX}, and no "
            "payload bucket is configured to keep it in"
        )
        raise Misused(msg)
    ref = await desk.payloads.put(body)
    return replace(row, original_ref=f"s3://{ref.bucket}/{ref.key}")
