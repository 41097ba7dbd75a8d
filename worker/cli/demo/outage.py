"""The first act: a model that ails, then one that is down, and a fleet that shares a circuit.

Jobs keep coming all the while, so many a second. What the circuit did is read from its
own table; what it did to the model, from the model's own count.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from worker.cli.demo import logs
from worker.cli.demo.circuit import CLOSED, HALF_OPEN, OPEN, Bout, Circuit, Count, Turn
from worker.cli.demo.company import LOOK_S, Company, Rows
from worker.cli.demo.mix import BROWNOUT, BROWNOUT_RATE, OUTAGE, WELL, Sort, question
from worker.cli.demo.screen import BAD, GOOD, NORMAL, Screen
from worker.cli.demo.watch import Watch
from worker.client import Client
from worker.core.policy import BreakerPolicy
from worker.local.moods import Mood

JOBS_PER_S: Final = 10
BROWNOUT_S: Final = 5.0
OUTAGE_S: Final = 8.0
BAD_ROUNDS: Final = 1  # at least: the second rest is to be seen, and longer
COUNT_S: Final = 0.1
ANSWERS_S: Final = 3.0  # for answers that were delayed; others come later
OPENS_S: Final = 20.0  # these two are far above what is needed: this machine may be busy
CLOSES_S: Final = 30.0
_STYLE: Final = {OPEN: BAD, CLOSED: GOOD}


class Outage:
    """One performance of the act."""

    def __init__(
        self, company: Company, watch: Watch, screen: Screen, client: Client, canary: str
    ) -> None:
        self._company = company
        self._watch = watch
        self._screen = screen
        self._client = client
        self._canary = canary
        self._zero_at = time.time() - screen.elapsed_s
        self._counts: list[Count] = []
        self._turns: tuple[Turn, ...] = ()
        self._stopped_s: dict[str, float] = {}
        self._rows: Rows = {}
        self._sends: tuple[Sort, float, int] | None = None

    async def tell(self) -> Circuit:
        """Play it, and return what was seen.

        Raises:
            Trouble: A process has ended by itself, or a job was not taken.
        """
        counting = asyncio.create_task(self._count())
        try:
            brownout = await self._brownout()
            outage = await self._outage()
            await self._recovery()
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
        self._counts.append(await self._watch.count(self._zero_at))
        policy = BreakerPolicy()
        return Circuit(
            turns=self._turns,
            counts=tuple(self._counts),
            brownout=brownout,
            outage=outage,
            probes=policy.probes,
            ramp=policy.ramp,
            failed_by={
                worker: sum(at_s >= outage.began_s for at_s in told)
                for worker, told in self._failed_s().items()
            },
            stopped_s=self._stopped_s,
        )

    # --- scenes ----------------------------------------------------------------

    async def _brownout(self) -> Bout:
        before = await self._ails(BROWNOUT)
        self._screen.say(
            "brown-out",
            f"{BROWNOUT_RATE * 100:.0f} % of all calls fail from now on; {JOBS_PER_S} jobs come "
            "each second",
            BAD,
        )
        self._sends = (Sort.BROWNOUT, before.at_s, 0)
        await self._until(lambda: self._screen.elapsed_s - before.at_s >= BROWNOUT_S, BROWNOUT_S)
        bout = await self._is_well(before)
        self._sends = None
        await self._until(lambda: self._all_over(Sort.BROWNOUT), ANSWERS_S)
        self._screen.say(
            "well",
            f"{bout.failed} of {bout.calls} calls failed, and the circuit "
            + ("was opened" if self._turns else "stayed closed"),
            BAD if self._turns else GOOD,
        )
        return bout

    async def _outage(self) -> Bout:
        before = await self._ails(OUTAGE)
        self._screen.say(
            "outage", "every call fails from now on (503 and 500); the jobs keep coming", BAD
        )
        self._sends = (Sort.OUTAGE, before.at_s, 0)
        await self._until(
            lambda: (
                self._screen.elapsed_s - before.at_s >= OUTAGE_S
                and self._bad_rounds() >= BAD_ROUNDS
            ),
            OPENS_S,
        )
        bout = await self._is_well(before)
        self._screen.say(
            "well",
            f"the model answers again, after {bout.took_s:.0f} s. Nobody tells the workers",
            GOOD,
        )
        return bout

    async def _recovery(self) -> None:
        await self._until(lambda: self._is(CLOSED), CLOSES_S)
        self._sends = None
        await self._until(lambda: self._all_over(Sort.OUTAGE), ANSWERS_S)
        answered, jobs = self._over(Sort.OUTAGE)
        self._screen.say(
            "caught up",
            f"{answered} of {jobs} jobs of the outage are finished"
            + ("; others are parked, and come back" if answered < jobs else ""),
            GOOD,
        )

    async def _ails(self, mood: Mood) -> Count:
        before = await self._watch.count(self._zero_at)
        await self._watch.set_mood(mood)
        return before

    async def _is_well(self, before: Count) -> Bout:
        await self._look()
        await self._watch.set_mood(WELL)
        after = await self._watch.count(self._zero_at)
        return Bout(
            began_s=before.at_s,
            ended_s=after.at_s,
            calls=after.calls - before.calls,
            failed=after.failed - before.failed,
        )

    # --- small change ----------------------------------------------------------

    async def _until(self, moment: Callable[[], bool], limit_s: float) -> None:
        """Look until the moment has come; what follows if it does not is told at the end."""
        until_s = self._screen.elapsed_s + limit_s
        while True:
            await self._look()
            if moment() or self._screen.elapsed_s >= until_s:
                return
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        await self._send()
        turns = [
            replace(turn, by=self._company.name_of(turn.by))
            for turn in await self._watch.turns(self._zero_at)
        ]
        for turn in turns[len(self._turns) :]:
            self._tell(turn)
        self._turns = tuple(turns)
        self._rows, _ = await self._company.look()

    def _tell(self, turn: Turn) -> None:
        if turn.new == HALF_OPEN and not self._stopped_s:
            for worker, told in self._failed_s().items():
                self._stopped_s[worker] = max(
                    (at_s for at_s in told if at_s < turn.at_s), default=0
                )
            last = ", ".join(f"{w}'s at {at_s:.1f} s" for w, at_s in self._stopped_s.items())
            self._screen.say("stopped", f"the last calls ended: {last}", at_s=turn.at_s)
        text = f"{_does(turn)}: {turn.why}"
        self._screen.say(turn.by, text, _STYLE.get(turn.new, NORMAL), at_s=turn.at_s)

    def _failed_s(self) -> dict[str, list[float]]:
        return {
            worker.name: [at - self._zero_at for at in logs.failed_at(worker)]
            for worker in self._company.here
        }

    def _is(self, state: str) -> bool:
        return bool(self._turns) and self._turns[-1].new == state

    def _bad_rounds(self) -> int:
        return sum((turn.old, turn.new) == (HALF_OPEN, OPEN) for turn in self._turns)

    def _all_over(self, sort: Sort) -> bool:
        over, jobs = self._over(sort)
        return over == jobs

    def _over(self, sort: Sort) -> tuple[int, int]:
        """How many jobs of a sort are finished, and how many were sent."""
        jobs = [job for job, order in self._company.sent.items() if order.sort is sort]
        return sum(job in self._rows and self._rows[job].final for job in jobs), len(jobs)

    async def _send(self) -> None:
        if self._sends is None:
            return
        sort, began_s, sent = self._sends
        due = int((self._screen.elapsed_s - began_s) * JOBS_PER_S)
        orders = [question(sort, number, self._canary) for number in range(sent + 1, due + 1)]
        await self._company.send(self._client, orders)
        self._sends = (sort, began_s, max(sent, due))

    async def _count(self) -> None:
        while True:
            self._counts.append(await self._watch.count(self._zero_at))
            await asyncio.sleep(COUNT_S)


def _does(turn: Turn) -> str:
    """What its writer does."""
    match turn.new:
        case "open":
            again = "again, " if turn.old == HALF_OPEN else ""
            return f"opens the fleet's circuit {again}for {turn.rest_s:.1f} s"
        case "half_open":
            return f"begins round {turn.round} of probes"
        case "ramp":
            return f"lets {turn.share * 100:.0f} % of the slots call"
        case "closed":
            return "closes the circuit"
        case other:
            return other
