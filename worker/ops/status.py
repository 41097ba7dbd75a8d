"""How the whole fleet stands, and why: everything that an operator asks first, at once.

Every store is asked in parallel and given a little more than a second; what cannot be
read is said, and hides nothing else. Nothing is written, and no message is received. What
comes back is plain data, for a command and for a page; it holds no text of a job.

What is wrong is taken from what workers told in their seats (`core/sightings.py`), from
the verdicts, and from what could not be read here. Of a fleet without a shared table only
queues and ledger can be told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from worker.core.jury import Seat
from worker.core.route import Route
from worker.core.sightings import Sighting, remembered
from worker.core.verdict import Mode, State, Transition
from worker.ops.breakers import Standing, chosen_of, standing
from worker.ops.causes import NOBODY, Cause, CauseName, Share, causes_of, ordered
from worker.ops.desk import Desk
from worker.ops.dissents import Dissent, dissents_of
from worker.ops.votes import living
from worker.ops.waiting import Lane, Waiting, waiting_of
from worker.ops.ways import Way, way_of
from worker.ports import Board, Depth, Unavailable

T = TypeVar("T")
_Pasts = Mapping[str, Sequence[Transition] | None]

LIMIT_S: Final = 1.2  # for all that is asked; the command's own start takes the rest of 2 s
ROWS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Whom to ask.

    Attributes:
        desk: The breakers' store; None where every process decides alone.
        ledger: Reads something small from the ledger.
        endpoints: The endpoint's breaker of each target.
        at: The wall clock.
    """

    desk: Desk | None
    ledger: Callable[[], Awaitable[object]]
    lanes: tuple[Lane, ...]
    routes: tuple[Route, ...]
    endpoints: Mapping[str, str]
    at: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One circuit that is not calm.

    Attributes:
        known: Whether its history could be read.
        since_at: When it opened, seconds since 1970; None if that is longer ago than the
            newest rows of its history go, or is not known.
        opened_by: What spoke against it then; "" likewise.
        probe_in_s: When the next probe may go out, if a job waits; None if that is not a
            matter of time.
    """

    name: str
    known: bool
    since_at: float | None
    opened_by: str
    probe_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What could not be read, and why: a code."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the fleet stands at one time.

    Attributes:
        at: Seconds since 1970.
        took_s: How long it took to ask.
        calm: Whether everything could be read and nothing is wrong.
        shared: Whether the fleet decides together; else breakers are not known here.
        workers: About how many there are; None if nobody can tell.
    """

    at: float
    took_s: float
    calm: bool
    shared: bool
    workers: float | None
    causes: tuple[Cause, ...]
    breakers: tuple[Standing, ...]
    troubles: tuple[Trouble, ...]
    ways: tuple[Way, ...]
    waiting: tuple[Waiting, ...]
    dissents: tuple[Dissent, ...]
    unread: tuple[Unread, ...]


