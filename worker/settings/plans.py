"""The plan linter: rules about routes, each told so that it can be mended.

A route that looks like a safety net and is none shows in the one hour in which it
is needed. So what is found here keeps the worker from starting. Where a rule is
about time or attempts, it is not worked out a second time: `plan` itself is asked,
with every target failing as late as it may.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Final

from worker.core.degrade import HandlerSpec
from worker.core.fault import Fault, Kind
from worker.core.geo import lies_within
from worker.core.plan import Call, Seen, plan
from worker.core.route import Action, Route
from worker.core.target import Target
from worker.settings.fields import variable
from worker.settings.problem import Problem, listed

_FAILED: Final = Fault(kind=Kind.UNAVAILABLE, code="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the linter looks at.

    Attributes:
        routes: Every route by name.
        targets: Every target that the settings have under [targets], by name.
        handlers: Every degraded handler that the settings have, by name.
    """

    routes: Mapping[str, Route]
    targets: Mapping[str, Target]
    handlers: Mapping[str, HandlerSpec]


def findings(plans: Plans) -> Iterator[Problem]:
    """Everything that is wrong with the routes, one after the other."""
    for name, route in plans.routes.items():
        for rule in _OF_A_ROUTE:
            yield from rule(name, route)
        handlers = [plans.handlers[handler] for handler in route.degraded]
        yield from _handlers_are_good_enough(name, route, handlers)
        yield from _handlers_are_inside(name, route, handlers)
    yield from _no_summary_asks_whom_a_route_asks(plans)
    yield from _every_target_is_in_a_route(plans)


def called(route: Route, deadline_s: float | None) -> frozenset[str]:
    """The targets that a job is tried at if each fails as late as it may.

    Args:
        route: The route; the first of each step is drawn first.
        deadline_s: The job's time, in seconds; None for no end.
    """
    route = replace(route, on_fault={})
    seen = Seen(left_s=deadline_s)
    while isinstance(step := plan(route, seen, roll=0.0), Call):
        left_s = None if seen.left_s is None else seen.left_s - step.wait_s - step.bound_s
        seen = replace(seen, tried=(*seen.tried, (step.target.name, _FAILED)), left_s=left_s)
    return frozenset(name for name, _ in seen.tried)


def quota_of(target: Target) -> tuple[str, ...]:
    """What stands for the quota that a target draws on.

    The service counts by account, Region and model or profile, for all tiers together;
    only reserved capacity is apart.
    """
    if target.bucket:
        return (target.bucket,)
    return (target.region, target.model, *(("reserved",) if target.tier == "reserved" else ()))


def _behind(target: Target) -> tuple[str, ...]:
    """What answers for a target, and fails with it: its quota, whatever bucket it names."""
    return quota_of(replace(target, bucket=""))


def _of(route: Route) -> tuple[str, str]:
    return variable("routes", route.name, "targets"), ", ".join(t.name for t in route.targets)


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _the_first_call_comes_in_time(name: str, route: Route) -> Iterator[Problem]:
    shortest_s = min(target.least_s for target in route.targets)
    if route.deadline_s is not None and route.deadline_s <= shortest_s:
        yield Problem(
            wrong=f"route `{name}`: every job expires before its first call.",
            facts=(
                (variable("routes", name, "deadline_s"), _seconds(route.deadline_s)),
                ("shortest useful call", _seconds(shortest_s)),
            ),
            advice="Raise the deadline, or lower `min_useful_s` of a target.",
        )


def _every_step_has_an_attempt(name: str, route: Route) -> Iterator[Problem]:
    reached = called(route, None)
    for target in _first_of_each_step(route):
        if reached and target in _serving(route) and target.name not in reached:
            needed = 1 + route.targets.index(target)
            yield Problem(
                wrong=f"route `{name}`: no attempt is left for target `{target.name}`.",
                facts=(_of(route), (variable("retry", "attempts"), str(route.retry.attempts))),
                advice="A job whose calls fail at the targets before it is parked without a try "
                f"at this one. Set WORKER_RETRY__ATTEMPTS to at least {needed}, or name fewer "
                "targets.",
            )


def _every_step_comes_in_time(name: str, route: Route) -> Iterator[Problem]:
    if route.deadline_s is None or not (reached := called(route, route.deadline_s)):
        return
    for target in _first_of_each_step(route):
        if target.name in called(route, None) - reached:
            yield Problem(
                wrong=f"route `{name}`: target `{target.name}` cannot be reached within the "
                "deadline.",
                facts=(
                    _of(route),
                    (variable("routes", name, "deadline_s"), _seconds(route.deadline_s)),
                    (f"least time for `{target.name}`", _seconds(target.least_s)),
                ),
                advice="If the targets before it hang, the job expires without a try at this one. "
                "Raise the deadline, or lower `min_useful_s` of the target or `attempt_s` of "
                "those before it.",
            )


def _first_of_each_step(route: Route) -> Iterator[Target]:
    """The targets that must be reached: of a step, any other may be drawn as well."""
    targets = iter(route.targets)
    for weights in route.groups or ((1.0,),) * len(route.targets):
        first, *_ = [next(targets) for _ in weights]
        yield first


def _serving(route: Route) -> list[Target]:
    return [t for t in route.targets if t.quality >= route.min_quality and _is_inside(route, t)]


def _is_inside(route: Route, target: Target) -> bool:
    return route.allow_geo is None or lies_within(target.places, route.allow_geo)


def _every_target_has_its_own_quota(name: str, route: Route) -> Iterator[Problem]:
    by_quota = sorted(route.targets, key=quota_of)
    for _, sharing in groupby(by_quota, key=quota_of):
        first, *others = [target.name for target in sharing]
        for other in others:
            yield Problem(
                wrong=f"route `{name}`: targets `{first}` and `{other}` draw on one quota.",
                facts=(_of(route),),
                advice="When one is throttled the other is too, so it is no fallback in the hour "
                "of need. Give one another model, profile or Region, or leave one out.",
            )


