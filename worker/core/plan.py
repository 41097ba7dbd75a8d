"""Where a job goes next: one pure decision, asked again after every attempt.

`plan` sees the route, what the job allows, what was tried in this delivery, who
refuses calls at the moment, and the time that is left. It neither waits nor
calls; the executor does, and comes back with what happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from worker.core.fault import Again, Ending, Fault, Kind, Vote
from worker.core.geo import lies_within
from worker.core.retry import backoff_s
from worker.core.route import Action, Route
from worker.core.target import Target

CIRCUIT_OPEN: Final = "circuit_open"
REPAIRS: Final = 1  # further calls at the same target after a poor answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a job when the next step is asked for.

    Attributes:
        tried: Targets called in this delivery, in order, with the fault of each.
        attempts: Charged calls so far, over the job's whole life.
        parks: How often the job was parked before this delivery.
        age_s: Seconds since the job was first sent.
        left_s: Seconds to the deadline; None if there is none.
        min_quality: The lowest quality that the job accepts.
        allow_geo: Where the job may be processed; None for anywhere. The route's holds too.
        on_open: The job's own policy, or None.
        degrade_after_s: For the policy `degrade_after`: the age from which it degrades.
        declined: Handlers that had no answer in this delivery.
    """

    tried: tuple[tuple[str, Fault], ...] = ()
    attempts: int = 0
    parks: int = 0
    age_s: float = 0.0
    left_s: float | None = None
    min_quality: float = 0.0
    allow_geo: frozenset[str] | None = None
    on_open: str | None = None
    degrade_after_s: float | None = None
    declined: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Call `target` after `wait_s`, for at most `bound_s`.

    `spends` is what it costs the retry budget: 0 for a first call, 0.5 for
    another target, 1 for the same one again. `spare_s` is what the call may take
    together with the wait for leave to make it; infinite without a deadline.
    """

    target: Target
    wait_s: float
    bound_s: float
    spends: float
    spare_s: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Not now, and nobody is to blame: come back after `delay_s`."""

    delay_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrade:
    """Ask the named handler for a second-best answer."""

    handler: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Give the job up for good."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give the delivery back for anybody: the trouble is this process's own."""

    why: str


Decision = Call | Park | Degrade | Discard | Release

# A doorbell waits for whole seconds, and then for the next look into its queue.
HEARD_LATE_S: Final = 7.0
# What a job of the route wishes after such a fault, if it has no wish of its own.
_WISHES: Final[Mapping[Action | None, str]] = MappingProxyType(
    {Action.DEGRADE: "degrade", Action.PARK: "park"}
)
_OF_QUOTA: Final = frozenset({Vote.THROTTLE, Vote.EXHAUST})
# After these the wait is not ours to choose: a quota or a setting has to change first.
LONG_PARK_S: Final[Mapping[Kind, float]] = MappingProxyType(
    {Kind.EXHAUSTED: 600.0, Kind.MISCONFIGURED: 120.0}
)


def plan(
    route: Route,
    seen: Seen,
    *,
    roll: float,
    budget: float = float("inf"),
    refusals: Mapping[str, float] = MappingProxyType({}),
    quotas: Mapping[str, Kind] = MappingProxyType({}),
    suspects: frozenset[str] = frozenset(),
) -> Decision:
    """Decide the next step of one job.

    Args:
        route: The job's route.
        seen: What is known of the job.
        roll: An even draw from [0, 1), for the waits and for the order within a group.
        budget: Tokens in the retry budget.
        refusals: Targets that admit nothing now, each with the seconds after
            which it is worth asking again.
        quotas: Those of them that no circuit holds back, but their quota alone: what a
            call would come to.
        suspects: Targets that failed so often in a row that a call which just failed
            there is not worth another one.
    """
    if seen.left_s is not None and seen.left_s <= 0:
        return Discard(reason="expired")
    worthy = worthy_targets(route, seen)
    if not worthy:
        return _never(route, seen)
    if seen.tried:
        return _after_fault(
            route,
            seen,
            worthy,
            roll=roll,
            budget=budget,
            refusals=refusals,
            suspects=suspects,
        )
    admitted = [t for t in worthy if t.name not in refusals]
    if (call := _call_first(route, seen, route.order(admitted, roll), spends=0.0)) is not None:
        return call
    if admitted:  # what is left is too short for any of them
        return _too_late(route, seen)
    soonest = min(refusals[t.name] for t in worthy)
    why = _why_refused(worthy, quotas)
    return _wait(route, seen, roll, at_least_s=soonest, why=why)


def _too_late(route: Route, seen: Seen) -> Degrade | Discard:
    """No call can end in time; a handler may, unless the job was to fail rather."""
    handler, (policy, _) = _handler(route, seen), _policy(route, seen)
    if handler is None or policy == "fail":
        return Discard(reason="expired")
    return Degrade(handler=handler, why="expired")


def _handler(route: Route, seen: Seen) -> str | None:
    """The first handler that was not asked in vain in this delivery."""
    return next((name for name in route.degraded if name not in seen.declined), None)


