"""Sending dead letters back: slowly, in stages, and never into an open circuit.

For each letter, in this order: the body is sent to its jobs queue with the generation it
asks for (`iw-redrive`), the copy in the dead-letter queue is deleted, the letter leaves
the list. Whoever dies between two steps leaves a copy that tells of an earlier life as
soon as the new one has begun, and a sweep deletes it when that one has ended and was told.
Two messages that ask for the same generation are one run: the ledger refuses the second.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from worker.core.dead import Copy, Letter, Pick
from worker.core.ledger import Record, State
from worker.ops.dead_bodies import kind_of, with_records
from worker.ops.dead_desk import DeadDesk, chosen, ended, noted, records_of, shut_routes, words_of
from worker.ops.dead_pace import Helm, Pace, Redriven
from worker.ops.dead_send import MOVED_ON, own_id, send_back, taken, would_die
from worker.ops.dead_sweep import Found, Sweep, sweeping
from worker.ports import Unavailable

LOOK_S: Final = 2.0  # between two looks at the circuit
POLL_S: Final = 1.0  # between two looks at a stage's jobs
TURN_S: Final = 1e-3  # so little is no wait
LAPSED: Final = "held for too long: others may have them in hand"
MISSING_SHOWN: Final = 20

Progress = Callable[[str], None]


async def redrive(
    desk: DeadDesk,
    pick: Pick,
    pace: Pace,
    *,
    author: str,
    why: str,
    dry: bool = False,
    tell: Progress = lambda _: None,
    helm: Helm | None = None,
) -> Redriven:
    """Send the letters that are meant back to their jobs queues.

    Args:
        desk: Where we sit.
        pick: Which letters.
        pace: How fast, and when to stop.
        author: Who does it.
        why: The reason, for the log.
        dry: Say what would be; receive, send and write nothing.
        tell: Is told of each stage, and now and then how far it is.
        helm: Counts what is sent, and stops it: no letter is sent after that.

    Raises:
        Misused: A text is out of range.
        Unavailable: A service could not be asked; nothing was sent.
    """
    letters = await chosen(desk, pick)
    shut = await shut_routes(desk, (letter.route for letter in letters))
    barred = {} if pace.force else shut
    free = {letter.job: letter for letter in letters if letter.route not in barred}
    told = Redriven(meant=len(letters), shut=shut, dry=dry, kept=_kept_by_circuits(letters, barred))
    if dry or not letters:
        return told
    if not free:
        return replace(told, stopped="no letter's route may be called")
    row = await noted(desk, "redrive", author=author, why=why, what=f"{words_of(pick)}: begun")
    run = _Run(desk, pace, free, tell, helm or Helm())
    await run.through()
    told = run.outcome(told)
    what = f"{words_of(pick)}: {told.sent} of {told.meant} sent"
    stopped = f", stopped: {told.stopped}" if told.stopped else ""
    await ended(desk, row, what + stopped)
    return told


def _kept_by_circuits(letters: Sequence[Letter], barred: dict[str, str]) -> dict[str, int]:
    return dict(Counter(_circuit(x.route, barred) for x in letters if x.route in barred))


def _circuit(route: str, shut: dict[str, str]) -> str:
    return f"route {route}: {shut[route]}"


class _Stopped(Exception):
    """No more is to be sent; the message says why."""


class _Run:
    """One redrive under way."""

    def __init__(
        self,
        desk: DeadDesk,
        pace: Pace,
        wanted: dict[str, Letter],
        tell: Progress,
        helm: Helm,
    ) -> None:
        self._desk = desk
        self._pace = pace
        self._wanted = wanted
        self._tell = tell
        self._helm = helm
        self._met: set[str] = set()
        self._sent: dict[str, int] = {}  # jobs, and the life whose letter was sent
        self._kept: Counter[str] = Counter()
        self._outdated = self._left = self._answered = self._died = 0
        self._stopped = ""
        self._due = self._looked = asyncio.get_running_loop().time()
        self._shut: dict[str, str] = {}
        self._stages = list(pace.stages)
        self._stage: dict[str, int] = {}  # jobs, and the life that each asks for

    async def through(self) -> None:
        """Sweep every dead-letter queue once, or until something speaks against it."""
        try:
            for queue in self._desk.dead_queues():
                async with sweeping(queue, self._desk.limits) as sweep:
                    while batch := await sweep.take():
                        self._heed()
                        await self._batch(sweep, batch)
                    await self._await_stage(sweep, [])
        except _Stopped as stop:
            self._stopped = str(stop)
        except Unavailable as error:
            self._stopped = f"{error.store} could not be asked ({error.why})"

    def outcome(self, told: Redriven) -> Redriven:
        """What became of it, added to what was known before."""
        missing = [] if self._stopped else sorted(self._wanted.keys() - self._met)
        return replace(
            told,
            sent=len(self._sent),
            answered=self._answered,
            died=self._died,
            kept=dict(Counter(told.kept) + self._kept),
            outdated=self._outdated,
            left=self._left,
            missing=tuple(missing[:MISSING_SHOWN]),
            missing_count=len(missing),
            stopped=self._stopped,
        )

    async def _batch(self, sweep: Sweep, batch: list[Found]) -> None:
        for n, (copy, record) in enumerate(await with_records(self._desk, batch)):
            match kind_of(copy, record):
                case Copy.OUTDATED:
                    self._outdated += await sweep.delete([copy])
                    self._meet_if_moved_on(copy.job, record)
                case Copy.LETTER if copy.job in self._sent:
                    # Only a second copy of that very letter: a job that has died again
                    # meanwhile has a letter of its own, and no other message.
                    if copy.generation == self._sent[copy.job]:
                        self._left += 1 - await sweep.delete([copy])
                case Copy.LETTER if copy.job in self._wanted:
                    assert record is not None, "a letter has its record"
                    self._met.add(copy.job)
                    await self._one(sweep, copy, record, batch[n:])
                case _:
                    continue

    def _meet_if_moved_on(self, job: str, record: Record | None) -> None:
        """A letter that was meant and is no more has no message to be missed."""
        letter = self._wanted.get(job)
        if letter is not None and record is not None and record.fence != letter.fence:
            self._met.add(job)
            self._kept[MOVED_ON] += 1

    async def _one(self, sweep: Sweep, copy: Found, record: Record, batch: list[Found]) -> None:
        if (why := await self._against(copy, record)) is not None:
            self._kept[why] += 1
            return
        await self._wait_for_turn()
        if not sweep.holds(copy):
            self._kept[LAPSED] += 1
            return
        await send_back(self._desk, copy, record, copy.delivery.body)
        self._sent[copy.job] = record.generation
        self._helm.sent = len(self._sent)
        self._watch(copy, record)
        self._left += 1 - await sweep.delete([copy])
        await self._desk.index.dismiss(self._wanted[copy.job])
        if self._stages and len(self._stage) >= self._stages[0]:
            await self._await_stage(sweep, batch)
        elif len(self._sent) % 100 == 0:
            self._tell(f"{len(self._sent)} of {len(self._wanted)} sent")

    def _watch(self, copy: Found, record: Record) -> None:
        """A message that nobody could read died under its MessageId, and runs under its own id."""
        own = own_id(self._desk, record, copy.delivery.body)
        self._stage[own] = record.generation + 1 if own == copy.job else 0

    async def _against(self, copy: Found, record: Record) -> str | None:
        """What speaks against sending this letter now, None if nothing does."""
        if record.fence != self._wanted[copy.job].fence:
            return MOVED_ON
        if (conflict := await taken(self._desk, record, copy.delivery.body)) is not None:
            return conflict
        if self._pace.force:
            return None
        await self._look_at_circuits()
        if record.route in self._shut:
            return _circuit(record.route, self._shut)
        return would_die(self._desk, record, copy.delivery.body)

    async def _look_at_circuits(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        routes = {letter.route for letter in self._wanted.values()}
        self._shut = await shut_routes(self._desk, routes)
        if self._shut.keys() >= routes and self._shut:
            raise _Stopped("; ".join(_circuit(route, self._shut) for route in self._shut))

    async def _wait_for_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now)
        while (left_s := self._due - asyncio.get_running_loop().time()) > TURN_S:
            await asyncio.sleep(min(POLL_S, left_s))
            self._heed()
        self._heed()
        self._due += 1 / self._pace.rate

    def _heed(self) -> None:
        if self._helm.stop:
            raise _Stopped(self._helm.stop)

    async def _await_stage(self, sweep: Sweep, batch: list[Found]) -> None:
        """Wait until the jobs of a stage have ended; the batch in hand stays ours."""
        if not self._stages or not self._stage:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting, answered, died = set(self._stage), 0, 0
        self._tell(f"stage of {len(waiting)}: sent, waiting for their answers")
        while True:
            records = await records_of(self._desk, waiting)
            for job, record in records.items():
                if record.generation < self._stage[job] or not record.state.final:
                    continue
                waiting.discard(job)
                died += record.state is State.DEAD
                answered += record.state in (State.ANSWERED, State.DEGRADED)
            if not waiting:
                break
            if self._helm.stop or loop.time() - began > self._pace.stage_s:
                self._answered, self._died = self._answered + answered, self._died + died
                self._heed()
                msg = f"{len(waiting)} jobs of the stage had not ended in {self._pace.stage_s:g} s"
                raise _Stopped(msg)
            await asyncio.sleep(POLL_S)
            await sweep.keep(batch)
        self._answered, self._died = self._answered + answered, self._died + died
        if died > self._pace.stop_share * len(self._stage):
            msg = f"{died} of the stage's {len(self._stage)} jobs died again"
            raise _Stopped(msg)
        self._tell(f"stage of {len(self._stage)}: {answered} answered, {died} died again")
        self._stage = {}
        self._stages.pop(0)
