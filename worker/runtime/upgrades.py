"""Where upgrades may call: only where no job without answer misses what they take.

A job that has its degraded answer can wait. So its upgrade takes no slot while others
have lately filled them, no call of a circuit that is not closed or a quota that is
short, unless this process has nothing else in hand: then it is the one to find out
whether all is well again.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from worker.core.route import Route
from worker.core.upgrade import stands_back, upgraded
from worker.runtime.flights import Flight, Flights
from worker.runtime.gates import Gates
from worker.runtime.trip import Trip

BUSY_SHARE: Final = 0.75  # of the slots: with so many taken, the queues may hold more jobs
BUSY_FOR_S: Final = 30.0  # after that; slots are empty for a moment in the busiest times


class Upgrades:
    """What the upgrades in one process leave to others."""

    def __init__(self, flights: Flights, gates: Gates, *, slots: int) -> None:
        self._flights = flights
        self._gates = gates
        self._many = BUSY_SHARE * slots
        self._busy_until = 0.0

    def look(self, flight: Flight) -> None:
        """A job is in hand: note whether the slots fill up."""
        if sum(not _is_upgrade(other) for other in self._others(flight)) >= self._many:
            self._busy_until = asyncio.get_running_loop().time() + BUSY_FOR_S

    def refusals(
        self, flight: Flight, trip: Trip, route: Route, refusals: Mapping[str, float]
    ) -> Mapping[str, float]:
        """The targets that an upgrade does not ask, each with the seconds until it may.

        Args:
            flight: The upgrade.
            trip: What happened to it so far.
            route: Its route.
            refusals: The targets that admit nobody.
        """
        free = self._free(flight, route)
        return stands_back(route, refusals, free=free, parks=trip.record.parks)

    def _free(self, flight: Flight, route: Route) -> frozenset[str]:
        others = self._others(flight)
        busy = asyncio.get_running_loop().time() < self._busy_until
        if busy or len(others) >= self._many:
            return frozenset()
        if all(map(_is_upgrade, others)):
            return frozenset(target.name for target in route.targets)
        return self._gates.calm(route)

    def _others(self, flight: Flight) -> list[Flight]:
        return [other for other in self._flights if other is not flight]


def _is_upgrade(flight: Flight) -> bool:
    return upgraded(flight.job_id or flight.delivery.job) is not None
