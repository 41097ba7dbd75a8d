"""From faults to causes: each kind has a name, and the most hindering one comes first."""

from dataclasses import replace

import pytest

from worker.core.failures import FAILURES
from worker.core.fault import Kind
from worker.core.sightings import Sighting
from worker.ops.causes import Cause, CauseName, cause_of, causes_of

ONE = Sighting(of="sonnet", region="eu-west-1", kind="unavailable", code="Oops", http=503)
REGIONS = {"sonnet": "eu-west-1", "haiku": "eu-west-1", "far": "us-east-1"}


def of_kind(kind: Kind, code: str = "Oops", *, timer: str = "", says: str = "") -> Sighting:
    return Sighting(of="sonnet", kind=kind, code=code, timer=timer, says=says)


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (of_kind(Kind.THROTTLED, "ThrottlingException"), "throttled"),
        (of_kind(Kind.EXHAUSTED, "ThrottlingException"), "quota_used_up"),
        (of_kind(Kind.UNAVAILABLE), "service_errors"),
        (of_kind(Kind.TIMED_OUT, "TimeoutError", timer="attempt"), "timed_out"),
        (of_kind(Kind.TIMED_OUT, "TimeoutError", timer="stall"), "stalled"),
        (of_kind(Kind.TIMED_OUT, "TimeoutError", timer="first_token"), "no_first_token"),
        (of_kind(Kind.MISCONFIGURED, "AccessDeniedException"), "access_denied"),
        (of_kind(Kind.MISCONFIGURED, "ResourceNotFoundException"), "model_unusable"),
        (of_kind(Kind.UNREACHABLE, "EndpointConnectionError"), "unreachable"),
        (of_kind(Kind.UNREACHABLE, "X", says="no (ClientConnectorDNSError)"), "name_unresolved"),
        (of_kind(Kind.LOCAL, "X", says="no (ClientConnectorDNSError)"), "name_unresolved"),
        (of_kind(Kind.LOCAL, "RequestExpired"), "local_clock"),
        (of_kind(Kind.LOCAL, "NoCredentialsError"), "credentials"),
        (of_kind(Kind.LOCAL, "OSError"), "local"),
        (of_kind(Kind.REJECTED, "ValidationException"), "bad_requests"),
        (of_kind(Kind.TOO_LONG, "ValidationException"), "too_long"),
        (of_kind(Kind.POOR), "poor_answers"),
        (of_kind(Kind.UNKNOWN), "unknown"),
        (Sighting(of="store:ledger", kind="failed", code="TimeoutError"), "store_down"),
        (Sighting(of="store:ledger", kind="failed", code="ExpiredToken"), "credentials"),
        (Sighting(of="store:queue", kind="failed", code="RequestTimeTooSkewed"), "local_clock"),
        (Sighting(of="jobs", kind="dead", code="crash_loop"), "crashes"),
        (Sighting(of="jobs", kind="crashed", code="KeyError"), "crashes"),
        (Sighting(of="jobs", kind="dead", code="not_json"), "malformed_jobs"),
        (Sighting(of="jobs", kind="dead", code="rejected"), "bad_requests"),
        (Sighting(of="jobs", kind="dead", code="expired"), "given_up"),
        (Sighting(of="jobs", kind="dead", code="of a later version"), "given_up"),
        (Sighting(of="sonnet", kind="of a later version", code="X"), "unknown"),
    ],
)
def test_each_fault_has_its_cause(seen: Sighting, name: str) -> None:
    assert cause_of(seen) == name


def test_no_kind_of_fault_and_no_reason_is_without_a_name() -> None:
    kinds = {kind: cause_of(of_kind(kind)) for kind in Kind}
    reasons = {cause_of(Sighting(of="jobs", kind="dead", code=reason)) for reason in FAILURES}

    assert [kind for kind, name in kinds.items() if name is CauseName.UNKNOWN] == [Kind.UNKNOWN]
    assert CauseName.UNKNOWN not in reasons


