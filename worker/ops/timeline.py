"""What became of each breaker over the last hours: stretches of one state, and orders.

It is made of the rows of history, so it survives every restart. A breaker's newest rows
alone are read, `ROWS` of them: what was before them is told as not known. Rows carry their
writers' wall clocks, so points in time are true to a second or so.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.verdict import Mode, State, Transition
from worker.ops.breakers import Standing, chosen_of, standing
from worker.ops.desk import Desk, asked, read

ROWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time in which a breaker stood in one way.

    Attributes:
        state: None where nobody can tell any more.
        share: The share of the slots that was admitted.
        since_at, until_at: Seconds since 1970, cut to what was asked for.
    """

    state: State | None
    share: float
    since_at: float
    until_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """A time in which an operator's order was in force."""

    mode: Mode
    by: str
    why: str
    since_at: float
    until_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One breaker over the time that was asked for.

    Attributes:
        rows: What changed in that time, the newest first.
        open_s: For how long of it the circuit was open or half-open.
    """

    name: str
    stretches: tuple[Stretch, ...]
    spells: tuple[Spell, ...]
    rows: tuple[Transition, ...]
    open_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Every breaker from `since_at` until `at`, seconds since 1970."""

    at: float
    since_at: float
    lines: tuple[Line, ...]

    @property
    def rows(self) -> tuple[Transition, ...]:
        """What changed, of all breakers, the newest first."""
        found = (row for line in self.lines for row in line.rows)
        return tuple(sorted(found, key=lambda row: row.at, reverse=True))


async def timeline(desk: Desk, span_s: float) -> Timeline:
    """What became of every breaker in the last `span_s` seconds.

    Raises:
        Unavailable: The store could not be asked.
    """
    board = await read(desk)
    names = chosen_of(desk, board, ())
    pasts = await asyncio.gather(*(asked(desk.store.history(name, ROWS)) for name in names))
    at = desk.at()
    lines = tuple(
        _line(standing(desk, board, name), past, at - span_s, at)
        for name, past in zip(names, pasts, strict=True)
    )
    return Timeline(at=at, since_at=at - span_s, lines=lines)


def empty(at: float, span_s: float) -> Timeline:
    """Of a fleet that shares nothing."""
    return Timeline(at=at, since_at=at - span_s, lines=())


def _line(now: Standing, past: Sequence[Transition], since: float, at: float) -> Line:
    rows = sorted(past, key=lambda row: row.version)
    stretches = _stretches(now, rows, since, at)
    shut = (State.OPEN, State.HALF_OPEN)
    return Line(
        name=now.name,
        stretches=stretches,
        spells=_spells(rows, since, at),
        rows=tuple(row for row in reversed(rows) if row.at >= since),
        open_s=sum(one.until_at - one.since_at for one in stretches if one.state in shut),
    )


def _stretches(
    now: Standing, rows: Sequence[Transition], since: float, at: float
) -> tuple[Stretch, ...]:
    """The state before the first row is known by that row, unless earlier rows were cut off."""
    before: State | None = rows[0].old if rows else now.state
    if len(rows) == ROWS:
        before = None
    begun = [(float("-inf"), before, 1.0 if before is State.CLOSED else 0.0)]
    begun += [(row.at, row.new, row.share) for row in rows]
    ends = [start for start, _, _ in begun[1:]] + [at]
    found: list[Stretch] = []
    for (start, state, share), end in zip(begun, ends, strict=True):
        one = Stretch(
            state=state, share=share, since_at=max(since, start), until_at=min(at, max(start, end))
        )
        if one.since_at >= one.until_at:
            continue
        if found and (found[-1].state, found[-1].share) == (state, share):
            one = Stretch(
                state=state, share=share, since_at=found.pop().since_at, until_at=one.until_at
            )
        found.append(one)
    return tuple(found)


def _spells(rows: Sequence[Transition], since: float, at: float) -> tuple[Spell, ...]:
    found = []
    for n, row in enumerate(rows):
        if not row.for_s:
            continue
        # The next order, or a release, ends it; a move of the circuit keeps the mode.
        ends = [later.at for later in rows[n + 1 :] if later.for_s or later.mode is not row.mode]
        until = min([row.at + row.for_s, *ends[:1]])
        if until > since:
            found.append(
                Spell(
                    mode=row.mode,
                    by=row.by,
                    why=row.why,
                    since_at=max(since, row.at),
                    until_at=min(at, until),
                )
            )
    return tuple(found)
