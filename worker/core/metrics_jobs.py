"""Rows of the catalogue about jobs: how they ended, at which quality, after which wait."""

from typing import Final

from worker.core.metric import By, Metric, Unit, Way

_GOOD: Final = "`job.settled` with answered or degraded"
_FINAL: Final = "`job.settled` with answered, degraded or dead"

ROWS: Final = (
    Metric(
        name="JobsTerminal",
        by=(By.ROUTE,),
        when=_FINAL,
        meaning="Jobs that got their one final record.",
        core=True,
    ),
    Metric(
        name="JobsGood",
        by=(By.ROUTE,),
        when=_GOOD,
        meaning="Those of them that got an answer in time: JobsGood / JobsTerminal is the SLO.",
        core=True,
    ),
    Metric(
        name="JobsAnswered",
        by=(By.TARGET,),
        when="`job.settled` with answered",
        meaning="Jobs that a model answered, by the one that did; JobsDegraded are the rest.",
    ),
    Metric(
        name="JobsDegraded",
        by=(By.ROUTE, By.HANDLER),
        when="`job.settled` with degraded",
        meaning="Jobs with a second-best answer.",
        core=True,
    ),
    Metric(
        name="QualityServed",
        unit=Unit.NONE,
        way=Way.EACH,
        by=(By.ROUTE,),
        when=_GOOD,
        meaning="How good answers were, from 0 to 1.",
    ),
    Metric(
        name="QualityShortfall",
        unit=Unit.NONE,
        by=(By.ROUTE,),
        when=_GOOD,
        meaning="By how much they were worse than what the route's best target gives: "
        "QualityShortfall / JobsGood is what an answer lacks.",
    ),
    Metric(
        name="JobsBlocked",
        by=(By.ROUTE,),
        when="`job.settled` with `blocked`",
        meaning="Answers that a guardrail or a content filter took the place of.",
    ),
    Metric(
        name="JobsParked",
        by=(By.ROUTE,),
        when="`job.settled` with parked",
        meaning="Parks: jobs that wait, with nobody to blame.",
        core=True,
    ),
    Metric(
        name="JobsUnserved",
        when="`job.settled` with parked, degraded or dead and `delivery.skipped`: no call was "
        "made, for circuits or quotas gave no leave",
        meaning="Runs that wanted a call and got none: the rate of errors is (ModelErrors + "
        "JobsUnserved) / (ModelCalls + JobsUnserved). What waits in its queue meanwhile is not "
        "received, and not in here: UpstreamHold tells of it.",
        core=True,
    ),
    Metric(
        name="JobsRedriven",
        when="`job.redriven`",
        meaning="Dead jobs that run anew.",
    ),
    Metric(
        name="JobsUnparked",
        by=(By.ROUTE,),
        when="`job.unparked`",
        meaning="Runs of parked jobs: JobsParked - JobsUnparked is how many more wait than before.",
        core=True,
    ),
    Metric(
        name="ParkTime",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=(By.ROUTE,),
        when="`job.unparked`",
        meaning="From a park to the job's next run.",
    ),
    Metric(
        name="JobParkTime",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=(By.ROUTE,),
        when=f"{_FINAL}, and `parks`",
        meaning="How long a job waited parked, over its whole life.",
    ),
    Metric(
        name="JobsGoodParked",
        by=(By.ROUTE,),
        when="`job.settled` with answered or degraded, and `parks`",
        meaning="Jobs that got their answer because they could wait for it.",
    ),
    Metric(
        name="UpgradesAnswered",
        by=(By.ROUTE,),
        when="`job.settled` with answered, of an upgrade",
        meaning="Degraded answers that a model's replaced; no number of jobs counts upgrades.",
    ),
    Metric(
        name="UpgradesGivenUp",
        by=(By.ROUTE,),
        when="`job.settled` with dead, of an upgrade",
        meaning="Degraded answers that were to be replaced, and stay.",
    ),
    Metric(
        name="JobsReleased",
        when="`job.settled` with released",
        meaning="Jobs given back for anybody, uncharged.",
    ),
    Metric(
        name="JobsDeadLettered",
        by=(By.FAILURE,),
        when="`job.settled` with dead",
        meaning="Jobs given up for good, by class of reason.",
        core=True,
    ),
    Metric(
        name="JobsExpired",
        when="`job.settled` with dead, reason `expired`",
        meaning="Jobs whose deadline, or longest wait, was over.",
    ),
    Metric(
        name="DuplicatesSuppressed",
        when="`delivery.skipped` for a job that is finished or runs",
        meaning="Deliveries that would have been paid for twice.",
    ),
    Metric(
        name="JobLatency",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=(By.ROUTE,),
        when=_FINAL,
        meaning="From the first send to the final record.",
        core=True,
    ),
    Metric(
        name="QueueWait",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=(By.ROUTE,),
        when=_FINAL,
        meaning="From the first send to the last run, parks included.",
    ),
)
