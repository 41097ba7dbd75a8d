"""A window that keeps every call in a list and counts anew each time it is asked.

It says what `core/window.py` promises as plainly as can be, and is slow. The models
of the window and of the breaker hold the real one to it.
"""

from dataclasses import dataclass, field
from math import sqrt

from worker.core.window import Outcome, Slice

BAD = (Outcome.FAILURE, Outcome.HUNG)
LATE = (Outcome.SLOW, Outcome.HUNG)
SILENT = (Outcome.THROTTLED, Outcome.EXHAUSTED, Outcome.DENIED, Outcome.IGNORED)


def surely_above(bad: float, calls: float, rate: float, z: float = 1.28) -> bool:
    """Whether the true rate is surely above `rate`: the test of scores, which Wilson inverts."""
    seen = bad / calls
    return seen > rate and seen - rate > z * sqrt(rate * (1 - rate) / calls)


@dataclass(eq=False)
class Call:
    """One call as its caller remembers it.

    Attributes:
        second: The second in which it was admitted.
        inside: Whether it is in the window.
        known: Whether its end is still waited for: nothing was cleared, nor did it lapse.
        kept: Whether it is of before a `clear`, and in flight all the same.
    """

    permit: Slice
    second: float
    outcome: Outcome | None = None
    inside: bool = True
    known: bool = True
    kept: bool = False

    @property
    def in_flight(self) -> bool:
        return self.known and self.outcome is None

    @property
    def counts(self) -> bool:
        return self.inside and self.outcome not in SILENT

    def stuck(self, now: float, stuck_s: float) -> bool:
        return self.in_flight and now - (self.second + 1) >= stuck_s


@dataclass(eq=False)
class NaiveWindow:
    """Every call since the last `clear`."""

    window_s: float
    calls_max: int | None
    lapse_s: float
    calls: list[Call] = field(default_factory=list)
    kept: list[Call] = field(default_factory=list)
    keep_s: float = 0.0
    second: float | None = None
    dropped_by_count: int = 0
    lapsed: int = 0

    def clear(self, now: float, *, keep_s: float) -> None:
        left = [*self.kept, *self.calls]
        self.keep_s = min(keep_s, self.lapse_s)
        self.kept = [call for call in left if call.in_flight and now - call.second < self.keep_s]
        for call in left:
            call.inside = call.known = False
        for call in self.kept:
            call.known = call.kept = True
        self.calls = []
        self.second = None

    def turn(self, now: float) -> None:
        """Time goes on: what is too old leaves, once in each second at most."""
        if self.second == now // 1:
            return
        self.second = now // 1
        for call in self.calls:
            if call.second < self.second + 1 - self.window_s:
                call.inside = False
        self._drop_by_count()
        for call in self.calls:
            if call.in_flight and not call.inside and now - call.second >= self.lapse_s:
                call.known = False
                self.lapsed += 1
        for call in self.kept:
            if call.in_flight and now - call.second >= self.keep_s:
                call.known = False

    def _drop_by_count(self) -> None:
        while self.calls_max is not None:
            counted = [call for call in self.calls if call.counts]
            if len(counted) < self.calls_max:
                return
            oldest = min(call.second for call in counted)
            if sum(call.second > oldest for call in counted) < self.calls_max:
                return
            for call in self.calls:
                if call.second <= oldest:
                    call.inside = False
            self.dropped_by_count += 1

    def admit(self, permit: Slice, now: float) -> Call:
        self.turn(now)
        call = Call(permit, now // 1)
        self.calls.append(call)
        return call

    @property
    def in_flight(self) -> int:
        return sum(call.in_flight for call in (*self.calls, *self.kept))

    def tally(self, now: float, stuck_s: float) -> tuple[int, int, int, int]:
        """Calls, failures, slow ones and stuck ones."""
        self.turn(now)
        stuck = {call for call in self.calls if call.stuck(now, stuck_s)}
        inside = {call for call in self.calls if call.counts}
        unended = {call for call in self.calls if call.in_flight}
        return (
            len(inside | unended),
            len(stuck | {call for call in inside if call.outcome in BAD}),
            len(stuck | {call for call in inside if call.outcome in LATE}),
            len(stuck),
        )

    def recent(self, now: float, recent_s: float, calls_min: int = 0) -> tuple[int, int]:
        """Calls started lately, or the newest that are enough; and those of them that failed."""
        self.turn(now)
        counted = [call for call in self.calls if call.counts]
        lately = [
            call
            for call in counted
            if now - call.second <= recent_s
            or sum(newer.second > call.second for newer in counted) < calls_min
        ]
        return len(lately), sum(call.outcome in BAD for call in lately)

    def ripe(self, now: float, stuck_s: float) -> tuple[int, int]:
        """Calls of the newest second past the limit, and of those before it if none ended."""
        self.turn(now)
        # A second that left the window is known as long as one of its calls hangs.
        left = {call.second for call in self.calls if call.in_flight and not call.inside}
        known = [
            call
            for call in self.calls
            if call.counts or (call.second in left and call.outcome not in SILENT)
        ]
        past = {call.second for call in known if now - call.second - 1 >= stuck_s}
        calls = stuck = 0
        for second in sorted(past, reverse=True):
            these = [call for call in known if call.second == second]
            out = sum(call.in_flight for call in these)
            if calls and out < len(these):
                break
            calls, stuck = calls + len(these), stuck + out
            if out < len(these):
                break
        return calls, stuck
