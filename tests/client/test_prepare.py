import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from worker.client.prepare import REQUEST_FIELDS, InvalidJob, Message, Preparer, dump, tree_of
from worker.core import envelope
from worker.core.job import Job, Limits, PayloadRef
from worker.sim.memory import MemoryPayloads

BIG = "What a long story. " * 30_000


def prepared(
    job: Mapping[str, Any] | str, payloads: MemoryPayloads | None = None, **fields: Any
) -> Message:
    limits = Limits(payload_buckets=frozenset({"payloads"} if payloads else ()))
    store = payloads.seen_by() if payloads else None
    preparer = Preparer(store, limits=limits, inline_max_bytes=262_144)
    return asyncio.run(preparer.prepare(0, tree_of(job, fields)))


def test_a_prompt_alone_is_a_job() -> None:
    message = prepared("Why is the sky blue?")

    body = orjson.loads(message.body)
    assert body == {"prompt": "Why is the sky blue?", "id": message.job_id}


def test_two_jobs_without_an_id_get_two() -> None:
    assert prepared("a").job_id != prepared("a").job_id


def test_an_id_is_kept_wherever_it_is_given() -> None:
    assert prepared({"prompt": "a", "id": "invoice-42"}).job_id == "invoice-42"
    assert prepared("a", id="invoice-42").job_id == "invoice-42"


def test_a_tenant_is_the_message_group() -> None:
    assert prepared("a", tenant="acme").group == "acme"


def test_the_same_job_is_the_same_message_however_its_keys_are_ordered() -> None:
    one = prepared({"id": "x", "prompt": "a", "route": "fast"})
    other = prepared({"route": "fast", "prompt": "a", "id": "x"})

    assert one.body == other.body


@pytest.mark.parametrize(
    ("job", "fields", "field"),
    [
        ({"prompt": "a", "deadline_s": -1}, {}, "deadline_s"),
        ({"prompt": "a", "rout": "fast"}, {}, "rout"),
        ({"prompt": "a", "route": "arn:aws:bedrock:x"}, {}, "route"),
        ({"prompt": "a", "id": "no spaces"}, {}, "id"),
        ({"prompt": "a", "id": 7}, {}, "id"),
        ({"prompt": "a", "tenant": "acme"}, {"tenant": "else"}, "tenant"),
        ({"messages": [{"role": "robot", "content": []}]}, {}, "messages[0].role"),
        ({}, {}, "prompt"),
        (" ", {}, "prompt"),
    ],
)
def test_a_wrong_field_is_named(job: Any, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob, match=r"job not sent: ") as refused:
        prepared(job, **fields)

    assert refused.value.malformed.field == field
    assert f"`{field}`" in str(refused.value)


@pytest.mark.parametrize(
    "job",
    [
        {"prompt": "a", "inference": {"temperature": float("nan")}},
        {"prompt": "a", "metadata": {"when": object()}},
        {"prompt": "\ud800"},
        ["prompt"],
        None,
    ],
)
def test_what_is_no_json_is_refused_and_not_altered(job: Any) -> None:
    with pytest.raises(InvalidJob):
        prepared(job)


def test_a_refusal_holds_no_text_of_the_job() -> None:
    with pytest.raises(InvalidJob) as refused:
        prepared({"prompt": "my secret", "priority": "my secret too"})

    assert "secret" not in str(refused.value)


def test_characters_that_sqs_refuses_travel_escaped() -> None:
    message = prepared("a\uffff\ufffe\x00b")

    assert message.body.isprintable()
    assert orjson.loads(message.body)["prompt"] == "a\uffff\ufffe\x00b"


def test_a_large_request_leaves_a_claim_check_that_a_worker_can_cash() -> None:
    payloads = MemoryPayloads()

    message = prepared({"prompt": BIG, "metadata": {"for": "me"}}, payloads, tenant="acme")

    job = envelope.parse(message.body.encode(), Limits(payload_buckets=frozenset({"payloads"})))
    assert isinstance(job, Job)
    assert (job.tenant, job.metadata) == ("acme", {"for": "me"})
    ref = job.request
    assert isinstance(ref, PayloadRef)
    content = payloads.objects[ref.bucket, ref.key]
    assert orjson.loads(content) == {"prompt": BIG}
    assert ref.key == f"payloads/{hashlib.sha256(content).hexdigest()}"
    assert message.size_bytes < 1000


def test_the_same_large_request_is_one_object() -> None:
    payloads = MemoryPayloads()

    one = prepared({"prompt": BIG, "system": "Be kind.", "id": "x"}, payloads)
    other = prepared({"id": "x", "system": "Be kind.", "prompt": BIG}, payloads)

    assert one.body == other.body
    assert len(payloads.objects) == 1


def test_without_a_bucket_a_job_within_the_message_limit_is_sent_as_it_is() -> None:
    assert prepared(BIG).size_bytes > 500_000


def test_without_a_bucket_a_larger_job_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidJob, match="open the client with a bucket"):
        prepared(BIG * 2)


def test_a_request_too_large_for_any_worker_is_refused_before_it_is_stored() -> None:
    payloads = MemoryPayloads()

    with pytest.raises(InvalidJob, match="the limit is 20000000"):
        prepared("x" * 20_000_000, payloads)

    assert not payloads.objects


def test_a_claim_check_of_the_producers_own_is_checked_like_any_field() -> None:
    ref = {"uri": "s3://elsewhere/key", "sha256": "0" * 64, "bytes": 10}

    with pytest.raises(InvalidJob, match=r"payload_ref\.uri"):
        prepared({"payload_ref": ref}, MemoryPayloads())


def test_a_claim_check_holds_every_field_that_a_payload_may_have() -> None:
    assert set(REQUEST_FIELDS) == set(envelope._REQUEST)


def test_dump_is_compact_and_sorted() -> None:
    assert dump({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'.encode()
