"""The whole path of one job, from its first send to where it is now: `why JOB`.

It is put together from the job's record (`core/trail.py`), its result, the breakers'
history and the log of dead letters. Nothing is written, and no message is received. What
is not known is said. Nothing here is text of a job or of an answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from worker.core.dead import Note
from worker.core.ledger import Attempt, Record, State
from worker.core.trail import TRAIL_MAX, Leg
from worker.core.upgrade import upgrade_id, upgraded
from worker.ops.dead_desk import DeadDesk
from worker.ops.desk import Misused
from worker.ops.path_bars import Hindrance, Pasts, hindrance, pasts_of
from worker.ops.path_next import Next, next_of
from worker.ports import PayloadMissing, RecordUnreadable, Unavailable

RESULT_BYTES_MAX: Final = 64 * 1024 * 1024


class What(StrEnum):
    """One kind of step."""

    SENT = "sent"  # or sent again: a redrive, the job's next generation
    CLAIMED = "claimed"
    CALLED = "called"
    REFUSED = "refused"  # what stood in the way of calls, in one run
    ANSWERED = "answered"
    DEGRADED = "degraded"
    PARKED = "parked"
    INTERRUPTED = "interrupted"
    DEAD = "dead"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"  # its worker died, or was cut off: no outcome
    NOTED = "noted"  # what a person did, by the log of dead letters
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call to a target.

    Attributes:
        number: Of the charged calls; an uncharged one has the number that it would have had.
        outcome: `ok`, the kind of its fault, or `cut` if nobody heard what came of it.
        code: The service's, or an exception's class.
        breaker: The state of the target's circuit when it went out.
    """

    target: str
    outcome: str
    number: int = 0
    code: str = ""
    http: int | None = None
    duration_ms: int | None = None
    billed: str = ""
    timer: str = ""
    request_id: str = ""
    breaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a path.

    Attributes:
        at: When, seconds since 1970 by the clock of whoever wrote it; None if not known.
        fence: The claim that it belongs to, 0 for none.
        generation: The life of the job, counted from 0.
        worker: Who claimed.
        why: Why it was parked, degraded, given back or given up.
        until: Of a park, when its doorbell was due.
        handler: Who gave a degraded answer.
        bars: Of a refusal, what stood in the way.
        note: What a person did; `maybe` if the row tells of many jobs, this one perhaps.
        text: What is not known.
    """

    at: float | None
    what: What
    fence: int = 0
    generation: int = 0
    worker: str = ""
    why: str = ""
    until: float | None = None
    handler: str = ""
    call: Call | None = None
    bars: tuple[Hindrance, ...] = ()
    note: Note | None = None
    maybe: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The path of one job.

    Attributes:
        at: When it was looked at, seconds since 1970.
        upgrades: The job that this one is the upgrade of, "" for none.
        next: What comes next; None if it is over.
        upgrade: The path of its upgrade, if a degraded answer promised one and it was claimed.
        unknown: What is not known, in words.
    """

    at: float
    job: str
    state: State
    generation: int
    route: str
    tenant: str
    attempts: int
    parks: int
    interruptions: int
    crashes: int
    steps: tuple[Step, ...]
    next: Next | None
    upgrades: str = ""
    upgrade: "Path | None" = None
    unknown: tuple[str, ...] = ()


async def path(desk: DeadDesk, job: str) -> Path:
    """The path of a job.

    Raises:
        Misused: The ledger has no such job, or its record cannot be read.
        Unavailable: The ledger could not be asked. Of anything else it is only said.
    """
    found = await desk.ledger.load([job, upgrade_id(job)])
    record = found.get(job)
    if record is None:
        msg = (
            f"the ledger has no job {job!r}. Before its first claim a job is a message in its queue"
            ", and\nnowhere else; a finished record goes after `ledger.keep_s`; a job that was "
            "sent without an id\nbears its MessageId"
        )
        raise Misused(msg)
    if isinstance(record, RecordUnreadable):
        msg = f"the record of {job!r} cannot be read: a later version may have written it"
        raise Misused(msg)
    better = found.get(upgrade_id(job))
    told = await _told(desk, record)
    if isinstance(better, Record):
        told = replace(told, upgrade=await _told(desk, better))
    return told


