"""Results as their readers find them: in the record, in S3, and on a reply queue."""

import hashlib
import json

from jsonschema import Draft202012Validator

from tests.e2e.stage import Stage, until
from worker.core.ledger import State
from worker.core.result_schema import SCHEMA
from worker.local.moods import Mood

LARGE = "word " * 5_000


def test_large_answers_lie_in_s3_and_results_arrive_on_the_reply_queue(stage: Stage) -> None:
    replies = stage.make_queue("billing-replies")
    stage.mood(Mood(text=LARGE, output_tokens=10_000), "large")
    stage.mood(Mood(text="Because."), "small")
    toml = f"""
queue.url = "{stage.jobs_url}"
queue.wait_s = 2
payloads.bucket = "{stage.bucket}"
replies.billing = "{replies}"
targets.large = {{ id = "large", max_tokens = 10000, quality = 0.9 }}
targets.small = {{ id = "small" }}
routes.large.targets = ["large"]
routes.small.targets = ["small"]
"""
    worker = stage.worker("worker", toml)
    payload = json.dumps({"prompt": "Why?"}).encode()
    stage.put_object("requests/1", payload)
    reference = {
        "uri": f"s3://{stage.bucket}/requests/1",
        "sha256": hashlib.sha256(payload).hexdigest(),
        "bytes": len(payload),
    }
    common = {"reply_to": "billing", "metadata": {"invoice": 7}, "tenant": "acme"}
    stage.send(
        [
            {"id": "large", "route": "large", "payload_ref": reference, **common},
            {"id": "small", "route": "small", "prompt": "Why?", **common},
            {"id": "dead", "route": "nowhere", "prompt": "Why?", **common},
            {"id": "quiet", "route": "large", "prompt": "Why?"},
        ]
    )

    until(lambda: len(stage.records()) == 4 and stage.settled(), says="every job is settled")

    records = stage.records()
    assert {job: r.state for job, r in records.items() if r.state is not State.ANSWERED} == {
        "dead": State.DEAD
    }
    for job in ("large", "quiet"):
        assert records[job].result is None
        kept = json.loads(stage.get_object(records[job].result_ref))
        assert (kept["job_id"], kept["status"], kept["v"]) == (job, "ok", 1)
        assert kept["output"]["message"]["content"] == [{"text": LARGE}]
    assert records["small"].result is not None
    assert not records["small"].result_ref
    told = {letter.attributes["iw-job"]: letter for letter in stage.received(replies)}
    assert set(told) == {"large", "small", "dead"}
    attributes = {
        job: (letter.attributes["iw-status"], letter.attributes["iw-quality"])
        for job, letter in told.items()
    }
    assert attributes == {
        "large": ("ok", "0.9"),
        "small": ("ok", "1.0"),
        "dead": ("failed", "0.0"),
    }
    envelopes = {job: json.loads(letter.body) for job, letter in told.items()}
    for envelope in envelopes.values():
        Draft202012Validator(SCHEMA).validate(envelope)
    assert envelopes["small"] == json.loads(records["small"].result)
    assert envelopes["large"] == json.loads(stage.get_object(records["large"].result_ref))
    assert envelopes["dead"]["error"]["reason"] == "unknown_route"
    assert {tuple(e["metadata"].items()) for e in envelopes.values()} == {(("invoice", 7),)}
    assert {record.told for record in records.values()} == {True}
    assert worker.stop() == 0
