"""A route: which targets may serve its jobs, in which order, and what else it says of them.

What a job does next on its route is decided in `plan.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from worker.core.accept import Accept
from worker.core.draw import drawn
from worker.core.fault import Again, Ending, Fault, Kind, Reaction
from worker.core.retry import RetryPolicy
from worker.core.target import Target


class Action(StrEnum):
    """What a route does about a kind of fault, instead of what the table of faults says."""

    NEXT = "next"  # no second call at the same target
    DEGRADE = "degrade"  # no further call: the handlers at once
    PARK = "park"  # neither call nor handler: later
    FAIL = "fail"  # give the job up


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An ordered plan: groups of targets, then degraded handlers, and how long to wait.

    Attributes:
        targets: All targets, group after group.
        groups: The weights of the targets, group by group; () where each target is
            a group of its own. A weighted draw says which of a group is tried first.
        degraded: Names of handlers, the preferred one first.
        handlers_s: What is kept of a job's time for the degraded handlers, in seconds.
        accept: Which answers of its targets are good enough.
        on_fault: What to do about some kinds of faults, instead of what the table says.
        min_quality: No job of this route is served below it, whatever the job says.
        allow_geo: Its jobs are processed within these places only; None for anywhere.
        on_open: `park`, `fail`, `degrade` or `degrade_after`, for jobs that say nothing of it.
        degrade_after_s: For `degrade_after`: the age from which a job degrades.
        upgrade_later: Whether degraded answers are replaced later, for jobs that say nothing of it.
        notice: What an end user is told of a degraded answer; "" for a text by what it lacks.
        park_base_s: The first park; it doubles with each, up to `park_cap_s`.
        park_max_s: A job older than this is not parked again: it degrades, or expires.
        deadline_s: For jobs that name none, counted from the first send; None for never.
    """

    name: str
    targets: tuple[Target, ...]
    groups: tuple[tuple[float, ...], ...] = ()
    degraded: tuple[str, ...] = ()
    handlers_s: float = 1.0
    accept: Accept = field(default_factory=Accept)
    on_fault: Mapping[Kind, Action] = field(default_factory=dict)
    min_quality: float = 0.0
    allow_geo: frozenset[str] | None = None
    on_open: str = "park"
    degrade_after_s: float | None = None
    upgrade_later: bool = False
    notice: str = ""
    deadline_s: float | None = None
    park_base_s: float = 5.0
    park_cap_s: float = 300.0
    park_max_s: float = 86_400.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def reaction(self, fault: Fault) -> Reaction:
        """How a job of this route reacts to a fault."""
        usual = fault.reaction
        match self.on_fault.get(fault.kind):
            case None:
                return usual
            case Action.NEXT:
                larger = usual.again is Again.LARGER
                return replace(usual, again=usual.again if larger else Again.OTHER)
            case Action.DEGRADE:
                return replace(usual, again=Again.NEVER, degrades=True)
            case Action.PARK:
                return replace(usual, again=Again.NEVER, degrades=False, ending=Ending.PARK)
            case Action.FAIL:  # pragma: no branch  (closed enum)
                return replace(usual, again=Again.NEVER, degrades=False, ending=Ending.DISCARD)

    def order(self, fit: list[Target], roll: float) -> list[Target]:
        """`fit` in the order in which to try them.

        Args:
            fit: Some of this route's targets, in its order.
            roll: An even draw from [0, 1), for the draws within the groups.
        """
        if not self.groups:
            return fit
        names, targets, order = {t.name for t in fit}, iter(self.targets), list[Target]()
        for weights in self.groups:
            group = [(next(targets), weight) for weight in weights]
            order += drawn([(t, weight) for t, weight in group if t.name in names], roll)
        return order
