"""How fast the targets of one quota bucket are called, by one process.

The service throttles (429) and never says how much it allows; other workers use the
same quota and do not talk to us. So each process finds its part by itself:

    FREE       a call is throttled                          -> PACED
    PACED      the bucket's quota is used up, for long      -> EXHAUSTED
    PACED      nothing was throttled for `CALM_S`           -> FREE
    EXHAUSTED  the quarantine is over                       -> PACED, from almost nothing

PACED, calls have turns at even distances, and a limit of how many may be in flight.
A throttle cuts both to a share (`cut`); then both grow by even steps, reach what they
were, and go beyond it by steps that grow themselves: so a doubled quota is found within
a minute or so. The first time, when nobody knows the quota, they double every few seconds
instead, until a throttle says that it is found. The growth waits while nobody needs it.

The rate rules. The limit has room above it, and keeps calls from piling up where the
service also becomes slow.

A throttle is never a word about health: the breaker does not hear of it.

Promises, each kept by tests/core/test_pacer.py:

1. Turns come in the order in which they were asked for, no closer than the pace allows.
2. No throttle raises the rate, none of a call from before the last cut lowers it again.
3. Rate and limit never fall to zero, and every hold and quarantine ends.

Times are seconds on one monotonic clock, and `now` never runs backwards.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf
from types import MappingProxyType
from typing import Final

from worker.core.breaker import Refusal, draw
from worker.core.fault import Kind
from worker.core.window import NEVER

AHEAD_S: Final = 3.0  # jobs are taken so long before their turn: a receive takes its time
CALM_S: Final = 300.0
RECOVER_S: Final = 10.0  # from a cut back to what it was, at least
RECOVER_CALLS: Final = 50.0  # and at least so many calls: who makes few is throttled more often
RECOVER_MAX_S: Final = 45.0  # but no longer
BEYOND_S: Final = 20.0  # so much later the growing steps alone have added as much again
DOUBLE_S: Final = 4.0
ROOM: Final = 2.0  # of the limit, above the most calls that were in flight
PER_S_MIN: Final = 0.05
PER_S_MAX: Final = 10_000.0
SEARCH_FROM_PER_S: Final = 0.5
HOLD_MAX_S: Final = 900.0
NEEDED: Final = 2.0  # seconds of growth that a turn is good for, in distances of turns
SAVED_MAX_S: Final = 10.0  # of such seconds: jobs come in batches
LEVEL_MAX: Final = 32
JITTER: Final = 0.1


class Pace(StrEnum):
    """What becomes of calls to the targets of a bucket."""

    FREE = "free"
    PACED = "paced"
    EXHAUSTED = "exhausted"


# What a call would come to that a pacer refuses, by the refusal's `why`.
REFUSED_FOR: Final[Mapping[str, Kind]] = MappingProxyType(
    {Pace.PACED: Kind.THROTTLED, Pace.EXHAUSTED: Kind.EXHAUSTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacePolicy:
    """The knobs of all pacers. All `_s` are seconds.

    Attributes:
        cut: The share of the rate, and of the calls in flight, that a throttle leaves.
        wait_s: The longest that a job waits in its slot for its turn.
        quarantine_s: How long a bucket is left alone whose quota is used up for long;
            doubles each time.
        quarantine_max_s: The longest quarantine, before its jitter.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    cut: float = 0.6
    wait_s: float = 5.0
    quarantine_s: float = 300.0
    quarantine_max_s: float = 3600.0

    def __post_init__(self) -> None:
        for name, low, high in LIMITS:
            if not low <= (value := getattr(self, name)) <= high:
                msg = f"{name} must be from {low:g} to {high:g}, not {value:g}"
                raise ValueError(msg)
        if self.quarantine_s > self.quarantine_max_s:
            msg = (
                f"quarantine_s ({self.quarantine_s:g}) must not be above "
                f"quarantine_max_s ({self.quarantine_max_s:g})"
            )
            raise ValueError(msg)


LIMITS: Final = (
    ("cut", 0.1, 0.95),
    ("wait_s", 0.1, 60.0),
    ("quarantine_s", 1.0, 86_400.0),
    ("quarantine_max_s", 1.0, 86_400.0),
)


class Turn:
    """Leave to go out at `at`; a cut or a hold moves it to a later time, and never before others.

    Attributes:
        at: On the clock of `now`.
    """

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at


