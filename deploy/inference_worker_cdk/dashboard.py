"""The dashboard: from "is anything wrong" down to "what did this circuit do".

Each row answers one question; docs/alarms.md lists them. What says "(full)" needs
`metrics.profile = "full"`, and is empty with `core`. Names that a template cannot know
(breakers, targets, handlers) are searched for.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aws_cdk import Aws, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from inference_worker_cdk.alarm_kinds import FAST, SLOW, USUAL
from inference_worker_cdk.alarm_rows import AGE, DELAYED, VISIBLE, alarms, composites
from inference_worker_cdk.alarms import Place
from inference_worker_cdk.widgets import (
    COLUMNS,
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Draws,
    Widget,
    laid_out,
    math,
)

IN_HAND: Final = "ApproximateNumberOfMessagesNotVisible"


class Dashboard(Construct):
    """One dashboard for one fleet, named like it and its Region.

    Args:
        scope: Where it belongs.
        id_: Its name there.
        service: Name of the fleet: its alarms and metrics are shown.
        places: Where its metrics lie: `InferenceWorker.places`.
    """

    def __init__(
        self, scope: Construct, id_: str, *, service: str, places: Mapping[str, Place]
    ) -> None:
        super().__init__(scope, id_)
        rows = Rows(service, places)
        self.body = {
            "start": "-PT3H",
            "periodOverride": "inherit",
            "widgets": [*laid_out(rows.all())],
        }
        self.board = cloudwatch.CfnDashboard(
            self,
            "Board",
            # A dashboard is of the account and not of a Region.
            dashboard_name=f"{service}-{Aws.REGION}",
            dashboard_body=Stack.of(self).to_json_string(self.body),
        )


class Rows(Draws):
    """The rows of one fleet's dashboard."""

    def all(self) -> Iterable[tuple[int, list[Widget]]]:
        """Every row, with its height."""
        yield 4, [self._alarms()]
        yield 3, [self._numbers()]
        yield 6, [self._served(), self._served_by(), self._budget()]
        yield 5, [self._timeline()]
        yield 6, [self._errors(), self._latency(), self._refused()]
        yield 6, [self._queues(), self._ages(), self._tasks()]
        yield 6, [self._bedrock(), self._weeks(), self._weekly_service()]
        yield 6, [self._cost(), self._tokens(), self._quality()]
        yield 6, [self._faults(), self._workers(), self._duration()]
        yield 7, [self._moves(), self._dead()]

    # --- is anything wrong -----------------------------------------------------------

    def _alarms(self) -> Widget:
        names = [one.name for one in reversed(composites())]
        names += [one.name for one in alarms(USUAL) if one.tells]
        where = f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm"
        told = [f"{where}:{self._service}-{name}" for name in names]
        return Widget("alarm", COLUMNS, {"title": "Alarms: the first two page", "alarms": told})

    def _numbers(self) -> Widget:
        good, jobs = self.ours("JobsGood"), self.ours("JobsTerminal")
        return self.metric(
            COLUMNS,
            "Now",
            self.ours("BreakersOpen", stat="Maximum", label="Circuits not closed"),
            self.hidden(good, "good", period=HOUR_S),
            self.hidden(jobs, "jobs", period=HOUR_S),
            math("100 * FILL(good,0) / jobs", "Good answers, last hour, %", period=HOUR_S),
            self.queue("jobs", AGE, "Oldest waiting job, s"),
            self.queue("dead", VISIBLE, "Dead letters"),
            self.hidden(self.ours("JobsDegraded"), "worse", period=HOUR_S),
            math("100 * FILL(worse,0) / jobs", "Second-best, last hour, %", period=HOUR_S),
            self.ours("CostUsd", label="USD, last hour", period=HOUR_S),
            view="singleValue",
            sparkline=True,
        )

    # --- are users served ------------------------------------------------------------

    def _served(self) -> Widget:
        return self.metric(
            8,
            "Who was served how",
            self.hidden(self.ours("JobsGood"), "good"),
            self.hidden(self.ours("JobsTerminal"), "jobs"),
            math("FILL(good,0) - FILL(worse,0)", "by a model"),
            self.ours("JobsDegraded", label="second-best", id="worse"),
            math("FILL(jobs,0) - FILL(good,0)", "not, or late"),
            stacked=True,
        )

    def _served_by(self) -> Widget:
        return self.metric(
            8,
            "By whom (full)",
            self.search("JobsAnswered", "Target", "Sum"),
            self.search("JobsDegraded", "Handler", "Sum"),
            stacked=True,
        )

    def _budget(self) -> Widget:
        return self.metric(
            8,
            "Jobs without a good answer, %",
            self.hidden(self.ours("JobsGood"), "good", period=5 * MINUTE_S),
            self.hidden(self.ours("JobsTerminal"), "jobs", period=5 * MINUTE_S),
            math("100 * (jobs - FILL(good,0)) / jobs", "over 5 minutes", period=5 * MINUTE_S),
            self.hidden(self.ours("JobsGood"), "goodh", period=HOUR_S),
            self.hidden(self.ours("JobsTerminal"), "jobsh", period=HOUR_S),
            math("100 * (jobsh - FILL(goodh,0)) / jobsh", "over an hour", period=HOUR_S),
            annotations={
                "horizontal": [
                    {"label": "SloFastBurn", "value": USUAL.burnt(FAST)},
                    {"label": "SloSlowBurn", "value": USUAL.burnt(SLOW)},
                ]
            },
        )

    # --- what do the circuits do -----------------------------------------------------

    def _timeline(self) -> Widget:
        return self.metric(
            COLUMNS,
            "Circuits: 1 is open; 1 of half-open (full) is probing; moves on the right",
            self.search("BreakerOpen", "Breaker", "Maximum"),
            self.search("BreakerHalfOpen", "Breaker", "Maximum"),
            self.ours("BreakersOpen", stat="Maximum", label="not closed, in all"),
            self.ours("BreakerTransitions", label="moves", yAxis="right"),
            stacked=False,
            yAxis={"left": {"min": 0}, "right": {"min": 0}},
        )

    def _errors(self) -> Widget:
        return self.metric(
            8,
            "Calls that failed; by type (full)",
            self.search("ModelErrorsByType", "ErrorType", "Sum"),
            self.ours("ModelErrors", label="all"),
            self.ours("CallsMisconfigured", label="misconfigured"),
        )

    def _latency(self) -> Widget:
        shown = [self.ours("ModelLatency", stat=stat, label=stat) for stat in ("p50", "p95", "p99")]
        first = self.ours("TimeToFirstToken", stat="p95", label="first token, p95 (full)")
        return self.metric(8, "Answers of models, ms", *shown, first)

    def _refused(self) -> Widget:
        return self.metric(
            8,
            "Refused against probed",
            self.ours("JobsUnserved", label="runs without leave for a call"),
            self.ours("CallsRefused", label="calls refused (full)"),
            self.search("Probes", "Breaker", "Sum", yAxis="right"),
            self.search("ProbeFailures", "Breaker", "Sum", yAxis="right"),
        )

    # --- what waits, and for whom ----------------------------------------------------

    def _queues(self) -> Widget:
        return self.metric(
            8,
            "What waits",
            self.queue("jobs", VISIBLE, "jobs"),
            self.queue("jobs", IN_HAND, "in hand"),
            self.queue("parked", DELAYED, "parked"),
            self.queue("parked", VISIBLE, "parked, due"),
            self.queue("dead", VISIBLE, "dead", yAxis="right"),
        )

    def _ages(self) -> Widget:
        return self.metric(
            8,
            "For how long, s; parks and returns on the right",
            self.queue("jobs", AGE, "oldest job"),
            self.queue("parked", AGE, "oldest parked doorbell"),
            self.ours("JobsParked", label="parked", yAxis="right"),
            self.ours("JobsUnparked", label="back", yAxis="right"),
        )

    def _tasks(self) -> Widget:
        return self.metric(
            8,
            "Workers; hold on the right",
            self.of("fleet", "RunningTaskCount", "Maximum", label="running", id="run"),
            self.of("fleet", "DesiredTaskCount", "Maximum", label="wanted"),
            self.hidden(self.queue("jobs", VISIBLE, ""), "visible"),
            self.hidden(self.queue("jobs", IN_HAND, ""), "hand"),
            math("(FILL(visible,0) + FILL(hand,0)) / IF(FILL(run,0) < 1, 1, run)", "jobs for each"),
            self.ours("UpstreamHold", stat="Minimum", label="hold", yAxis="right"),
        )

    # --- what does AWS say; how were the last weeks ----------------------------------

    def _bedrock(self) -> Widget:
        def of(metric: str, stat: str, **more: Any) -> list[Any]:
            found = f'{{AWS/Bedrock,ModelId}} MetricName="{metric}"'
            search = f"SEARCH('{found}', '{stat}', {MINUTE_S})"
            return [{"expression": search, "id": f"bedrock{metric}", **more}]

        return self.metric(
            8,
            "Bedrock, of the whole account; quota use on the right",
            self.ours("CallsThrottled", label="throttled, as workers saw it"),
            of("InvocationThrottles", "Sum"),
            of("InvocationServerErrors", "Sum"),
            of("EstimatedTPMQuotaUsage", "Sum", yAxis="right"),
        )

    def _weeks(self) -> Widget:
        return self.metric(
            8,
            "Four weeks: minutes a day that circuits were not closed; each (full)",
            self.search("BreakerOpenSeconds", "Breaker", "Sum", period=DAY_S, over=60),
            self.hidden(self.ours("BreakersOpen"), "open", stat="Average"),
            math("1440 * open", "in all", period=DAY_S),
            period=DAY_S,
            start="-P28D",
            end="P0D",
        )

    def _weekly_service(self) -> Widget:
        return self.metric(
            8,
            "Four weeks: good and second-best answers, % a day",
            self.hidden(self.ours("JobsGood"), "good"),
            self.hidden(self.ours("JobsTerminal"), "jobs"),
            self.hidden(self.ours("JobsDegraded"), "worse"),
            math("100 * FILL(good,0) / jobs", "good", period=DAY_S),
            math("100 * FILL(worse,0) / jobs", "second-best", period=DAY_S),
            period=DAY_S,
            start="-P28D",
            end="P0D",
        )

    # --- what does it cost, and is it any good ---------------------------------------

    def _cost(self) -> Widget:
        return self.metric(
            8,
            "USD an hour",
            self.ours("CostUsd", label="answers"),
            self.ours("WastedUsd", label="wasted, surely (full)"),
            self.ours("WastedMostUsd", label="wasted, at most (full)"),
            period=HOUR_S,
        )

    def _tokens(self) -> Widget:
        return self.metric(
            8,
            "Tokens (full)",
            self.ours("InputTokens", label="asked"),
            self.ours("OutputTokens", label="answered"),
            self.ours("CallsWasted", label="calls wasted", yAxis="right"),
        )

    def _quality(self) -> Widget:
        return self.metric(
            8,
            "Quality served, 0 to 1 (full)",
            self.ours("QualityServed", stat="Average", label="mean"),
            self.search("QualityServed", "Route", "Average"),
            yAxis={"left": {"min": 0, "max": 1}},
        )

    # --- are we well ourselves -------------------------------------------------------

    def _faults(self) -> Widget:
        return self.metric(
            8,
            "Faults of ours",
            self.ours("UnhandledErrors", label="runs that died"),
            self.ours("StoreErrors", label="stores failed"),
            self.ours("TelemetryLost", label="lines lost"),
            self.ours("JobsDeadLettered", label="jobs given up"),
            self.of("log", "EMFValidationErrors", "Sum", label="metrics invalid"),
            self.of("log", "EMFParsingErrors", "Sum", label="metrics unreadable"),
        )

    def _workers(self) -> Widget:
        return self.metric(
            8,
            "Workers",
            self.ours("Heartbeat", label="flushes"),
            self.ours("BreakerSyncAge", stat="Maximum", label="oldest view, s", yAxis="right"),
            self.ours("EventLoopLag", stat="Maximum", label="loop lag, ms (full)", yAxis="right"),
        )

    def _duration(self) -> Widget:
        shown = [self.ours("JobLatency", stat=stat, label=stat) for stat in ("p50", "p95", "p99")]
        return self.metric(8, "From the first send to the final record, s", *shown)

    # --- what was it -----------------------------------------------------------------

    def _moves(self) -> Widget:
        return self.log(
            "The last 20 moves of circuits",
            "fields @timestamp, breaker, old, new, share, why",
            'filter event = "breaker.moved" and scope = "fleet"',
            "sort @timestamp desc",
            "limit 20",
        )

    def _dead(self) -> Widget:
        return self.log(
            "Why jobs were given up",
            'filter event = "job.settled" and settlement = "dead"',
            "stats count(*) as jobs, latest(job) as sample by reason, code, route, target",
            "sort jobs desc",
            "limit 20",
        )
