"""Rows of the catalogue about breakers: how circuits stand, and what the fleet does about them."""

from typing import Final

from worker.core.metric import By, Metric, Unit, Way

_FLUSH: Final = "every flush"
_PROBED: Final = "`breaker.probed`"

ROWS: Final = (
    Metric(
        name="BreakersOpen",
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="Breakers whose circuit is not closed, as this worker knows the fleet's verdicts.",
        core=True,
    ),
    Metric(
        name="BreakerOpen",
        unit=Unit.NONE,
        way=Way.GAUGE,
        total=False,
        by=(By.BREAKER,),
        when=_FLUSH,
        meaning="1 while the circuit is open: no call passes. What an operator holds open counts, "
        "what is held closed or only observed does not. By the fleet's verdict; where there is "
        "none, or its table is out of reach, by the process's own.",
        core_by=(By.BREAKER,),
    ),
    Metric(
        name="BreakerHalfOpen",
        unit=Unit.NONE,
        way=Way.GAUGE,
        total=False,
        by=(By.BREAKER,),
        when=_FLUSH,
        meaning="1 while probes alone pass. In the ramp after it neither is 1; BreakersOpen counts "
        "all three.",
    ),
    Metric(
        name="UpstreamHold",
        unit=Unit.NONE,
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="For autoscaling, read by its Minimum: 0, some route can take work; 1, none can, "
        "so more workers are of no use; 2, none could for 15 minutes, so fewer will do.",
        core=True,
    ),
    Metric(
        name="BreakerTransitions",
        by=(By.BREAKER,),
        when="`breaker.moved` with scope `fleet`",
        meaning="Moves of the fleet's verdicts; each is told once, by the worker whose write won.",
        core=True,
    ),
    Metric(
        name="BreakerOpenSeconds",
        unit=Unit.SECONDS,
        way=Way.EACH,
        total=False,
        by=(By.BREAKER,),
        when="`breaker.moved` with scope `fleet`, to closed",
        meaning="For how long the circuit was not closed, as far as the worker saw it that closed "
        "it.",
    ),
    Metric(
        name="BreakerConflicts",
        when="`breaker.contested`",
        meaning="Writes of verdicts that somebody else's write came before.",
    ),
    Metric(
        name="Probes",
        total=False,
        by=(By.BREAKER,),
        when=_PROBED,
        meaning="Calls that went out to see whether the target is well again.",
    ),
    Metric(
        name="ProbeFailures",
        total=False,
        by=(By.BREAKER,),
        when="`breaker.probed` with failure or hung",
        meaning="Those of them that failed; a throttled one tells nothing of its health.",
    ),
    Metric(
        name="BreakerTrips",
        when="`breaker.moved` with scope `process`, to open",
        meaning="Processes that stopped by themselves: a bad host, or the first to see an outage.",
    ),
    Metric(
        name="BreakerSyncAge",
        unit=Unit.SECONDS,
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="Since the verdicts were last read: above 60 the store is out of reach.",
        core=True,
    ),
    Metric(
        name="BreakersBlind",
        when="`breakers.blind`",
        meaning="Workers that went on without the store.",
    ),
)
