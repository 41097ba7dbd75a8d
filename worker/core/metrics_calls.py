"""Rows of the catalogue about calls: targets, quotas, and what it all costs."""

from typing import Final

from worker.core.metric import By, Metric, Unit, Way

_FLUSH: Final = "every flush"
_SETTLED: Final = "`job.settled`"
_MADE: Final = "`attempt.made`"
_ANSWERED: Final = "`attempt.made` with an answer"
_WASTED: Final = "`attempt.made`, `handler.asked`; not in practice"
_FAILED: Final = "`attempt.made` with a fault"

ROWS: Final = (
    Metric(name="ModelCalls", by=(By.TARGET,), when=_MADE, meaning="Calls that ended.", core=True),
    Metric(
        name="ModelErrors",
        by=(By.TARGET,),
        when=_FAILED,
        meaning="Calls that ended without answer.",
        core=True,
    ),
    Metric(
        name="ModelErrorsByType",
        total=False,
        by=(By.ERROR,),
        when=_FAILED,
        meaning="The same by kind of fault.",
    ),
    Metric(
        name="FaultsUnknown",
        when="`fault.unknown`",
        meaning="Faults that no row of the table names: each asks for a row.",
    ),
    Metric(
        name="ModelRetries",
        by=(By.TARGET,),
        when="`attempt.made` with a number above 1",
        meaning="Calls of jobs that had been charged for a call before.",
    ),
    Metric(
        name="RetryBudgetExhausted",
        when="`retry.refused`",
        meaning="Jobs that would have tried again, had the retry budget had the means.",
    ),
    Metric(
        name="ModelSlowCalls",
        by=(By.TARGET,),
        when="`attempt.made` with `slow`",
        meaning="Calls that took longer than the target's limit.",
    ),
    Metric(
        name="ModelLatency",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=(By.TARGET,),
        when=_ANSWERED,
        meaning="How long answers took; faults are told apart, so that timeouts do not spoil it.",
        core=True,
    ),
    Metric(
        name="ModelFailureLatency",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=(By.TARGET,),
        when=_FAILED,
        meaning="How long calls without answer took.",
    ),
    Metric(
        name="TimeToFirstToken",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=(By.TARGET,),
        when="`attempt.made` with an answer that was streamed",
        meaning="How long the first event took.",
    ),
    Metric(
        name="CallsWasted",
        by=(By.ROUTE, By.TARGET),
        when="`attempt.made` with a fault that may be billed",
        meaning="Calls that may have been paid for, and brought nothing.",
    ),
    Metric(name="InputTokens", by=(By.TARGET,), when=_SETTLED, meaning="Tokens of requests."),
    Metric(name="OutputTokens", by=(By.TARGET,), when=_SETTLED, meaning="Tokens of answers."),
    Metric(
        name="CostUsd",
        unit=Unit.NONE,
        by=(By.ROUTE, By.TARGET),
        when=_SETTLED,
        meaning="USD for the answers that jobs got, from the prices in the settings. CloudWatch "
        "may count a line twice: never bill from it.",
        core=True,
    ),
    Metric(
        name="WastedUsd",
        unit=Unit.NONE,
        by=(By.ROUTE, By.TARGET),
        when=_WASTED,
        meaning="USD that brought no job an answer: surely, for the service told the tokens.",
    ),
    Metric(
        name="WastedMostUsd",
        unit=Unit.NONE,
        by=(By.ROUTE, By.TARGET),
        when=_WASTED,
        meaning="The same, and what calls may have cost of which nobody told the tokens, at most: "
        "a guess. The truth lies between the two.",
    ),
    Metric(
        name="CallsRefused",
        by=(By.BREAKER,),
        when="`call.refused`",
        meaning="Calls of jobs in hand that a breaker, or the pace of a bucket, gave no leave for.",
    ),
    Metric(
        name="CallsThrottled",
        by=(By.TARGET,),
        when="`attempt.made` with a throttle",
        meaning="Calls that the service throttled: CallsThrottled / ModelCalls is the price of "
        "finding the quota.",
        core=True,
    ),
    Metric(
        name="CallsMisconfigured",
        when="`attempt.made` with no access, or no such model",
        meaning="Calls that fail until somebody mends a setting or a permission.",
        core=True,
    ),
    Metric(
        name="Pace",
        unit=Unit.PER_SECOND,
        way=Way.GAUGE,
        total=False,
        by=(By.BUCKET,),
        when="every flush, while a quota bucket is paced",
        meaning="Calls per second that this worker allows itself, 0 in quarantine; the sum over "
        "the workers is what the fleet takes the quota for.",
    ),
    Metric(
        name="BucketsExhausted",
        by=(By.BUCKET,),
        when="`pace.changed` to exhausted",
        meaning="Quarantines of quota buckets whose quota is used up for long.",
    ),
)
