"""Whether more workers would be of any use: what stands between this process and its models.

The quality of one figure for autoscaling is that it does not flap. An open circuit probes
every few seconds, and a probe is no service: open and half-open are one here, and end with
the first step of the recovery.
"""

from collections.abc import Iterable
from typing import Final

from worker.core.pacer import Pace
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State
from worker.core.window import NEVER
from worker.runtime.gates import Gates, endpoint_of

SHRINK_S: Final = 900.0  # blocked for so long, fewer workers will do
_SHUT: Final = frozenset({State.OPEN, State.HALF_OPEN})


class Upstream:
    """How circuits and quotas stand, as this process knows it.

    Args:
        gates: The process's gates.
        routes: Every route.
        alone: Whether there is no fleet that decides.
    """

    def __init__(self, gates: Gates, routes: Iterable[Route], *, alone: bool) -> None:
        self._gates = gates
        self._routes = tuple(routes)
        self._alone = alone
        self._since = NEVER

    def states(self, now: float) -> dict[str, State]:
        """How each circuit stands, by breaker."""
        return {gate.local.name: gate.standing(now, alone=self._alone) for gate in self._gates}

    def hold(self, now: float) -> int:
        """0 while some route can take work; 1 while none can; 2 when that has lasted long.

        It counts from when it was first asked while none could.
        """
        states = self.states(now)
        if any(self._takes_work(route, states) for route in self._routes):
            self._since = NEVER
            return 0
        if self._since == NEVER:
            self._since = now
        return 1 if now - self._since < SHRINK_S else 2

    def _takes_work(self, route: Route, states: dict[str, State]) -> bool:
        if route.on_open == "fail" or route.degraded:
            return True  # its jobs do not wait for a model
        return any(self._serves(target, states) for target in route.targets)

    def _serves(self, target: Target, states: dict[str, State]) -> bool:
        shut = {states[target.name], states[endpoint_of(target)]} & _SHUT
        return not shut and self._gates.paces.of[target.name].pace is not Pace.EXHAUSTED
