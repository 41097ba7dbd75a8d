"""Rows of the catalogue about processes: life, trouble of their own, leaving."""

from typing import Final

from worker.core.metric import By, Metric, Unit, Way

_FLUSH: Final = "every flush"

ROWS: Final = (
    Metric(
        name="Heartbeat",
        when=_FLUSH,
        meaning="1 per worker and flush: none means that the fleet is silent.",
        core=True,
    ),
    Metric(
        name="InFlight",
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="Jobs in hand.",
    ),
    Metric(
        name="EventLoopLag",
        unit=Unit.MILLISECONDS,
        way=Way.GAUGE,
        when=_FLUSH,
        meaning="How late the event loop is: above 100 the process has too much to do.",
    ),
    Metric(
        name="TelemetryLost",
        when="a log line or a metric could not be written",
        meaning="What these logs and metrics do not show.",
        core=True,
    ),
    Metric(
        name="WorkerStarts", when="`worker.started`", meaning="Workers that began to take jobs."
    ),
    Metric(
        name="LeasesLost",
        when="`lease.lost`",
        meaning="Runs that were cancelled because somebody else may hold the job.",
    ),
    Metric(
        name="UnhandledErrors",
        when="`flight.failed`",
        meaning="Runs that died of an error of ours: each is a bug.",
        core=True,
    ),
    Metric(name="IntakeHolds", when="`intake.held`", meaning="Times that receiving was stopped."),
    Metric(
        name="StoreErrors",
        by=(By.STORE,),
        when="`store.failed`",
        meaning="Calls to queues, ledger, payload store, cache, breakers' table, Step Functions or "
        "ECS agent that failed in the end.",
        core=True,
    ),
    Metric(
        name="DrainSeconds",
        unit=Unit.SECONDS,
        way=Way.EACH,
        when="`drain.ended`",
        meaning="From the stop to the end.",
    ),
    Metric(
        name="JobsReleasedAtShutdown",
        when="`drain.ended`",
        meaning="Jobs that the drain cut short and gave back.",
    ),
)
