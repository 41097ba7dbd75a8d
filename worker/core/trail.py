"""The trail of a job: what became of its claims, and what stood in its way.

A leg is one claim and its end. What an answer tells by itself leaves none: a healthy job
costs no byte more. A leg is written with the ending that it tells of; the leg of a claim
whose holder died is written by whoever claims next. Nothing here is text of a job.
"""

from dataclasses import dataclass
from typing import Final

TRAIL_MAX: Final = 20  # legs kept: the first, and the latest
BARS_MAX: Final = 8  # of one leg


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What gave a job no leave for a call.

    Attributes:
        name: A breaker, or a quota bucket.
        why: `open`, `probing`, `resting`, `full`, `held`; of a bucket `paced` or `exhausted`;
            `stands_back` for an upgrade that left the call to others.
        version: Of the fleet's verdict; 0 where the worker decided alone.
    """

    name: str
    why: str
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One claim of a job, and how it ended. Times are seconds since 1970, 0 if not known.

    Attributes:
        fence: The claim's number.
        owner: The worker that claimed.
        ended: The state that it left; "" if its lease lapsed without any outcome.
        ended_at: For a lapsed lease, when it lapsed.
        why: Why it was parked, degraded, given back or given up.
        until: Of a park, when its doorbell was due.
        handler: Who gave a degraded answer.
        cut: The target of a call that was under way when the run was cut short: what came
            of it nobody heard.
        sent_at: Of the last leg before a redrive, when that life of the job began.
        bars: What stood in the way of calls.
    """

    fence: int
    generation: int = 0
    owner: str = ""
    began_at: float = 0.0
    ended_at: float = 0.0
    ended: str = ""
    why: str = ""
    until: float = 0.0
    handler: str = ""
    cut: str = ""
    sent_at: float = 0.0
    bars: tuple[Bar, ...] = ()


def with_leg(trail: tuple[Leg, ...], leg: Leg) -> tuple[Leg, ...]:
    """The trail with one more leg, cut after the first to `TRAIL_MAX`.

    >>> [leg.fence for leg in with_leg((Leg(fence=1), Leg(fence=2)), Leg(fence=3))]
    [1, 2, 3]
    """
    longer = (*trail, leg)
    return longer if len(longer) <= TRAIL_MAX else (longer[0], *longer[1 - TRAIL_MAX :])
