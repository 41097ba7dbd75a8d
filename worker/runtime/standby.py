"""Jobs that wait in hand for their circuit, so that a probe costs no message.

While nothing may go out, a process keeps one job of each route in hand and asks again
as soon as the fleet may probe; all others stay in their queues. Without it, every
worker would take, park and send back a job in every round of probes, every few seconds
for as long as the outage lasts, and only a few of them would get a ticket.

Only a slot that nobody else could use is a waiting room, and only for a job that no
other process could serve. What waits here is extended as any job in hand, leaves at
once in a drain, and keeps no task from being scaled in.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from worker.core.route import Route
from worker.runtime.flights import Flight
from worker.runtime.gates import Gates
from worker.runtime.house import House
from worker.runtime.trip import Trip

LOOK_S: Final = 1.0  # a verdict, an order or the job's own time may change sooner than told
SHORTEST_S: Final = 0.1


class Standby:
    """The jobs of one process that wait in hand, one for each route."""

    def __init__(self, house: House, gates: Gates) -> None:
        self._house = house
        self._gates = gates
        self._waiting: dict[str, Flight] = {}
        self._closed = False

    async def wait(
        self, flight: Flight, trip: Trip, route: Route, refusals: Mapping[str, float]
    ) -> bool:
        """Wait until it is worth asking again; False at once if this job is to be parked.

        Args:
            flight: The job that no target admits.
            trip: What happened to it so far.
            route: Its route.
            refusals: The targets that refuse it, each with the seconds until it may ask again.
        """
        if not self._may(trip, route):
            return False
        loop = asyncio.get_running_loop()
        needs_s = flight.may_last_until - loop.time()
        self._waiting[route.name] = flight
        flight.may_last_until = 0.0  # a deploy need not wait for who only waits
        try:
            await asyncio.sleep(min(LOOK_S, max(SHORTEST_S, min(refusals.values()))))
        finally:
            del self._waiting[route.name]
            flight.may_last_until = loop.time() + needs_s
        return True

    def close(self) -> None:
        """The worker leaves: nobody waits here any more."""
        self._closed = True
        for flight in self._waiting.values():
            flight.cut_short("drain")

    def _may(self, trip: Trip, route: Route) -> bool:
        # Who called was the probe, and the next one is another's: one bad job must not
        # speak for the target alone. Who was in hand at a crash is not exposed to more.
        if self._closed or trip.tried or trip.record.crashes or route.name in self._waiting:
            return False
        if trip.declined:
            return False  # after a park its handlers are asked again
        if not self._gates.held_for_all(route):
            return False  # our own trouble alone: another process may serve it at once
        rules = self._house.rules
        others = [one for name, one in rules.routes.items() if name != route.name]
        return self._gates.capacity(others) < rules.slots
