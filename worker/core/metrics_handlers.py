"""Rows of the catalogue about degraded handlers, the cache among them."""

from typing import Final

from worker.core.metric import By, Metric, Unit, Way

ROWS: Final = (
    Metric(
        name="HandlerCalls",
        by=(By.HANDLER,),
        when="`handler.asked`",
        meaning="Times that a degraded handler was asked, practice included.",
    ),
    Metric(
        name="HandlerAnswers",
        by=(By.HANDLER,),
        when="`handler.asked` with answered",
        meaning="Those of them that brought an answer good enough for its job.",
    ),
    Metric(
        name="HandlerErrors",
        by=(By.HANDLER,),
        when="`handler.asked` with failed or late, `handler.untaught`",
        meaning="Times that the handler failed, or was not done in time.",
    ),
    Metric(
        name="HandlerCanaries",
        by=(By.HANDLER,),
        when="`handler.asked` with `canary`",
        meaning="Practice: a model had answered, and the answer was dropped.",
    ),
    Metric(
        name="HandlerCostUsd",
        unit=Unit.NONE,
        by=(By.HANDLER,),
        when="`handler.asked` with an answer of a model, taken or not",
        meaning="USD that summaries cost, practice included; what served is in CostUsd too.",
    ),
    Metric(
        name="HandlerLatency",
        unit=Unit.MILLISECONDS,
        way=Way.EACH,
        by=(By.HANDLER,),
        when="`handler.asked` with answered, declined, below_quality or poor",
        meaning="How long the handler took.",
    ),
    Metric(
        name="HandlerTrips",
        by=(By.HANDLER,),
        when="`handler.moved` to open",
        meaning="Handlers that a process stopped asking for a while.",
    ),
    Metric(
        name="CacheReads",
        by=(By.HANDLER,),
        when="`cache.read`",
        meaning="Looks into the cache of answers, practice included.",
    ),
    Metric(
        name="CacheHits",
        by=(By.HANDLER,),
        when="`cache.read` with fresh or stale",
        meaning="Those of them that found an answer: CacheHits / CacheReads is the hit ratio.",
    ),
    Metric(
        name="CacheStaleHits",
        by=(By.HANDLER,),
        when="`cache.read` with stale",
        meaning="Hits past their time, served because the circuit was open.",
    ),
    Metric(
        name="CacheAge",
        unit=Unit.SECONDS,
        way=Way.EACH,
        by=(By.HANDLER,),
        when="`cache.read` with fresh or stale",
        meaning="How old the answers were that were found.",
    ),
    Metric(
        name="CacheFills",
        by=(By.HANDLER,),
        when="`cache.filled` with written",
        meaning="Answers that were kept.",
    ),
)
