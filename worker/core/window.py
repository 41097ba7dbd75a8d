"""What one breaker has seen of its target lately, calls in flight included.

The window is a list of slices of a second, the newest last, with running totals. A
call belongs to the slice in which it was admitted, whenever it ends. So a slice
knows how many of its calls are in flight, and its age is theirs: calls that hang
are evidence before one of them has failed. Empty slices are not kept, so any idle
gap is one step, and an idle window is empty. What changes but once a second is kept
in tuples, so that an idle window holds no list of its own.

A call that outlives the window stays known until it ends, or until `lapse_s`: then
nobody will end it any more.

Nothing is made per call: all calls of a slice share it as their permit.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

from worker.core.policy import SLICE_S


class Outcome(StrEnum):
    """What one call tells the breaker."""

    SUCCESS = "success"
    SLOW = "slow"  # a success past the target's limit
    FAILURE = "failure"
    HUNG = "hung"  # a failure that was slow, too
    THROTTLED = "throttled"  # says nothing about health, only about pace
    EXHAUSTED = "exhausted"  # likewise: the quota is used up for long
    DENIED = "denied"  # no access: nothing about health, and no use to go on
    IGNORED = "ignored"  # cancelled, local, the job's own fault: says nothing at all


NEVER: Final = -inf  # one for all that wait for nothing
SUCCESS: Final = Outcome.SUCCESS  # read at every call; through the enum that takes 70 ns
FAILED: Final = frozenset({Outcome.FAILURE, Outcome.HUNG})
WENT_SLOW: Final = frozenset({Outcome.SLOW, Outcome.HUNG})
OF_QUOTA: Final = frozenset({Outcome.THROTTLED, Outcome.EXHAUSTED})  # for the pacer
TELLS_NOTHING: Final = OF_QUOTA | {Outcome.DENIED, Outcome.IGNORED}


class Slice:
    """The calls admitted in one second; to each of them its permit.

    Attributes:
        since: When it began, in seconds.
        calls: Admitted, without those that told nothing.
        ended, failures, slow: Of these.
        live: Whether it is still in the window.
    """

    __slots__ = ("calls", "ended", "failures", "live", "since", "slow")

    def __init__(self, since: float) -> None:
        self.since = since
        self.calls = 0
        self.ended = 0
        self.failures = 0
        self.slow = 0
        self.live = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the window holds at one instant.

    Attributes:
        calls: Ended or in flight.
        failures: Ended badly, or in flight for longer than the stuck limit.
        slow: Ended late, or stuck.
        stuck: Of the calls in flight, those past the limit.
    """

    calls: int
    failures: int
    slow: int
    stuck: int


