"""Now, Routes and Queues: three sights of one status."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.core.verdict import State
from worker.ops.breakers import Standing
from worker.ops.causes import Cause
from worker.ops.status import Status, Trouble, status
from worker.page.fresh import Fresh
from worker.page.view import View
from worker.page.words import counted
from worker.words import status as words

REFRESH_S: Final = 5
_OUT: Final = {"held_open": "held open", "left_alone": "left alone", "half_open": "only probes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One breaker on the screen: how it stands, and what is known of its trouble."""

    now: Standing
    trouble: Trouble | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One target of a route.

    Attributes:
        gates: Its own breaker, and its endpoint's, where they are known.
        out: Why it takes no calls, "" if it does.
    """

    name: str
    model: str
    region: str
    quality: float
    gates: tuple[Standing, ...]
    out: str


class StatusScreens:
    """The three of them."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._sources = view.backing.sources
        self._fresh = Fresh(lambda: status(self._sources))

    def routes(self) -> list[Route]:
        """Their addresses."""
        look = self._view.look
        return [
            look("/", self._now),
            look("/routes", self._routes),
            look("/queues", self._queues),
        ]

    async def _now(self, request: Request) -> Response:
        found = await self._fresh.get()
        return self._view.show(
            request,
            "now.html",
            title="Now",
            refresh_s=REFRESH_S,
            now=found,
            headline=headline(found),
            causes=[(one, *words.TELLS[one.name], seen(one)) for one in found.causes],
            cards=cards(found),
            ways=[words.way(one) for one in found.ways],
            drains=[words.drains(one) for one in found.waiting],
            dissents=[words.dissent(one) for one in found.dissents],
            roles=words.ROLES,
        )

    async def _routes(self, request: Request) -> Response:
        found = await self._fresh.get()
        plans = [
            (route, way, self._steps(route.name, found), _bare(words.way(way), route.name))
            for route, way in zip(self._sources.routes, found.ways, strict=True)
        ]
        return self._view.show(
            request, "routes.html", title="Routes", refresh_s=REFRESH_S, now=found, plans=plans
        )

    def _steps(self, route: str, found: Status) -> Sequence[Step]:
        known = {one.name: one for one in found.breakers}
        plan = next(one for one in self._sources.routes if one.name == route)
        out = dict(next(one for one in found.ways if one.route == route).out)
        return [
            Step(
                name=target.name,
                model=target.model,
                region=target.region,
                quality=target.quality,
                gates=tuple(
                    known[name]
                    for name in (target.name, self._sources.endpoints.get(target.name, ""))
                    if name in known
                ),
                out=_OUT.get(out.get(target.name, ""), out.get(target.name, "")),
            )
            for target in plan.targets
        ]

    async def _queues(self, request: Request) -> Response:
        found = await self._fresh.get()
        lanes = [(one, _bare(words.drains(one), one.lane)) for one in found.waiting]
        return self._view.show(
            request,
            "queues.html",
            title="Queues",
            refresh_s=REFRESH_S,
            now=found,
            lanes=lanes,
            roles=words.ROLES,
        )


def headline(found: Status) -> str:
    """What is to be said first."""
    if found.calm:
        return "All is well"
    wrong = sum(not one.minor for one in found.causes)
    return counted(wrong, "thing") + " to look at" if wrong else "Circuits recover"


def seen(one: Cause) -> str:
    """What was seen of a cause, in a sentence; "" if that is nothing."""
    if one.count and not one.workers:
        return f"When its circuit opened: mostly {one.code}. Nobody tells of it now."
    if one.count:
        times, workers = counted(one.count, "time"), counted(one.workers, "worker")
        return f"Seen {times} in the last minute by {workers}, mostly {one.code}."
    return one.code


def cards(found: Status) -> list[Card]:
    """Every breaker, those first that are not calm."""
    troubles = {one.name: one for one in found.troubles}
    order = (State.OPEN, State.HALF_OPEN, State.RAMP, State.CLOSED)
    told = [Card(now=one, trouble=troubles.get(one.name)) for one in found.breakers]
    return sorted(told, key=lambda card: (card.now.calm, order.index(card.now.state)))


def _bare(text: str, head: str) -> str:
    """A sentence without what its heading says already."""
    bare = text.removeprefix(f"{head}: ")
    return f"{bare[:1].upper()}{bare[1:]}."[: -1 if bare.endswith(".") else None]
