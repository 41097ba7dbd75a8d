from dataclasses import replace
from typing import Any, get_args

import pytest

from worker.core.envelope import parse
from worker.core.events import (
    AttemptMade,
    BreakerContested,
    BreakerMoved,
    BreakerProbed,
    BreakersBlind,
    CacheFilled,
    CacheRead,
    CallRefused,
    DeliverySkipped,
    DrainEnded,
    DrainStarted,
    Event,
    FaultUnknown,
    FlightFailed,
    HandlerAsked,
    HandlerMoved,
    HandlerUntaught,
    IntakeHeld,
    JobRedriven,
    JobSettled,
    JobUnparked,
    LeaseLost,
    PaceChanged,
    RetryRefused,
    SpansLost,
    StoreFailed,
    TaskAnswered,
    WorkerStarted,
)
from worker.core.failures import FAILURES, Failure
from worker.core.fault import Billed, Kind
from worker.core.job import Limits
from worker.core.measures import Names, measure
from worker.core.metric import By, Metric, Profile, Unit, Way
from worker.core.metrics import CATALOGUE
from worker.core.pacer import Pace
from worker.core.series import Measurement, Metrics
from worker.core.strict_json import Malformed
from worker.core.verdict import State
from worker.core.window import Outcome

NAMES = Names(
    routes=frozenset({"default"}),
    targets=frozenset({"sonnet"}),
    breakers=frozenset({"sonnet"}),
    handlers=frozenset({"faq"}),
)
SETTLED = JobSettled(
    job="j-1",
    settlement="answered",
    reason="",
    route="default",
    tenant="acme",
    target="sonnet",
    attempts=1,
    parks=0,
    interruptions=0,
    crashes=0,
    generation=0,
    waited_ms=1500,
    worked_ms=500,
    model_ms=400,
    quality_requested=1.0,
    quality_served=0.75,
    input_tokens=10,
    output_tokens=20,
    cost_usd=0.25,
)
UNPARKED = JobUnparked(job="j-1", route="default", tenant="acme", parks=2, parked_ms=2500)
MADE = AttemptMade(
    job="j-1",
    target="sonnet",
    number=1,
    kind=None,
    code="",
    http=200,
    duration_ms=400,
    first_token_ms=90,
    slow=False,
    billed=Billed.YES,
    timer="",
    request_id="r-1",
    route="default",
)
FAILED = replace(
    MADE,
    number=2,
    kind=Kind.TIMED_OUT,
    slow=True,
    billed=Billed.MAYBE,
    first_token_ms=None,
    wasted_most_usd=0.125,
)
BREAKER_MOVED = BreakerMoved(
    breaker="sonnet",
    scope="fleet",
    old=State.CLOSED,
    new=State.OPEN,
    share=0.0,
    epoch=1,
    round=0,
    version=1,
    cooldown_s=2.0,
    why="8 of 8 calls failed",
)
ASKED = HandlerAsked(
    job="j-1", handler="faq", outcome="answered", canary=False, duration_ms=3, route="default"
)
HANDLER_MOVED = HandlerMoved(handler="faq", old=State.CLOSED, new=State.OPEN, why="5 of 5 failed")
SAMPLES: tuple[Event, ...] = (
    SETTLED,
    replace(SETTLED, settlement="degraded", handler="faq", blocked=True, parks=2),
    replace(SETTLED, settlement="dead", reason="expired", route="x", target=""),
    replace(SETTLED, settlement="parked", reason="throttled"),
    replace(SETTLED, settlement="released", reason="drain"),
    replace(SETTLED, job="j-1+upgrade"),
    replace(SETTLED, job="j-1+upgrade", settlement="dead", reason="expired"),
    UNPARKED,
    JobRedriven(job="j-1", route="default", tenant="acme", generation=1),
    MADE,
    FAILED,
    replace(MADE, kind=Kind.MISCONFIGURED),
    RetryRefused(job="j-1", route="default"),
    TaskAnswered(job="j-1", succeeded=True, waited=True, error=""),
    TaskAnswered(job="j-1", succeeded=False, waited=False, error="InferenceWorker.expired"),
    SpansLost(count=3, why="queue_full"),
    FaultUnknown(target="sonnet", code="Odd", http=500, fingerprint=""),
    DeliverySkipped(job="j-1", why="finished"),
    LeaseLost(job="j-1", why="claimed_elsewhere"),
    FlightFailed(job="j-1", error="KeyError", where="x.py:1"),
    IntakeHeld(why="ledger", for_s=1.0),
    StoreFailed(store="chat-jobs", operation="receive", why="throttled"),
    BREAKER_MOVED,
    replace(BREAKER_MOVED, scope="process"),
    replace(BREAKER_MOVED, old=State.RAMP, new=State.CLOSED, lasted_s=62.5),
    BreakerProbed(breaker="sonnet", scope="fleet", outcome=Outcome.HUNG),
    BreakerContested(breaker="sonnet", order="Trip", version=4),
    CallRefused(job="j-1", breaker="sonnet", why="open", retry_after_s=1.0),
    replace(MADE, kind=Kind.THROTTLED),
    PaceChanged(bucket="sonnet", pace=Pace.EXHAUSTED, per_s=0.3, in_flight_max=1, rests_s=300.0),
    BreakersBlind(blind=True, fleet_size=3.0),
    ASKED,
    replace(ASKED, canary=True, outcome="failed", error="KeyError"),
    replace(ASKED, handler="x", outcome="refused"),
    replace(ASKED, outcome="declined", target="sonnet", cost_usd=0.5, wasted_most_usd=0.5),
    HandlerUntaught(handler="faq", error="TimeoutError"),
    CacheRead(handler="faq", found="stale", age_s=9.5, canary=False),
    CacheRead(handler="faq", found="none", age_s=0.0, canary=True),
    CacheFilled(handler="faq", outcome="written"),
    CacheFilled(handler="faq", outcome="too_large"),
    HANDLER_MOVED,
    replace(HANDLER_MOVED, new=State.HALF_OPEN),
    WorkerStarted(worker="w", version="1", slots=1, lanes=("default",)),
    DrainStarted(worker="w", in_flight=1, grace_s=1.0),
    DrainEnded(worker="w", clean=True, released=2, took_s=3.5),
)
AT_THE_FLUSH = {
    "Heartbeat",
    "InFlight",
    "EventLoopLag",
    "TelemetryLost",
    "BreakersOpen",
    "BreakerOpen",
    "BreakerHalfOpen",
    "BreakerSyncAge",
    "UpstreamHold",
    "Pace",
}


