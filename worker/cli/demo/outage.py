"""The first act: a model that ails, then one Region that fails, then both, and all well again.

A brown-out first. Then jobs of two routes keep coming: when near fails they move to far;
when far fails as well, those of chat get a second-best answer, and those of batch wait.
"""

from typing import Final

from worker.cli.demo.act import Act, Waiting
from worker.cli.demo.circuit import CLOSED, HALF_OPEN, OPEN, Bout, Count, Turn
from worker.cli.demo.company import Company
from worker.cli.demo.facts import DEGRADED, PARKED
from worker.cli.demo.lookout import JOBS_PER_S, Lookout
from worker.cli.demo.mix import BROWNOUT, BROWNOUT_RATE, OUTAGE, WELL, Sort
from worker.cli.demo.plans import BATCH, FAR, NEAR, REGIONS
from worker.cli.demo.screen import BAD, GOOD, NORMAL, Screen
from worker.cli.demo.watch import Watch, parked_queue

BROWNOUT_S: Final = 5.0
MOVING_S: Final = 2.0  # at least, after near's circuit opened
BOTH_S: Final = 4.0  # at least, that both Regions fail
POLLS_MIN: Final = 6  # of chat's parked queue, while both circuits rest: fewer tell nothing
ANSWERS_S: Final = 2.0  # for answers that were delayed; others come later
# These are far above what is needed: this machine may be busy.
OPENS_S: Final = 20.0
MOVES_S: Final = 15.0
CLOSES_S: Final = 30.0
_STYLE: Final = {OPEN: BAD, CLOSED: GOOD}


