"""The outages of the study, and what somebody who knows the truth makes of each.

20 workers of 8 slots, 20 jobs a second, calls log-normal with a median of 3 s, a
service of 120 servers. The oracle sends nothing to a dead service, and never more
than the live one can take; results are told as shares of its own.
"""

import heapq
import math
import random
from dataclasses import dataclass
from typing import Final

from worker.core.answer import Answer
from worker.sim.service import LATENCY_MEDIAN_S, LATENCY_SIGMA, Phase, Service

WORKERS: Final = 20
SLOTS: Final = 8
SERVERS: Final = 120
CAPACITY_PER_S: Final = 32.0
ATTEMPT_S: Final = 30.0
LEAD_S: Final = 120.0
AFTER_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story: what the service does after two healthy minutes, and how many jobs come.

    Attributes:
        heals: Whether there is a moment from which all is well, to measure recovery by.
        healthy: Whether no circuit has a reason to open.
        burst: By what factor more jobs come while the phases last.
        store_lost_s: When the breakers' store is out of reach, from and to.
    """

    name: str
    phases: tuple[Phase, ...]
    heals: bool = True
    healthy: bool = False
    per_s: float = 20.0
    burst: float = 1.0
    after_s: float = AFTER_S
    store_lost_s: tuple[float, float] | None = None

    @property
    def trouble_s(self) -> float:
        """How long the phases last."""
        return sum(phase.lasts_s for phase in self.phases)

    @property
    def ends_at(self) -> float:
        """When the measuring ends."""
        return LEAD_S + self.trouble_s + self.after_s


def service_of(scenario: Scenario, dice: random.Random) -> Service:
    """The service of a story, after a healthy lead-in."""
    return Service(
        phases=(Phase(lasts_s=LEAD_S), *scenario.phases),
        roll=dice.random,
        latency=lambda: dice.lognormvariate(math.log(LATENCY_MEDIAN_S), LATENCY_SIGMA),
        servers=SERVERS,
    )


def arrivals_of(scenario: Scenario, seed: int) -> list[float]:
    """When jobs are sent: the same for the workers and the oracle."""
    dice, now, found = random.Random(f"jobs:{seed}"), 0.0, []  # noqa: S311
    while now < scenario.ends_at:
        troubled = LEAD_S <= now < LEAD_S + scenario.trouble_s
        now += dice.expovariate(scenario.per_s * (scenario.burst if troubled else 1.0))
        found.append(now)
    return found


# --- the oracle --------------------------------------------------------------


def oracle(scenario: Scenario, seed: int) -> int:
    """How many jobs somebody who knows the truth answers from the start of the trouble on."""
    service = service_of(scenario, random.Random(f"oracle:{seed}"))  # noqa: S311
    place = 0.999  # a worker that no partial phase hits
    slots = WORKERS * SLOTS * min((p.hit for p in scenario.phases if p.hit < 1), default=0.0)
    free, waiting, answered = int(WORKERS * SLOTS - slots), 0, 0
    events: list[tuple[float, int, str]] = [
        (at, n, "job") for n, at in enumerate(arrivals_of(scenario, seed))
    ]
    events += [(t / 2, -1, "look") for t in range(int(scenario.ends_at * 2))]
    heapq.heapify(events)
    while events:
        now, _, what = heapq.heappop(events)
        if now >= scenario.ends_at:
            break
        if what in ("job", "again"):
            waiting += 1
        if what in ("good", "bad"):
            free += 1
            answered += what == "good" and now >= LEAD_S
        if what == "bad":
            heapq.heappush(events, (now + 0.5, -1, "again"))
        while waiting and free and service.room(now) > 0:
            reply = service.serve(now, place=place)
            waiting, free = waiting - 1, free - 1
            good = isinstance(reply.outcome, Answer) and reply.latency_s <= ATTEMPT_S
            ends = now + min(reply.latency_s, ATTEMPT_S)
            heapq.heappush(events, (ends, -1, "good" if good else "bad"))
    return answered


# --- the scenarios -----------------------------------------------------------

_DEAD: Final = Phase(lasts_s=900.0, errors=1.0)


def _dead(lasts_s: float) -> Phase:
    return Phase(lasts_s=lasts_s, errors=1.0)


def _well(lasts_s: float) -> Phase:
    return Phase(lasts_s=lasts_s)


_BLIPS: Final = tuple(
    phase
    for lasts_s in (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 3.0)
    for phase in (_dead(lasts_s), _well(150.0 - lasts_s))
)

SCENARIOS: Final = tuple(
    Scenario(**given)
    for given in (
        {"name": "hard_fast", "phases": (_DEAD,)},
        {"name": "hard_hang", "phases": (Phase(lasts_s=900.0, errors=0.0, hangs=1.0),)},
        {"name": "partial_70", "phases": (Phase(lasts_s=600.0, errors=0.7),)},
        {"name": "partial_25", "phases": (Phase(lasts_s=600.0, errors=0.25),), "healthy": True},
        {"name": "throttle_25", "phases": (Phase(lasts_s=600.0, per_s=5.0),)},
        {"name": "brownout_10x", "phases": (Phase(lasts_s=600.0, slower=10.0, errors=0.05),)},
        {"name": "slow_3x", "phases": (Phase(lasts_s=600.0, slower=3.0),), "healthy": True},
        {"name": "flap_30_30", "phases": (_dead(30.0), _well(30.0)) * 12},
        {"name": "gray_20pct", "phases": (Phase(lasts_s=600.0, errors=1.0, hit=0.2),)},
        {
            "name": "metastable",
            "phases": (_dead(300.0), Phase(lasts_s=900.0, cold=True)),
            "heals": False,
        },
        {"name": "blips", "phases": _BLIPS},
        {"name": "bg_1pct", "phases": (_well(900.0),), "healthy": True},
        {"name": "bg_8pct", "phases": (Phase(lasts_s=900.0, errors=0.08),), "healthy": True},
        {
            "name": "slow_decay",
            "phases": (Phase(lasts_s=720.0, errors=0.02, errors_end=0.98),),
        },
        {
            "name": "stair_heal",
            "phases": (
                _dead(300.0),
                Phase(lasts_s=300.0, errors=0.6),
                Phase(lasts_s=300.0, errors=0.2),
            ),
        },
        {"name": "relapse", "phases": (_dead(300.0), _well(180.0), _dead(420.0))},
        {"name": "burst_4x", "phases": (_well(90.0),), "burst": 4.0, "healthy": True},
        {
            "name": "store_down",
            "phases": (_dead(480.0),),
            "store_lost_s": (LEAD_S - 60.0, LEAD_S + 780.0),
        },
        {
            "name": "slow_errors",
            "phases": (Phase(lasts_s=600.0, errors=0.95, error_s=(8.0, 24.0)),),
        },
        {"name": "hang_8pct", "phases": (Phase(lasts_s=600.0, hangs=0.08),), "healthy": True},
        {"name": "low_traffic", "phases": (_DEAD,), "per_s": 0.5},
    )
)