def test_the_same_cause_of_several_workers_is_one_with_its_most_frequent_code() -> None:
    seen = [
        ("w1", replace(ONE, count=3)),
        ("w2", replace(ONE, of="far", code="Other", says="why", http=500, count=5)),
    ]

    assert causes_of(seen, REGIONS) == (
        Cause(
            name=CauseName.SERVICE_ERRORS,
            of=("far", "sonnet"),
            code="Other 500",
            says="why",
            count=8,
            workers=2,
        ),
    )


def test_what_stands_in_the_way_of_everything_comes_first() -> None:
    seen = [
        ("w1", replace(ONE, kind=Kind.THROTTLED, count=900)),
        ("w1", Sighting(of="store:ledger", kind="failed", code="TimeoutError", count=2)),
        ("w1", replace(ONE, kind=Kind.MISCONFIGURED, code="AccessDenied")),
    ]

    assert [one.name for one in causes_of(seen, REGIONS)] == [
        CauseName.STORE_DOWN,
        CauseName.ACCESS_DENIED,
        CauseName.THROTTLED,
    ]


def test_a_region_is_down_if_all_its_targets_are_ill_however_each_shows_it() -> None:
    seen = [
        ("w1", replace(ONE, count=3)),
        ("w1", replace(ONE, of="haiku", kind=Kind.TIMED_OUT, timer="stall", count=4)),
    ]

    found = causes_of(seen, REGIONS)

    assert [one.name for one in found] == ["region_down", "stalled", "service_errors"]
    assert (found[0].of, found[0].count, found[0].workers) == (("eu-west-1",), 7, 1)


@pytest.mark.parametrize(
    ("haiku", "names"),
    [
        (0.1, ["service_errors"]),
        (None, ["service_errors"]),  # nobody calls
        (0.2, ["region_down", "service_errors"]),
    ],
)
def test_a_few_failures_make_no_target_of_a_region_ill(
    haiku: float | None, names: list[str]
) -> None:
    seen = [("w1", ONE), ("w1", replace(ONE, of="haiku"))]
    shares = {"sonnet": 0.5, "haiku": haiku}

    found = causes_of(seen, REGIONS, lambda breaker, _: shares[breaker])

    assert [one.name for one in found] == names
    assert not any(one.minor for one in found)


def test_what_votes_on_the_endpoint_is_judged_by_the_endpoint() -> None:
    seen = [
        ("w1", replace(ONE, of=of, kind=Kind.UNREACHABLE, code="EndpointConnectionError"))
        for of in ("sonnet", "haiku")
    ]
    asked: list[tuple[str, int]] = []

    def well(breaker: str, throttles: int) -> float:
        asked.append((breaker, throttles))
        return 0.0

    (found,) = causes_of(seen, REGIONS, well)

    assert (found.name, found.minor) == (CauseName.UNREACHABLE, True)
    assert asked == [("endpoint:eu-west-1", 0)]
    assert causes_of(seen, REGIONS)[0].name is CauseName.REGION_DOWN


@pytest.mark.parametrize(("count", "minor"), [(5, True), (6, False)])
def test_throttles_of_all_workers_are_weighed_together(*, count: int, minor: bool) -> None:
    throttled = replace(ONE, kind=Kind.THROTTLED, count=count)
    seen = [("w1", throttled), ("w2", throttled)]

    (found,) = causes_of(seen, REGIONS, lambda _, throttles: throttles / 100)

    assert found.minor is minor


@pytest.mark.parametrize(
    ("ill", "regions"),
    [
        (("sonnet",), REGIONS),  # the other target of the Region is well
        (("far",), REGIONS),  # it has but one: who knows whether it is the model
        (("sonnet", "haiku"), {"sonnet": "eu-west-1", "haiku": "eu-west-1"}),  # there is no other
    ],
)
def test_no_region_is_blamed_without_reason(ill: tuple[str, ...], regions: dict[str, str]) -> None:
    found = causes_of([("w1", replace(ONE, of=of)) for of in ill], regions)

    assert [one.name for one in found] == [CauseName.SERVICE_ERRORS]
