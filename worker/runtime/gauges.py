"""Who knows each metric that is read at the flush."""

from collections.abc import Sequence

from worker.core.verdict import State
from worker.runtime.lag import LoopLag
from worker.runtime.supervisor import Supervisor
from worker.runtime.telemetry import Gauge


def gauges(in_hand: Sequence[Supervisor], lag: LoopLag) -> dict[str, Gauge]:
    """The gauges of one process.

    Args:
        in_hand: Its supervisor, once there is one: whoever makes it needs the telemetry first.
        lag: How late its loop is.
    """

    def circuits(*states: State) -> dict[str, float]:
        found = [item for one in in_hand for item in one.circuits.items()]
        return {name: float(state in states) for name, state in found}

    return {
        "InFlight": lambda: sum(len(one.flights) for one in in_hand),
        "EventLoopLag": lag.read_ms,
        "BreakersOpen": lambda: sum(circuits(*set(State) - {State.CLOSED}).values()),
        "BreakerOpen": lambda: circuits(State.OPEN),
        "BreakerHalfOpen": lambda: circuits(State.HALF_OPEN),
        "BreakerSyncAge": lambda: sum(one.sync_age_s for one in in_hand),
        "UpstreamHold": lambda: sum(one.upstream_hold for one in in_hand),
        "Pace": lambda: {name: pace for one in in_hand for name, pace in one.paces.items()},
    }
