"""When a degraded answer promises a better one, and what its upgrade may do."""

from dataclasses import replace

import pytest

from worker.core.fault import Kind
from worker.core.job import Job, Request, share_of
from worker.core.plan import Call, Discard, Park, Seen, plan
from worker.core.route import Route
from worker.core.target import Target
from worker.core.upgrade import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    as_upgrade,
    promised,
    route_of_upgrade,
    stands_back,
    upgrade_id,
    upgraded,
)

NEAR = Target(name="near", model="m", quality=0.9, geo="eu")
CHEAP = Target(name="cheap", model="n", quality=0.5, geo="us")
ROUTE = Route(name="r", targets=(NEAR, CHEAP), degraded=("cache",), upgrade_later=True)
JOB = Job(request=Request(messages=()))


def promise(
    route: Route = ROUTE,
    job: Job = JOB,
    seen: Seen = Seen(),  # noqa: B008 - frozen
    *,
    why: str = "circuit_open",
    served: float = 0.4,
) -> bool:
    return promised(route, job, seen, why=why, served=served)


@pytest.mark.parametrize("by_route", [True, False])
@pytest.mark.parametrize("by_job", [True, False, None])
def test_the_jobs_wish_goes_before_the_routes(*, by_route: bool, by_job: bool | None) -> None:
    route, job = replace(ROUTE, upgrade_later=by_route), replace(JOB, upgrade_later=by_job)

    assert promise(route, job) is (by_route if by_job is None else by_job)


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("circuit_open", True),
        (Kind.UNAVAILABLE, True),
        (Kind.THROTTLED, True),
        (Kind.TOO_LONG, False),  # it will be as long tomorrow
        (Kind.REJECTED, False),
    ],
)
def test_only_what_time_may_heal_is_tried_again(why: str, *, says: bool) -> None:
    assert promise(why=why) is says


@pytest.mark.parametrize(
    ("served", "floor", "geo", "says"),
    [
        (0.4, 0.0, None, True),
        (0.9, 0.0, None, True),
        (0.91, 0.0, None, False),  # no target is as good
        (0.6, 0.0, frozenset({"us"}), False),  # the only one that is lies elsewhere
        (0.4, 0.95, None, False),
    ],
)
def test_nothing_is_promised_that_no_target_could_keep(
    served: float, floor: float, geo: frozenset[str] | None, *, says: bool
) -> None:
    seen = Seen(min_quality=floor, allow_geo=geo)

    assert promise(seen=seen, served=served) is says


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (Seen(left_s=3600.0), True),
        (Seen(left_s=60.0), False),
        (Seen(age_s=86_300.0), True),
        (Seen(age_s=86_340.0), False),
        (Seen(age_s=86_300.0, left_s=60.0), False),
    ],
)
def test_nothing_is_promised_for_which_there_is_no_time(seen: Seen, *, says: bool) -> None:
    assert promise(seen=seen) is says


def test_a_name_says_what_is_an_upgrade_and_of_what() -> None:
    assert upgraded(upgrade_id("a")) == "a"
    assert upgraded("a") is None


def test_an_upgrade_waits_and_is_not_content_with_less_than_is_there() -> None:
    job = replace(JOB, on_open="degrade_after", degrade_after_s=5.0, min_quality=0.3)

    upgrade = as_upgrade(job, served=0.6)

    assert (upgrade.on_open, upgrade.degrade_after_s, upgrade.min_quality) == ("park", None, 0.6)
    assert as_upgrade(job, served=0.1).min_quality == 0.3


def test_no_handler_answers_an_upgrade() -> None:
    route = route_of_upgrade(ROUTE)
    refusals = {"near": 9.0, "cheap": 9.0}

    parked = plan(route, Seen(on_open="park", age_s=1e5), roll=0.0, refusals=refusals)
    waiting = plan(route, Seen(on_open="park"), roll=0.0, refusals=refusals)

    assert parked == Discard(reason="expired")
    assert isinstance(waiting, Park)


@pytest.mark.parametrize(("parks", "wait_s"), [(0, 60.0), (1, 120.0), (4, 720.0), (5000, 720.0)])
def test_an_upgrade_keeps_away_from_a_target_ever_longer(parks: int, wait_s: float) -> None:
    refused = stands_back(ROUTE, {"near": 5.0}, free=frozenset({"near"}), parks=parks)

    assert refused == {"near": wait_s, "cheap": wait_s}
    assert FIRST_WAIT_S <= wait_s * 1.25 <= LONGEST_WAIT_S


def test_an_upgrade_calls_where_it_is_in_nobodys_way() -> None:
    refused = stands_back(ROUTE, {"near": 1000.0}, free=frozenset({"near", "cheap"}), parks=0)
    decision = plan(route_of_upgrade(ROUTE), Seen(on_open="park"), roll=0.0, refusals=refused)

    assert refused == {"near": 1000.0}
    assert isinstance(decision, Call)
    assert decision.target is CHEAP


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-0.1", "1.01"])
def test_what_is_no_share_counts_as_none(text: str) -> None:
    assert share_of(text) == 0.0