async def status(sources: Sources, *, limit_s: float = LIMIT_S) -> Status:
    """Ask everybody, within about `limit_s` seconds. Never raises for what the world does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    asking = _Asking(until=began + limit_s)
    (board, pasts), seats, depths, _ = await asyncio.gather(
        _circuits(asking, sources.desk),
        asking.for_("breakers", _seats(sources.desk)),
        _depths(asking, sources.lanes),
        asking.for_("ledger", sources.ledger()),
    )
    at, desk = sources.at(), sources.desk
    seated = living(seats or (), at)
    standings = _standings(desk, board, None if seats is None else seated)
    troubles = tuple(
        _trouble(one, pasts.get(one.name), at) for one in standings if one.state is not State.CLOSED
    )
    seen = [(seat.holder, one) for seat in seated for one in seat.seen]
    seen += _opened(troubles, [one for _, one in seen])
    unread = tuple(asking.unread)
    dissents = dissents_of(standings, seated)
    out = _out(seen, seated)
    ways = tuple(way_of(route, standings, sources.endpoints, out) for route in sources.routes)
    causes = _causes(sources.routes, seen, standings, dissents, unread)
    waits = tuple(of for of, depth in depths.items() if depth and depth.total and of[1] != "dead")
    if seats is not None and not seated and waits:
        of = tuple(" ".join(one) for one in waits)
        causes = ordered((Cause(name=CauseName.NO_WORKER, of=of), *causes))
    return Status(
        at=at,
        took_s=round(loop.time() - began, 3),
        calm=all(one.minor for one in causes) and all(one.calm for one in standings),
        shared=desk is not None,
        workers=next((one.jury.workers for one in standings if one.jury), None),
        causes=causes,
        breakers=standings,
        troubles=troubles,
        ways=ways,
        waiting=tuple(
            waiting_of(lane, depths, ways, sources.routes, standings) for lane in sources.lanes
        ),
        dissents=dissents,
        unread=unread,
    )


# --- asking -----------------------------------------------------------------------


class _Asking:
    """Asks with one end for all, and keeps what could not be read."""

    def __init__(self, *, until: float) -> None:
        self._until = until
        self.unread: list[Unread] = []

    async def for_(self, what: str, ask: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout_at(self._until):
                return await ask
        except Unavailable as error:
            self._missing(what, error.why)
        except TimeoutError:
            self._missing(what, "TimeoutError")
        return None

    def _missing(self, what: str, why: str) -> None:
        missing = Unread(what=what, why=why)
        if missing not in self.unread:
            self.unread.append(missing)


async def _circuits(asking: _Asking, desk: Desk | None) -> tuple[Board | None, _Pasts]:
    """The verdicts, and at once the newest history of each circuit that is not closed."""
    if desk is None:
        return None, {}
    board = await asking.for_("breakers", desk.store.read(consistent=True))
    ill = (
        []
        if board is None
        else [name for name, verdict in board.verdicts.items() if verdict.state is not State.CLOSED]
    )
    found = await asyncio.gather(
        *(asking.for_("history", desk.store.history(name, ROWS)) for name in ill)
    )
    return board, dict(zip(ill, found, strict=True))


async def _seats(desk: Desk | None) -> list[Seat] | None:
    return None if desk is None else await desk.store.seats()


async def _depths(asking: _Asking, lanes: Sequence[Lane]) -> dict[tuple[str, str], Depth | None]:
    asked = {(lane.name, role): ask for lane in lanes for role, ask in lane.queues.items()}
    found = await asyncio.gather(
        *(asking.for_(f"queue {lane} {role}", ask()) for (lane, role), ask in asked.items())
    )
    return dict(zip(asked, found, strict=True))


# --- circuits ---------------------------------------------------------------------


def _standings(
    desk: Desk | None, board: Board | None, seats: list[Seat] | None
) -> tuple[Standing, ...]:
    if desk is None or board is None:
        return ()
    names = chosen_of(desk, board, ())
    return tuple(standing(desk, board, name, seats=seats) for name in names)


def _opened(troubles: Sequence[Trouble], seen: Sequence[Sighting]) -> list[tuple[str, Sighting]]:
    """What opened those circuits of which nobody tells now, for no job has called of late."""
    told = {name for one in seen for name in (one.of, one.endpoint)}
    return [
        (NOBODY, one)
        for trouble in troubles
        if trouble.name not in told
        for one in remembered(trouble.name, trouble.opened_by)
    ]


def _trouble(one: Standing, rows: Sequence[Transition] | None, at: float) -> Trouble:
    opened = next(
        (row for row in rows or () if (row.old, row.new) == (State.CLOSED, State.OPEN)), None
    )
    probe_in_s = None
    if one.state is State.OPEN and one.since_at is not None and one.mode is not Mode.HOLD_OPEN:
        probe_in_s = round(max(0.0, one.since_at + one.rest_s - at), 1)
    return Trouble(
        name=one.name,
        known=rows is not None,
        since_at=opened.at if opened else None,
        opened_by=opened.why if opened else "",
        probe_in_s=probe_in_s,
    )


# --- what is wrong ------------------------------------------------------------------


def _causes(
    routes: Sequence[Route],
    seen: Sequence[tuple[str, Sighting]],
    standings: Sequence[Standing],
    dissents: Sequence[Dissent],
    unread: Sequence[Unread],
) -> tuple[Cause, ...]:
    regions = {target.name: target.region for route in routes for target in route.targets}
    lone = {one.worker for one in dissents if one.sees == "sick"}
    told = [row for row in seen if row[0] not in lone]
    found = [*causes_of(told, regions, _share_of(standings))]
    for why in dict.fromkeys(one.why for one in unread):
        of = tuple(one.what for one in unread if one.why == why)
        found.append(Cause(name=CauseName.STORE_DOWN, of=of, code=why))
    for worker in sorted(lone):
        own = causes_of([row for row in seen if row[0] == worker], regions)
        first = own[0] if own else Cause(name=CauseName.ONE_WORKER, of=())
        found.append(replace(first, name=CauseName.ONE_WORKER, of=(worker, *first.of)))
    held = tuple(one.name for one in standings if one.mode is Mode.HOLD_OPEN)
    if held:
        found.append(Cause(name=CauseName.HELD_OPEN, of=held))
    return ordered(found)


def _share_of(standings: Sequence[Standing]) -> Share:
    known = {one.name: one for one in standings}

    def share(breaker: str, throttles: int) -> float | None:
        one = known.get(breaker)
        if one is None or one.jury is None or one.state is not State.CLOSED:
            return 1.0
        if throttles:  # a window leaves them out
            return throttles / (throttles + one.jury.calls * 60 / one.jury.window_s)
        return one.jury.failures / one.jury.calls if one.jury.calls else None

    return share


def _out(seen: Sequence[tuple[str, Sighting]], seats: Sequence[Seat]) -> frozenset[str]:
    """Targets that at least half of the workers leave alone by themselves, circuit or not."""
    tellers: dict[str, set[str]] = {}
    for worker, one in seen:
        if one.kind in ("exhausted", "misconfigured"):
            tellers.setdefault(one.of, set()).add(worker)
    return frozenset(of for of, workers in tellers.items() if 2 * len(workers) >= len(seats))
