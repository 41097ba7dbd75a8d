"""Asks ECS not to scale this task in, while a job is in hand that outlasts the grace.

Short jobs never ask: the drain covers them, and a protected task holds up deploys.
"""

import asyncio
import math
from typing import Final

from worker.core.events import StoreFailed
from worker.ports import Protection, Unavailable
from worker.runtime.flights import Flights
from worker.runtime.house import House

LOOK_S: Final = 15.0
REFRESH: Final = 0.5  # of the protection's own length
MARGIN_S: Final = 600.0
LONGEST_S: Final = 3600.0


class ScaleIn:
    """Turns the protection on and off at the edges, and refreshes it at half its life."""

    def __init__(self, house: House, agent: Protection, flights: Flights) -> None:
        self._house = house
        self._agent = agent
        self._flights = flights
        self._until = 0.0
        self._refresh_at = 0.0
        self._leaving = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Protect, refresh or unprotect, as the jobs in hand ask for."""
        if self._leaving:
            return
        now = asyncio.get_running_loop().time()
        last = max((flight.may_last_until for flight in self._flights), default=0.0)
        try:
            if last - now > self._house.rules.grace_s:
                if now >= self._refresh_at:
                    for_s = min(LONGEST_S, last - now + MARGIN_S)
                    await self._agent.protect(math.ceil(for_s / 60))
                    self._until, self._refresh_at = now + for_s, now + for_s * REFRESH
            elif self._until > now:
                await self._agent.unprotect()
                self._until = self._refresh_at = 0.0
        except Unavailable as error:
            self._house.tell(StoreFailed(store=error.store, operation="protect", why=error.why))

    async def drop(self) -> None:
        """The task is leaving: nobody needs to wait for it."""
        self._leaving = True
        if self._until:
            try:
                await self._agent.unprotect()
            except Unavailable as error:
                self._house.tell(
                    StoreFailed(store=error.store, operation="unprotect", why=error.why)
                )
            self._until = self._refresh_at = 0.0
