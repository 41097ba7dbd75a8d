"""What users of a route get meanwhile: which targets are left, and what comes after them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from worker.core.route import Route
from worker.core.verdict import Mode, State
from worker.ops.breakers import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The plan of one route, as it is now.

    Attributes:
        known: Whether the circuits could be read; without, `calls` are all targets.
        calls: Targets that take calls, in the route's order; in part while they recover.
        out: Targets that take none: each with its circuit's state, `held_open`, or `left_alone`
            where most workers have no right to it, or its quota is used up.
        handlers: Degraded handlers, in order.
        on_open: What a job does when no target is left: `park`, `fail`, `degrade`,
            `degrade_after`.
        park_max_s: How long a job waits at most before it degrades or expires.
    """

    route: str
    known: bool
    calls: tuple[str, ...]
    out: tuple[tuple[str, str], ...]
    handlers: tuple[str, ...]
    on_open: str
    degrade_after_s: float | None
    park_max_s: float


def way_of(
    route: Route,
    standings: Sequence[Standing],
    endpoints: Mapping[str, str],
    left_alone: Collection[str],
) -> Way:
    """The way of one route.

    Args:
        route: The route.
        standings: Of every breaker; none if they are not known.
        endpoints: The endpoint's breaker of each target.
        left_alone: Targets that workers do not call, whatever their circuit says.
    """
    by_name = {one.name: one for one in standings}
    calls, out = [], []
    for target in route.targets:
        gates = [by_name.get(name) for name in (target.name, endpoints.get(target.name, ""))]
        why = next((shut for gate in gates if gate and (shut := _shut(gate))), "")
        if not why and target.name in left_alone:
            why = "left_alone"
        if why:
            out.append((target.name, why))
        else:
            calls.append(target.name)
    return Way(
        route=route.name,
        known=bool(standings),
        calls=tuple(calls),
        out=tuple(out),
        handlers=route.degraded,
        on_open=route.on_open,
        degrade_after_s=route.degrade_after_s,
        park_max_s=route.park_max_s,
    )


def _shut(gate: Standing) -> str:
    if gate.mode is Mode.HOLD_OPEN:
        return "held_open"
    free = gate.mode in (Mode.HOLD_CLOSED, Mode.OBSERVE)
    return "" if free or gate.state not in (State.OPEN, State.HALF_OPEN) else str(gate.state)