def told(event: Event) -> dict[str, Any]:
    return {one.metric: (one.value, *one.labels) for one in measure(event, NAMES)}


def test_what_is_no_event_cannot_be_measured() -> None:
    with pytest.raises(AssertionError):
        measure("no event", NAMES)  # type: ignore[arg-type]


def test_every_event_has_a_sample_here() -> None:
    assert {type(event) for event in SAMPLES} == set(get_args(Event))


def test_nothing_is_measured_that_is_not_in_the_catalogue_and_the_reverse() -> None:
    measured = {one.metric for event in SAMPLES for one in measure(event, NAMES)}

    assert measured | AT_THE_FLUSH == set(CATALOGUE)
    assert measured & AT_THE_FLUSH == set()


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_a_measurement_has_a_label_for_each_dimension_of_its_metric(event: Event) -> None:
    for one in measure(event, NAMES):
        assert len(one.labels) == len(CATALOGUE[one.metric].by), one
        assert all(one.labels)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_no_label_comes_from_a_job(event: Event) -> None:
    allowed = {"default", "sonnet", "faq", "other", "queue", *Kind, *Failure}

    assert {label for one in measure(event, NAMES) for label in one.labels} <= allowed


def test_an_answer_counts_as_terminal_and_good() -> None:
    assert told(SETTLED) == {
        "JobsTerminal": (1, "default"),
        "JobsGood": (1, "default"),
        "JobsAnswered": (1, "sonnet"),
        "QualityServed": (0.75, "default"),
        "QualityShortfall": (0.25, "default"),
        "JobLatency": (2.0, "default"),
        "QueueWait": (1.5, "default"),
        "InputTokens": (10, "sonnet"),
        "OutputTokens": (20, "sonnet"),
        "CostUsd": (0.25, "default", "sonnet"),
    }


