"""Throwing dead letters away: the message is deleted, then the letter leaves the list.

In this order, so that whoever dies between the two leaves a letter on the list. It has no
message any more, so `--unfound` takes it off, or its age does. The record stays in the ledger
until its time to live ends, and says to whoever asks that the job has failed.
"""

from dataclasses import dataclass, replace
from typing import Final

from worker.core.dead import Copy, Letter, Pick
from worker.ops.dead_bodies import kind_of, with_records
from worker.ops.dead_desk import DeadDesk, chosen, ended, noted, words_of
from worker.ops.dead_redrive import MISSING_SHOWN
from worker.ops.dead_sweep import sweeping
from worker.ports import Queue, Unavailable

RETENTION_S: Final = 14 * 86_400.0  # no queue keeps a message longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """What became of it.

    Attributes:
        meant: Letters that fit.
        gone: Letters that are off the list, `unsent` of them without a message of theirs.
        missing: The first jobs whose message was not in reach; `missing_count` counts them.
        stopped: Why it stopped before its end, "" if it did not.
    """

    meant: int
    gone: int = 0
    unsent: int = 0
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    stopped: str = ""
    dry: bool = False


async def discard(
    desk: DeadDesk,
    pick: Pick,
    *,
    author: str,
    why: str,
    unfound: bool = False,
    dry: bool = False,
) -> Discarded:
    """Throw away the letters that are meant.

    Args:
        desk: Where we sit.
        pick: Which letters.
        author: Who does it.
        why: The reason, for the log.
        unfound: Take letters off the list whose message is not in reach, too. Those that
            are older than any queue keeps a message are taken off anyway.
        dry: Say what would be; receive and write nothing.

    Raises:
        Misused: A text is out of range.
        Unavailable: A service could not be asked; nothing was thrown away.
    """
    letters = {letter.job: letter for letter in await chosen(desk, pick)}
    told = Discarded(meant=len(letters), dry=dry)
    if dry or not letters:
        return told
    row = await noted(desk, "discard", author=author, why=why, what=f"{words_of(pick)}: begun")
    gone: set[str] = set()
    unsent = 0
    try:
        for queue in desk.dead_queues():
            await _swept(desk, queue, letters, gone)
        old_at = desk.at() - RETENTION_S
        for letter in letters.values():
            if letter.job not in gone and (unfound or letter.died_at < old_at):
                await desk.index.dismiss(letter)
                gone.add(letter.job)
                unsent += 1
    except Unavailable as error:
        told = replace(told, stopped=f"{error.store} could not be asked ({error.why})")
    missing = [] if told.stopped else sorted(letters.keys() - gone)
    told = replace(
        told,
        gone=len(gone),
        unsent=unsent,
        missing=tuple(missing[:MISSING_SHOWN]),
        missing_count=len(missing),
    )
    what = f"{words_of(pick)}: {told.gone} of {told.meant} discarded"
    stopped = f", stopped: {told.stopped}" if told.stopped else ""
    await ended(desk, row, what + stopped)
    return told


async def _swept(desk: DeadDesk, queue: Queue, letters: dict[str, Letter], gone: set[str]) -> None:
    async with sweeping(queue, desk.limits) as sweep:
        while batch := await sweep.take():
            for copy, record in await with_records(desk, batch):
                letter = letters.get(copy.job)
                match kind_of(copy, record):
                    case Copy.OUTDATED:
                        await sweep.delete([copy])
                    case Copy.LETTER if letter is not None and record is not None:
                        if record.fence == letter.fence and await sweep.delete([copy]):
                            await desk.index.dismiss(letter)
                            gone.add(copy.job)
                    case _:
                        continue
