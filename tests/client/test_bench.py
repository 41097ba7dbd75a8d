"""The benchmark's own arithmetic, and that its other side behaves."""

from typing import Any

import pytest

from bench import telemetry
from bench.__main__ import PEERS, verdicts
from bench.runs import Run, measure
from bench.stub import Updates
from worker.core.metric import Profile


def run(peer: str, cpu_ms: float, *, rss_mib: float = 90.0, sqs_calls: float = 0.2) -> Run:
    return Run(
        peer=peer,
        jobs=100,
        cpu_ms=cpu_ms,
        start_cpu_s=0.0,
        rss_mib=rss_mib,
        sqs_calls=sqs_calls,
        wall_s=1.0,
        stub_cpu_ms=0.1,
        calls={},
    )


def told(**cpu_ms: list[float]) -> dict[str, dict[str, Any]]:
    runs = {peer: [run(peer, ms) for ms in cpu_ms[peer]] for peer in PEERS}
    return {line["name"]: line for line in verdicts(runs)}


def test_the_two_writes_cost_what_the_pipeline_costs_over_the_bare_loop() -> None:
    lines = told(bare=[1.0], pipeline=[2.0], worker=[2.5])

    assert lines["cpu_without_the_writes_over_bare"]["value"] == 1.5
    assert lines["cpu_over_pipeline"]["value"] == 1.25


def test_a_ratio_is_the_median_of_its_rounds() -> None:
    lines = told(bare=[1.0, 1.0, 1.0], pipeline=[2.0, 2.0, 4.0], worker=[2.0, 2.2, 4.0])

    assert lines["cpu_over_pipeline"]["value"] == 1.0


def test_a_target_that_is_missed_says_so() -> None:
    lines = told(bare=[1.0], pipeline=[2.0], worker=[2.1])

    assert lines["cpu_over_pipeline"]["met"] is False
    assert lines["sqs_calls_per_job"]["met"] is True


def test_the_stub_keeps_what_updates_set() -> None:
    updates = Updates()
    ask = {
        "TableName": "jobs",
        "Key": {"job": {"S": "a"}},
        "UpdateExpression": (
            "SET #s = :s, sent = if_not_exists(sent, :n), tries = if_not_exists(tries, :z) + :n "
            "REMOVE gone ADD fence :n, bells :b"
        ),
        "ExpressionAttributeNames": {"#s": "state"},
        "ExpressionAttributeValues": {
            ":s": {"S": "running"},
            ":n": {"N": "1"},
            ":z": {"N": "0"},
            ":b": {"SS": ["m"]},
        },
        "ReturnValues": "ALL_NEW",
    }
    updates.update(ask)

    answer = updates.update(ask)

    assert answer["Attributes"] == {
        "job": {"S": "a"},
        "state": {"S": "running"},
        "sent": {"N": "1"},
        "tries": {"N": "2"},
        "fence": {"N": "2"},
        "bells": {"SS": ["m"]},
    }


@pytest.mark.parametrize("peer", PEERS)
def test_every_peer_works_its_jobs_off_with_the_calls_that_it_should_make(peer: str) -> None:
    measured = measure(peer, jobs=60, latency_ms=1)

    assert measured.calls["Converse"] == 1.0
    assert measured.calls.get("UpdateItem", 0) == (0 if peer == "bare" else 2.0)


def test_a_worker_with_a_clock_says_what_telling_took_and_what_it_wrote() -> None:
    measured = telemetry.run(Profile.FULL, "info", jobs=60, latency_ms=1, slots=20)

    found = telemetry.figures(measured, Profile.FULL, "info")

    assert measured.calls["Converse"] == 1.0
    assert 0 < found["share_of_cpu"] < 1
    assert found["us_per_job"] == pytest.approx(found["share_of_cpu"] * found["worker_us_per_job"])
    assert found["line_bytes_per_job"] > 500
    core = telemetry.run(Profile.CORE, "warning", jobs=60, latency_ms=1, slots=20)
    assert core.log_bytes == core.metric_bytes, "the settings say what is written"
    assert 20 * 60 < core.metric_bytes < 0.75 * measured.metric_bytes, "half of it"


def test_a_peer_without_a_clock_has_its_log_measured_too() -> None:
    measured = measure("worker", jobs=20, latency_ms=1)

    assert measured.clock == {}
    assert measured.log_bytes > measured.metric_bytes > 0