async def _told(desk: DeadDesk, record: Record) -> Path:
    unknown: list[str] = []
    result = await _result(desk, record, unknown)
    names = {bar.name for leg in record.trail for bar in leg.bars if bar.version}
    pasts = await pasts_of(desk.circuit, names, unknown)
    notes = await _notes(desk, record, unknown)
    runs = list(_runs(record, result, pasts))
    unknown += [step.text for run in runs for step in run if step.text]
    degraded = result.get("degraded") or {}
    return Path(
        at=desk.at(),
        job=record.job,
        state=record.state,
        generation=record.generation,
        route=record.route,
        tenant=record.tenant,
        attempts=record.attempts,
        parks=record.parks,
        interruptions=record.interruptions,
        crashes=record.crashes,
        steps=tuple(_with_notes(runs, notes)),
        next=await next_of(
            desk, record, record.trail, will_upgrade=bool(degraded.get("will_upgrade"))
        ),
        upgrades=upgraded(record.job) or "",
        unknown=tuple(dict.fromkeys(unknown)),
    )


# --- what else is read ------------------------------------------------------------


async def _result(desk: DeadDesk, record: Record, unknown: list[str]) -> Mapping[str, Any]:
    """What its result envelope tells, without the answer."""
    content = record.result
    if content is None and record.result_ref:
        bucket, _, key = record.result_ref.removeprefix("s3://").partition("/")
        try:
            if desk.payloads is None:
                raise PayloadMissing  # noqa: TRY301  (with these settings there is no store)
            content = await desk.payloads.get(bucket, key, bytes_max=RESULT_BYTES_MAX)
        except (PayloadMissing, Unavailable) as error:
            why = error.why if isinstance(error, Unavailable) else "it is not there"
            unknown.append(f"what its result tells: {record.result_ref} could not be read ({why})")
    if content is None:
        return {}
    try:
        tree = orjson.loads(content)
    except orjson.JSONDecodeError:
        unknown.append("what its result tells: it is no JSON")
        return {}
    return {name: tree.get(name) for name in ("attempts", "degraded", "latency_ms")}


async def _notes(desk: DeadDesk, record: Record, unknown: list[str]) -> list[Step]:
    """What people did to it, the oldest first; also rows that may have meant it among others."""
    if record.state is not State.DEAD and not record.generation:
        return []
    try:
        rows = await desk.index.notes(since=0.0)
    except Unavailable as error:
        unknown.append(f"what people did to it: the log of dead letters cannot be read ({error})")
        return []
    died = [leg.ended_at for leg in record.trail if leg.ended == State.DEAD]
    first = min([*died, record.finished_at or float("inf")])
    return [
        Step(at=row.at, what=What.NOTED, note=replace(row, original=None), maybe=not row.job)
        for row in rows
        if row.job == record.job or (not row.job and row.verb != "show" and row.at >= first)
    ]


# --- putting it together ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of a record's calls, and of what stood in their way."""

    record: Record
    result: Mapping[str, Any]
    pasts: Pasts
    calls: Mapping[int, list[Step]] = field(default_factory=dict)


def _runs(record: Record, result: Mapping[str, Any], pasts: Pasts) -> Iterator[list[Step]]:
    """The steps of each send and of each claim, in order."""
    known = _Known(record=record, result=result, pasts=pasts, calls=_calls(record, result))
    legs = {leg.fence: leg for leg in record.trail}
    sent_at = {leg.generation: leg.sent_at for leg in record.trail if leg.sent_at}
    sent_at[record.generation] = record.sent_at
    generation, missing = 0, 0
    yield [Step(at=sent_at.get(0), what=What.SENT)]
    if 0 in known.calls:
        yield known.calls[0]
    for fence in range(1, record.fence + 1):
        leg = legs.get(fence)
        if leg is None and fence < record.fence:
            missing += 1
            continue
        if missing:
            yield [_gap(fence - missing, fence - 1, generation, legs=len(record.trail))]
            missing = 0
        now = record.generation if leg is None else leg.generation
        for life in range(generation + 1, now + 1):
            yield [Step(at=sent_at.get(life), what=What.SENT, generation=life)]
        generation = now
        yield _run(known, fence, leg)