def _why_refused(worthy: list[Target], quotas: Mapping[str, Kind]) -> str:
    """The mildest reason of all targets: by that one the job would be served first."""
    found = {quotas.get(target.name, CIRCUIT_OPEN) for target in worthy}
    return next(why for why in (Kind.THROTTLED, Kind.EXHAUSTED, CIRCUIT_OPEN) if why in found)


def _never(route: Route, seen: Seen) -> Degrade | Discard:
    """The step of a job that no target of its route may ever serve: to wait is no use."""
    reason = "below_quality" if _inside(route, seen) else "outside_geo"
    policy, _ = _policy(route, seen)
    handler = _handler(route, seen)
    if handler is not None and policy in ("degrade", "degrade_after"):
        return Degrade(handler=handler, why=reason)
    return Discard(reason=reason)


def _after_fault(
    route: Route,
    seen: Seen,
    worthy: list[Target],
    *,
    roll: float,
    budget: float,
    refusals: Mapping[str, float],
    suspects: frozenset[str],
) -> Decision:
    fault = seen.tried[-1][1]
    reaction = route.reaction(fault)
    if seen.on_open is None:
        # What a route says of this kind of fault goes before what it says of any.
        seen = replace(seen, on_open=_WISHES.get(route.on_fault.get(fault.kind)))
    if _is_poison(seen):
        return Discard(reason="poison")
    if reaction.wears_out and seen.attempts >= route.retry.attempts_max:
        return Discard(reason="attempts_exhausted")
    if len(seen.tried) < route.retry.attempts:
        open_now = [t for t in _with_quota(route, seen, worthy) if t.name not in refusals]
        hopeful = [t for t in open_now if t.name not in suspects]
        call = _next_call(route, seen, open_now, hopeful, roll=roll, budget=budget)
        if call is not None:
            return call
    if reaction.ending is Ending.RELEASE:
        return Release(why=fault.kind)
    waits = reaction.ending is Ending.PARK and _would_rather_wait(route, seen)
    handler = _handler(route, seen)
    if reaction.degrades and handler is not None and not waits:
        return Degrade(handler=handler, why=fault.kind)
    if reaction.ending is Ending.DISCARD:
        return Discard(reason=fault.kind)
    at_least_s = max(LONG_PARK_S.get(fault.kind, 0.0), fault.retry_after_s or 0.0)
    if all(target.name in refusals for target in worthy):
        at_least_s = max(at_least_s, min(refusals[target.name] for target in worthy))
        # It was in hand when the circuit opened, or was its probe. Nobody asks for it
        # while nothing is admitted: a wake costs nothing, so its delay need not grow.
        seen = replace(seen, parks=0)
    return _wait(route, seen, roll, at_least_s=at_least_s, why=fault.kind)


def _with_quota(route: Route, seen: Seen, worthy: list[Target]) -> list[Target]:
    """Those of which no bucket mate was throttled in this delivery: one quota serves them all.

    Who was called stays: whether it is worth another call is asked elsewhere.
    """
    throttled = {name for name, fault in seen.tried if fault.reaction.vote in _OF_QUOTA}
    spent = {target.bucket for target in route.targets if target.name in throttled} - {""}
    tried = {name for name, _ in seen.tried}
    return [t for t in worthy if t.bucket not in spent or t.name in tried]


def _next_call(
    route: Route,
    seen: Seen,
    open_now: list[Target],
    hopeful: list[Target],
    *,
    roll: float,
    budget: float,
) -> Call | None:
    """The next call after a fault, if there is one that the budget has the means for."""
    another = _call_another(route, seen, open_now, roll)
    again = _call_again(route, seen, hopeful, roll)
    calls = (another, again)
    name, fault = seen.tried[-1]
    if fault.kind is Kind.POOR:
        # The service is well, and its next answer may be good: the same target once more.
        poor = sum(tried == name and fault.kind is Kind.POOR for tried, fault in seen.tried)
        calls = (again if poor <= REPAIRS else None, another)
    for call in calls:
        if call is not None and call.spends <= budget:
            return call
    return None


def _call_another(route: Route, seen: Seen, open_now: list[Target], roll: float) -> Call | None:
    name, fault = seen.tried[-1]
    again = route.reaction(fault).again
    if again is Again.NEVER:
        return None
    tried = {name for name, _ in seen.tried}
    window = next(t.context_tokens for t in route.targets if t.name == name)
    larger = again is Again.LARGER
    left = [
        target
        for target in route.order(open_now, roll)
        if target.name not in tried and (not larger or target.context_tokens > window)
    ]
    return _call_first(route, seen, left, spends=0.5)


def _call_again(route: Route, seen: Seen, hopeful: list[Target], roll: float) -> Call | None:
    name, fault = seen.tried[-1]
    last = next((t for t in hopeful if t.name == name), None)
    if last is None or route.reaction(fault).again is not Again.SAME:
        return None
    wait_s = backoff_s(len(seen.tried), roll, base_s=fault.reaction.base_s, cap_s=route.retry.cap_s)
    wait_s = max(wait_s, fault.retry_after_s or 0.0)
    if wait_s > route.retry.longest_wait_s:
        return None
    tried = {name for name, _ in seen.tried}
    kept_s = _kept_s(route, seen, last, [t for t in hopeful if t.name not in tried])
    return _call(last, seen, wait_s=wait_s, spends=1.0, kept_s=kept_s)