def test_a_dead_job_is_terminal_and_not_good() -> None:
    event = replace(SETTLED, settlement="dead", reason="crash_loop", input_tokens=0)

    measured = told(replace(event, output_tokens=0, cost_usd=0.0))

    assert set(measured) == {"JobsTerminal", "JobLatency", "QueueWait", "JobsDeadLettered"}
    assert measured["JobsDeadLettered"] == (1, "poison")


def test_an_expired_job_is_told_as_such() -> None:
    measured = told(replace(SETTLED, settlement="dead", reason="expired"))

    assert measured["JobsExpired"] == (1,)
    assert measured["JobsDeadLettered"] == (1, "expired")


def test_a_reason_that_nobody_classed_is_other() -> None:
    measured = told(replace(SETTLED, settlement="dead", reason="brand_new"))

    assert measured["JobsDeadLettered"] == (1, "other")


def test_a_park_is_not_terminal() -> None:
    assert told(replace(SETTLED, settlement="parked")) == {"JobsParked": (1, "default")}


def test_a_run_that_wanted_a_call_and_got_none_is_unserved() -> None:
    parked = replace(SETTLED, settlement="parked", reason="circuit_open")

    assert told(parked) == {"JobsUnserved": (1,), "JobsParked": (1, "default")}
    for settlement in ("degraded", "dead"):
        for reason in ("circuit_open", "throttled", "exhausted"):
            event = replace(SETTLED, settlement=settlement, reason=reason)

            assert told(event)["JobsUnserved"] == (1,)
    assert told(DeliverySkipped(job="j", why="circuit_open")) == {"JobsUnserved": (1,)}
    assert told(DeliverySkipped(job="j+upgrade", why="circuit_open")) == {}, "it has its answer"


@pytest.mark.parametrize(
    "event",
    [
        replace(SETTLED, settlement="parked", reason="throttled", calls=1),  # it had its call
        replace(SETTLED, settlement="parked", reason="suspect_waits"),
        replace(SETTLED, settlement="dead", reason="expired"),
        replace(SETTLED, settlement="released", reason="drain"),
        replace(SETTLED, settlement="parked", reason="circuit_open", job="j-1+upgrade"),
    ],
    ids=lambda event: f"{event.settlement} {event.reason}",
)
def test_no_other_run_is_unserved(event: JobSettled) -> None:
    assert "JobsUnserved" not in told(event)


def test_the_close_of_the_fleets_circuit_tells_for_how_long_it_was_not_closed() -> None:
    closed = replace(BREAKER_MOVED, old=State.RAMP, new=State.CLOSED, lasted_s=62.5)

    assert told(closed) == {
        "BreakerTransitions": (1, "sonnet"),
        "BreakerOpenSeconds": (62.5, "sonnet"),
    }
    assert told(BREAKER_MOVED) == {"BreakerTransitions": (1, "sonnet")}
    assert told(replace(closed, scope="process")) == {}
    # An order of an operator that ended leaves a closed circuit closed.
    assert told(replace(closed, old=State.CLOSED)) == {"BreakerTransitions": (1, "sonnet")}


@pytest.mark.parametrize("outcome", Outcome)
def test_a_throttled_probe_is_a_probe_and_no_failure(outcome: Outcome) -> None:
    measured = told(BreakerProbed(breaker="sonnet", scope="fleet", outcome=outcome))

    assert measured.pop("Probes") == (1, "sonnet")
    assert bool(measured) == (outcome in (Outcome.FAILURE, Outcome.HUNG))


def test_a_parked_job_that_runs_again_tells_for_how_long_it_waited() -> None:
    assert told(UNPARKED) == {"JobsUnparked": (1, "default"), "ParkTime": (2.5, "default")}


def test_an_answer_that_had_to_be_waited_for_is_counted_apart() -> None:
    assert told(replace(SETTLED, parks=1))["JobsGoodParked"] == (1, "default")
    assert "JobsGoodParked" not in told(replace(SETTLED, settlement="dead", parks=1))


