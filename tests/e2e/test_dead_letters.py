"""Dead letters and AWS's own redrive: a job that was mended gets a second life."""

from tests.e2e.stage import Stage, until
from worker.core.ledger import State

ONE_ROUTE = """
queue.url = "{jobs_url}"
queue.wait_s = 2
model.id = "local.echo-v1"
routes.default.targets = ["default"]
"""


def test_a_dead_job_that_is_redriven_to_a_mended_worker_is_answered_in_its_next_generation(
    stage: Stage,
) -> None:
    toml = ONE_ROUTE.format(jobs_url=stage.jobs_url)
    first = stage.worker("first", toml)
    jobs = {f"chat-{n}" for n in range(5)}
    stage.send({"id": job, "prompt": "Why?", "route": "chat"} for job in jobs)
    until(lambda: stage.depth(stage.dead_url).visible == len(jobs), says="all jobs are dead")
    assert first.stop() == 0
    assert {(r.state, r.generation) for r in stage.records().values()} == {(State.DEAD, 0)}
    stage.worker("mended", f'{toml}routes.chat.targets = ["default"]\n')

    stage.sqs.start_message_move_task(
        SourceArn=_arn(stage, stage.dead_url), DestinationArn=_arn(stage, stage.jobs_url)
    )

    until(lambda: stage.states() == {State.ANSWERED: len(jobs)}, says="every job is answered")
    records = stage.records()
    assert set(records) == jobs
    assert {(r.generation, r.attempts, r.route) for r in records.values()} == {(1, 1, "chat")}
    assert stage.calls_by_job() == dict.fromkeys(jobs, 1)
    until(stage.settled, says="the queue is empty")
    assert stage.depth(stage.dead_url).total == 0


def test_a_dead_job_that_is_redriven_to_the_same_worker_dies_again(stage: Stage) -> None:
    stage.worker("worker")
    stage.send([{"id": "lost", "prompt": "Why?", "route": "nowhere"}])
    until(lambda: stage.depth(stage.dead_url).visible == 1, says="the job is dead")

    stage.sqs.start_message_move_task(
        SourceArn=_arn(stage, stage.dead_url), DestinationArn=_arn(stage, stage.jobs_url)
    )

    until(lambda: stage.records()["lost"].generation == 1, says="its next generation began")
    until(lambda: stage.depth(stage.dead_url).visible == 1, says="the job is dead again")
    until(stage.settled, says="the queue is empty")
    (letter,) = stage.received(stage.dead_url)
    assert letter.attributes["iw-job"] == "lost"
    assert letter.story["generation"] == 1
    assert not stage.calls_by_job()


def test_another_request_under_the_id_of_a_job_is_dead_and_the_job_is_answered_once(
    stage: Stage,
) -> None:
    stage.worker("worker")
    stage.send([{"id": "mine", "prompt": "Why?"}])
    until(lambda: stage.states() == {State.ANSWERED: 1}, says="the job is answered")

    (other,) = stage.send([{"id": "mine", "prompt": "Why not?"}])

    until(lambda: stage.depth(stage.dead_url).visible == 1, says="the other one is dead")
    (letter,) = stage.received(stage.dead_url)
    assert letter.attributes["iw-reason"] == "id_conflict"
    assert letter.story["detail"].startswith("id: ")
    assert letter.attributes["iw-job"] == other
    assert stage.records()["mine"].state is State.ANSWERED
    assert stage.calls_by_job() == {"mine": 1}


def _arn(stage: Stage, url: str) -> str:
    answer = stage.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn: str = answer["Attributes"]["QueueArn"]
    return arn
