"""A breaker that keeps every call and every ending, and works out anew what follows.

It says what `core/breaker.py` promises as plainly as can be. Two things it is told and
does not draw: how long a rest within its bounds is, and whether a rest follows a rest.
"""

from dataclasses import dataclass

from tests.core.naive_window import BAD, Call, NaiveWindow, surely_above
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State
from worker.core.window import Outcome, Slice

GOOD = (Outcome.SUCCESS, Outcome.SLOW)
CUTS = {Outcome.SLOW: 0.9, Outcome.HUNG: 0.7}
SURE_95 = 1.7
LONG_AGO = -1e9

Moved = tuple[State, State, int, str]


@dataclass(frozen=True)
class No:
    """A refusal: why, and until when."""

    why: str
    until: float


@dataclass
class Rest:
    """Until when a rest may last: exactly known once it was seen."""

    shortest: float
    longest: float


class NaiveBreaker:
    """One breaker, as a bystander knows it."""

    def __init__(self, policy: BreakerPolicy, *, slots: int, lapse_s: float, now: float) -> None:
        self.policy = policy
        self.slots = slots
        self.window = NaiveWindow(policy.window_s, policy.window_calls, lapse_s)
        self.state = State.CLOSED
        self.generation = 0
        self.moves: list[Moved] = []
        self.endings: list[Outcome] = []  # what a closed breaker heard, in this generation
        self.good_calls = 0  # since the fleet decided
        self.limit = float(slots)
        self.limit_doubles = False
        self.cut_at = LONG_AGO
        self.ramping = False
        self.bad_rounds = 0
        self.denials = 0
        self.closed_at = now
        self.rest = Rest(LONG_AGO, LONG_AGO)
        self.rest_why = ""
        self.probe: Call | None = None
        self.probe_until = LONG_AGO
        self.evidence = (0, 0, 0)  # calls, failures and slow ones of the last trip

    # --- what it says of itself --------------------------------------------------

    def in_a_row(self, *outcomes: Outcome) -> int:
        """How many calls ended like that since the last one that ended well."""
        seen = 0
        for outcome in reversed(self.endings):
            if outcome in GOOD:
                break
            seen += outcome in outcomes
        return seen

    @property
    def suspected(self) -> bool:
        return self.in_a_row(*BAD) >= 2

    @property
    def watches(self) -> bool:
        """Whether it asks for more than its state before it lets a call out."""
        trouble = self.in_a_row(*BAD, Outcome.DENIED) > 0
        return self.ramping or trouble or self.limit < self.slots

    def room(self, now: float) -> int:
        match self.state:
            case State.CLOSED:
                return max(0, int(self.limit) - self.busy(now))
            case State.OPEN:
                return 1 if now >= self.rest.shortest else 0
            case _:
                return 1 if self.probe is None else 0

    def busy(self, now: float) -> int:
        stuck = sum(call.stuck(now, self.policy.stuck_s) for call in self.window.calls)
        return self.window.in_flight - stuck

    # --- calls -------------------------------------------------------------------

    def ask(self, now: float, *, rests_again: bool) -> No | None:
        """None if a call may go out: then `let_out` is called, or `let_out_probe`."""
        if self.window.second != now // 1:
            self.look(now)
        if self.state is State.OPEN:
            if now < self.rest.shortest:
                return No(self.rest_why, self.rest.shortest)
            if rests_again:
                self._rest(now, "resting")
                return No("resting", self.rest.shortest)
            self._move(State.HALF_OPEN, "the rest is over", now)
        if self.state is State.HALF_OPEN and self.probe is not None:
            return No("probing", max(now + 0.5, self.probe_until))
        full = self.busy(now) >= int(self.limit)
        if self.state is State.CLOSED and self.watches and full:
            return No("full", now + 0.5)
        return None

    def let_out(self, permit: Slice, now: float) -> Call:
        return self.window.admit(permit, now)

    def let_out_probe(self, permit: Slice, now: float) -> Call:
        self.probe = Call(permit, now // 1, inside=False, known=False)
        self.probe_until = now + self.policy.probe_s
        return self.probe

    def told(self, call: Call, outcome: Outcome, now: float) -> None:
        call.outcome = outcome
        if call is self.probe:
            self._probe_ended(outcome, now)
        elif call.inside and self.state is State.CLOSED:
            self.endings.append(outcome)
            if outcome is Outcome.DENIED and self.in_a_row(Outcome.DENIED) >= 2:
                self._deny(now)
                return
            self._set_pace(outcome, now)
            if outcome in BAD or outcome is Outcome.SLOW:
                self._judge(now)

    def look(self, now: float) -> None:
        if self.probe is not None and now >= self.probe_until:
            self._bad_round("the probe did not come back in time", now)
        self.window.turn(now)
        if self.state is State.CLOSED:
            self._judge(now)

    # --- what follows ------------------------------------------------------------

    def _probe_ended(self, outcome: Outcome, now: float) -> None:
        self.probe = None
        if outcome in GOOD:
            self._move(State.CLOSED, "the probe came back well", now)
            self.denials = 0
            self._begin_with(1.0)
        elif outcome in BAD:
            self._bad_round("the probe came back badly", now)
        elif outcome is Outcome.DENIED:
            self._deny(now)

    def _set_pace(self, outcome: Outcome, now: float) -> None:
        self.good_calls += outcome in GOOD
        if outcome is Outcome.SUCCESS:
            more = 0.5 if self.limit_doubles else 0.5 / self.limit
            self.limit = min(self.slots, self.limit + more)
        elif outcome in CUTS and now - self.cut_at >= 1:
            self.cut_at = now
            self.limit_doubles = False
            self.limit = max(1.0, self.limit * CUTS[outcome])

    def _judge(self, now: float) -> None:
        policy = self.policy
        calls, failures, slow, stuck = self.window.tally(now, policy.stuck_s)
        if calls < policy.min_calls:
            return
        newest, failed = self.window.recent(now, policy.recent_s, max(12, policy.min_calls))
        if surely_above(failures, calls, policy.failure_rate):
            why = f"{failures} of {calls} calls failed, {stuck} of them stuck"
        elif newest and surely_above(failed, newest, policy.failure_rate, SURE_95):
            why = f"{failed} of the last {newest} calls failed"
        elif policy.slow_rate and surely_above(slow, calls, policy.slow_rate):
            why = f"{slow} of {calls} calls were slow"
        else:
            return
        self.evidence = (calls, failures, slow)
        for _ in range(int((now - self.closed_at) // policy.forgive_s)):
            self.bad_rounds -= self.bad_rounds > 0
        self._move(State.OPEN, why, now)
        self._rest(now, "open")

    def _bad_round(self, why: str, now: float) -> None:
        self.bad_rounds += 1
        self._move(State.OPEN, why, now)
        self._rest(now, "open")

    def _deny(self, now: float) -> None:
        rest_s = min(self.policy.quarantine_max_s, self.policy.quarantine_s * 2**self.denials)
        self.denials += 1
        self.evidence = (0, 0, 0)
        self._move(State.OPEN, "denied: no access", now)
        self.rest, self.rest_why = Rest(now + rest_s, now + rest_s), "open"

    def _rest(self, now: float, why: str) -> None:
        policy, rest_s = self.policy, self.policy.cooldown_s
        for _ in range(self.bad_rounds):
            rest_s = min(policy.cooldown_max_s, rest_s * policy.cooldown_growth)
        self.rest = Rest(now + rest_s * (1 - policy.jitter), now + rest_s * (1 + policy.jitter))
        self.rest_why = why

    def _move(self, new: State, why: str, now: float) -> None:
        self.generation += 1
        self.moves.append((self.state, new, self.generation, why))
        self.state = new
        self.probe = None
        if new is State.CLOSED:
            self.closed_at = now
        self._forget(now)

    def _forget(self, now: float, *, keep_s: float = 0.0) -> None:
        self.endings = []
        self.window.clear(now, keep_s=keep_s)

    def _begin_with(self, limit: float) -> None:
        self.limit = min(self.slots, max(1.0, limit))
        self.limit_doubles = self.limit < self.slots

    # --- from outside ------------------------------------------------------------

    def start_over(self, now: float, *, limit: float, ramping: bool, goes_on: bool) -> None:
        self.ramping = ramping
        if self.state is State.CLOSED:
            self.generation += 1
            self._forget(now, keep_s=self.policy.stuck_s if goes_on else 0.0)
        else:
            self._move(State.CLOSED, "the fleet has decided", now)
        self.bad_rounds = self.denials = self.good_calls = 0
        self._begin_with(limit)

    def rest_from_outside(self, now: float, rest_s: float, why: str) -> None:
        if self.state is State.CLOSED:
            self.evidence = (0, 0, 0)
            self._move(State.OPEN, why, now)
            self.rest, self.rest_why = Rest(now + rest_s, now + rest_s), "open"

    def follow(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.window.window_s, self.window.calls_max = policy.window_s, policy.window_calls
