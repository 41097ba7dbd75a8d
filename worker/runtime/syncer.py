"""Keeps the gates of one process in step with the fleet.

    calm            the verdicts are read every 15 s; whether calls hang is looked at every second
    a call failed   they are read at once, but not more than once a second
    not closed      every second, or with more than 5,000 workers a little slower: who
                    waits for the next step does not want to miss it
    the store lost  nothing is queued up; after a few seconds the process goes on alone,
                    also when it can be read and takes no write: nobody could get a ticket

So freshness follows the damage: a worker whose calls succeed loses nothing by
learning late. No job waits for anything in here, but a probe for its ticket.

When to look is decided here, by this process's own clock. What follows from it is
decided in `core/jury.py` and `core/moves.py`, and holds only if it is still true.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from worker.core.events import BreakersBlind, StoreFailed
from worker.core.gate import PATIENCE_S, Gate
from worker.core.moves import BeginRound, Release
from worker.core.policy import EVERY, PolicyChange
from worker.core.retry import backoff_s
from worker.core.sightings import Sighting
from worker.core.verdict import Mode, State, Verdict, is_behind
from worker.ports import Board, BreakerStore, Tell, Unavailable
from worker.runtime.gates import Gates
from worker.runtime.juror import ALARM_S, SPREAD, TICK_S, Juror
from worker.runtime.orders import ASK_S, Orders
from worker.runtime.tickets import FleetTickets

CALM_S: Final = 15.0
LOOK_S: Final = 1.0
READS_PER_S: Final = 5000  # of the whole fleet; one partition gives 6,000 such reads
BLIND_AFTER_S: Final = 5.0
RESYNC_MAX_S: Final = 5.0


class Syncer:
    """The link between one process's gates and the breakers' store.

    Args:
        store: The breakers' store.
        gates: The process's gates.
        worker: The process's name.
        at: The wall clock, seconds since 1970.
        roll: Dice, even in [0, 1).
        tell: Who wants to know.
        seen: What went wrong in this process of late; nothing is told of it without.
    """

    def __init__(
        self,
        store: BreakerStore,
        gates: Gates,
        *,
        worker: str,
        at: Callable[[], float],
        roll: Callable[[], float],
        tell: Tell,
        seen: Callable[[float], tuple[Sighting, ...]] = lambda _: (),
    ) -> None:
        self._store = store
        self._gates = gates
        self._at = at
        self._roll = roll
        self._tell = tell
        self._alarm = asyncio.Event()
        self._orders = Orders(store, worker=worker, at=at, tell=tell)
        self._juror = Juror(store, self._orders, gates, worker=worker, roll=roll, at=at, seen=seen)
        self._tickets = FleetTickets(
            self._orders, roll=roll, alarm=self._alarm.set, lost=self._lost
        )
        self._by_name = {gate.local.name: gate for gate in gates}
        self._policies = {gate.local.name: gate.policy for gate in gates}
        self._changes: dict[str, PolicyChange] = {}
        self._followed: dict[str, list[int]] = {}
        self._read_at = -CALM_S
        self._read_due = 0.0
        self._fails = 0
        self._failing_since: float | None = None
        self._blind = False
        gates.share(self._tickets, self._alarm.set)

    @property
    def age_s(self) -> float:
        """Since the verdicts were last read, in seconds."""
        return max(0.0, self._now() - self._read_at)

    async def start(self) -> None:
        """Read the verdicts before the first job; if they cannot be had, begin with one call."""
        try:
            self._learn(await self._orders.ask(self._store.read(consistent=True)))
        except Unavailable as error:
            self._lost(error, "read")
            for gate in self._gates:
                gate.local.start_over(self._now(), limit=1.0)

    async def run(self) -> None:
        """Keep in step until cancelled."""
        # A fleet that starts together does not ask together.
        self._read_due = self._juror.due = self._now() + self._roll() * ALARM_S
        while True:
            await self._next()
            try:
                await self._step()
            except Unavailable as error:
                self._lost(error, "sync")

    async def leave(self) -> None:
        """Leave the jury, so that nobody waits for our vote; what we know is kept in step.

        Never raises, and takes two seconds at most: a seat also lapses by itself.
        """
        self._juror.leave()
        self._alarm.set()
        try:
            async with asyncio.timeout(ASK_S):
                await self._juror.gone.wait()
        except TimeoutError:
            return

    async def _next(self) -> None:
        """Wait for the next thing to do: by the clock, or because something happened."""
        if self._fails:
            await asyncio.sleep(max(0.0, self._read_due - self._now()))
            return
        try:
            async with asyncio.timeout_at(
                min(self._read_due, self._juror.due, self._now() + LOOK_S)
            ):
                await self._alarm.wait()
        except TimeoutError:
            return
        self._alarm.clear()
        if not self._tickets.pending and self._juror.due > self._now():
            # What failed is looked at once, but not more often than once a second.
            self._read_due = min(self._read_due, max(self._now(), self._read_at + ALARM_S))
            await asyncio.sleep(max(0.0, self._read_due - self._now()))

    async def _step(self) -> None:
        self._gates.look(self._now())
        if self._fails or self._now() + TICK_S >= self._read_due:
            await self._read()
        if self._orders.refusals.fresh(self._now()):
            await self._try_to_write()
        await self._tickets.deliver(self._by_name)
        await self._juror.keep(self._now())
        for gate in self._gates:
            await self._decide(gate)

    async def _try_to_write(self) -> None:
        """Go on from an open circuit, for whoever could not: only a write tells that they pass."""
        now = self._now()
        for gate in self._gates:
            if gate.rested(now):
                await self._orders.give(gate, BeginRound(stage=gate.verdict.stage))
            elif gate.verdict.state is State.HALF_OPEN:
                await self._tickets.conclude(gate, overdue=gate.overdue(now))

    async def _decide(self, gate: Gate) -> None:
        now, override = self._now(), gate.verdict.override
        ended = override is not None and self._at() >= override.until_at
        if override is not None and ended and gate.mode(now) is Mode.ENFORCE:
            await self._orders.give(gate, Release(number=override.number))
        if gate.verdict.state is State.HALF_OPEN:
            patience_s = 0.0 if self._juror.seated else PATIENCE_S
            await self._tickets.conclude(gate, overdue=gate.overdue(now - patience_s))
        else:
            await self._juror.judge(gate, now)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- reading ---------------------------------------------------------------

    async def _read(self) -> None:
        board = await self._orders.ask(self._store.read())
        for verdict in board.verdicts.values():
            await self._orders.recall(verdict)
        if any(_lags(gate, board) for gate in self._gates):
            # A read may be behind our own write; only a consistent one tells of a loss.
            board = await self._orders.ask(self._store.read(consistent=True))
            for gate in self._gates:
                if _lags(gate, board):
                    await self._restore(gate, board)
        self._learn(board)

    async def _restore(self, gate: Gate, board: Board) -> None:
        """Write back what one breaker has lost; what the others have is learned all the same."""
        name = gate.local.name
        try:
            await self._orders.restore(gate, board.verdicts.get(name, Verdict(name=name)))
        except Unavailable as error:
            self._tell(StoreFailed(store=error.store, operation="restore", why=error.why))

    def _learn(self, board: Board) -> None:
        now = self._now()
        self._changes |= board.policies  # a store that lost them takes none of them back
        for gate in self._gates:
            verdict = board.verdicts.get(gate.local.name)
            if verdict is not None and gate.adopt(verdict, now, self._at()):
                self._orders.refusals.end()  # somebody can write
                self._juror.refusals.end()
            self._follow(gate)
        self._read_at = now
        self._fails, self._failing_since = 0, None
        self._see(now)
        verdicts = [gate.verdict for gate in self._gates]
        calm = all(v.state is State.CLOSED and v.override is None for v in verdicts)
        pace_s = CALM_S if calm else max(ALARM_S, self._juror.fleet_size / READS_PER_S)
        self._read_due = now + pace_s * (1 - SPREAD + 2 * SPREAD * self._roll())

    def _follow(self, gate: Gate) -> None:
        """Judge by the policy in the store: that for every breaker, then the breaker's own."""
        name = gate.local.name
        changes = [self._changes[key] for key in (EVERY, name) if key in self._changes]
        versions = [change.version for change in changes]
        if versions == self._followed.get(name, []):
            return
        self._followed[name] = versions
        policy = self._policies[name]
        for change in changes:
            try:
                policy = policy.changed(change.values)
            except ValueError:  # a later version's knob, or nonsense: what we have goes on
                self._tell(StoreFailed(store="breakers", operation="policy", why="ValueError"))
        gate.follow(policy)

    # --- without the store -----------------------------------------------------

    def _lost(self, error: Unavailable, operation: str) -> None:
        now = self._now()
        self._tell(StoreFailed(store=error.store, operation=operation, why=error.why))
        if self._failing_since is None:
            self._failing_since = now
        self._see(now)
        self._fails += 1
        wait_s = backoff_s(self._fails, self._roll(), base_s=1.0, cap_s=RESYNC_MAX_S)
        self._read_due = now + max(ALARM_S / 2, wait_s)

    def _see(self, now: float) -> None:
        """Go on alone if the store has been of no use for a while, and together if it is."""
        failing_s = 0.0 if self._failing_since is None else now - self._failing_since
        refused_s = max(one.refusals.lasted_s(now) for one in (self._orders, self._juror))
        blind = max(failing_s, refused_s) >= BLIND_AFTER_S
        if blind == self._blind:
            return
        self._blind = blind
        for gate in self._gates:
            if blind:
                gate.go_blind(now, self._juror.fleet_size)
            else:
                gate.see_again(now)
        self._tell(BreakersBlind(blind=blind, fleet_size=round(self._juror.fleet_size, 1)))


def _lags(gate: Gate, board: Board) -> bool:
    there = board.verdicts.get(gate.local.name)
    return is_behind(Verdict(name=gate.local.name) if there is None else there, gate.verdict)