class Pacer:
    """The pacer of one quota bucket.

    Args:
        bucket: Its name.
        policy: Its knobs.
        salt: Tells this process from others, so that their turns do not coincide.

    Attributes:
        pace: What it does.
        paced: Whether there is anything to ask before a call.
    """

    __slots__ = (
        "_bad_at",
        "_clock_s",
        "_cut_at",
        "_held_until",
        "_level",
        "_most",
        "_news",
        "_next",
        "_peak",
        "_policy",
        "_quarantined_until",
        "_salt",
        "_saved_s",
        "_searching",
        "_top",
        "_used_at",
        "_waiting",
        "bucket",
        "pace",
        "paced",
    )

    def __init__(self, bucket: str, policy: PacePolicy, *, salt: str = "") -> None:
        self.bucket = bucket
        self.pace = Pace.FREE
        self.paced = False
        self._policy = policy
        self._salt = salt
        self._top = PER_S_MAX  # calls per second, before the cut
        self._most = 1.0  # calls in flight, before the cut
        self._peak = 0  # since the cut
        self._searching = False
        self._clock_s = 0.0  # of the growth, at the last turn
        self._saved_s = 0.0  # by which it may go on
        self._cut_at = NEVER
        self._bad_at = NEVER
        self._next = NEVER  # the next turn
        self._used_at = NEVER  # the last time that one was asked for
        self._waiting: deque[Turn] = deque()  # turns that were given and have not come
        self._held_until = NEVER
        self._quarantined_until = NEVER
        self._level = 0
        self._news: tuple[Pace, ...] = ()

    # --- the pace --------------------------------------------------------------

    def per_s(self, now: float) -> float:
        """Calls per second; infinite while free."""
        if not self.paced:
            return inf
        return max(PER_S_MIN, min(PER_S_MAX, self._top * self._grown(now)))

    def limit(self, now: float) -> int | None:
        """How many calls may be in flight; None for any number."""
        return max(1, ceil(self._most * self._grown(now))) if self.paced else None

    def _grown(self, now: float) -> float:
        """Rate and limit as a share of what they were before the cut."""
        cut, passed_s = self._policy.cut, self._passed_s(now)
        if self._searching:
            return cut * float(2.0 ** min(passed_s / DOUBLE_S, 40.0))
        back_s = min(RECOVER_MAX_S, max(RECOVER_S, RECOVER_CALLS / self._top))
        beyond = max(0.0, passed_s - back_s) / BEYOND_S
        return cut + (1.0 - cut) * passed_s / back_s + beyond * beyond * beyond

    def _passed_s(self, now: float) -> float:
        """For how long it has grown: only while at least half of the turns are needed."""
        since = max(self._used_at, self._held_until)
        return self._clock_s + min(max(0.0, now - since), self._saved_s)

    # --- one call --------------------------------------------------------------

    def turn(self, now: float, *, by: float) -> Turn | Refusal:
        """Take the next turn.

        Args:
            now: The time.
            by: A later turn is not worth waiting for, and not taken.
        """
        self.look(now)
        if not self.paced:
            return Turn(now)
        if (refusal := self.refusal(now, by=by)) is not None:
            return refusal
        apart_s = 1.0 / self.per_s(now)
        grown_s = self._passed_s(now)
        saved_s = self._saved_s - (grown_s - self._clock_s) + NEEDED * apart_s
        self._saved_s = min(saved_s, max(SAVED_MAX_S, NEEDED * apart_s))
        self._clock_s, self._used_at = grown_s, now
        turn = Turn(max(now, self._next))
        # Who is late may be followed by one other at once, and by no more.
        self._next = max(self._next, now - apart_s) + apart_s
        self._pass(now)
        if turn.at > now:
            self._waiting.append(turn)
        return turn

    def give_up(self, turn: Turn, now: float) -> Refusal:
        """Leave a turn that was moved too far away; what is to be told instead."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        return Refusal(self._why(now), turn.at)

    def _pass(self, now: float) -> None:
        while self._waiting and self._waiting[0].at <= now:
            self._waiting.popleft()

    def joins(self, now: float, in_flight: int) -> bool:
        """Whether a call whose turn has come may join so many in flight."""
        limit = self.limit(now)
        if limit is not None and in_flight + 1 >= limit:
            # The limit, and not a lack of jobs, keeps calls back.
            self._saved_s = max(self._saved_s, SAVED_MAX_S)
        if limit is not None and in_flight >= limit:
            return False
        self._peak = max(self._peak, in_flight + 1)
        return True

    def refusal(self, now: float, *, by: float) -> Refusal | None:
        """Why there is no turn until `by`; None if there is. Changes nothing."""
        if not self.paced or self._next <= by:
            return None
        return Refusal(self._why(now), self._next)

    def _why(self, now: float) -> str:
        return (Pace.EXHAUSTED if now < self._quarantined_until else Pace.PACED).value

    def capacity(self, now: float, in_flight: int) -> int | None:
        """How many jobs are worth having in hand; None for any number. Changes nothing."""
        limit = self.limit(now)
        if limit is None:
            return None
        if self.refusal(now, by=now + self._policy.wait_s) is not None:
            return in_flight
        return min(limit, in_flight + 1 + int(AHEAD_S * self.per_s(now)))

    # --- learning --------------------------------------------------------------

    def throttled(
        self,
        now: float,
        *,
        began: float,
        in_flight: int,
        recent_per_s: float,
        retry_after_s: float | None = None,
    ) -> None:
        """A call was throttled.

        Args:
            now: The time.
            began: When it went out: news of one from before the last cut is no news.
            in_flight: Calls to the bucket that have not ended.
            recent_per_s: Calls per second of late that were not throttled; only asked for
                where there was no pace to be cut.
            retry_after_s: For how long the service asks to be left alone.
        """
        self.look(now)
        self._bad_at = now
        if began > self._cut_at or not self.paced:
            top = self.per_s(now) if self.paced else max(SEARCH_FROM_PER_S, recent_per_s)
            most, limit = ROOM * max(self._peak, in_flight + 1), self.limit(now)
            self._searching = not self.paced
            self._begin(now, top, most if limit is None else min(limit, most))
        if self.pace is Pace.FREE:
            self._move(Pace.PACED)
        if retry_after_s is not None:
            self._hold(now, min(HOLD_MAX_S, retry_after_s))

    def exhausted(self, now: float, *, retry_after_s: float | None = None) -> None:
        """The bucket's quota is used up for long: leave it alone."""
        self.look(now)
        if self.pace is Pace.EXHAUSTED:
            return  # of a call from before
        policy, self._bad_at = self._policy, now
        rest_s = min(policy.quarantine_max_s, policy.quarantine_s * 2.0**self._level)
        rest_s *= 1.0 + JITTER * (2.0 * draw(self._salt, self.bucket, now) - 1.0)
        self._level = min(LEVEL_MAX, self._level + 1)
        rest_s = max(rest_s, min(HOLD_MAX_S, retry_after_s or 0.0))
        self._quarantined_until = now + rest_s
        top = min(SEARCH_FROM_PER_S, self.per_s(now))
        self._searching = True
        self._begin(now, top, 1.0)
        self._move(Pace.EXHAUSTED)
        self._hold(now, rest_s)

    def look(self, now: float) -> None:
        """Let time speak: a quarantine ends, and so does a pace that nobody needs."""
        if self.pace is Pace.EXHAUSTED and now >= self._quarantined_until:
            self._move(Pace.PACED)
        calm_s = now - max(self._bad_at, self._held_until)
        if self.pace is Pace.PACED and calm_s >= CALM_S:
            self._level = 0
            self._move(Pace.FREE)

    def _begin(self, now: float, per_s: float, most: float) -> None:
        self._top = max(PER_S_MIN, per_s)
        self._most = most
        self._peak = 0
        self._cut_at = self._used_at = now
        apart_s = 1.0 / max(PER_S_MIN, self._top * self._policy.cut)
        self._clock_s, self._saved_s = 0.0, NEEDED * apart_s
        if self.pace is Pace.FREE:  # many may have been throttled together
            apart_s *= draw(self._salt, self.bucket, now)
        self._put_off(now, now + apart_s)

    def _hold(self, now: float, for_s: float) -> None:
        self._held_until = max(self._held_until, now + for_s)
        self._put_off(now, self._held_until)

    def _put_off(self, now: float, until: float) -> None:
        """No turn before `until`, and those that were given no closer than the pace is now."""
        self._pass(now)
        apart_s = 1.0 / max(PER_S_MIN, self._top * self._policy.cut)
        self._next = max(until, self._held_until)
        for turn in self._waiting:
            turn.at = max(turn.at, self._next)
            self._next = turn.at + apart_s

    def _move(self, pace: Pace) -> None:
        self.pace = pace
        self.paced = pace is not Pace.FREE
        self._news += (pace,)

    def take_news(self) -> tuple[Pace, ...]:
        """Every change of the pace since the last time."""
        news, self._news = self._news, ()
        return news
