"""When many alike faults mean something else."""

import pytest

from worker.core.fault import Kind
from worker.core.guards import LOCAL_SPAN_S, MASS, MASS_CALM_S, LocalCauseGuard, MassDeathGuard


def rejections(guard: MassDeathGuard, jobs: int, now: float = 1000.0) -> list[Kind]:
    return [guard.reads("t", f"job-{n}", Kind.REJECTED, now) for n in range(jobs)]


def test_a_few_rejected_jobs_are_their_own_fault() -> None:
    read = rejections(MassDeathGuard(), MASS - 1)

    assert read == [Kind.REJECTED] * (MASS - 1)


def test_a_target_that_rejects_everybody_is_misconfigured() -> None:
    read = rejections(MassDeathGuard(), MASS + 3)

    assert read == [Kind.REJECTED] * (MASS - 1) + [Kind.MISCONFIGURED] * 4


def test_one_job_rejected_often_accuses_nobody() -> None:
    guard = MassDeathGuard()

    read = {guard.reads("t", "job", Kind.REJECTED, 1000.0) for _ in range(10 * MASS)}

    assert read == {Kind.REJECTED}


def test_an_answer_clears_the_target() -> None:
    guard = MassDeathGuard()
    rejections(guard, MASS + 1)
    guard.served("t", 1000.0)

    read = rejections(guard, MASS - 1, now=1000.0 + MASS_CALM_S)

    assert read == [Kind.REJECTED] * (MASS - 1)


def test_a_target_that_served_lately_is_believed() -> None:
    guard = MassDeathGuard()
    guard.served("t", 1000.0)

    read = rejections(guard, 3 * MASS, now=1000.0 + MASS_CALM_S - 0.1)

    assert set(read) == {Kind.REJECTED}


def test_a_target_that_served_long_ago_is_not() -> None:
    guard = MassDeathGuard()
    guard.served("t", 1000.0)

    read = rejections(guard, MASS, now=1000.0 + MASS_CALM_S)

    assert read[-1] is Kind.MISCONFIGURED


def test_each_target_is_judged_alone() -> None:
    guard = MassDeathGuard()
    rejections(guard, MASS)

    read = guard.reads("other", "job-1", Kind.REJECTED, 1000.0)

    assert read is Kind.REJECTED


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.REJECTED}))
def test_other_faults_mean_what_they_say(kind: Kind) -> None:
    guard = MassDeathGuard()
    rejections(guard, MASS)

    read = guard.reads("t", "job-x", kind, 1000.0)

    assert read is kind


def test_one_endpoint_out_of_reach_is_its_own_trouble() -> None:
    guard = LocalCauseGuard()

    read = [guard.reads("a", Kind.UNREACHABLE, 1000.0 + n) for n in range(9)]

    assert set(read) == {Kind.UNREACHABLE}


def test_two_endpoints_out_of_reach_at_once_are_our_trouble() -> None:
    guard = LocalCauseGuard()

    first = guard.reads("a", Kind.UNREACHABLE, 1000.0)
    second = guard.reads("b", Kind.UNREACHABLE, 1000.0 + LOCAL_SPAN_S)

    assert (first, second) == (Kind.UNREACHABLE, Kind.LOCAL)


def test_two_endpoints_out_of_reach_at_different_times_are_not() -> None:
    guard = LocalCauseGuard()
    guard.reads("a", Kind.UNREACHABLE, 1000.0)

    read = guard.reads("b", Kind.UNREACHABLE, 1000.1 + LOCAL_SPAN_S)

    assert read is Kind.UNREACHABLE


def test_a_service_that_answers_badly_was_reached() -> None:
    guard = LocalCauseGuard()
    guard.reads("a", Kind.UNREACHABLE, 1000.0)

    read = guard.reads("b", Kind.UNAVAILABLE, 1000.0)

    assert read is Kind.UNAVAILABLE
    assert guard.reads("a", Kind.UNREACHABLE, 1000.0) is Kind.UNREACHABLE
