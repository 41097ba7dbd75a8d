"""What waits in each lane, and how long that will take, by the answers of late."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.core.route import Route
from worker.ops.breakers import Standing
from worker.ops.ways import Way
from worker.ports import Depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane's queues by their roles (`jobs`, `parked`, `dead`), and how to ask for a depth."""

    name: str
    routes: tuple[str, ...]
    queues: Mapping[str, Callable[[], Awaitable[Depth]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits in one lane.

    Attributes:
        depths: By role; None for a queue that could not be asked.
        answers_per_min: Of all workers, by their votes; None if nobody tells.
        drains_s: How long that takes at this pace, if no more comes; None if it cannot be known.
        unknown: Why it cannot be known, "" if it can.
    """

    lane: str
    depths: Mapping[str, Depth | None]
    answers_per_min: float | None
    drains_s: float | None
    unknown: str = ""


def waiting_of(
    lane: Lane,
    depths: Mapping[tuple[str, str], Depth | None],
    ways: Sequence[Way],
    routes: Sequence[Route],
    standings: Sequence[Standing],
) -> Waiting:
    """What waits in one lane; `depths` by lane and role."""
    own = {role: depths[lane.name, role] for role in lane.queues}
    calls = [way.calls for way in ways if way.route in lane.routes]
    targets = {t.name for route in routes if route.name in lane.routes for t in route.targets}
    rates = [rate for one in standings if one.name in targets and (rate := _answers(one))]
    per_min = round(sum(rates), 1) if standings else None
    count = sum(depth.total for role in ("jobs", "parked") if (depth := own.get(role)))
    unknown, drains_s = "", None
    if own.get("jobs") is None or own.get("parked") is None:
        unknown = "a queue of it could not be asked"
    elif count == 0:
        drains_s = 0.0
    elif per_min is None:
        unknown = "the fleet's votes are not there to count"
    elif not any(calls):
        unknown = "no circuit of it lets calls out"
    elif per_min == 0:
        unknown = "no worker has told of an answer of late"
    else:
        drains_s = round(60 * count / per_min, 1)
    return Waiting(
        lane=lane.name, depths=own, answers_per_min=per_min, drains_s=drains_s, unknown=unknown
    )


def _answers(one: Standing) -> float:
    """Answers a minute of all workers: the calls of their windows that did not fail."""
    jury = one.jury
    if jury is None or not jury.calls:
        return 0.0
    return jury.calls_per_min * (jury.calls - jury.failures) / jury.calls
