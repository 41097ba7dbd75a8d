"""The names of a fleet: what may be the value of a metric's dimension."""

from collections.abc import Iterable, Mapping

from worker.core.measures import Names
from worker.core.route import Route
from worker.core.target import Target
from worker.runtime.gates import endpoint_of
from worker.runtime.paces import bucket_of


def names_of(
    routes: Mapping[str, Route], handlers: Mapping[str, Target | None], stores: Iterable[str]
) -> Names:
    """Every name that metrics may be told by.

    Args:
        routes: Every route.
        handlers: Every degraded handler, with the target that it asks, if any.
        stores: The stores that there are.
    """
    targets = [target for route in routes.values() for target in route.targets]
    every = [*targets, *(target for target in handlers.values() if target)]
    return Names(
        routes=frozenset(routes),
        targets=frozenset(target.name for target in every),
        breakers=frozenset(name for t in targets for name in (t.name, endpoint_of(t))),
        handlers=frozenset(handlers),
        buckets=frozenset(map(bucket_of, every)),
        stores=frozenset(stores),
    )
