"""A model service with a story: phases of health and trouble, and so many servers.

What comes of a call is decided when it arrives, so a call costs no task of its own.
Whoever gives up a call frees no server: the service works on, as real ones do.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from worker.core.fault import Billed, Fault, Kind
from worker.sim.model import ModelCall, Reply, answer

LATENCY_MEDIAN_S: Final = 3.0
LATENCY_SIGMA: Final = 0.65  # log-normal: p90 6.9 s, p99 13.6 s
MEAN_S: Final = LATENCY_MEDIAN_S * math.exp(LATENCY_SIGMA**2 / 2)
WAIT_MAX_S: Final = 20.0  # in the service's own queue; then it is too busy
BUSY_S: Final = 0.1  # how long it takes to say so
WARM_S: Final = 120.0  # from cold to full capacity
OVERLOAD: Final = 1.3
COLDEST: Final = 0.08

BROKEN: Final = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
BUSY: Final = Fault(kind=Kind.THROTTLED, code="ServiceUnavailableException", http=503)
THROTTLED: Final = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
CUT: Final = Fault(
    kind=Kind.UNAVAILABLE, code="ConnectionClosedError", http=None, billed=Billed.MAYBE
)
GOOD: Final = answer("An answer.")

Roll = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """How the service fares for a while.

    Attributes:
        lasts_s: How long, in seconds.
        errors: The share of calls that fail; grows evenly to `errors_end` if that is given.
        error_s: A failed call takes from so long to so long, in seconds.
        hangs: The share of calls that never come back.
        slower: By what factor calls take longer.
        per_s: Calls per second that are not throttled; None for no limit.
        burst_s: The bucket of the quota holds what is allowed in so many seconds.
        cold: Capacity begins at 8 %, and grows only while the load is bearable.
        hit: The share of workers that meet this phase; others meet a healthy service.
    """

    lasts_s: float
    errors: float = 0.01
    errors_end: float | None = None
    error_s: tuple[float, float] = (0.05, 0.35)
    hangs: float = 0.0
    slower: float = 1.0
    per_s: float | None = None
    burst_s: float = 1.0
    cold: bool = False
    hit: float = 1.0

    @property
    def dead(self) -> bool:
        """Whether the service is as good as gone for those whom the phase hits."""
        return self.errors + self.hangs >= 0.9  # noqa: PLR2004

    def errors_at(self, since_s: float) -> float:
        """The share of calls that fail, `since_s` seconds after the phase began."""
        if self.errors_end is None:
            return self.errors
        return self.errors + (self.errors_end - self.errors) * since_s / self.lasts_s


HEALTHY: Final = Phase(lasts_s=math.inf)


@dataclass(slots=True, eq=False, kw_only=True)
class Service:
    """The service under a story of phases.

    Attributes:
        phases: One after the other from time 0; after the last one it is healthy.
        servers: Calls that it works on at a time; None for any number.
        latency: Draws how long a good call takes when nothing is wrong, in seconds.
        roll: Dice, even in [0, 1).
        warm: The share of the servers that a cold service has by now.
        arrivals: When calls arrived, for the load.
        wasted: Calls that met a dead service.
        served: When calls arrived that were answered well.
    """

    phases: Sequence[Phase]
    roll: Roll
    latency: Callable[[], float]
    servers: int | None = None
    warm: float = 1.0
    arrivals: list[float] = field(default_factory=list)
    wasted: int = 0
    served: list[float] = field(default_factory=list)
    _starts: list[float] = field(init=False)
    _ends: list[float] = field(default_factory=list)
    _tokens: float = 0.0
    _tokens_at: float = 0.0
    _warmed_at: float = -1.0
    _recent: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._starts = [0.0]
        for phase in self.phases:
            self._starts.append(self._starts[-1] + phase.lasts_s)

    def phase(self, now: float) -> tuple[Phase, float]:
        """The phase at `now`, and when it began."""
        for phase, (start, end) in zip(self.phases, pairwise(self._starts), strict=True):
            if start <= now < end:
                return phase, start
        return HEALTHY, self._starts[-1]

    def serve(self, now: float, *, place: float = 0.0) -> Reply:
        """What comes of a call that arrives now.

        Args:
            now: The loop's time.
            place: Where the caller stands among all workers, in [0, 1): phases that hit
                a share of the workers hit those below it.
        """
        self.arrivals.append(now)
        self._recent.append(now)
        phase, began = self.phase(now)
        if place >= phase.hit:
            phase = HEALTHY
        self.wasted += phase.dead
        if phase.per_s is not None and not self._token(now, phase):
            return Reply(THROTTLED, BUSY_S)
        roll = self.roll()
        errors = phase.errors_at(now - began)
        if roll < errors:
            low_s, high_s = phase.error_s
            return Reply(BROKEN, low_s + (high_s - low_s) * self.roll())
        if roll < errors + phase.hangs:
            return Reply(CUT, math.inf)
        takes_s = self.latency() * phase.slower
        waits_s = self._wait_s(now, phase, began)
        if waits_s > WAIT_MAX_S:
            return Reply(BUSY, BUSY_S)
        if self.servers is not None:
            heapq.heappush(self._ends, now + waits_s + takes_s)
        self.served.append(now)
        return Reply(GOOD, waits_s + takes_s)

    def mood(self, *, place: float) -> Callable[[ModelCall], Reply]:
        """The service as the mood of a `ScriptedModel`, for one worker's place."""
        return lambda call: self.serve(call.now, place=place)

    def whole(self, now: float) -> bool:
        """Whether nothing is wrong with it."""
        return self.phase(now)[0] is HEALTHY

    def room(self, now: float) -> int:
        """How many calls could begin at once: what only an oracle can know."""
        phase, began = self.phase(now)
        if phase.dead and phase.hit >= 1:
            return 0
        if phase.per_s is not None:
            self._refill(now, phase)
            return int(self._tokens)
        return max(0, self._open_servers(now, phase, began) - self._under_way(now))

    # --- capacity --------------------------------------------------------------

    def _wait_s(self, now: float, phase: Phase, began: float) -> float:
        """How long a call waits for a server."""
        if self.servers is None:
            return 0.0
        servers = self._open_servers(now, phase, began)
        ahead = self._under_way(now) - servers
        return 0.0 if ahead < 0 else heapq.nsmallest(ahead + 1, self._ends)[-1] - now

    def _under_way(self, now: float) -> int:
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def _open_servers(self, now: float, phase: Phase, began: float) -> int:
        assert self.servers is not None, "a service without limit has no capacity"
        if not phase.cold:
            self.warm = 1.0
            return self.servers
        if self._warmed_at < began:
            self.warm, self._warmed_at = COLDEST, began
        passed_s = now - self._warmed_at
        while self._recent and self._recent[0] < now - 1.0:
            self._recent.popleft()
        load = len(self._recent) * MEAN_S / (self.servers * self.warm)
        pace = (1 - COLDEST) / WARM_S
        change = pace * passed_s * (1.0 if load <= OVERLOAD else -1.0)
        self.warm = min(1.0, max(COLDEST, self.warm + change))
        self._warmed_at = now
        return max(1, int(self.servers * self.warm))

    def _token(self, now: float, phase: Phase) -> bool:
        self._refill(now, phase)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self, now: float, phase: Phase) -> None:
        per_s = phase.per_s or 0.0
        gained = (now - self._tokens_at) * per_s
        self._tokens = min(per_s * phase.burst_s, self._tokens + gained)
        self._tokens_at = now