@pytest.mark.parametrize(
    ("settlement", "measured"),
    [
        ("answered", {"UpgradesAnswered": (1, "default"), "CostUsd": (0.25, "default", "sonnet")}),
        ("dead", {"UpgradesGivenUp": (1, "default")}),
        ("parked", {}),
        ("released", {}),
    ],
)
def test_an_upgrade_counts_as_no_job(settlement: str, measured: dict[str, Any]) -> None:
    event = replace(SETTLED, job="j-1+upgrade", settlement=settlement)

    found = told(replace(event, input_tokens=0, output_tokens=0))

    assert found == measured
    assert told(replace(UNPARKED, job="j-1+upgrade")) == {}


def test_a_release_is_not_terminal() -> None:
    assert told(replace(SETTLED, settlement="released")) == {"JobsReleased": (1,)}


def test_a_route_that_a_job_made_up_is_other() -> None:
    assert told(replace(SETTLED, route="'; drop"))["JobsTerminal"] == (1, "other")


def test_a_target_that_is_not_configured_is_other() -> None:
    assert told(replace(MADE, target="gone"))["ModelCalls"] == (1, "other")
    assert told(replace(SETTLED, target="gone"))["CostUsd"] == (0.25, "default", "other")


def test_a_degraded_answer_is_told_by_its_route_and_by_the_handler_that_gave_it() -> None:
    event = replace(SETTLED, settlement="degraded", handler="faq", quality_served=0.25)

    measured = told(event)

    assert measured["JobsDegraded"] == (1, "default", "faq")
    assert measured["QualityServed"] == (0.25, "default")
    assert measured["QualityShortfall"] == (0.75, "default")
    assert told(replace(event, handler="gone"))["JobsDegraded"] == (1, "default", "other")


def test_an_answer_as_good_as_the_best_target_falls_short_of_nothing() -> None:
    for served in (1.0, 0.9):
        measured = told(replace(SETTLED, quality_requested=0.9, quality_served=served))

        assert measured["QualityServed"] == (served, "default")
        assert "QualityShortfall" not in measured


def test_a_dead_job_has_no_quality_that_would_spoil_the_mean() -> None:
    measured = told(replace(SETTLED, settlement="dead", reason="poison", quality_served=0.0))

    assert not {"QualityServed", "QualityShortfall"} & set(measured)


def test_a_job_tells_once_at_its_end_for_how_long_it_waited_parked() -> None:
    parked = replace(SETTLED, parks=3, parked_ms=90_500)

    assert told(parked)["JobParkTime"] == (90.5, "default")
    assert told(replace(parked, settlement="dead"))["JobParkTime"] == (90.5, "default")
    assert "JobParkTime" not in told(replace(parked, settlement="parked"))
    assert "JobParkTime" not in told(SETTLED)


def test_what_a_judged_away_answer_cost_is_told_by_route_and_by_target() -> None:
    poor = replace(FAILED, kind=Kind.POOR, wasted_usd=0.125, route="'; drop")

    assert told(poor)["WastedUsd"] == (0.125, "other", "sonnet")
    assert told(poor)["WastedMostUsd"] == (0.125, "other", "sonnet")


def test_what_a_handler_cost_for_nothing_is_wasted_and_what_practice_cost_is_not() -> None:
    declined = replace(
        ASKED,
        outcome="declined",
        target="sonnet",
        cost_usd=0.5,
        wasted_usd=0.5,
        wasted_most_usd=0.5,
    )

    measured = told(declined)

    assert measured["HandlerCostUsd"] == (0.5, "faq")
    assert measured["WastedUsd"] == (0.5, "default", "sonnet")
    practised = told(
        replace(declined, outcome="answered", canary=True, wasted_usd=0.0, wasted_most_usd=0.0)
    )
    assert practised["HandlerCostUsd"] == (0.5, "faq")
    assert "WastedUsd" not in practised


def test_a_blocked_answer_is_counted_apart() -> None:
    assert told(replace(SETTLED, blocked=True))["JobsBlocked"] == (1, "default")


