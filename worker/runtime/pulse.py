"""What shows that this process still takes jobs: the last turns of its pollers.

Health is about this process alone: a breaker, a model or a queue that is out of reach
is no reason to replace it. A poller has turned when it came round its loop. Two things
may keep it longer: a receive, which its adapter bounds, and the wait for a slot,
which is as long as the jobs in hand are.

Times are seconds on the loop's clock.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

LATE_S: Final = 60.0  # behind the longest long poll; twice the longest hold of the intake


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a process is.

    Attributes:
        live: Whether it should go on living.
        ready: Whether it takes jobs: it has started, and does not leave.
        why: Why it is not both, in a few words; "" if it is.
        in_flight: Jobs in hand.
    """

    live: bool
    ready: bool
    why: str = ""
    in_flight: int = 0


STARTING: Final = Health(live=True, ready=False, why="it starts")


class Pulse:
    """The pulse of one process.

    Args:
        wait_s: The longest that a long poll waits, in seconds.
        in_flight: How many jobs are in hand.
    """

    def __init__(self, *, wait_s: float, in_flight: Callable[[], int]) -> None:
        self._late_s = wait_s + LATE_S
        self._in_flight = in_flight
        self._turned: dict[Hashable, float] = {}
        self._waits: set[Hashable] = set()
        self._landed_at = 0.0
        self._started = False
        self._leaves = False

    def start(self) -> None:
        """From now on jobs are taken."""
        self._started = True

    def leave(self) -> None:
        """No more jobs are taken; those in hand may finish."""
        self._leaves = True

    def turn(self, poller: Hashable, now: float) -> None:
        """A poller came round its loop, or has the slot that it waited for."""
        self._turned[poller] = now
        self._waits.discard(poller)

    def wait(self, poller: Hashable) -> None:
        """A poller waits for a slot, until its next `turn`."""
        self._waits.add(poller)

    def gone(self, poller: Hashable) -> None:
        """A poller ended in good order."""
        self._turned.pop(poller, None)
        self._waits.discard(poller)

    def landed(self, now: float) -> None:
        """A job in hand ended, and gave its slot back."""
        self._landed_at = now

    def health(self, now: float) -> Health:
        """How the process is at this moment."""
        in_flight = self._in_flight()
        if not self._started and not self._leaves:
            return STARTING
        if self._leaves:  # how long that may last is the grace's business
            return Health(live=True, ready=False, why="it drains", in_flight=in_flight)
        late = sum(self._is_late(poller, now, in_flight) for poller in self._turned)
        if late:
            why = f"{late} of {len(self._turned)} pollers have not turned for {self._late_s:g} s"
            return Health(live=False, ready=False, why=why, in_flight=in_flight)
        return Health(live=True, ready=True, in_flight=in_flight)

    def _is_late(self, poller: Hashable, now: float, in_flight: int) -> bool:
        since = self._turned[poller]
        if poller in self._waits:
            if in_flight:
                return False
            since = max(since, self._landed_at)  # the slot is on its way
        return now - since > self._late_s