class Outage:
    """One performance of the act."""

    def __init__(self, company: Company, watch: Watch, screen: Screen, canary: str) -> None:
        self._screen = screen
        self._lookout = Lookout(company, watch, screen, canary, self._tell)
        self._stopped: set[str] = set()  # targets of which it was told when the last calls ended

    async def tell(self) -> Act:
        """Play it, and return what was seen.

        Raises:
            Trouble: A process has ended by itself, or a job was not taken.
        """
        async with self._lookout as lookout:
            brownout = await self._brownout()
            near = await self._near_fails()
            far = await self._far_fails()
            waiting = self._waiting()
            well = await self._both_well()
            await self._recovery(waiting)
        return Act(
            zero_at=lookout.zero_at,
            brownout=brownout,
            turns=lookout.turns,
            near=lookout.circuit(NEAR, _bout(near, well[NEAR])),
            far=lookout.circuit(FAR, _bout(far, well[FAR])),
            waiting=waiting,
            polls=tuple(lookout.polls),
        )

    # --- scenes ----------------------------------------------------------------

    async def _brownout(self) -> Bout:
        lookout = self._lookout
        began = (await lookout.set_mood(BROWNOUT, NEAR))[NEAR]
        self._screen.say(
            "brown-out",
            f"{BROWNOUT_RATE * 100:.0f} % of all calls fail from now on; {JOBS_PER_S} jobs come "
            "each second",
            BAD,
        )
        lookout.send(Sort.BROWNOUT)
        await lookout.until(lambda: self._since(began) >= BROWNOUT_S, BROWNOUT_S)
        bout = _bout(began, (await lookout.set_mood(WELL))[NEAR])
        lookout.send()
        await lookout.until(lambda: lookout.are_over(Sort.BROWNOUT), ANSWERS_S)
        self._screen.say(
            "well",
            f"{bout.failed} of {bout.calls} calls failed, and the circuit "
            + ("was opened" if lookout.turns else "stayed closed"),
            BAD if lookout.turns else GOOD,
        )
        return bout

    async def _near_fails(self) -> Count:
        lookout = self._lookout
        began = (await lookout.set_mood(OUTAGE, NEAR))[NEAR]
        self._screen.say(
            "near fails",
            f"every call to {REGIONS[NEAR]} fails from now on (503 and 500); the jobs that come "
            f"now may go to {REGIONS[FAR]} too",
            BAD,
        )
        lookout.send(Sort.MOVED)
        await lookout.until(lambda: self._open_for_s(NEAR) >= MOVING_S, OPENS_S)
        lookout.send()
        await lookout.until(lambda: lookout.are_over(Sort.MOVED), MOVES_S)
        await lookout.look_closely()
        rows = [row for row in lookout.of(Sort.MOVED).values() if row and row.target == FAR]
        self._screen.say(
            "moved",
            f"{len(rows)} of {len(lookout.of(Sort.MOVED))} jobs are answered by far, after "
            f"{sum(row.took_s for row in rows) / max(1, len(rows)):.1f} s on the mean",
            GOOD,
        )
        return began

    async def _far_fails(self) -> Count:
        lookout = self._lookout
        began = (await lookout.set_mood(OUTAGE, FAR))[FAR]
        self._screen.say(
            "far fails",
            f"every call to {REGIONS[FAR]} fails as well; jobs come for chat, which has a cache, "
            "and for batch, which can only wait",
            BAD,
        )
        lookout.send(Sort.CHAT, Sort.BATCH)
        await lookout.until(lambda: self._since(began) >= BOTH_S and self._all_shown(), OPENS_S)
        return began

    def _waiting(self) -> Waiting:
        lookout = self._lookout
        batch = lookout.of(Sort.BATCH)
        waiting = Waiting(
            parked=frozenset(job for job, row in batch.items() if row and row.state == PARKED),
            doorbells=lookout.depth[parked_queue(BATCH)],
            untouched=sum(row is None for row in batch.values()),
        )
        self._screen.say(
            "degraded",
            f"{self._degraded()} of {len(lookout.of(Sort.CHAT))} chat jobs have the answer that "
            "the same question got before, and are told so",
            GOOD,
        )
        self._screen.say(
            "parked",
            f"{len(waiting.parked)} of {len(batch)} batch jobs were tried, and wait in the parked "
            f"queue; {waiting.untouched} more in the jobs queue",
            GOOD,
        )
        return waiting

    async def _both_well(self) -> dict[str, Count]:
        well = await self._lookout.set_mood(WELL)
        self._screen.say("both well", "both Regions answer again. Nobody tells the workers", GOOD)
        return well

    async def _recovery(self, waiting: Waiting) -> None:
        lookout = self._lookout
        await lookout.until(lambda: self._is(NEAR, CLOSED), CLOSES_S)
        lookout.send()
        sorts = (Sort.CHAT, Sort.BATCH)
        await lookout.until(lambda: lookout.are_over(*sorts), ANSWERS_S)
        rows = [row for job in waiting.parked if (row := lookout.rows.get(job))]
        self._screen.say(
            "released",
            f"{sum(row.final for row in rows)} of {len(waiting.parked)} parked jobs are back, and "
            "answered",
            GOOD,
        )
        ended, jobs = lookout.ended(*sorts), len(lookout.of(*sorts))
        self._screen.say(
            "caught up",
            f"{ended} of {jobs} jobs of both outages are finished"
            + ("; others are parked, and come back" if ended < jobs else ""),
            GOOD,
        )

    # --- when a scene is over --------------------------------------------------

    def _since(self, began: Count) -> float:
        return self._screen.elapsed_s - began.at_s

    def _open_for_s(self, target: str) -> float:
        """How long ago a circuit was first opened, in seconds; 0 if it was not."""
        turns = self._lookout.of_target(target)
        return self._screen.elapsed_s - turns[0].at_s if turns else 0.0

    def _all_shown(self) -> bool:
        """Whether far's circuit had a bad round, both rested, and there is a job of each kind."""
        bad = any((t.old, t.new) == (HALF_OPEN, OPEN) for t in self._lookout.of_target(FAR))
        batch = self._lookout.of(Sort.BATCH).values()
        parked = any(row and row.state == PARKED for row in batch)
        rested = self._lookout.rest.chat >= POLLS_MIN
        return bad and rested and parked and self._degraded() > 0

    def _degraded(self) -> int:
        chat = self._lookout.of(Sort.CHAT).values()
        return sum(row is not None and row.state == DEGRADED for row in chat)

    def _is(self, target: str, state: str) -> bool:
        turns = self._lookout.of_target(target)
        return bool(turns) and turns[-1].new == state

    # --- telling ---------------------------------------------------------------

    def _tell(self, turn: Turn) -> None:
        if turn.new == HALF_OPEN and turn.breaker not in self._stopped:
            self._stopped.add(turn.breaker)
            told = self._lookout.failed_s(turn.breaker)
            last = ", ".join(
                f"{worker}'s at {max((s for s in at if s < turn.at_s), default=0):.1f} s"
                for worker, at in told.items()
            )
            text = f"the last calls to {turn.breaker} ended: {last}"
            self._screen.say("stopped", text, at_s=turn.at_s)
        text = f"{_does(turn)}: {turn.why}"
        self._screen.say(turn.by, text, _STYLE.get(turn.new, NORMAL), at_s=turn.at_s)


def _bout(before: Count, after: Count) -> Bout:
    return Bout(
        began_s=before.at_s,
        ended_s=after.at_s,
        calls=after.calls - before.calls,
        failed=after.failed - before.failed,
    )


def _does(turn: Turn) -> str:
    """What its writer does."""
    match turn.new:
        case "open":
            again = "again, " if turn.old == HALF_OPEN else ""
            return f"opens the circuit of {turn.breaker} {again}for {turn.rest_s:.1f} s"
        case "half_open":
            return f"begins round {turn.round} of probes of {turn.breaker}"
        case "ramp":
            return f"lets {turn.share * 100:.0f} % of the slots call {turn.breaker}"
        case "closed":
            return f"closes the circuit of {turn.breaker}"
        case other:
            return other