def _is_poison(seen: Seen) -> bool:
    """A job that two distinct targets could not finish in time is itself the cause."""
    hung = {name for name, fault in seen.tried if fault.kind is Kind.TIMED_OUT}
    return len(hung) > 1


def _call_first(route: Route, seen: Seen, left: list[Target], *, spends: float) -> Call | None:
    """A call to the first of the targets left that has time enough."""
    for n, target in enumerate(left):
        kept_s = _kept_s(route, seen, target, left[n + 1 :])
        if (call := _call(target, seen, wait_s=0.0, spends=spends, kept_s=kept_s)) is not None:
            return call
    return None


def _kept_s(route: Route, seen: Seen, target: Target, coming: list[Target]) -> float:
    """What is kept of the time left for the step after `target`, should that one hang.

    As long as the next target usually takes, and the handlers; but no more than half
    of what is left. So every step has its time, and the earlier ones have most of it.
    """
    if seen.left_s is None:
        return 0.0
    kept_s = route.handlers_s if _handler(route, seen) else 0.0
    if len(seen.tried) + 1 < route.retry.attempts:
        spare_s = seen.left_s - target.least_s
        kept_s += next((t.slow_s for t in coming if t.least_s <= spare_s), 0.0)
    return min(kept_s, seen.left_s / 2)


def _call(
    target: Target, seen: Seen, *, wait_s: float, spends: float, kept_s: float
) -> Call | None:
    left_s = float("inf") if seen.left_s is None else seen.left_s - wait_s
    if left_s < target.least_s:
        return None
    spare_s = max(left_s - kept_s, target.least_s)
    return Call(
        target=target,
        wait_s=wait_s,
        bound_s=min(target.attempt_s, spare_s),
        spare_s=spare_s,
        spends=spends,
    )


def worthy_targets(route: Route, seen: Seen) -> list[Target]:
    """The targets that may serve the job at all."""
    floor = max(route.min_quality, seen.min_quality)
    return [target for target in _inside(route, seen) if target.quality >= floor]


def _inside(route: Route, seen: Seen) -> list[Target]:
    """The targets that process within everything that the route and the job allow."""
    targets = list(route.targets)
    for allowed in (route.allow_geo, seen.allow_geo):
        if allowed is not None:
            targets = [target for target in targets if lies_within(target.places, allowed)]
    return targets


def _wait(
    route: Route, seen: Seen, roll: float, *, at_least_s: float, why: str
) -> Park | Degrade | Discard:
    policy, patient_s = _policy(route, seen)
    if policy == "fail":
        return Discard(reason=why)
    handler = _handler(route, seen)
    second_best = Degrade(handler=handler, why=why) if handler is not None else None
    degrades_in_s = patient_s - seen.age_s
    if second_best is not None and degrades_in_s <= 0:
        return second_best
    if seen.age_s > route.park_max_s:
        return second_best or Discard(reason="expired")
    ceiling_s = min(route.park_cap_s, route.park_base_s * 2.0 ** min(seen.parks, 32))
    # Half of a park is jitter. A wait that we were told is kept whole, and has
    # its jitter on top: jobs that were refused together do not come back together.
    low_s, high_s = max(at_least_s, ceiling_s / 2), max(at_least_s * 1.25, ceiling_s)
    delay_s = min(900.0, low_s + roll * (high_s - low_s))  # the longest that SQS delays
    if second_best is not None and degrades_in_s < delay_s:
        delay_s = max(1.0, degrades_in_s) + roll  # its second-best answer is due by then
    if seen.left_s is not None:
        shortest_s = min(t.min_useful_s for t in worthy_targets(route, seen))
        # A try that comes too late costs nothing; a second-best answer must not come so.
        left_s = seen.left_s - (HEARD_LATE_S if route.degraded else 0.0)
        if delay_s > left_s - shortest_s:
            # One last try just before the deadline is worth more than none.
            delay_s = left_s - 2 * shortest_s
            if delay_s < 1.0:
                return second_best or Discard(reason="expired")
    return Park(delay_s=delay_s, why=why)


def _policy(route: Route, seen: Seen) -> tuple[str, float]:
    """What becomes of a job that nothing admits, and the age from which it degrades."""
    policy, after_s = route.on_open, route.degrade_after_s
    if seen.on_open is not None:
        policy, after_s = seen.on_open, seen.degrade_after_s
    if policy == "degrade":
        return policy, 0.0
    return policy, (after_s or 0.0) if policy == "degrade_after" else float("inf")


def _would_rather_wait(route: Route, seen: Seen) -> bool:
    """Whether a job whose calls failed is to wait although a handler could answer it.

    A route that says no more than `park` means jobs that were not tried.
    """
    policy, patient_s = _policy(route, seen)
    if policy == "degrade_after":
        return seen.age_s < patient_s
    return seen.on_open in ("park", "fail")
