"""The workers that have a seat in the jury: what each sees, against what the fleet has decided.

At most `SEATS` workers of a fleet have one; the others decide by the same verdicts, and
tell nothing of themselves. Plain data, for a command and for a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.core.jury import Seat
from worker.core.sightings import Sighting
from worker.core.verdict import State
from worker.ops.breakers import Standing, chosen_of, standing
from worker.ops.desk import Desk, asked, read
from worker.ops.dissents import dissents_of
from worker.ops.votes import living


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one worker says of one breaker.

    Attributes:
        fleet: What the fleet has decided.
        sees: `agrees`; `sick` (its own breaker is open, the fleet's is closed); `behind` (it
            has not yet followed the fleet's last step).
        calls, failures, slow: In its window.
    """

    breaker: str
    fleet: State
    sees: str
    calls: int
    failures: int
    slow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Juror:
    """One worker with a seat.

    Attributes:
        told_at: When it told last, seconds since 1970 by its own clock; None if it did not say.
        agrees: Whether it sees everything as the fleet does.
        seen: What went wrong at it in the last minute.
    """

    worker: str
    seat: int
    told_at: float | None
    agrees: bool
    views: tuple[View, ...]
    seen: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Those that have a seat, the ones first that see something otherwise.

    Attributes:
        about: About how many workers there are, seat or not; None if nobody tells.
    """

    at: float
    about: float | None
    jurors: tuple[Juror, ...]


async def workers(desk: Desk) -> Workers:
    """Ask who has a seat, and what they say.

    Raises:
        Unavailable: The store could not be asked.
    """
    board = await read(desk)
    at = desk.at()
    seats = living(await asked(desk.store.seats()), at)
    standings = [standing(desk, board, name, seats=seats) for name in chosen_of(desk, board, ())]
    return Workers(
        at=at,
        about=next((one.jury.workers for one in standings if one.jury), None) if seats else None,
        jurors=_jurors(standings, seats),
    )


def _jurors(standings: Sequence[Standing], seats: Sequence[Seat]) -> tuple[Juror, ...]:
    otherwise = {(one.worker, one.breaker): one.sees for one in dissents_of(standings, seats)}
    found = [_juror(seat, standings, otherwise) for seat in seats]
    return tuple(sorted(found, key=lambda one: (one.agrees, one.seat)))


def _juror(
    seat: Seat, standings: Sequence[Standing], otherwise: dict[tuple[str, str], str]
) -> Juror:
    views = tuple(
        View(
            breaker=one.name,
            fleet=one.state,
            sees=otherwise.get((seat.holder, one.name), "agrees"),
            calls=vote.calls,
            failures=vote.failures,
            slow=vote.slow,
        )
        for one in standings
        if (vote := seat.votes.get(one.name)) is not None
    )
    return Juror(
        worker=seat.holder,
        seat=seat.number,
        told_at=seat.seen_at or None,
        agrees=all(view.sees == "agrees" for view in views),
        views=views,
        seen=seat.seen,
    )
