"""Trouble that is nobody's fault: jobs wait for its end, and are answered once."""

import pytest

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, until
from worker.core.ledger import State
from worker.local.faults import Duplicate, LoseRequest, LoseResponse, Redeliver, Refuse, Rule
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Constant, Fail

JOBS = 20


def test_throttled_jobs_are_parked_uncharged_and_answered_when_it_ends(
    stage: Stage, note: Note
) -> None:
    ids = {f"job-{n}" for n in range(JOBS)}
    settings = {
        "routes__default__targets": "default",
        "routes__default__park_base_s": 4,
        "routes__default__park_cap_s": 4,
        "retry__attempts": 1,
    }
    stage.mood(Mood(chances=(Chance(1.0, Fail("ThrottlingException")),)))
    worker = stage.worker("worker", **settings)
    stage.send({"id": job, "prompt": "Why?"} for job in ids)

    until(lambda: stage.states() == {State.PARKED: JOBS}, says="every job is parked")

    parked = stage.records()
    assert {record.attempts for record in parked.values()} == {0}
    assert {record.crashes for record in parked.values()} == {0}
    assert {record.reason for record in parked.values()} == {"throttled"}
    waiting = stage.depth(stage.parked_url)
    assert waiting.delayed > 0, "SQS itself delays them"
    until(lambda: stage.depth().total == 0, says="the buffered deletes are done")
    stage.mood(Mood())
    until(stage.settled, says="every job is settled")
    records = stage.records()
    assert {record.state for record in records.values()} == {State.ANSWERED}
    assert {record.attempts for record in records.values()} == {1}
    assert {job: record.parks + 1 for job, record in records.items()} == stage.calls_by_job()
    assert stage.depth(stage.dead_url).total == 0
    assert len(worker.lines("job.settled")) == sum(r.parks + 1 for r in records.values())
    note(f"{JOBS} jobs, {sum(record.parks for record in records.values())} parks, 0 charged")


@pytest.mark.parametrize(
    "trouble",
    [Refuse("InternalServerError", 500), LoseRequest()],
    ids=["refused", "unreachable"],
)
def test_while_the_ledger_is_out_of_reach_nothing_runs_and_sqs_keeps_the_jobs(
    stage: Stage, note: Note, trouble: Refuse | LoseRequest
) -> None:
    before = {f"before-{n}" for n in range(JOBS)}
    during = {f"during-{n}" for n in range(JOBS)}
    stage.mood(Mood(latency=Constant(2.0)))
    worker = stage.worker("worker", slots=2 * JOBS)
    stage.send({"id": job, "prompt": "Why?"} for job in before)
    until(lambda: stage.in_flight() == JOBS, says="the first jobs are in flight")

    stage.faults(Rule("dynamodb:*", trouble))
    stage.send({"id": job, "prompt": "Why?"} for job in during)
    until(lambda: stage.in_flight() == 0, says="the first jobs have their answers")
    # 2 s, then 4 s: the second hold says that the first has not helped.
    worker.wait_for("intake.held", times=2)

    assert set(stage.calls_by_job()) == before, "nothing runs unclaimed"
    assert stage.depth().total == 2 * JOBS, "and nothing is deleted that has no record"
    stage.faults()
    until(stage.settled, says="every job is settled")
    records = stage.records()
    assert set(records) == before | during
    assert {record.state for record in records.values()} == {State.ANSWERED}
    assert {(r.attempts, r.crashes, r.parks) for r in records.values()} == {(1, 0, 0)}
    assert stage.calls_by_job() == dict.fromkeys(before | during, 1)
    assert stage.depth(stage.dead_url).total == 0
    held = [f"{line['why']} {line['for_s']:g} s" for line in worker.lines("intake.held")]
    note(f"holds of the intake: {', '.join(held)}")


def test_lost_and_doubled_answers_of_the_services_double_no_result(
    stage: Stage, note: Note
) -> None:
    ids = {f"job-{n}" for n in range(60)}
    # Longer than 60 % of the lease, so that leases are extended as well.
    stage.mood(Mood(latency=Constant(4.5)))
    stage.faults(
        Rule("sqs:ReceiveMessage", LoseResponse(), skip=3, count=3),
        Rule("sqs:ReceiveMessage", Redeliver(), chance=0.5),
        Rule("sqs:DeleteMessageBatch", LoseResponse(), count=3),
        Rule("sqs:DeleteMessageBatch", Duplicate(), chance=0.5),
        Rule("sqs:ChangeMessageVisibilityBatch", LoseResponse(), count=3),
        Rule("dynamodb:UpdateItem", LoseResponse(), chance=0.1),
        Rule("dynamodb:UpdateItem", Duplicate(), chance=0.2),
    )
    settings = {"queue__lease_s": 6, "queue__clock_skew_s": 0.5, "slots": 20}
    workers = [stage.worker(f"worker-{n}", **settings) for n in range(2)]
    stage.send({"id": job, "prompt": "Why?"} for job in ids)

    until(stage.settled, says="every job is settled", within_s=90)

    records, calls = stage.records(), stage.calls_by_job()
    assert set(records) == ids
    assert {record.state for record in records.values()} == {State.ANSWERED}
    assert stage.depth(stage.dead_url).total == 0
    assert set(calls) == ids
    assert max(calls.values()) <= 2, "at most the call in flight is repeated"
    settled = [line["job"] for worker in workers for line in worker.lines("job.settled")]
    assert sorted(settled) == sorted(ids), "each job is settled once"
    acted = {f"{f['operation']} {f['kind']}": f["acted"] for f in stage.stats()["faults"]}
    assert all(acted.values()), acted
    note(
        f"{sum(acted.values())} calls lost or doubled, "
        f"{sum(calls.values()) - len(ids)} model calls repeated"
    )
