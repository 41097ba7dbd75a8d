"""The fleet's breakers as an operator sees them: what is written, by whom, and what is voted.

One consistent read shows the verdicts; with the jury it is two. Nothing here writes.
What comes back is plain data, which a command prints as a table or as JSON; it holds
no nonce and no text of a job.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from worker.core.jury import Seat
from worker.core.policy import EVERY, BreakerPolicy
from worker.core.verdict import Mode, Override, State, Transition, Verdict
from worker.ops.desk import Desk, Misused, asked, read
from worker.ops.votes import Jury, jurors, votes_of
from worker.ports import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one breaker stands.

    Attributes:
        recorded: Whether the store has a record; without one it is closed.
        in_settings: Whether these settings name it.
        since_at: When its stage began, seconds since 1970; None if that is not known.
        rest_s: How long an open circuit rests; `level` is how often that has grown.
        tickets, tickets_out: Probes of this round, and how many of them are claimed.
        mode: What is in force now.
        override: The order behind it, also one whose time is over.
        left_s: For how long it is still in force.
        jury: What the votes say, if that was asked for.
    """

    name: str
    recorded: bool
    in_settings: bool
    state: State
    share: float
    since_at: float | None
    rest_s: float
    level: int
    tickets: int
    tickets_out: int
    good: int
    bad: int
    mode: Mode
    override: Override | None
    left_s: float
    why: str
    writer: str
    version: int
    stage: int
    epoch: int
    round: int
    jury: Jury | None = None

    @property
    def calm(self) -> bool:
        """Whether nothing stands in the way of calls."""
        return self.state is State.CLOSED and self.mode is not Mode.HOLD_OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The breakers that were asked for, at one time."""

    at: float
    calm: bool
    breakers: tuple[Standing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Rows of history, newest first; those of several breakers by their wall clocks."""

    at: float
    rows: tuple[Transition, ...]


async def look(
    desk: Desk, names: Sequence[str] = (), *, why: bool = False, look_s: float = 0.0
) -> Scene:
    """How breakers stand: all of them when none is named.

    Args:
        desk: Where we sit.
        names: Those of interest.
        why: Whether to count the votes too.
        look_s: Look at the jury again after so many seconds, to leave out who is gone.

    Raises:
        Misused: There is no such breaker.
        Unavailable: The store could not be asked.
    """
    board = await read(desk)
    chosen = chosen_of(desk, board, names)
    seats = await jurors(desk, look_s) if why else None
    at = desk.at()
    shown = tuple(standing(desk, board, name, seats=seats, sure=look_s > 0) for name in chosen)
    return Scene(at=at, calm=all(one.calm for one in shown), breakers=shown)


async def past(desk: Desk, name: str | None, *, most: int) -> Past:
    """The newest `most` (1 to 100) changes of one breaker, or of all.

    Raises:
        Misused: There is no such breaker.
        Unavailable: The store could not be asked.
    """
    names = chosen_of(desk, await read(desk), [name] if name else [])
    found = [row for one in names for row in await asked(desk.store.history(one, most))]
    if len(names) > 1:
        found.sort(key=lambda row: row.at, reverse=True)
    return Past(at=desk.at(), rows=tuple(found[:most]))


def chosen_of(desk: Desk, board: Board, names: Iterable[str]) -> list[str]:
    """The names, each once; all that are known when none is given.

    Raises:
        Misused: One is not known; the message has the nearest, and all.
    """
    known = [*desk.policies, *sorted(board.verdicts.keys() - desk.policies.keys())]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            msg = f"there is no breaker {name!r}.{hint} There are: {', '.join(known)}"
            raise Misused(msg)
    return list(dict.fromkeys(names)) or known


def standing(
    desk: Desk, board: Board, name: str, *, seats: Sequence[Seat] | None = None, sure: bool = False
) -> Standing:
    """How one breaker stands by what was read."""
    verdict = board.verdicts.get(name) or Verdict(name=name)
    override, at = verdict.override, desk.at()
    held = override is not None and override.holds(at=at, seen_for_s=0.0)
    policy = in_force(desk.policies.get(name, BreakerPolicy()), board, name)
    return Standing(
        name=name,
        recorded=name in board.verdicts,
        in_settings=name in desk.policies,
        state=verdict.state,
        share=verdict.share,
        since_at=verdict.at or None,
        rest_s=verdict.cooldown_s if verdict.state is State.OPEN else 0.0,
        level=verdict.level,
        tickets=verdict.tickets,
        tickets_out=len(verdict.claims),
        good=verdict.good,
        bad=verdict.bad,
        mode=override.mode if override and held else Mode.ENFORCE,
        override=override,
        left_s=round(min(override.for_s, override.until_at - at), 3) if override and held else 0.0,
        why=verdict.why,
        writer=verdict.writer,
        version=verdict.version,
        stage=verdict.stage,
        epoch=verdict.epoch,
        round=verdict.round,
        jury=None if seats is None else votes_of(verdict, seats, policy, sure=sure),
    )


def in_force(policy: BreakerPolicy, board: Board, name: str) -> BreakerPolicy:
    """The policy that workers judge by: a change that makes no sense is passed over whole."""
    for key in (EVERY, name):
        try:
            policy = policy.changed(board.policies[key].values if key in board.policies else {})
        except ValueError:
            continue
    return policy