def test_a_call_with_an_answer_tells_its_latency() -> None:
    assert told(MADE) == {
        "ModelCalls": (1, "sonnet"),
        "ModelLatency": (400, "sonnet"),
        "TimeToFirstToken": (90, "sonnet"),
    }


def test_a_call_without_a_stream_has_no_first_token() -> None:
    assert "TimeToFirstToken" not in told(replace(MADE, first_token_ms=None))


def test_a_timeout_does_not_spoil_the_latency_of_answers() -> None:
    assert told(FAILED) == {
        "ModelCalls": (1, "sonnet"),
        "ModelRetries": (1, "sonnet"),
        "ModelSlowCalls": (1, "sonnet"),
        "ModelErrors": (1, "sonnet"),
        "ModelErrorsByType": (1, "timed_out"),
        "ModelFailureLatency": (400, "sonnet"),
        "CallsWasted": (1, "default", "sonnet"),
        "WastedUsd": (0.0, "default", "sonnet"),
        "WastedMostUsd": (0.125, "default", "sonnet"),
    }


def test_a_throttled_call_is_counted_by_its_target() -> None:
    assert told(replace(MADE, kind=Kind.THROTTLED))["CallsThrottled"] == (1, "sonnet")


def test_only_a_quarantine_of_a_bucket_is_counted_and_by_names_that_are_configured() -> None:
    event = PaceChanged(
        bucket="shared", pace=Pace.EXHAUSTED, per_s=0.3, in_flight_max=1, rests_s=300.0
    )
    names = Names(buckets=frozenset({"shared"}))

    assert told(event) == {"BucketsExhausted": (1, "other")}
    assert measure(event, names) == (Measurement("BucketsExhausted", 1, ("shared",)),)
    assert told(replace(event, pace=Pace.PACED)) == {}


def test_a_call_that_is_surely_not_billed_is_not_wasted() -> None:
    assert "CallsWasted" not in told(replace(FAILED, billed=Billed.NO))


def test_only_a_delivery_that_would_be_paid_twice_is_a_duplicate() -> None:
    assert told(DeliverySkipped(job="j", why="running_elsewhere")) == {"DuplicatesSuppressed": (1,)}
    assert told(DeliverySkipped(job="j", why="over_share")) == {}


def test_a_store_is_told_by_its_kind_and_not_by_a_queues_name() -> None:
    assert told(StoreFailed(store="ledger", operation="x", why="y")) == {
        "StoreErrors": (1, "ledger")
    }
    assert told(StoreFailed(store="chat-jobs", operation="x", why="y")) == {
        "StoreErrors": (1, "queue")
    }


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_fault_has_a_failure_class(kind: Kind) -> None:
    assert kind.value in FAILURES


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"v":2}', b'{"x":1}', b"{}", b'{"prompt":1}', b'{"prompt":"a","prompt":"b"}'],
)
def test_every_body_that_is_no_job_is_malformed(body: bytes) -> None:
    wrong = parse(body, Limits())

    assert isinstance(wrong, Malformed)
    assert FAILURES[wrong.reason] is Failure.MALFORMED


def test_counts_are_added_up_and_latencies_kept() -> None:
    metrics = Metrics()
    for value in (3, 1, 2):
        metrics.add(Measurement("ModelCalls", 1, ("sonnet",)))
        metrics.add(Measurement("ModelLatency", value, ("sonnet",)))
        metrics.add(Measurement("InFlight", value))

    taken = {one.metric.name: one.values for one in metrics.take()}

    assert taken == {"InFlight": (3, 1, 2), "ModelCalls": (3,), "ModelLatency": (3, 1, 2)}


def test_what_was_taken_is_not_told_again() -> None:
    metrics = Metrics()
    metrics.add(Measurement("Heartbeat", 1))
    metrics.take()

    assert metrics.take() == ()


