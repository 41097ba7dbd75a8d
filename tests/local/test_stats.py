"""The figures of the Bedrock stand-in: what is counted, and how much is kept."""

import pytest

from worker.local import stats
from worker.local.stats import OTHER, Stats, Target

TARGET = Target("m", "us-east-1", "Converse")


def test_calls_in_flight_survive_a_reset() -> None:
    seen = Stats()
    seen.begin(TARGET, "a")
    seen.begin(TARGET, "b")
    seen.end(TARGET, "a", "answer")

    seen.reset()
    seen.end(TARGET, "b", "answer")

    assert (seen.total, seen.in_flight, seen.in_flight_max) == (1, 0, 1)
    assert seen.answers_by_job == {}


def test_only_whole_answers_count_as_answers() -> None:
    seen = Stats()
    for outcome in ("ThrottlingException", "client_gone", "answer"):
        seen.begin(TARGET, "a")
        seen.end(TARGET, "a", outcome)

    assert seen.calls_by_job == {"a": 3}
    assert seen.answers_by_job == {"a": 1}


def test_the_oldest_job_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "JOBS_MAX", 2)
    seen = Stats()

    for job in ("a", "b", "a", "c"):
        seen.begin(TARGET, job)
        seen.end(TARGET, job, "answer")

    assert seen.calls_by_job == {"b": 1, "c": 1}
    assert seen.answers_by_job == {"b": 1, "c": 1}
    assert seen.jobs_dropped == 1


def test_targets_beyond_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "TARGETS_MAX", 1)
    seen = Stats()

    for model, region in (("m", "us-east-1"), ("n", "us-west-2"), ("o", "us-east-1")):
        target = Target(model, region, "Converse")
        seen.begin(target, None)
        seen.end(target, None, "answer")

    assert seen.by_target == {TARGET: {"answer": 1}, OTHER: {"answer": 2}}
    assert seen.begun_by_region == {"us-east-1": 2, "other": 1}


def test_a_call_counts_for_its_region_from_its_beginning() -> None:
    seen = Stats()
    seen.begin(TARGET, "a")

    assert seen.as_json()["begun_by_region"] == {"us-east-1": 1}
    assert seen.as_json()["by_target"] == []