def _gap(first: int, last: int, generation: int, *, legs: int) -> Step:
    which = f"claim {first}" if first == last else f"claims {first} to {last}"
    why = (
        "a worker from before there were trails wrote it"
        if legs < TRAIL_MAX
        else f"a trail keeps the first leg and the latest {TRAIL_MAX - 1}"
    )
    text = f"what became of {which}: {why}"
    return Step(at=None, what=What.UNKNOWN, fence=first, generation=generation, text=text)


def _run(known: _Known, fence: int, leg: Leg | None) -> list[Step]:
    """One claim, what happened then, and how it ended."""
    record = known.record
    if leg is None:
        leg = _leg_of(record, known.result)
    base = Step(
        at=leg.began_at or None,
        what=What.CLAIMED,
        fence=fence,
        generation=leg.generation,
        worker=leg.owner,
    )
    calls = list(known.calls.get(fence, ()))
    if leg.cut:
        calls.append(
            replace(base, at=None, what=What.CALLED, call=Call(target=leg.cut, outcome="cut"))
        )
    bars = []
    if leg.bars:
        told = tuple(hindrance(bar, known.pasts) for bar in leg.bars)
        bars = [replace(base, at=None, what=What.REFUSED, bars=told)]
    # Of several in one run only this much of their order is known.
    middle = [*bars, *calls] if leg.ended == State.ANSWERED else [*calls, *bars]
    steps = [base, *middle]
    if leg.ended:
        steps.append(
            replace(
                base,
                at=leg.ended_at or None,
                what=What(leg.ended),
                why=leg.why,
                until=leg.until or None,
                handler=leg.handler,
            )
        )
    elif leg.ended_at:
        text = f"what worker {leg.owner} called after claim {fence}, before its lease lapsed"
        steps.append(replace(base, at=leg.ended_at, what=What.LAPSED, text=text))
    return steps


def _leg_of(record: Record, result: Mapping[str, Any]) -> Leg:
    """The latest leg, where the record itself is all that tells of it."""
    if record.state is State.RUNNING:
        return Leg(fence=record.fence, generation=record.generation, owner=record.owner)
    degraded = result.get("degraded") or {}
    began_at = 0.0
    if record.state.final and (latency := result.get("latency_ms")):
        began_at = record.sent_at + float(latency["queue"]) / 1000
    return Leg(
        fence=record.fence,
        generation=record.generation,
        owner=record.owner,
        began_at=began_at,
        ended=record.state.value,
        ended_at=record.finished_at or record.parked_at or 0.0,
        why=record.reason or str(degraded.get("reason", "")),
        until=record.not_before or 0.0,
        handler=str(degraded.get("handler", "")),
    )


def _calls(record: Record, result: Mapping[str, Any]) -> dict[int, list[Step]]:
    """The calls of each claim; those of a record without fences lie under 0."""
    rows: list[Attempt] = [*record.past, *record.history]
    found: dict[int, list[Step]] = {}
    for row in rows:
        found.setdefault(row.fence, []).append(_called(row))
    if not record.history and record.state.final:
        # One good call is told by the result alone.
        for told in result.get("attempts") or ():
            step = Step(at=None, what=What.CALLED, fence=record.fence, call=_call_of(told))
            found.setdefault(record.fence, []).append(replace(step, generation=record.generation))
    return found


def _called(row: Attempt) -> Step:
    call = Call(
        target=row.target,
        outcome=row.kind or "ok",
        number=row.number,
        code=row.code,
        http=row.http,
        duration_ms=row.duration_ms,
        billed=row.billed,
        timer=row.timer,
        request_id=row.request_id,
        breaker=row.breaker,
    )
    return Step(at=row.at or None, what=What.CALLED, fence=row.fence, call=call)


def _call_of(told: Mapping[str, Any]) -> Call:
    """A call as a result tells it."""
    return Call(
        target=told["target"],
        outcome=told["kind"],
        number=told["n"],
        code=told["code"],
        http=told["http"],
        duration_ms=told["duration_ms"],
        billed=told["billed"],
        timer=told["timer"],
        request_id=told["request_id"],
    )


def _with_notes(runs: Iterable[list[Step]], notes: list[Step]) -> Iterator[Step]:
    """All steps in order; what people did stands before the first step that is later."""
    left = list(notes)
    for run in runs:
        at = next((step.at for step in run if step.at is not None), None)
        while left and at is not None and (left[0].at or 0.0) < at:
            yield left.pop(0)
        yield from run
    yield from left
