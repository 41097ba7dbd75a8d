"""The gate before one target: what the process, the fleet and the operator allow.

    an operator's override in force   beats everything
    the fleet's verdict               only takes away: rest, tickets, a share of the slots
    the breaker of this process       stands behind it, and alone while the store is lost

A verdict is adopted when it is newer. Its lengths of time are counted on this
process's own clock from when its stage was first seen here.

In a pull loop a share of *jobs* limits nothing: whoever is refused four jobs of five
pulls five times as many. So the ramp admits a share of each worker's *slots*; what
is left over after the comma goes round: a draw by worker and epoch says who has it
first, and while a step lasts it is another worker's turn every `stuck_s`. Else a small
fleet in which nobody drew a slot would make no call, and never earn the next step.
"""

from dataclasses import dataclass
from typing import Final

from worker.core.breaker import FULL_RETRY_S, NO_REFUSAL, Breaker, Permit, Refusal, draw
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, State, Verdict, is_behind
from worker.core.window import NEVER, Outcome

ASK_AGAIN_S: Final = 1.0
STEP_SPREAD_S: Final = 1.0  # within which the workers of a fleet take a step of the recovery
ROUND_MARGIN_S: Final = 5.0  # behind the probes' own limit, for their reports to arrive
PATIENCE_S: Final = 10.0  # for how long jurors alone may begin a round


@dataclass(frozen=True, slots=True)
class NeedsTicket:
    """The call may go out as a probe if a ticket of this very stage can be had."""

    stage: int


def slots_admitted(slots: int, share: float, *of: object, turn: int = 0) -> int:
    """How many of a worker's slots a share of the fleet's slots comes to.

    Args:
        slots: The worker's.
        share: 0 to 1.
        of: Decides by a draw who gets the part of a slot that is left over.
        turn: Counts from 0; a part of 1/n comes to each worker once in n turns.

    >>> slots_admitted(8, 0.5), slots_admitted(8, 1.0)
    (4, 8)
    >>> sum(slots_admitted(1, 0.2, f"worker-{n}", 1) for n in range(1000))
    187
    >>> [slots_admitted(1, 0.25, "worker-1", 1, turn=turn) for turn in range(8)]
    [1, 0, 0, 0, 1, 0, 0, 0]
    """
    whole = int(slots * share)
    part = slots * share - whole
    return whole + ((draw(*of) + turn * part) % 1.0 < part)


