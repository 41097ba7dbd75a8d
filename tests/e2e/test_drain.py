"""SIGTERM: what fits the grace finishes, the rest goes back uncharged, and the worker leaves."""

import signal
import statistics

import pytest

from tests.e2e.conftest import Note
from tests.e2e.stage import Depth, Stage, Worker, until
from worker.core.ledger import State
from worker.local.moods import Mood
from worker.local.outcomes import Constant

JOBS = 100
FAR_OFF = Mood(latency=Constant(600.0))
SOON = Mood(latency=Constant(0.1))
TWO_MODELS = """
queue.url = "{jobs_url}"
queue.wait_s = 2
queue.lease_s = 60
slots = {slots}
grace_s = 14
model.id = "slow"
targets.quick.id = "quick"
routes.default.targets = ["default"]
routes.quick.targets = ["quick"]
"""


def test_a_drain_of_100_jobs_finishes_what_fits_and_gives_the_rest_back_uncharged(
    stage: Stage, note: Note
) -> None:
    slow = {f"slow-{n}" for n in range(60)}
    quick = {f"quick-{n}" for n in range(JOBS - len(slow))}
    toml = TWO_MODELS.format(jobs_url=stage.jobs_url, slots=JOBS)
    stage.mood(FAR_OFF, "slow")
    stage.mood(Mood(latency=Constant(5.0)), "quick")
    worker = stage.worker("first", toml)
    stage.send({"id": job, "prompt": "Why?"} for job in slow)
    until(lambda: stage.in_flight() == len(slow), says="the slow ones are in flight")
    stage.send({"id": job, "prompt": "Why?", "route": "quick"} for job in quick)
    until(lambda: stage.in_flight() == JOBS, says="all jobs are in flight")

    code = worker.stop()

    assert code == 0
    (ended,) = worker.lines("drain.ended")
    assert ended["clean"]
    assert ended["released"] == len(slow)
    assert ended["took_s"] <= 14
    assert stage.depth() == Depth(visible=len(slow), in_hand=0, delayed=0)
    records = stage.records()
    assert {job for job, r in records.items() if r.state is State.ANSWERED} == quick
    assert {job for job, r in records.items() if r.state is State.INTERRUPTED} == slow
    assert {(records[j].attempts, records[j].interruptions) for j in slow} == {(0, 1)}
    assert {(records[j].attempts, records[j].interruptions) for j in quick} == {(1, 0)}

    stage.mood(SOON, "slow")
    second = stage.worker("second", toml)
    until(stage.settled, says="the jobs that were given back are settled")

    records = stage.records()
    assert {record.state for record in records.values()} == {State.ANSWERED}
    assert {(records[j].attempts, records[j].interruptions) for j in slow} == {(1, 1)}
    calls = stage.calls_by_job()
    assert {calls[job] for job in quick} == {1}
    assert {calls[job] for job in slow} == {2}  # one was cut short
    assert stage.depth(stage.dead_url).total == 0
    started_s = sorted(_starts(second).values())
    up_s = second.lines("worker.started")[0]["at"]
    note(
        f"{len(quick)} finished and {len(slow)} went back within {ended['took_s']:.2f} s of a "
        f"grace of 14 s; a worker started afterwards had begun the last of them "
        f"{started_s[-1] - up_s:.2f} s after its start"
    )


def test_what_a_drain_gives_back_is_begun_at_once_by_a_worker_that_runs(
    stage: Stage, note: Note
) -> None:
    ids = {f"job-{n}" for n in range(JOBS)}
    settings = {"slots": JOBS, "queue__wait_s": 2, "queue__lease_s": 60, "grace_s": 11}
    stage.mood(FAR_OFF)
    leaving = stage.worker("leaving", **settings)
    stage.send({"id": job, "prompt": "Why?"} for job in ids)
    until(lambda: stage.in_flight() == JOBS, says="all jobs are in flight")
    staying = stage.worker("staying", **settings)
    stage.mood(SOON)

    assert leaving.stop() == 0

    until(stage.settled, says="every job is settled")
    records = stage.records()
    assert {r.state for r in records.values()} == {State.ANSWERED}
    assert {(r.attempts, r.interruptions, r.crashes) for r in records.values()} == {(1, 1, 0)}
    released = {line["job"]: line["at"] for line in leaving.lines("job.settled")}
    begun = _starts(staying)
    assert set(released) == set(begun) == ids
    delays_s = sorted(begun[job] - released[job] for job in ids)
    assert delays_s[-1] < 30, (
        "begun because it is visible, and not because its lease of 60 s lapsed"
    )
    note(
        f"from release to restart of {JOBS} jobs: first {delays_s[0]:.2f} s, "
        f"median {statistics.median(delays_s):.2f} s, last {delays_s[-1]:.2f} s"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_ends_the_worker_at_once(stage: Stage, number: signal.Signals) -> None:
    stage.mood(FAR_OFF)
    settings = {"grace_s": 100, "queue__lease_s": 4, "queue__clock_skew_s": 0.5}
    worker = stage.worker("hurried", **settings)
    stage.send([{"id": "job-1", "prompt": "Why?"}])
    until(lambda: stage.in_flight() == 1, says="the job is in flight")
    worker.send(number)
    worker.wait_for("drain.started")

    worker.send(number)

    assert worker.ended() == 128 + number
    assert not worker.lines("drain.ended")
    stage.mood(SOON)
    stage.worker("next", **settings)
    until(lambda: stage.states() == {State.ANSWERED: 1}, says="the job is answered")
    assert stage.calls_by_job() == {"job-1": 2}


def test_a_job_that_comes_in_the_last_poll_goes_back_and_is_answered_by_the_next_worker(
    stage: Stage,
) -> None:
    settings = {"queue__wait_s": 6, "queue__lease_s": 60, "log_level": "debug"}
    idle = stage.worker("idle", **settings)
    receives = "sqs:ReceiveMessage"
    until(lambda: stage.stats()["calls"].get(receives, 0) >= 2, says="both queues are polled")
    idle.send(signal.SIGTERM)
    idle.wait_for("drain.started")
    stage.send([{"id": "late", "prompt": "Why?"}])

    assert idle.ended() == 0

    assert [line["why"] for line in idle.lines("delivery.skipped")] == ["stopping"]
    assert not stage.records(), "it was not claimed"
    assert stage.depth() == Depth(visible=1, in_hand=0, delayed=0)
    stage.worker("next")
    until(lambda: stage.states() == {State.ANSWERED: 1}, says="the job is answered")
    assert stage.calls_by_job() == {"late": 1}


def test_an_idle_worker_leaves_when_its_polls_have_landed(stage: Stage) -> None:
    worker = stage.worker("idle", queue__wait_s=1)

    assert worker.stop() == 0

    (ended,) = worker.lines("drain.ended")
    assert (ended["clean"], ended["released"]) == (True, 0)


def _starts(worker: Worker) -> dict[str, float]:
    """When the worker began each job that it answered, seconds since 1970."""
    return {
        line["job"]: line["at"] - line["worked_ms"] / 1000
        for line in worker.lines("job.settled")
        if line["settlement"] == "answered"
    }
