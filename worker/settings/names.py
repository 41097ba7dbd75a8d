"""Rules about who names whom: queues, models, targets, routes and lanes."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from worker.core.degrade import HandlerKind
from worker.settings.fields import variable
from worker.settings.knobs import Lane
from worker.settings.model import DEFAULT, Shape
from worker.settings.problem import Problem, listed


def _a_queue_is_named(s: Shape) -> Iterator[Problem]:
    if not s.lanes and s.queue.url is None:
        yield Problem(
            wrong="no queue is named.",
            advice="There is nothing to take jobs from. Set WORKER_QUEUE__URL to the URL of the "
            "jobs queue, or `url` under [queue] in worker.toml.",
        )
    if s.lanes and s.queue.url is not None:
        yield Problem(
            wrong="both a queue and lanes are named.",
            facts=((variable("queue", "url"), "set"), (variable("lanes"), ", ".join(s.lanes))),
            advice="Nobody could tell which routes the queue serves. Make the queue a lane with "
            "its routes, or drop the lanes.",
        )


def _a_model_is_named(s: Shape) -> Iterator[Problem]:
    if s.model is None and not s.targets:
        yield Problem(
            wrong="no model is named.",
            advice="There is nothing to call. Set WORKER_MODEL__ID to a model id or an inference "
            "profile id, or `id` under [model] in worker.toml.",
        )


def _target_names_are_unique(s: Shape) -> Iterator[Problem]:
    if s.model is not None and DEFAULT in s.targets:
        yield Problem(
            wrong="two targets are called `default`: [model] and [targets.default].",
            advice="One of them would never be called. Give the one in [targets] another name.",
        )


def _routes_name_known_targets(s: Shape) -> Iterator[Problem]:
    known = {*s.targets, *((DEFAULT,) if s.model else ())}
    for name, route in s.routes.items():
        named = route.target_names()
        unknown = sorted(set(named) - known)
        at = variable("routes", name, "targets")
        if unknown:
            yield Problem(
                wrong=f"route `{name}` names targets that do not exist: {', '.join(unknown)}.",
                facts=((at, ", ".join(named)), ("known targets", listed(known))),
                advice="Its jobs would have nowhere to go. Name one of the known targets, or add "
                f"[targets.{unknown[0]}].",
            )
        if len(set(named)) < len(named):
            yield Problem(
                wrong=f"route `{name}` names a target twice.",
                facts=((at, ", ".join(named)),),
                advice="A fallback to the same target is none. Name each target once.",
            )


def _targets_that_share_have_a_weight(s: Shape) -> Iterator[Problem]:
    for name, route in s.routes.items():
        for group in route.groups():
            for target in (target for target, weight in group if weight == 0):
                yield Problem(
                    wrong=f"route `{name}` gives target `{target}` the weight 0.",
                    facts=((variable("routes", name, "targets"), ", ".join(route.targets)),),
                    advice="It would never be drawn, not even when the others of its step are out "
                    "of service. Give it a weight above 0, make it a later step (`a, b` and not "
                    "`a | b`), or leave it out.",
                )


def _routes_name_known_handlers(s: Shape) -> Iterator[Problem]:
    for name, route in s.routes.items():
        at = variable("routes", name, "degraded")
        if unknown := sorted(set(route.degraded) - set(s.degraded)):
            yield Problem(
                wrong=f"route `{name}` names degraded handlers that do not exist: "
                f"{', '.join(unknown)}.",
                facts=((at, ", ".join(route.degraded)), ("known handlers", listed(s.degraded))),
                advice=f"Name one of the known handlers, or add [degraded.{unknown[0]}].",
            )
        if len(set(route.degraded)) < len(route.degraded):
            yield Problem(
                wrong=f"route `{name}` names a degraded handler twice.",
                facts=((at, ", ".join(route.degraded)),),
                advice="What had no answer the first time has none the second. Name each once.",
            )
        if route.on_open.startswith("degrade") and not route.degraded:
            yield Problem(
                wrong=f"route `{name}` is to degrade, and names no handler.",
                facts=((variable("routes", name, "on_open"), route.on_open), (at, "none")),
                advice="Its jobs would be parked all the same. Name handlers in `degraded`, or "
                "set `on_open` to park.",
            )
        if route.upgrade_later and not route.degraded:
            yield Problem(
                wrong=f"route `{name}` is to upgrade degraded answers, and names no handler.",
                facts=((variable("routes", name, "upgrade_later"), "true"), (at, "none")),
                advice="It never degrades, so there is nothing to upgrade. Name handlers in "
                "`degraded`, or remove `upgrade_later`.",
            )
    used = {name for route in s.routes.values() for name in route.degraded}
    if unused := sorted(set(s.degraded) - used):
        yield Problem(
            wrong=f"no route names the degraded handler {', '.join(unused)}.",
            advice="A handler acts only where a route names it. Add it to `degraded` of a route, "
            "or remove it.",
            fatal=False,
        )


def _handlers_have_what_their_kind_needs(s: Shape) -> Iterator[Problem]:
    for name, handler in s.degraded.items():
        own = _OF_KIND[handler.kind]
        if "file" in own and not handler.file:
            yield Problem(
                wrong=f"the degraded handler `{name}` has no rules.",
                facts=((variable("degraded", name, "kind"), handler.kind),),
                advice=f"Set {variable('degraded', name, 'file')} to the file that they are in.",
            )
        every = {field for fields in _OF_KIND.values() for field in fields}
        if strange := sorted((handler.model_fields_set & every) - own):
            yield Problem(
                wrong=f"the degraded handler `{name}` has settings of another kind.",
                facts=(
                    (variable("degraded", name, "kind"), handler.kind),
                    *((variable("degraded", name, field), "set") for field in strange),
                ),
                advice="They would have no effect. Correct `kind`, or remove them.",
            )


def _summaries_have_targets_of_their_own(s: Shape) -> Iterator[Problem]:
    known = {*s.targets, *((DEFAULT,) if s.model else ())}
    for name, handler in s.degraded.items():
        at = variable("degraded", name, "target")
        if handler.kind != "summary":
            continue
        if handler.target not in known:
            yield Problem(
                wrong=f"the degraded handler `{name}` has nobody to ask.",
                facts=((at, handler.target or "unset"), ("known targets", listed(known))),
                advice="Name a target under [targets] that no route names: a cheap one, with a "
                "small `max_tokens`.",
            )
        routes = [r for r, route in s.routes.items() if handler.target in route.target_names()]
        if routes:
            yield Problem(
                wrong=f"the degraded handler `{name}` asks a target of route {listed(routes)}.",
                facts=((at, str(handler.target)),),
                advice="Its calls would go past that target's circuit while it is open. Give the "
                "summary a target of its own, in another Region or of another model.",
            )


_OF_KIND: Final[Mapping[HandlerKind, frozenset[str]]] = MappingProxyType(
    {
        "rules": frozenset({"file"}),
        "cache": frozenset({"ttl_s", "stale_s", "entry_bytes_max"}),
        "summary": frozenset({"target"}),
        "plugin": frozenset({"use"}),
    }
)


def _lanes_and_routes_agree(s: Shape) -> Iterator[Problem]:
    known = set(s.route_names())
    lane_of: dict[str, str] = {}
    for lane, given in s.lanes.items():
        at = variable("lanes", lane, "routes")
        if unknown := sorted(set(given.routes) - known):
            yield Problem(
                wrong=f"lane `{lane}` names routes that do not exist: {', '.join(unknown)}.",
                facts=((at, ", ".join(given.routes)), ("known routes", listed(known))),
                advice="Name one of the known routes, or add the missing one under [routes].",
            )
        for route in given.routes:
            if route in lane_of:
                yield Problem(
                    wrong=f"route `{route}` is in two lanes, `{lane_of[route]}` and `{lane}`.",
                    advice="Its parked jobs would not know which queue to come back to. Leave it "
                    "in one lane, or make a second route.",
                )
            lane_of[route] = lane
    if s.lanes and (left := sorted(known - set(lane_of))):
        yield Problem(
            wrong=f"no lane carries {listed(left)}.",
            advice="Jobs of such a route are dead-lettered as `unknown_route` wherever they "
            "arrive. Add the route to a lane, or remove it.",
        )


def _there_is_a_default_route(s: Shape) -> Iterator[Problem]:
    if s.routes and DEFAULT not in s.routes:
        yield Problem(
            wrong="no route is called `default`.",
            facts=(("known routes", listed(s.routes)),),
            advice="A job that names no route is dead-lettered as `unknown_route`. Add "
            "[routes.default], unless every producer names a route.",
            fatal=False,
        )


def _queues_are_distinct(s: Shape) -> Iterator[Problem]:
    used: dict[str, str] = {}
    may_be_shared = {variable(*at, "dead_url") for at, _ in _lanes_at(s)}
    for name, url in _queue_urls(s):
        other = used.setdefault(url, name)
        if other != name and not {other, name} <= may_be_shared:
            yield Problem(
                wrong="one queue has two uses.",
                facts=((other, "this queue"), (name, "the same")),
                advice="A worker would take what it has just put away. Give each its own queue.",
            )


def _no_queue_is_fifo(s: Shape) -> Iterator[Problem]:
    for name, url in _queue_urls(s):
        if url.endswith(".fifo"):
            yield Problem(
                wrong="a FIFO queue is named.",
                facts=((name, "ends with .fifo"),),
                advice="FIFO queues know no delay per message, which parking needs, and one slow "
                "job blocks its group. Use a standard queue.",
            )


def _queue_urls(s: Shape) -> list[tuple[str, str]]:
    lane_urls = [
        (variable(*at, role), url)
        for at, lane in _lanes_at(s)
        for role, url in (
            ("url", lane.url),
            ("parked_url", lane.parked_url),
            ("dead_url", lane.dead_url),
        )
    ]
    replies = [(variable("replies", name), url) for name, url in s.replies.items()]
    return [*lane_urls, *replies]


def _lanes_at(s: Shape) -> list[tuple[tuple[str, ...], Lane]]:
    at = (lambda name: ("lanes", name)) if s.lanes else (lambda _: ("queue",))
    return [(at(lane.name), lane) for lane in s.all_lanes()]


_Rule = Callable[[Shape], Iterator[Problem]]
# What has to hold before targets, routes and lanes can be built at all.
NAMED: Final[tuple[_Rule, ...]] = (
    _a_queue_is_named,
    _a_model_is_named,
    _target_names_are_unique,
    _routes_name_known_targets,
    _targets_that_share_have_a_weight,
    _routes_name_known_handlers,
    _handlers_have_what_their_kind_needs,
    _summaries_have_targets_of_their_own,
    _lanes_and_routes_agree,
    _there_is_a_default_route,
)
BUILT: Final[tuple[_Rule, ...]] = (_queues_are_distinct, _no_queue_is_fifo)
