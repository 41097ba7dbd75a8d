"""An operator takes a breaker over, for a time, and gives it back.

An order goes the way of every order: what `core/moves.py` makes of the verdict is
written if nobody was faster, and asked again about what is there if somebody was. It
holds as long as no other operator gave one that we did not know of. A write whose
answer was lost is looked up; only where that fails too, it stays in doubt.
"""

import uuid
from dataclasses import dataclass, replace
from typing import Final

from worker.core.moves import Hold, Release, moved
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, Override, Verdict, transition
from worker.ops.breakers import Standing, chosen_of, standing
from worker.ops.desk import Desk, InDoubt, Misused, asked, read
from worker.ops.votes import jurors
from worker.ports import Board, Unavailable

RACES_MAX: Final = 20
FOR_MIN_S: Final = 1.0
FOR_MAX_S: Final = 7 * 86_400.0
REASON_MAX: Final = 200
AUTHOR_MAX: Final = 80
# Answers that say for sure that nothing was written.
REFUSED: Final = frozenset(
    {
        "AccessDeniedException",
        "RecordUnreadable",
        "ResourceNotFoundException",
        "ValidationException",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of an order.

    Attributes:
        stands: Whether it is written; else somebody else was faster.
        needless: Whether there was nothing to do.
        before, now: The breaker as we knew it, and as it is.
        noted: Whether the history has its row.
        dry: Whether nothing was to be written.
    """

    stands: bool
    before: Standing
    now: Standing
    needless: bool = False
    noted: bool = True
    dry: bool = False


async def hold(
    desk: Desk,
    name: str,
    mode: Mode,
    *,
    for_s: float,
    author: str,
    reason: str,
    dry: bool = False,
    look_s: float = 0.0,
) -> Told:
    """Order a mode for a time; an order that is in force gives way to it.

    Args:
        desk: Where we sit.
        name: The breaker.
        mode: Any but `ENFORCE`.
        for_s: 1 s to 7 days.
        author: Who orders it, 1 to 80 characters.
        reason: Why, 1 to 200 characters.
        dry: Change nothing; the jury is asked what it would mean.
        look_s: With `dry`: look at the jury for so long.

    Raises:
        Misused: There is no such breaker, or a value is out of range.
        InDoubt: The order may or may not stand.
        Unavailable: The store could not be asked; nothing was changed.
    """
    if not FOR_MIN_S <= for_s <= FOR_MAX_S:
        msg = f"an override lasts from 1 s to 7 d, not {for_s:g} s"
        raise Misused(msg)
    author, reason = signed(author, reason)
    board = await read(desk)
    chosen_of(desk, board, [name])
    if dry:
        seats = await jurors(desk, look_s)
        seen = standing(desk, board, name, seats=seats, sure=look_s > 0)
        return Told(stands=False, before=seen, now=seen, dry=True)
    known = board.verdicts.get(name) or Verdict(name=name)
    order = Hold(
        override=Override(
            mode=mode,
            for_s=for_s,
            until_at=round(desk.at() + for_s, 3),
            author=author,
            reason=reason,
        ),
        number=known.orders,
    )
    return await _give(desk, board, name, order, author=author)


async def release(
    desk: Desk, name: str, *, author: str, reason: str = "", dry: bool = False
) -> Told:
    """End the override of a breaker; needless where there is none.

    Raises:
        Misused: There is no such breaker, or a text is too long.
        InDoubt: The override may or may not have ended.
        Unavailable: The store could not be asked; nothing was changed.
    """
    author, why = signed(author, f"released: {reason}" if reason else "released")
    board = await read(desk)
    chosen_of(desk, board, [name])
    seen = standing(desk, board, name)
    if seen.override is None or dry:
        return Told(
            stands=seen.override is None,
            needless=seen.override is None,
            before=seen,
            now=seen,
            dry=dry,
        )
    order = Release(number=seen.override.number)
    return await _give(desk, board, name, order, author=author, note=why)


def signed(author: str, reason: str) -> tuple[str, str]:
    """Who and why, fit to be kept and shown.

    Raises:
        Misused: One is empty, too long, or has characters that cannot be shown.
    """
    for what, text, most in (("reason", reason, REASON_MAX), ("author", author, AUTHOR_MAX)):
        if not 1 <= len(text.strip()) <= most or not text.strip().isprintable():
            msg = f"give a {what} of 1 to {most} printable characters on one line"
            raise Misused(msg.replace("a author", "an author"))
    return author.strip(), reason.strip()


async def _give(
    desk: Desk, board: Board, name: str, order: Hold | Release, *, author: str, note: str = ""
) -> Told:
    policy = desk.policies.get(name, BreakerPolicy())
    before = standing(desk, board, name)
    old = board.verdicts.get(name) or Verdict(name=name)
    tries: dict[str, tuple[Verdict, Verdict]] = {}
    for _ in range(RACES_MAX):
        nonce = uuid.uuid4().hex[:16]
        new = moved(old, order, policy, writer=author, nonce=nonce, at=round(desk.at(), 3))
        if new is None:
            noted = True
            stands = bool(tries) and _is_ours(order, old)
            if stands:  # written after all, and somebody wrote on top of it
                noted = await _noted(desk, *list(tries.values())[-1], note)
            needless = isinstance(order, Release) and old.override is None
            return Told(
                stands=stands or needless,
                needless=needless,
                before=before,
                now=_seen(desk, old),
                noted=noted,
            )
        tries[nonce] = (old, new)
        try:
            there = await _written(desk, old, new)
        except Unavailable as error:
            if len(tries) > 1:  # an earlier try may still be on its way
                raise InDoubt(error.store, error.why) from None
            raise
        if there.nonce in tries:
            noted = await _noted(desk, *tries[there.nonce], note)
            return Told(stands=True, before=before, now=_seen(desk, there), noted=noted)
        old = there
    raise Unavailable(store="breakers", why="RacedTooOften")


def _is_ours(order: Hold | Release, there: Verdict) -> bool:
    if isinstance(order, Release) or there.override is None:
        return False
    return replace(there.override, number=order.override.number) == order.override


def _seen(desk: Desk, verdict: Verdict) -> Standing:
    return standing(desk, Board(verdicts={verdict.name: verdict}), verdict.name)


async def _written(desk: Desk, old: Verdict, new: Verdict) -> Verdict:
    """What is there after the write: our own, or another that was faster.

    Raises:
        InDoubt: It may or may not be written.
        Unavailable: It is not written.
    """
    try:
        return await asked(desk.store.swap(old, new))
    except Unavailable as error:
        board = await after(desk, error)
        return board.verdicts.get(new.name) or Verdict(name=new.name)


async def after(desk: Desk, error: Unavailable) -> Board:
    """What the store holds after a write that failed.

    Raises:
        InDoubt: It cannot be told.
        Unavailable: The write cannot have been made.
    """
    # Also behind a network error may be an earlier try of the same request that came through.
    if error.local or error.why in REFUSED:
        raise error
    try:
        return await read(desk)
    except Unavailable:
        raise InDoubt(error.store, error.why) from None


async def _noted(desk: Desk, old: Verdict, new: Verdict, why: str) -> bool:
    """Keep the row of history that belongs to a write, as workers do."""
    row = transition(old, new, round(desk.at(), 3))
    assert row is not None, "an order changes the override"
    try:
        await asked(desk.store.note(replace(row, why=(why or row.why)[:REASON_MAX])))
    except Unavailable:
        return False
    return True