def _every_target_is_inside(name: str, route: Route) -> Iterator[Problem]:
    at = variable("routes", name, "allow_geo")
    for target in route.targets:
        if _is_inside(route, target):
            continue
        places = listed(target.places)
        allowed = listed(route.allow_geo or ())
        if target.places:
            yield Problem(
                wrong=f"route `{name}`: target `{target.name}` may process jobs outside.",
                facts=((at, allowed), (f"places of `{target.name}`", places)),
                advice="No job would ever be sent there. Allow all its places, take a model or a "
                "profile whose places are allowed, or leave the target out.",
            )
        else:
            yield Problem(
                wrong=f"route `{name}`: nobody knows where target `{target.name}` processes jobs.",
                facts=((at, allowed), ("model", "tells no geography")),
                advice="No job would ever be sent there. Set `region` of the target, or `geo` if "
                "its model id does not tell whether it stays there.",
            )


def _every_target_is_good_enough(name: str, route: Route) -> Iterator[Problem]:
    for target in route.targets:
        if target.quality < route.min_quality:
            yield Problem(
                wrong=f"route `{name}`: target `{target.name}` is below the route's quality.",
                facts=(
                    (variable("routes", name, "min_quality"), f"{route.min_quality:g}"),
                    (f"quality of `{target.name}`", f"{target.quality:g}"),
                ),
                advice="No job would ever be sent there. Lower `min_quality`, correct the "
                "target's `quality`, or leave the target out.",
            )


def _actions_can_be_done(name: str, route: Route) -> Iterator[Problem]:
    for kind, action in route.on_fault.items():
        fact = (variable("routes", name, "on_fault", kind), action.value)
        if action is Action.NEXT and len(route.targets) == 1:
            yield Problem(
                wrong=f"route `{name}`: after `{kind}` the next target is to be tried, and there "
                "is none.",
                facts=(fact, _of(route)),
                advice="Its jobs would be parked after one call. Add a target, or set `park` if "
                "that is meant.",
            )
        if action is Action.DEGRADE and not route.degraded:
            yield Problem(
                wrong=f"route `{name}`: after `{kind}` a handler is to answer, and there is none.",
                facts=(fact,),
                advice="Its jobs would be parked without a second call. Name a handler in "
                "`degraded`, or leave this out.",
            )
        if action is Action.FAIL and kind is Kind.MISCONFIGURED:
            yield Problem(
                wrong=f"route `{name}`: a wrong setting of ours is to cost the jobs.",
                facts=(fact,),
                advice="One bad deployment would dead-letter a whole queue. Leave this out: such "
                "jobs wait until it is mended.",
            )


def _handlers_are_good_enough(
    name: str, route: Route, handlers: Sequence[HandlerSpec]
) -> Iterator[Problem]:
    for handler in handlers:
        if handler.best < route.min_quality:
            yield Problem(
                wrong=f"route `{name}`: handler `{handler.name}` is below the route's quality.",
                facts=(
                    (variable("routes", name, "min_quality"), f"{route.min_quality:g}"),
                    (f"quality of `{handler.name}`", f"{handler.best:g}"),
                ),
                advice="No job would ever get its answer. Lower `min_quality`, correct the "
                "handler's `quality`, or leave the handler out.",
            )


def _handlers_are_inside(
    name: str, route: Route, handlers: Sequence[HandlerSpec]
) -> Iterator[Problem]:
    for handler in handlers:
        if handler.target is None or _is_inside(route, handler.target):
            continue
        yield Problem(
            wrong=f"route `{name}`: handler `{handler.name}` may process jobs outside.",
            facts=(
                (variable("routes", name, "allow_geo"), listed(route.allow_geo or ())),
                (
                    f"places of `{handler.target.name}`",
                    listed(handler.target.places or {"unknown"}),
                ),
            ),
            advice="No job would ever get its answer. Give the handler a target whose places are "
            "allowed, or leave the handler out.",
        )


def _no_summary_asks_whom_a_route_asks(plans: Plans) -> Iterator[Problem]:
    summaries = [(h.name, h.target) for h in plans.handlers.values() if h.target]
    for (handler, asked), route in product(summaries, plans.routes.values()):
        if same := [t.name for t in route.targets if _behind(t) == _behind(asked)]:
            yield Problem(
                wrong=f"the degraded handler `{handler}` asks the model of route `{route.name}` in "
                "the same Region.",
                facts=(
                    (variable("degraded", handler, "target"), asked.name),
                    ("one model and Region", ", ".join((asked.name, *same))),
                ),
                advice="Its calls would go past that target's circuit while it is open, to what is "
                "down. Give the summary's target another model, profile or Region.",
            )


def _every_target_is_in_a_route(plans: Plans) -> Iterator[Problem]:
    used = {target.name for route in plans.routes.values() for target in route.targets}
    used |= {handler.target.name for handler in plans.handlers.values() if handler.target}
    for name in sorted(set(plans.targets) - used):
        yield Problem(
            wrong=f"no route names target `{name}`.",
            facts=(("routes", listed(plans.routes)),),
            advice="It would never be called. Add it to `targets` of a route, or remove "
            f"[targets.{name}].",
        )


_OfARoute = Callable[[str, Route], Iterator[Problem]]
_OF_A_ROUTE: Final[tuple[_OfARoute, ...]] = (
    _the_first_call_comes_in_time,
    _every_step_has_an_attempt,
    _every_step_comes_in_time,
    _every_target_has_its_own_quota,
    _every_target_is_inside,
    _every_target_is_good_enough,
    _actions_can_be_done,
)