class Gate:
    """The gate before one target, in one process.

    Attributes:
        local: The breaker of this process.
        verdict: The fleet's, as far as we know.
        seen_at: When its stage was first seen here.
        blind: Whether the store is out of reach.
    """

    __slots__ = (
        "_calm_since",
        "_juror",
        "_override_until",
        "_plain",
        "_policy",
        "_refused",
        "_slots",
        "_steps_at",
        "_steps_from",
        "_troubled_since",
        "_worker",
        "blind",
        "local",
        "seen_at",
        "verdict",
    )

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        slots: int,
        worker: str,
        lapse_s: float = 900.0,
        now: float,
    ) -> None:
        self.local = Breaker(name, policy, slots=slots, salt=worker, lapse_s=lapse_s, now=now)
        self.verdict = Verdict(name=name)
        self.seen_at = now
        self._juror = False
        self.blind = False
        self._policy = policy
        self._slots = slots
        self._worker = worker
        self._calm_since = now
        self._troubled_since = now
        self._override_until = NEVER
        self._refused = NO_REFUSAL
        self._steps_at = NEVER
        self._steps_from = 1.0  # the share of the slots until then
        self._plain = True  # neither the fleet nor an operator takes anything away

    # --- what is known ---------------------------------------------------------

    @property
    def policy(self) -> BreakerPolicy:
        """The policy in force."""
        return self._policy

    def follow(self, policy: BreakerPolicy) -> None:
        """Judge by another policy from now on; no count is lost."""
        self._policy = policy
        self.local.follow(policy)

    def adopt(self, verdict: Verdict, now: float, at: float) -> bool:
        """Take over what the fleet knows; False if we know it or better already.

        Args:
            verdict: As read from the store.
            now: The monotonic clock.
            at: The wall clock, for the end of overrides.
        """
        known = self.verdict
        if verdict.version <= known.version or is_behind(verdict, known):
            return False
        self.verdict = verdict
        override = verdict.override
        if override is None:
            self._override_until = NEVER
        elif known.override is None or known.override.number != override.number:
            self._override_until = now + min(override.for_s, override.until_at - at)
        if verdict.stage != known.stage or verdict.state is not known.state:
            self.seen_at = now
            if verdict.state is State.CLOSED:
                self._calm_since = now
            elif known.state is State.CLOSED:
                self._troubled_since = now
            self._begin_stage(now, known)
        self._set_plain(now)
        return True

    def seat(self, now: float, *, juror: bool) -> None:
        """Whether we have a seat: jurors begin rounds, others only when none of them does."""
        self._juror = juror
        self._set_plain(now)

    def go_blind(self, now: float, fleet_size: float) -> None:
        """The store is out of reach: the breaker of this process goes on alone."""
        if self.blind:
            return
        self.blind = True
        self.local.odds = min(1.0, self._policy.probes / fleet_size)
        self._rest_blindly(now)
        self._set_plain(now)

    def _rest_blindly(self, now: float) -> None:
        if self.verdict.state in (State.OPEN, State.HALF_OPEN):
            left_s = self.seen_at + self.verdict.cooldown_s - now
            self.local.rest(now, max(ASK_AGAIN_S, left_s), why="the fleet's circuit is open")

    def see_again(self, now: float) -> None:
        """The store is back: what the fleet knows counts again."""
        if self.blind:
            self.blind = False
            self.local.odds = 1.0
            self._set_plain(now)

    def _begin_stage(self, now: float, before: Verdict) -> None:
        """The fleet has decided something new; `before` is what we knew until now.

        A recovering service is not to be filled by every worker within the same second: each
        takes a step of the ramp at its own moment, and earns the last part by successes.
        """
        verdict, share = self.verdict, 1.0
        if verdict.state is State.RAMP:
            share = verdict.share
        elif verdict.state is State.CLOSED and before.state is not State.CLOSED:
            share = (1.0 + (before.share or self._policy.ramp[-1])) / 2
        self._steps_at = NEVER
        if before.state is State.RAMP and verdict.share > before.share:
            self._steps_from = before.share
            self._steps_at = now + STEP_SPREAD_S * draw(self._worker, verdict.stage)
        self.local.start_over(
            now,
            limit=max(1.0, self._slots * share),
            ramping=verdict.state is State.RAMP,
            goes_on=before.state is State.RAMP,
        )
        if self.blind:  # one answer came through, and no ticket can be had yet
            self._rest_blindly(now)

    def mode(self, now: float) -> Mode:
        """What the operator orders now."""
        override = self.verdict.override
        if override is None or now >= self._override_until:
            return Mode.ENFORCE
        return override.mode

    def _set_plain(self, now: float) -> None:
        self._refused = NO_REFUSAL
        self._plain = self._whole(now) and self.mode(now) is Mode.ENFORCE

    def _whole(self, now: float) -> bool:
        """Whether the fleet takes nothing away."""
        return self.blind or (self.verdict.state is State.CLOSED and now >= self._steps_at)

    # --- calls -----------------------------------------------------------------

    def admit(self, now: float) -> Permit | Refusal | NeedsTicket:
        """Ask for leave to make one call. A permit is to be settled once."""
        if self._plain:
            return self.local.admit(now)
        if now < self._refused.until:
            return self._refused
        return self._ask(now, self.mode(now))

    def _ask(self, now: float, mode: Mode) -> Permit | Refusal | NeedsTicket:
        if mode is Mode.HOLD_OPEN:
            self._refused = Refusal("held", self._override_until)
            return self._refused
        if mode is Mode.HOLD_CLOSED:
            return self.local.admit_anyway(now)
        if mode is Mode.ENFORCE:
            self._set_plain(now)  # an override may have ended
        refusal = self._fleet_refuses(now)
        if refusal is None and self.probing:
            return NeedsTicket(self.verdict.stage)
        if mode is Mode.OBSERVE:
            return self.local.admit_anyway(now)
        if refusal is None:
            return self.local.admit(now)
        if refusal.why == "open":
            self._refused = refusal
        return refusal

    @property
    def probing(self) -> bool:
        """Whether the fleet lets nothing out but probes."""
        return not self.blind and self.verdict.state in (State.OPEN, State.HALF_OPEN)

    def standing(self, now: float, *, alone: bool) -> State:
        """What calls meet here: by the operator's word, else by the fleet's, or this process's.

        Args:
            now: The time.
            alone: Whether there is no fleet that decides.
        """
        mode = self.mode(now)
        if mode is Mode.ENFORCE:
            return self.local.state if alone or self.blind else self.verdict.state
        return State.OPEN if mode is Mode.HOLD_OPEN else State.CLOSED

    def troubled_s(self, now: float) -> float:
        """For how long we have known the fleet's circuit not to be closed, in seconds."""
        return 0.0 if self.verdict.state is State.CLOSED else now - self._troubled_since

    def held_for_all(self, now: float) -> bool:
        """Whether it is the fleet or an operator that holds calls back, and not this process."""
        if self.mode(now) is Mode.HOLD_OPEN:
            return True
        return not self.blind and self.verdict.state is not State.CLOSED

    def settle(self, permit: Permit, outcome: Outcome, now: float) -> None:
        """Tell how a permitted call went."""
        self.local.settle(permit, outcome, now)

    def _fleet_refuses(self, now: float) -> Refusal | None:
        """What the verdict takes away; None if a call may go out, be it with a ticket."""
        if self._whole(now):
            return None
        verdict = self.verdict
        if verdict.state is State.OPEN:
            until = self.seen_at + verdict.cooldown_s + (0.0 if self._juror else PATIENCE_S)
            return Refusal("open", until) if now < until else None
        if verdict.state is State.HALF_OPEN:
            free = verdict.tickets_left > 0 and (self._juror or self._waited(now))
            return None if free else Refusal("probing", now + ASK_AGAIN_S)
        full = self.local.busy(now) >= self._share(now)
        return Refusal("full", now + FULL_RETRY_S) if full else None

    def _waited(self, now: float) -> bool:
        return now - self.seen_at >= ASK_AGAIN_S

    def _share(self, now: float) -> int:
        share = self.verdict.share if now >= self._steps_at else self._steps_from
        turn = int((now - self.seen_at) / self._policy.stuck_s)
        return slots_admitted(self._slots, share, self._worker, self.verdict.epoch, turn=turn)

    def room(self, now: float) -> int:
        """How many calls would be admitted now, at most; changes nothing.

        A probe's room is 1: whether there is a ticket is only known when it is claimed.
        """
        mode = self.mode(now)
        if mode is Mode.HOLD_OPEN:
            return 0
        if mode is not Mode.ENFORCE:
            return self._slots
        if self._fleet_refuses(now) is not None:
            return 0
        if self._whole(now):
            return self.local.room(now)
        if self.probing:
            return 1
        return min(self.local.room(now), max(0, self._share(now) - self.local.busy(now)))

    def refusal(self, now: float) -> Refusal | None:
        """Why there is no room now; None if there is. Changes nothing."""
        if self.room(now) > 0:
            return None
        if self.mode(now) is Mode.HOLD_OPEN:
            return Refusal("held", self._override_until)
        found = self._fleet_refuses(now)
        if found is not None:
            return found
        if self.local.rests_until > now:
            return Refusal("open", self.local.rests_until)
        return Refusal("full", now + FULL_RETRY_S)

    # --- what the syncer asks for ----------------------------------------------

    def overdue(self, now: float) -> bool:
        """Whether the round of probes has lasted too long."""
        lasted_s = now - self.seen_at
        return (
            self.verdict.state is State.HALF_OPEN
            and lasted_s >= self._policy.probe_s + ROUND_MARGIN_S
        )

    def rested(self, now: float) -> bool:
        """Whether the circuit is open, and the next round of probes may begin."""
        return self.verdict.state is State.OPEN and now >= self.seen_at + self.verdict.cooldown_s

    def calm_s(self, now: float) -> float:
        """For how long we have known the fleet's circuit to be closed, in seconds."""
        return now - self._calm_since if self.verdict.state is State.CLOSED else 0.0

    def suspicious(self, now: float) -> bool:
        """Whether something is worth looking at more often than in calm times."""
        if self.verdict.state is not State.CLOSED or self.local.state is not State.CLOSED:
            return True
        vote = self.local.vote(self.verdict.stage, now)
        return vote.recent_failures > 0 or vote.ripe_stuck > 0