def test_the_core_profile_leaves_out_what_it_does_not_need_and_adds_up_the_rest() -> None:
    metrics = Metrics(Profile.CORE)
    for one in (
        Measurement("CostUsd", 1.5, ("x", "a")),
        Measurement("CostUsd", 1.0, ("y", "b")),
        Measurement("BreakerOpen", 1.0, ("a",)),
        Measurement("ModelLatency", 3, ("a",)),
        Measurement("ModelLatency", 4, ("b",)),
        Measurement("CacheReads", 1, ("c",)),
    ):
        metrics.add(one)

    taken = [
        (one.metric.name, one.metric.dimensions, one.labels, one.values) for one in metrics.take()
    ]

    assert taken == [
        ("ModelLatency", (("Service",),), (), (3, 4)),
        ("CostUsd", (("Service",),), (), (2.5,)),
        ("BreakerOpen", (("Service", "Breaker"),), ("a",), (1.0,)),
    ]
    with pytest.raises(KeyError):
        metrics.add(Measurement("Unheard", 1))


def test_a_row_of_the_core_profile_is_a_part_of_the_full_one() -> None:
    for row in CATALOGUE.values():
        core = row.within(Profile.CORE)

        assert row.within(Profile.FULL) is row
        assert core is None or set(core.dimensions) <= set(row.dimensions)
    with pytest.raises(ValueError, match="Odd: the profile"):
        Metric(name="Odd", core_by=(By.ROUTE,), when="", meaning="")
    with pytest.raises(ValueError, match="Odd: the profile"):
        Metric(name="Odd", total=False, by=(By.ROUTE,), core=True, when="", meaning="")


def test_series_come_in_the_order_of_the_catalogue() -> None:
    metrics = Metrics()
    for name, labels in (("CostUsd", ("x", "b")), ("CostUsd", ("x", "a")), ("Heartbeat", ())):
        metrics.add(Measurement(name, 1, labels))

    order = [(one.metric.name, *one.labels) for one in metrics.take()]

    assert order == [("Heartbeat",), ("CostUsd", "x", "a"), ("CostUsd", "x", "b")]


def test_the_catalogue_tells_every_metric_somewhere() -> None:
    assert all(metric.dimensions for metric in CATALOGUE.values())
    assert CATALOGUE["ModelErrorsByType"].dimensions == (("Service", "ErrorType"),)
    assert CATALOGUE["Heartbeat"].dimensions == (("Service",),)


def test_names_look_as_cloudwatchs_own_do() -> None:
    for metric in CATALOGUE.values():
        assert metric.name.isalnum()
        assert metric.name[0].isupper()
        assert metric.meaning.endswith(".")
        assert metric.unit in Unit
        assert set(metric.by) <= set(By)
        assert metric.way in Way


def test_a_handler_that_answered_is_no_error_and_one_that_failed_has_no_latency() -> None:
    assert told(ASKED) == {
        "HandlerCalls": (1, "faq"),
        "HandlerAnswers": (1, "faq"),
        "HandlerLatency": (3, "faq"),
    }
    assert told(replace(ASKED, canary=True, outcome="late")) == {
        "HandlerCalls": (1, "faq"),
        "HandlerCanaries": (1, "faq"),
        "HandlerErrors": (1, "faq"),
    }
    for outcome in ("refused", "outside_geo", "paced", "throttled"):
        assert told(replace(ASKED, outcome=outcome)) == {"HandlerCalls": (1, "faq")}


def test_a_handlers_breaker_is_told_when_it_opens() -> None:
    assert told(HANDLER_MOVED) == {"HandlerTrips": (1, "faq")}
    assert told(replace(HANDLER_MOVED, old=State.OPEN, new=State.HALF_OPEN)) == {}


def test_the_caches_hit_ratio_and_the_age_of_hits_are_told() -> None:
    read = CacheRead(handler="faq", found="fresh", age_s=9.5, canary=False)
    hit = {"CacheReads": (1, "faq"), "CacheHits": (1, "faq"), "CacheAge": (9.5, "faq")}

    assert told(read) == hit
    assert told(replace(read, found="stale")) == hit | {"CacheStaleHits": (1, "faq")}
    assert told(replace(read, found="too_old")) == {"CacheReads": (1, "faq")}
    assert told(CacheFilled(handler="faq", outcome="written")) == {"CacheFills": (1, "faq")}
    assert told(CacheFilled(handler="faq", outcome="better_kept")) == {}
