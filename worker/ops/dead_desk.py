"""Where an operator reviews dead letters: the list, its groups, one letter whole.

Listing asks the ledger's index and receives nothing from any queue. No text of a job is
here; where it is asked for, `dead_sweep` finds the message, and the log has a row first.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from worker.core.dead import Group, Letter, Note, Pick, grouped, letter_of
from worker.core.fault import normalised
from worker.core.job import Limits
from worker.core.ledger import Record
from worker.core.route import Route
from worker.core.verdict import Mode, State
from worker.ops.breakers import standing
from worker.ops.desk import Desk, Misused, read
from worker.ops.overrides import AUTHOR_MAX, REASON_MAX
from worker.ports import DeadLetters, Ledger, Payloads, Queue, RecordUnreadable, Unavailable
from worker.runtime.gates import endpoint_of

LOAD_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLane:
    """Queues that belong together. `dead` brings every attribute of a message.

    `parked` is the name of its parked queue.
    """

    name: str
    jobs: Queue
    dead: Queue
    routes: frozenset[str]
    parked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadDesk:
    """Where an operator sits.

    Attributes:
        circuit: The desk of the fleet's breakers; None where every process decides alone.
        limits, routes, replies, task_tokens: What these settings take.
        payloads: For originals of edited bodies that are too large for a row; None for none.
        at: The wall clock, seconds since 1970.
    """

    ledger: Ledger
    index: DeadLetters
    lanes: tuple[DeadLane, ...]
    circuit: Desk | None
    limits: Limits
    routes: Mapping[str, Route]
    replies: frozenset[str] = frozenset()
    task_tokens: bool = False
    payloads: Payloads | None = None
    at: Callable[[], float]

    def lane_of(self, dead: Queue, route: str) -> DeadLane:
        """Of the lanes that serve a route, one whose dead letters lie in `dead` if there is one."""
        ours = [lane for lane in self.lanes if lane.dead.name == dead.name]
        return next((lane for lane in (*ours, *self.lanes) if route in lane.routes), ours[0])

    def dead_queues(self) -> list[Queue]:
        """Every dead-letter queue, each once."""
        return list({lane.dead.name: lane.dead for lane in self.lanes}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The letters that were asked for, at one time, the oldest first."""

    at: float
    letters: tuple[Letter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The same letters, by what they died of."""

    at: float
    letters: int
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One job in the ledger, and what people did to it.

    Attributes:
        state: Where it is in its life now; `letter` is None if it is no dead letter.
        detail: What is wrong, as its result says.
        history: Its calls, the last ones.
        body: The message, if that was asked for; `found` is whether it was in reach.
    """

    at: float
    job: str
    state: str
    generation: int
    letter: Letter | None
    detail: str = ""
    parks: int = 0
    interruptions: int = 0
    crashes: int = 0
    history: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[Note, ...] = ()
    body: str | None = field(default=None, repr=False)
    found: bool | None = None


async def chosen(desk: DeadDesk, pick: Pick) -> list[Letter]:
    """The letters that are meant, the oldest first.

    Raises:
        Unavailable: The index could not be asked.
    """
    found = await desk.index.letters(since=pick.since, until=pick.until)
    return [letter for letter in found if pick.fits(letter)]


async def listing(desk: DeadDesk, pick: Pick) -> Listing:
    """The letters that are meant.

    Raises:
        Unavailable: The index could not be asked.
    """
    return Listing(at=desk.at(), letters=tuple(await chosen(desk, pick)))


async def groups(desk: DeadDesk, pick: Pick) -> Groups:
    """The letters that are meant by what they died of, each group with a sample's detail.

    Raises:
        Unavailable: The index or the ledger could not be asked.
    """
    return await groups_of(desk, await chosen(desk, pick))


async def groups_of(desk: DeadDesk, letters: Sequence[Letter]) -> Groups:
    """Letters that are known, by what they died of.

    Raises:
        Unavailable: The ledger could not be asked.
    """
    found = grouped(letters)
    records = await records_of(desk, [group.sample for group in found])
    told = tuple(
        replace(group, detail=normalised(detail_of(records[group.sample])))
        if group.sample in records
        else group
        for group in found
    )
    return Groups(at=desk.at(), letters=len(letters), groups=told)


async def show(desk: DeadDesk, job: str) -> Shown:
    """One job, dead or not.

    Raises:
        Misused: The ledger has no such job.
        Unavailable: The ledger or the index could not be asked.
    """
    record = (await records_of(desk, [job])).get(job)
    if record is None:
        msg = f"the ledger has no job {job!r}. Finished records go after `ledger.keep_s`"
        raise Misused(msg)
    notes = [row for row in await desk.index.notes(since=0.0) if row.job == job]
    return Shown(
        at=desk.at(),
        job=job,
        state=record.state,
        generation=record.generation,
        letter=letter_of(record),
        detail=detail_of(record),
        parks=record.parks,
        interruptions=record.interruptions,
        crashes=record.crashes,
        history=history_of(record),
        notes=tuple(notes),
    )


async def records_of(desk: DeadDesk, jobs: Iterable[str]) -> dict[str, Record]:
    """The records of any number of jobs; those that cannot be read are left out.

    Raises:
        Unavailable: The ledger could not be asked.
    """
    wanted = list(dict.fromkeys(jobs))
    found: dict[str, Record] = {}
    for n in range(0, len(wanted), LOAD_MAX):
        loaded = await desk.ledger.load(wanted[n : n + LOAD_MAX])
        found |= {job: r for job, r in loaded.items() if not isinstance(r, RecordUnreadable)}
    return found


def detail_of(record: Record) -> str:
    """What a dead record's result says is wrong; "" if the result lies elsewhere."""
    if record.result is None:
        return ""
    error = orjson.loads(record.result).get("error") or {}
    return str(error.get("detail", ""))


def history_of(record: Record) -> tuple[Mapping[str, Any], ...]:
    """The calls of a record, as plain data."""
    return tuple(asdict(row) | {"kind": row.kind or "ok"} for row in record.history)


async def shut_routes(desk: DeadDesk, routes: Iterable[str]) -> dict[str, str]:
    """Which of these routes have no target that may be called freely, and why.

    A route that these settings do not name is not judged.

    Raises:
        Unavailable: The breakers' store could not be asked.
    """
    if desk.circuit is None:
        return {}
    board = await read(desk.circuit)
    shut: dict[str, str] = {}
    for name in dict.fromkeys(routes):
        if (route := desk.routes.get(name)) is None:
            continue
        whys: list[str] = []
        for target in route.targets:
            names = (target.name, endpoint_of(target))
            found = [standing(desk.circuit, board, one) for one in names]
            bars = [
                f"{one.name} is {'held open' if one.mode is Mode.HOLD_OPEN else one.state.value}"
                for one in found
                if one.mode is Mode.HOLD_OPEN
                or (one.mode is Mode.ENFORCE and one.state is not State.CLOSED)
            ]
            whys += bars[:1]
        if len(whys) == len(route.targets):
            shut[name] = ", ".join(dict.fromkeys(whys))
    return shut


async def noted(
    desk: DeadDesk, verb: str, *, author: str, why: str = "", job: str = "", what: str = ""
) -> Note:
    """Write a row of the log before anything is done.

    Raises:
        Misused: A text is too long, or has characters that cannot be shown.
        Unavailable: It may or may not be kept; nothing was done.
    """
    row = row_of(desk, verb, author=author, why=why, job=job, what=what)
    await desk.index.note(row)
    return row


async def ended(desk: DeadDesk, row: Note, what: str) -> None:
    """Write into a row what became of it. Where that fails it says that it was begun."""
    try:
        await desk.index.note(replace(row, what=what))
    except Unavailable:
        return  # what was done is done, and whoever did it is told


def row_of(desk: DeadDesk, verb: str, *, author: str, why: str, job: str, what: str) -> Note:
    """A row of the log that is yet to be written.

    Raises:
        Misused: A text is too long, or has characters that cannot be shown.
    """
    for name, text, least, most in (
        ("author", author, 1, AUTHOR_MAX),
        ("reason", why, 0 if verb == "show" else 1, REASON_MAX),
    ):
        if not least <= len(text.strip()) <= most or not (text.isprintable()):
            msg = f"give the {name} in 1 to {most} printable characters on one line"
            raise Misused(msg)
    return Note(
        id=uuid.uuid4().hex[:16],
        at=round(desk.at(), 3),
        verb=verb,
        author=author.strip(),
        why=why.strip(),
        job=job,
        what=what,
    )


def words_of(pick: Pick) -> str:
    """A pick, for a sentence and for the log.

    >>> words_of(Pick(fingerprint="7a3f", tenant="acme")), words_of(Pick())
    ('fingerprint 7a3f, tenant acme', 'all')
    >>> words_of(Pick(until=1_795_641_743.4))
    'died before 2026-11-25 21:22:23 UTC'
    """
    parts = [
        f"{name} {text}"
        for name in ("fingerprint", "reason", "code", "target", "route", "tenant")
        if (text := getattr(pick, name))
    ]
    if pick.jobs:
        first = sorted(pick.jobs)[:3]
        more = f" and {len(pick.jobs) - 3} more" if len(pick.jobs) > len(first) else ""
        parts.append(f"job {', '.join(first)}{more}")
    if pick.since:
        parts.append(f"died from {_utc(pick.since)} on")
    if pick.until != float("inf"):
        parts.append(f"died before {_utc(pick.until)}")
    return ", ".join(parts) or "all"


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
