"""The circuit breaker of one target, in one process.

It answers one question (may this call go out now?) and learns from one fact (how
did it go?). It does no I/O and reads no clock; what it did is in `take_moves`.

    CLOSED     too many calls failed, hang, or were denied     -> OPEN
    OPEN       the rest is over, and a permit is asked for     -> HALF_OPEN
    HALF_OPEN  the probe came back well                        -> CLOSED, slowly
    HALF_OPEN  the probe came back badly, or not at all        -> OPEN, resting longer
    HALF_OPEN  the probe was denied                            -> OPEN, in quarantine
    OPEN, HALF_OPEN  the fleet has decided something new       -> CLOSED (`start_over`)

What the fleet decided is not its business: `core/gate.py` stands before it. Here a
process judges by itself, which matters where its host is the broken one, where it
is the only one, and while the fleet's store is out of reach.

Promises, each kept by tests/core/test_breaker_model.py:

1. News of a call from an earlier generation never moves the breaker.
2. While HALF_OPEN at most one probe is out.
3. A permit that nobody settles lapses; it cannot wedge the breaker.
4. Ignored and throttled calls never count as good or bad; no throttle changes anything.

Times are seconds on one monotonic clock, and `now` never runs backwards.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from worker.core.jury import VOTER_Z, Vote, lower_bound
from worker.core.policy import LEVEL_MAX, SLICE_S, BreakerPolicy
from worker.core.verdict import State
from worker.core.window import FAILED, NEVER, SUCCESS, Outcome, Slice, Window

Permit = Slice

LEGAL: Final = frozenset(
    {
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
        (State.HALF_OPEN, State.OPEN),
        (State.OPEN, State.CLOSED),  # the fleet has decided
    }
)

DENIED_MAX: Final = 2  # in a row: one may be an accident of the service
FAILED_MAX: Final = 2  # in a row: then a call that just failed is not worth another one
NEWEST_Z: Final = 1.7  # 95 %: 12 of 12 show more than 0.8; in a long outage this is asked often
NEWEST_MIN: Final = 12
CUT_EVERY_S: Final = 1.0  # calls that went out together are cut for once
_CUTS: Final = {Outcome.SLOW: 0.9, Outcome.HUNG: 0.7}
FULL_RETRY_S: Final = 0.5
SLOW_START: Final = 0.5  # what a success adds to the limit after a recovery


class Refusal(NamedTuple):
    """No leave. It holds a point in time, so that a long rest needs only one of it.

    Attributes:
        why: A word of ours: `open`, `probing`, `resting`, `full`, `held`; of a pacer
            `paced`, `exhausted`.
        until: When it is worth asking again, on the clock of `now`.
    """

    why: str
    until: float


NO_REFUSAL: Final = Refusal("", NEVER)
SILENT: Final = Vote(stage=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The breaker changed its state."""

    old: State
    new: State
    generation: int
    why: str


def draw(*of: object) -> float:
    """An even draw from [0, 1) that is the same for the same arguments, on every host.

    Names alike must not draw alike (with a CRC they do): a whole fleet would act at once.

    >>> draw("worker-1", 7) == draw("worker-1", 7)
    True
    """
    text = ":".join(map(str, of)).encode()
    return int.from_bytes(blake2b(text, digest_size=4).digest()) / 2**32


