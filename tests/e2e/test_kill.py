"""SIGKILL: what was in flight is found again, and answered once."""

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, until
from worker.core.ledger import State
from worker.local.moods import Mood
from worker.local.outcomes import Constant

JOBS = 100


def test_a_kill_with_100_jobs_in_flight_loses_none_and_doubles_none(
    stage: Stage, note: Note
) -> None:
    ids = {f"kill-{n}" for n in range(JOBS)}
    settings = {"slots": JOBS, "queue__lease_s": 4, "queue__clock_skew_s": 0.5}
    stage.mood(Mood(latency=Constant(600.0)))
    victim = stage.worker("victim", **settings)
    stage.send({"id": job, "prompt": "Why?"} for job in ids)
    until(lambda: stage.in_flight() == JOBS, says="all jobs are in flight")

    victim.kill()
    stage.mood(Mood(latency=Constant(0.02)))
    heir = stage.worker("heir", **settings)
    until(stage.settled, says="every job is settled", within_s=120)

    records, calls = stage.records(), stage.calls_by_job()
    assert set(records) == ids
    assert {record.state for record in records.values()} == {State.ANSWERED}
    assert {record.attempts for record in records.values()} == {2}  # the call in flight counts
    assert stage.depth(stage.dead_url).total == 0
    settled = heir.lines("job.settled")
    answered = [line["job"] for line in settled if line["settlement"] == "answered"]
    assert sorted(answered) == sorted(ids), "each job is answered once"
    assert set(calls) == ids
    assert max(calls.values()) <= 2
    repeated = sum(calls.values()) - JOBS
    assert repeated <= JOBS
    took_s = max(line["at"] for line in settled) - heir.lines("worker.started")[0]["at"]
    note(
        f"{JOBS} in flight: {repeated} calls repeated; the next worker had answered all "
        f"{took_s:.1f} s after its start (lease 4 s)"
    )
