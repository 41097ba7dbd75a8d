"""How late the event loop is: the figure that tells a starved process from a slow model."""

import asyncio
from typing import Final

TICK_S: Final = 0.5


class LoopLag:
    """The worst delay of a timer since the last look, in milliseconds."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self._worst_s = max(self._worst_s, loop.time() - due)

    def read_ms(self) -> float:
        """The worst since the last call."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s * 1000
