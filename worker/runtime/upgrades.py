"""Where upgrades may call: only where no job without answer misses what they take.

A job that has its degraded answer can wait. So its upgrade takes no slot while others
have lately filled them, no call of a quota that is short, and none of a circuit that is
not closed while another job in hand wants the same target. Where none does, the upgrade
is the one to find out whether all is well again.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from worker.core.breaker import Refusal
from worker.core.route import Route
from worker.core.upgrade import stands_back, upgraded
from worker.runtime.flights import Flight, Flights
from worker.runtime.gates import Gates
from worker.runtime.trip import Trip

BUSY_SHARE: Final = 0.75  # of the slots: with so many taken, the queues may hold more jobs
BUSY_FOR_S: Final = 10.0  # after that; slots are empty for a moment in the busiest times


class Upgrades:
    """What the upgrades in one process leave to others.

    Args:
        flights: The jobs in hand.
        gates: Before the targets.
        routes: All routes by name.
        slots: Jobs in hand at a time, at most.
    """

    def __init__(
        self, flights: Flights, gates: Gates, *, routes: Mapping[str, Route], slots: int
    ) -> None:
        self._flights = flights
        self._gates = gates
        self._routes = routes
        self._many = BUSY_SHARE * slots
        self._busy_until = 0.0

    def look(self) -> None:
        """A job came into hand, or is about to leave: note whether the slots are filled."""
        if len(self._jobs()) >= self._many:
            self._busy_until = asyncio.get_running_loop().time() + BUSY_FOR_S

    def refused(
        self, flight: Flight, trip: Trip, route: Route, refused: Mapping[str, Refusal]
    ) -> dict[str, Refusal]:
        """The targets that an upgrade does not ask.

        Args:
            flight: The upgrade.
            trip: What happened to it so far.
            route: Its route.
            refused: The targets that admit nobody.
        """
        now = asyncio.get_running_loop().time()
        waits_s = stands_back(
            route,
            {name: one.until - now for name, one in refused.items()},
            free=self._free(flight, route, now),
            parks=trip.record.parks,
        )
        return {
            name: Refusal(refused[name].why if name in refused else "held", now + wait_s)
            for name, wait_s in waits_s.items()
        }

    def _free(self, flight: Flight, route: Route, now: float) -> frozenset[str]:
        others = sum(other is not flight for other in self._flights)
        if now < self._busy_until or others >= self._many:
            return frozenset()
        wanted = {name for other in self._jobs() for name in self._wanted(other, route)}
        return self._gates.spare(route, contested=frozenset(wanted))

    def _jobs(self) -> list[Flight]:
        """Those in hand that have no answer yet."""
        return [one for one in self._flights if upgraded(one.job_id or one.delivery.job) is None]

    def _wanted(self, other: Flight, route: Route) -> list[str]:
        """The targets that a job may call; those of `route` while its own is not known."""
        its = self._routes.get(other.record.route) if other.record else route
        return [target.name for target in its.targets] if its else []
