"""Two lanes: two pairs of queues in one worker, each for its own routes."""

from tests.e2e.stage import Stage, until
from worker.core.ledger import State

TWO_LANES = """
model.id = "chat-model"
targets.batch.id = "batch-model"
queue.wait_s = 2
routes.chat.targets = ["default"]
routes.batch.targets = ["batch"]
lanes.chat = {{ url = "{chat}", routes = ["chat"] }}
lanes.batch = {{ url = "{batch}", routes = ["batch"] }}
"""


def test_each_lane_serves_its_own_routes_and_refuses_those_of_the_other(stage: Stage) -> None:
    batch = stage.make_queue("other-jobs")
    stage.make_queue("other-parked")
    other_dead = stage.make_queue("other-dead")
    worker = stage.worker("worker", TWO_LANES.format(chat=stage.jobs_url, batch=batch))
    chats, batches = {f"chat-{n}" for n in range(10)}, {f"batch-{n}" for n in range(10)}

    stage.send({"id": job, "prompt": "Why?", "route": "chat"} for job in chats)
    stage.send(({"id": job, "prompt": "Why?", "route": "batch"} for job in batches), url=batch)
    stage.send([{"id": "astray-1", "prompt": "Why?", "route": "batch"}])
    stage.send([{"id": "astray-2", "prompt": "Why?", "route": "chat"}], url=batch)

    until(lambda: stage.settled() and stage.depth(batch).total == 0, says="both are empty")
    records = stage.records()
    answered = {job: r.route for job, r in records.items() if r.state is State.ANSWERED}
    assert answered == dict.fromkeys(chats, "chat") | dict.fromkeys(batches, "batch")
    models = {row["model"]: row["calls"] for row in stage.stats()["bedrock"]["by_target"]}
    assert models == {"chat-model": 10, "batch-model": 10}
    for dead_url, job in ((stage.dead_url, "astray-1"), (other_dead, "astray-2")):
        (letter,) = stage.received(dead_url)
        assert letter.attributes["iw-job"] == job
        assert letter.attributes["iw-reason"] == "unknown_route"
        assert letter.story["detail"] == "route: this queue does not serve it"
    assert worker.stop() == 0
