"""A better answer later: a degraded answer may promise one, and a job of its own keeps it.

The upgrade of job X is the job `X+upgrade`: the same body and the same first send,
with a record, claims and one final answer of its own. So X is finished once and for
all, and every rule of the ledger holds for both. A producer cannot use that id: `+`
is in none. What an upgrade does otherwise than a job:

    it is called for only where no job without answer misses the slot or the call
    no handler answers it, and no answer below the one that is there will do
    if it fails, there is no dead letter: its user has an answer
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from worker.core.fault import REACTIONS, Ending
from worker.core.job import Job
from worker.core.plan import HEARD_LATE_S, Seen, worthy_targets
from worker.core.route import Route

SUFFIX: Final = "+upgrade"
RING_S: Final = 5.0  # after the degraded answer, for what was over in a moment
FIRST_WAIT_S: Final = 60.0  # where it may not call; doubled each time
LONGEST_WAIT_S: Final = 900.0  # SQS delays no longer
_HEALED_BY_TIME: Final = frozenset(
    {"circuit_open"} | {str(kind) for kind, row in REACTIONS.items() if row.ending is Ending.PARK}
)


def upgrade_id(job: str) -> str:
    """The id of a job's upgrade.

    >>> upgrade_id("order-17")
    'order-17+upgrade'
    """
    return job + SUFFIX


def upgraded(job: str) -> str | None:
    """The job that a job is the upgrade of; None if it is none.

    >>> upgraded("order-17+upgrade"), upgraded("order-17")
    ('order-17', None)
    """
    return job.removesuffix(SUFFIX) if job.endswith(SUFFIX) else None


def promised(route: Route, job: Job, seen: Seen, *, why: str, served: float) -> bool:
    """Whether a degraded answer is to be replaced later.

    It must be wished for, and it must be possible: time may heal what was wrong, there
    is time, and a target is at least as good as what is served now.

    Args:
        route: The job's route.
        job: What its producer says goes before what the route does.
        seen: What is known of the job.
        why: Why it was degraded.
        served: The quality of its degraded answer.
    """
    wished = route.upgrade_later if job.upgrade_later is None else job.upgrade_later
    if not wished or why not in _HEALED_BY_TIME:
        return False
    better = worthy_targets(route, replace(seen, min_quality=max(seen.min_quality, served)))
    left_s = route.park_max_s - seen.age_s
    if seen.left_s is not None:
        left_s = min(left_s, seen.left_s)
    return any(left_s > FIRST_WAIT_S + HEARD_LATE_S + target.least_s for target in better)


def as_upgrade(job: Job, *, served: float) -> Job:
    """The job as its upgrade runs it: it waits, and is not content with less than is there."""
    return replace(
        job, on_open="park", degrade_after_s=None, min_quality=max(job.min_quality, served)
    )


def route_of_upgrade(route: Route) -> Route:
    """The route as an upgrade takes it: with patience, and without degraded handlers."""
    return replace(route, degraded=(), park_base_s=FIRST_WAIT_S, park_cap_s=LONGEST_WAIT_S)


def stands_back(
    route: Route, refusals: Mapping[str, float], *, free: frozenset[str], parks: int
) -> Mapping[str, float]:
    """The targets that an upgrade does not ask, each with the seconds until it may.

    Args:
        route: Its route.
        refusals: The targets that admit nobody.
        free: The targets where it is in nobody's way.
        parks: How often it was parked.
    """
    # A fifth below the longest, because a wait that we were told is jittered upwards.
    wait_s = min(0.8 * LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(parks, 16))
    return {
        target.name: max(wait_s, refusals.get(target.name, 0.0))
        for target in route.targets
        if target.name in refusals or target.name not in free
    }