class Breaker:
    """The breaker of one target.

    Args:
        name: The target's name.
        policy: Its knobs; may be replaced by `follow`.
        slots: How many calls this process makes at a time, at most.
        salt: Tells this process from others, so that they do not rest alike.
        now: The time.

    Attributes:
        limit: How many calls may be in flight, not counting those that are stuck; falls when
            calls are slow or hung, and grows with successes up to `slots`. Throttles are the
            pacer's (`core/pacer.py`).
        odds: The chance that the end of a rest brings a probe and not another rest;
            below 1 while a large fleet cannot agree who probes.
    """

    __slots__ = (
        "_closed_since",
        "_cut_at",
        "_denials",
        "_denied",
        "_failed",
        "_free",
        "_level",
        "_moves",
        "_policy",
        "_probe",
        "_probe_until",
        "_ramping",
        "_resting",
        "_salt",
        "_slots",
        "_slow_start",
        "_tripped_on",
        "_window",
        "generation",
        "limit",
        "name",
        "odds",
        "state",
        "successes",
        "why",
    )

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        slots: int,
        salt: str = "",
        lapse_s: float = 900.0,
        now: float,
    ) -> None:
        self.name = name
        self.state = State.CLOSED
        self.generation = 0
        self.limit = float(slots)
        self.odds = 1.0
        self.successes = 0
        self.why = ""
        self._policy = policy
        self._slots = slots
        self._salt = salt
        self._window = Window(
            window_s=policy.window_s, calls_max=policy.window_calls, lapse_s=lapse_s, now=now
        )
        self._level = 0
        self._closed_since = now
        self._resting = NO_REFUSAL
        self._probe: Permit | None = None
        self._probe_until = 0.0
        self._denied = 0
        self._failed = 0
        self._denials = 0
        self._cut_at = NEVER
        self._slow_start = False
        self._ramping = False
        self._tripped_on = SILENT
        self._moves: tuple[Moved, ...] = ()
        self._free = True  # closed and unlimited: nothing to ask but the window

    # --- calls -----------------------------------------------------------------

    def admit(self, now: float) -> Permit | Refusal:
        """Ask for leave to make one call. A permit is to be settled once."""
        window = self._window
        if now >= window.turns_at:
            self.look(now)
        if self._free:
            return window.admit(now)
        return self._ask(now)

    def admit_anyway(self, now: float) -> Permit:
        """Count a call that goes out whatever the breaker thinks of it.

        The breaker goes on as ever, and where it would probe, this call is its probe.
        """
        answer = self.admit(now)
        return self._window.admit(now) if isinstance(answer, Refusal) else answer

    def _ask(self, now: float) -> Permit | Refusal:
        if self.state is State.OPEN:
            if now < self._resting.until:
                return self._resting
            if self.odds < 1 and draw(self._salt, self.name, now) >= self.odds:
                self._resting = Refusal("resting", now + self._rest_s(now))
                return self._resting
            self._move(State.HALF_OPEN, now, why="the rest is over")
        if self.state is State.HALF_OPEN:
            if self._probe is not None:
                return Refusal("probing", max(now + FULL_RETRY_S, self._probe_until))
            self._probe = Permit(now)
            self._probe.calls = 1
            self._probe.live = False
            self._probe_until = now + self._policy.probe_s
            return self._probe
        if self.busy(now) >= int(self.limit):
            return Refusal("full", now + FULL_RETRY_S)
        return self._window.admit(now)

    def is_probe(self, permit: Permit) -> bool:
        """Whether a call with this permit is the one that the breaker waits for."""
        return permit is self._probe

    def settle(self, permit: Permit, outcome: Outcome, now: float) -> None:
        """Tell how a permitted call went."""
        self._window.settle(permit, outcome)
        if outcome is not SUCCESS or not self._free:
            self._learn(permit, outcome, now)

    def look(self, now: float) -> None:
        """Let time speak: calls get stuck, and a probe that nobody settled lapses."""
        if self._probe is not None and now >= self._probe_until:
            self._reopen(now, why="the probe did not come back in time")
        if now >= self._window.turns_at:
            self._window.turn(now)
        if self.state is State.CLOSED:
            self._judge(now)

    # --- learning --------------------------------------------------------------

    def _learn(self, permit: Permit, outcome: Outcome, now: float) -> None:
        if permit is self._probe:
            self._learn_from_probe(outcome, now)
        elif permit.live and self.state is State.CLOSED:
            self._adjust(outcome, now)
            if outcome in FAILED or outcome is Outcome.SLOW:
                self._judge(now)

    def _learn_from_probe(self, outcome: Outcome, now: float) -> None:
        self._probe = None
        if outcome in (Outcome.SUCCESS, Outcome.SLOW):
            self._move(State.CLOSED, now, why="the probe came back well")
            self._denials = 0
            self._begin_slowly(1.0)
        elif outcome in FAILED:
            self._reopen(now, why="the probe came back badly")
        elif outcome is Outcome.DENIED:
            self._quarantine(now)

    def _adjust(self, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.SUCCESS:
            self.successes += 1
            self._denied = self._failed = 0
            grown = self.limit + (SLOW_START if self._slow_start else 0.5 / self.limit)
            self.limit = min(float(self._slots), grown)
        elif outcome is Outcome.DENIED:
            self._denied += 1
            if self._denied >= DENIED_MAX:
                self._quarantine(now)
                return
        elif outcome in _CUTS and now - self._cut_at >= CUT_EVERY_S:
            self._cut_at = now
            self._slow_start = False
            self.limit = max(1.0, self.limit * _CUTS[outcome])
        if outcome is Outcome.SLOW:
            self.successes += 1
            self._denied = self._failed = 0
        self._failed += outcome in FAILED
        self._set_free()

    def _judge(self, now: float) -> None:
        """Trip if the evidence is plain. Only calls that were admitted while closed count."""
        policy = self._policy
        seen = self._window.tally(now, policy.stuck_s)
        if seen.calls < policy.min_calls:
            return
        newest = max(NEWEST_MIN, policy.min_calls)
        calls, failures = self._window.recent(now, policy.recent_s, newest)
        if lower_bound(seen.failures, seen.calls, VOTER_Z) > policy.failure_rate:
            what = f"{seen.failures} of {seen.calls} calls failed, {seen.stuck} of them stuck"
        elif lower_bound(failures, calls, NEWEST_Z) > policy.failure_rate:
            what = f"{failures} of the last {calls} calls failed"
        elif (
            policy.slow_rate is not None
            and lower_bound(seen.slow, seen.calls, VOTER_Z) > policy.slow_rate
        ):
            what = f"{seen.slow} of {seen.calls} calls were slow"
        else:
            return
        self._tripped_on = self.vote(0, now)
        forgiven = int((now - self._closed_since) / policy.forgive_s)
        self._level = max(0, self._level - forgiven)
        self._move(State.OPEN, now, why=what)
        self._resting = Refusal("open", now + self._rest_s(now))

    def _reopen(self, now: float, *, why: str) -> None:
        self._level = min(self._level + 1, LEVEL_MAX)
        self._move(State.OPEN, now, why=why)
        self._resting = Refusal("open", now + self._rest_s(now))

    def _quarantine(self, now: float) -> None:
        policy = self._policy
        rest_s = min(policy.quarantine_max_s, policy.quarantine_s * 2.0 ** min(self._denials, 16))
        self._denials += 1
        # No word against the target's health: the vote stays silent.
        self._tripped_on = SILENT
        self._move(State.OPEN, now, why="denied: no access")
        self._resting = Refusal("open", now + rest_s)

    def _rest_s(self, now: float) -> float:
        return self._policy.rest_s(self._level, draw(self._salt, self.name, self.generation, now))

    def _move(self, new: State, now: float, *, why: str) -> None:
        old = self.state
        assert (old, new) in LEGAL, f"{self.name}: {old} -> {new} is not a move"
        self.state = new
        self.generation += 1
        self.why = why
        self._probe = None
        self._denied = self._failed = 0
        self._window.clear(now)
        if new is State.CLOSED:
            self._closed_since = now
        self._moves += (Moved(old=old, new=new, generation=self.generation, why=why),)
        self._set_free()

    def _begin_slowly(self, limit: float) -> None:
        self.limit = min(float(self._slots), max(1.0, limit))
        self._slow_start = self.limit < self._slots
        self._set_free()

    def _set_free(self) -> None:
        self._free = (
            self.state is State.CLOSED
            and self.limit >= self._slots
            and self._denied == self._failed == 0
            and not self._ramping
        )

    # --- what the gate asks for ------------------------------------------------

    def start_over(
        self, now: float, *, limit: float, ramping: bool = False, goes_on: bool = False
    ) -> None:
        """The fleet has decided something new: own evidence and own opinion are void.

        Args:
            now: The time.
            limit: How many calls may be in flight to begin with, at least 1.
            ramping: Whether every success is to be counted, for the vote.
            goes_on: Whether this is another step of one recovery: calls of the step before
                are in flight still, until they hang. Those from before it do not count.
        """
        self._ramping = ramping
        if self.state is not State.CLOSED:
            self._move(State.CLOSED, now, why="the fleet has decided")
        else:
            self.generation += 1
            self._window.clear(now, keep_s=self._policy.stuck_s if goes_on else 0.0)
        self._level = self._denials = self._denied = self._failed = self.successes = 0
        self._begin_slowly(limit)

    def rest(self, now: float, rest_s: float, *, why: str) -> None:
        """Open from outside: the fleet's circuit was open when the store went out of reach."""
        if self.state is State.CLOSED:
            self._tripped_on = SILENT
            self._move(State.OPEN, now, why=why)
            self._resting = Refusal("open", now + rest_s)

    def follow(self, policy: BreakerPolicy) -> None:
        """Judge by another policy from now on; no count is lost."""
        self._policy = policy
        self._window.reach(window_s=policy.window_s, calls_max=policy.window_calls)

    @property
    def suspected(self) -> bool:
        """Whether so many calls failed one after the other that none is worth a second try."""
        return self._failed >= FAILED_MAX

    def per_s(self, now: float, over_s: float) -> float:
        """Calls per second of the last `over_s` seconds, without those that told nothing."""
        calls, _ = self._window.recent(now, over_s)
        return calls / (over_s + SLICE_S / 2)  # the oldest slice is in it with half, on average

    @property
    def in_flight(self) -> int:
        """Calls that have not ended, of this generation or of the recovery that it goes on with."""
        return self._window.in_flight

    def busy(self, now: float) -> int:
        """Calls in flight that may still come to something: not those past `stuck_s`."""
        return self._window.in_flight - self._window.stuck(now, self._policy.stuck_s)

    def room(self, now: float) -> int:
        """How many calls would be admitted now; changes nothing."""
        if self.state is State.OPEN:
            return int(now >= self._resting.until)
        if self.state is State.HALF_OPEN:
            return int(self._probe is None)
        return max(0, int(self.limit) - self.busy(now))

    @property
    def rests_until(self) -> float:
        """When the rest ends; in the past unless the breaker is open."""
        return self._resting.until if self.state is State.OPEN else NEVER

    def vote(self, stage: int, now: float) -> Vote:
        """What this process would tell the jury, about the verdict's `stage`."""
        if self.state is not State.CLOSED:
            seen = self._tripped_on
            return Vote(
                stage=stage,
                calls=seen.calls,
                failures=seen.failures,
                slow=seen.slow,
                sick=seen.calls > 0,
            )
        policy = self._policy
        whole = self._window.tally(now, policy.stuck_s)
        calls, failures = self._window.recent(now, policy.recent_s)
        ripe, stuck = self._window.ripe(now, policy.stuck_s)
        return Vote(
            stage=stage,
            calls=whole.calls,
            failures=whole.failures,
            recent_calls=calls,
            recent_failures=failures,
            successes=self.successes,
            slow=whole.slow,
            ripe_calls=ripe,
            ripe_stuck=stuck,
        )

    def take_moves(self) -> tuple[Moved, ...]:
        """Every change of state since the last time."""
        moves, self._moves = self._moves, ()
        return moves