class Window:
    """The evidence of one breaker, of the last `window_s` seconds.

    Args:
        window_s: Whole seconds.
        calls_max: Older slices go while the others hold so many calls; None for no limit.
        lapse_s: A call that has not ended by then never will, in seconds.
        now: Seconds on one monotonic clock, here and in every method.
    """

    __slots__ = (
        "_calls",
        "_calls_max",
        "_ended",
        "_failures",
        "_former",
        "_former_s",
        "_lapse_s",
        "_overdue",
        "_slices",
        "_slow",
        "_window_s",
        "current",
        "turns_at",
    )

    def __init__(
        self, *, window_s: float, calls_max: int | None = None, lapse_s: float = 900.0, now: float
    ) -> None:
        self._window_s = window_s
        self._calls_max = calls_max
        self._lapse_s = lapse_s
        self._slices: tuple[Slice, ...] = ()
        self._overdue: tuple[Slice, ...] = ()  # left the window with calls in flight
        self._former: tuple[Slice, ...] = ()  # cleared, and kept for their calls in flight
        self._former_s = 0.0
        self._calls = self._ended = self._failures = self._slow = 0
        self.current = Slice(now)
        self.turns_at = NEVER

    def reach(self, *, window_s: float, calls_max: int | None) -> None:
        """Change how far the window goes back; what lies within is kept."""
        self._window_s = window_s
        self._calls_max = calls_max

    def clear(self, now: float, *, keep_s: float = 0.0) -> None:
        """Start anew: no call from before is evidence any more.

        Args:
            now: The time.
            keep_s: Calls that have not ended go on counting as in flight until they are so old.
        """
        for one in (*self._slices, self.current):
            one.live = False
        left = (*self._former, *self._overdue, *self._slices, self.current)
        self._former_s = min(keep_s, self._lapse_s)
        self._former = self._unfinished(left, now, self._former_s)
        self._slices = ()
        self._overdue = ()
        self._calls = self._ended = self._failures = self._slow = 0
        self.current = Slice(now)
        self.turns_at = NEVER

    def turn(self, now: float) -> None:
        """Go on to the slice of `now`. Due from `turns_at` on."""
        if self.current.calls:
            self._slices += (self.current,)
        else:
            self.current.live = False
        since = now - now % SLICE_S
        self.current = Slice(since)
        self.turns_at = since + SLICE_S
        self._drop_old(since + SLICE_S - self._window_s)
        if self._overdue:
            self._overdue = self._unfinished(self._overdue, now, self._lapse_s)
        if self._former:
            self._former = self._unfinished(self._former, now, self._former_s)

    def _unfinished(
        self, slices: tuple[Slice, ...], now: float, below_s: float
    ) -> tuple[Slice, ...]:
        return tuple(one for one in slices if one.ended < one.calls and now - one.since < below_s)

    def _drop_old(self, oldest: float) -> None:
        gone = 0
        for one in self._slices:
            outweighed = self._calls_max is not None and self._calls - one.calls >= self._calls_max
            if one.since >= oldest and not outweighed:
                break
            gone += 1
            one.live = False
            self._calls -= one.calls
            self._ended -= one.ended
            self._failures -= one.failures
            self._slow -= one.slow
            if one.ended < one.calls:
                self._overdue += (one,)
        self._slices = self._slices[gone:]

    def admit(self, now: float) -> Slice:
        """Count a call that starts now, and return the slice that it belongs to."""
        if now >= self.turns_at:
            self.turn(now)
        one = self.current
        one.calls += 1
        self._calls += 1
        return one

    def settle(self, one: Slice, outcome: Outcome) -> None:
        """Count the end of a call of that slice."""
        if outcome is SUCCESS:  # the usual, and the fastest
            one.ended += 1
            if one.live:
                self._ended += 1
            return
        if outcome in TELLS_NOTHING:
            one.calls -= 1
            if one.live:
                self._calls -= 1
            return
        failed, slow = outcome in FAILED, outcome in WENT_SLOW
        one.ended += 1
        one.failures += failed
        one.slow += slow
        if one.live:
            self._ended += 1
            self._failures += failed
            self._slow += slow

    @property
    def in_flight(self) -> int:
        """Calls that have not ended, those that `clear` kept too."""
        left = (*self._former, *self._overdue)
        return self._calls - self._ended + sum(one.calls - one.ended for one in left)

    def tally(self, now: float, stuck_s: float) -> Tally:
        """What the window holds now; a call past `stuck_s` seconds counts as failed."""
        if now >= self.turns_at:
            self.turn(now)
        stuck = self.stuck(now, stuck_s)
        overdue = sum(one.calls - one.ended for one in self._overdue)
        return Tally(
            calls=self._calls + overdue,
            failures=self._failures + stuck,
            slow=self._slow + stuck,
            stuck=stuck,
        )

    def recent(self, now: float, recent_s: float, calls_min: int = 0) -> tuple[int, int]:
        """The newest calls, and those of them that failed.

        Those that started in the last `recent_s` seconds, and earlier ones as well until
        they are `calls_min`.
        """
        if now >= self.turns_at:
            self.turn(now)
        calls = failures = 0
        for one in (self.current, *reversed(self._slices)):
            if now - one.since > recent_s and calls >= calls_min:
                break
            calls += one.calls
            failures += one.failures
        return calls, failures

    def ripe(self, now: float, stuck_s: float) -> tuple[int, int]:
        """Calls of the newest slice that is past the limit, and those of them that hang.

        Where none of them ended, the slices before it count as well, as far back as none
        did. So calls that ended before the service began to hang do not hide it.
        """
        if now >= self.turns_at:
            self.turn(now)
        calls = stuck = 0
        left = [one for one in self._overdue if one.ended < one.calls]
        for one in reversed((*left, *self._slices)):
            if now - one.since - SLICE_S < stuck_s:
                continue
            if calls and one.ended:
                break
            calls += one.calls
            stuck += one.calls - one.ended
            if one.ended:
                break
        return calls, stuck

    def stuck(self, now: float, stuck_s: float) -> int:
        """Calls in flight for longer than `stuck_s`; those from before `clear` never are."""
        stuck = 0
        for one in (*self._overdue, *self._slices, self.current):
            # All calls of a slice are at least as old as its end.
            if now - one.since - SLICE_S >= stuck_s:
                stuck += one.calls - one.ended
        return stuck
