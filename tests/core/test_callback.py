"""What a state machine is told of a job that its task waits for."""

import json

import orjson
import pytest

from worker.core.callback import OUTPUT_BYTES_MAX, Failed, Succeeded, callback_of
from worker.core.fault import Kind
from worker.core.ledger import Attempt, Record, State

SECRET = "words of the job"
ENVELOPE = {"v": 1, "job_id": "a", "status": "ok", "output": {"message": {"content": []}}}


def record(state: State, **fields: object) -> Record:
    return Record(job="a", state=state, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [State.ANSWERED, State.DEGRADED])
def test_an_answer_is_the_result_as_it_is(state: State) -> None:
    content = orjson.dumps(ENVELOPE)

    told = callback_of(record(state), content)

    assert told == Succeeded(content.decode())


@pytest.mark.parametrize("ref", ["s3://bucket/payloads/1", ""])
def test_a_large_answer_says_where_it_lies(ref: str) -> None:
    filler = "ä" * OUTPUT_BYTES_MAX
    content = orjson.dumps(ENVELOPE | {"output": {"message": {"content": [{"text": filler}]}}})

    told = callback_of(record(State.ANSWERED, result_ref=ref), content)

    assert isinstance(told, Succeeded)
    assert json.loads(told.output) == ENVELOPE | {"output": None, "output_ref": ref}


@pytest.mark.parametrize("size", [OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX + 1])
def test_the_limit_counts_bytes(size: int) -> None:
    empty = len(orjson.dumps({"output": ""}))
    content = orjson.dumps({"output": "x" * (size - empty)})

    told = callback_of(record(State.ANSWERED), content)

    assert isinstance(told, Succeeded)
    assert (json.loads(told.output)["output"] is None) == (size > OUTPUT_BYTES_MAX)


@pytest.mark.parametrize(
    ("reason", "status"), [("expired", "expired"), ("rejected", "failed"), ("not_json", "failed")]
)
def test_a_dead_job_fails_its_task_by_its_reason(reason: str, status: str) -> None:
    row = Attempt(
        number=1,
        target="t",
        kind=Kind.REJECTED,
        code="ValidationException",
        message=SECRET,
    )

    told = callback_of(record(State.DEAD, reason=reason, history=(row,)), None)

    assert isinstance(told, Failed)
    cause = json.loads(told.cause)
    assert told.error == f"InferenceWorker.{reason}"
    assert {name: cause[name] for name in ("job_id", "status", "reason", "code")} == {
        "job_id": "a",
        "status": status,
        "reason": reason,
        "code": "ValidationException",
    }
    assert "inference-worker why a" in cause["says"]
    assert SECRET not in told.cause


def test_a_result_that_is_gone_fails_the_task() -> None:
    told = callback_of(record(State.ANSWERED, result_ref="s3://bucket/payloads/1"), None)

    assert isinstance(told, Failed)
    assert told.error == "InferenceWorker.result_missing"


def test_a_cancelled_job_fails_its_task() -> None:
    told = callback_of(record(State.CANCELLED), None)

    assert isinstance(told, Failed)
    assert told.error == "InferenceWorker.cancelled"
    assert json.loads(told.cause)["code"] == ""


def test_no_answer_is_in_a_representation() -> None:
    assert SECRET not in repr(Succeeded(SECRET))
