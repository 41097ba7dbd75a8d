"""What a producer reads when its job is done."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from worker.core.answer import Answer, Usage
from worker.core.cost import Waste
from worker.core.degrade import notice_of
from worker.core.fault import Billed, Kind
from worker.core.job import Job, Request
from worker.core.ledger import Attempt
from worker.core.result import ATTEMPTS_MAX, Run, build
from worker.core.result_schema import SCHEMA
from worker.core.settlement import Answered, Dead, Degraded, DegradedAnswer, Spent
from worker.core.target import Target

JOB = Job(
    id="job-1",
    request=Request(messages=({"role": "user", "content": [{"text": "PROMPT"}]},)),
    route="fast",
    min_quality=0.3,
    tenant="acme",
    metadata={"trace": "t-1"},
)
TARGET = Target(
    name="main",
    model="model-1",
    region="eu-west-1",
    quality=0.9,
    tier="flex",
    price_input=3.0,
    price_output=15.0,
)
ANSWER = Answer(
    content=({"text": "ANSWER"},),
    stop_reason="end_turn",
    usage=Usage(input=1000, output=500, cache_read=10, cache_write=20),
    model_ms=700,
    first_token_ms=120,
    request_id="r-2",
    tier="default",
)
FAILED = Attempt(
    number=1,
    target="main",
    kind=Kind.TIMED_OUT,
    code="ReadTimeout",
    duration_ms=900,
    billed=Billed.MAYBE,
    timer="attempt",
)
WENT_WELL = Attempt(number=2, target="main", duration_ms=800, billed=Billed.YES, request_id="r-2")
RUN = Run(
    job_id="job-1",
    worker="w-1",
    queue_ms=50,
    total_ms=1900,
    backoff_ms=100,
    attempts=(FAILED, WENT_WELL),
    attempts_total=2,
    deadline_at=1_800_000_000.0,
    handler_ms=30,
    parked_ms=20,
    wasted=Waste(0.001, 0.0105),
    requested=0.95,
)
AROUND: dict[str, Any] = {
    "v": 1,
    "job_id": "job-1",
    "upgrades": None,
    "attempts": [
        {
            "n": 1,
            "target": "main",
            "kind": "timed_out",
            "code": "ReadTimeout",
            "http": None,
            "duration_ms": 900,
            "billed": "maybe",
            "timer": "attempt",
            "request_id": "",
        },
        {
            "n": 2,
            "target": "main",
            "kind": "ok",
            "code": "",
            "http": None,
            "duration_ms": 800,
            "billed": "yes",
            "timer": "",
            "request_id": "r-2",
        },
    ],
    "attempts_total": 2,
    "deadline_at": 1_800_000_000.0,
    "metadata": {"trace": "t-1"},
    "worker": "w-1",
}
LATENCY = {
    "queue": 50,
    "parked": 20,
    "total": 1900,
    "backoff": 100,
    "handler": 30,
    "model": 0,
    "first_token": None,
}
BY_NOBODY = {
    "stop": None,
    "route": {
        "name": "fast",
        "target": "",
        "model_id": "",
        "region": "",
        "tier": {"requested": "", "served": ""},
    },
    "usage": {
        "input": 0,
        "output": 0,
        "cache_read": 0,
        "cache_write": 0,
        "cost_usd": 0.0,
        "wasted_calls": 1,
        "wasted_usd": 0.001,
        "wasted_most_usd": 0.0105,
    },
    "latency_ms": LATENCY,
}
VALIDATOR = Draft202012Validator(SCHEMA)


def as_read(ended: Answered | Degraded | Dead, job: Job | None = JOB, run: Run = RUN) -> Any:
    result = orjson.loads(orjson.dumps(build(ended, job, run)))
    VALIDATOR.validate(result)
    return result


def stopped(reason: str) -> Answered:
    answer = Answer(content=ANSWER.content, stop_reason=reason, usage=ANSWER.usage)
    return Answered(answer=answer, target=TARGET)


def test_a_plain_answer_tells_who_gave_it_and_what_it_cost() -> None:
    result = as_read(Answered(answer=ANSWER, target=TARGET))

    assert result == AROUND | {
        "status": "ok",
        "output": {"message": {"role": "assistant", "content": [{"text": "ANSWER"}]}},
        "stop": {"reason": "end_turn", "truncated": False},
        "quality": {"requested": 0.95, "minimum": 0.3, "served": 0.9},
        "degraded": None,
        "error": None,
        "route": {
            "name": "fast",
            "target": "main",
            "model_id": "model-1",
            "region": "eu-west-1",
            "tier": {"requested": "flex", "served": "default"},
        },
        "usage": {
            "input": 1000,
            "output": 500,
            "cache_read": 10,
            "cache_write": 20,
            "cost_usd": 0.0105,
            "wasted_calls": 1,
            "wasted_usd": 0.001,
            "wasted_most_usd": 0.0105,
        },
        "latency_ms": LATENCY | {"model": 700, "first_token": 120},
    }


@pytest.mark.parametrize("reason", ["guardrail_intervened", "content_filtered"])
def test_a_blocked_answer_says_so(reason: str) -> None:
    result = as_read(stopped(reason))

    assert result["status"] == "blocked"
    assert result["stop"]["reason"] == reason


def test_a_cut_answer_says_so() -> None:
    result = as_read(stopped("max_tokens"))

    assert result["status"] == "ok"
    assert result["stop"] == {"reason": "max_tokens", "truncated": True}


def test_a_degraded_answer_tells_what_it_lacks_and_why() -> None:
    answer = DegradedAnswer(content=({"text": "SHORT"},), quality=0.4, loses=("length",))

    result = as_read(
        Degraded(
            answer=answer,
            handler="summary",
            why="throttled",
            code="ThrottlingException",
            notice="Sorry.",
        )
    )

    assert result == AROUND | BY_NOBODY | {
        "status": "degraded",
        "output": {"message": {"role": "assistant", "content": [{"text": "SHORT"}]}},
        "quality": {"requested": 0.95, "minimum": 0.3, "served": 0.4},
        "degraded": {
            "reason": "throttled",
            "cause": "ThrottlingException",
            "handler": "summary",
            "loses": ["length"],
            "notice": "Sorry.",
            "will_upgrade": False,
        },
        "error": None,
    }


def test_a_degraded_answer_of_a_model_tells_who_gave_it_and_what_it_cost() -> None:
    spent = Spent(usage=ANSWER.usage, target=TARGET)
    answer = DegradedAnswer(content=({"text": "SHORT"},), quality=0.4, spent=spent)

    result = as_read(Degraded(answer=answer, handler="short", why="throttled"))

    assert (result["status"], result["route"]["target"]) == ("degraded", "main")
    assert result["usage"]["cost_usd"] == 0.0105


def test_a_dead_job_has_no_output_and_a_reason() -> None:
    result = as_read(Dead(reason="rejected", detail="no such tool", code="ValidationException"))

    assert result == AROUND | BY_NOBODY | {
        "status": "failed",
        "output": None,
        "quality": {"requested": 0.95, "minimum": 0.3, "served": 0.0},
        "degraded": None,
        "error": {"reason": "rejected", "code": "ValidationException", "detail": "no such tool"},
    }


def test_a_job_that_came_too_late_is_expired_and_not_failed() -> None:
    result = as_read(Dead(reason="expired"))

    assert result["status"] == "expired"


@pytest.mark.parametrize(
    "ended", [Answered(answer=ANSWER, target=TARGET), Dead(reason="not_json")], ids=["ok", "dead"]
)
def test_what_could_not_be_read_still_gets_a_result(ended: Answered | Dead) -> None:
    result = as_read(ended, job=None)

    assert (result["metadata"], result["quality"]["minimum"]) == ({}, 0.0)


def test_a_long_history_is_cut_to_its_latest_rows() -> None:
    rows = tuple(Attempt(number=n, target="main", kind=Kind.UNAVAILABLE) for n in range(1, 21))
    run = Run(
        job_id="job-1",
        worker="w-1",
        queue_ms=0,
        total_ms=0,
        backoff_ms=0,
        attempts=rows,
        attempts_total=20,
        deadline_at=None,
    )

    result = as_read(Dead(reason="attempts_exhausted"), run=run)

    assert [row["n"] for row in result["attempts"]] == list(range(21 - ATTEMPTS_MAX, 21))
    assert result["attempts_total"] == 20


@pytest.mark.parametrize(
    "ended",
    [
        Answered(answer=ANSWER, target=TARGET),
        Degraded(
            answer=DegradedAnswer(content=({"text": "ANSWER"},), quality=0.4),
            handler="cache",
            why="throttled",
        ),
        Dead(reason="poison"),
    ],
    ids=["ok", "degraded", "dead"],
)
def test_text_is_in_the_output_and_nowhere_else(ended: Answered | Degraded | Dead) -> None:
    result = as_read(ended)

    del result["output"]
    assert b"PROMPT" not in orjson.dumps(result)
    assert b"ANSWER" not in orjson.dumps(result)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "fine"},
        {"more": 1},
        {"degraded": None, "status": "degraded"},
        {"output": None, "status": "failed"},
        {"quality": {"requested": 1, "minimum": 0, "served": 1.1}},
        {"latency_ms": {}},
        {"attempts": [{}]},
        {"metadata": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_no_envelope(wrong: dict[str, Any]) -> None:
    result = as_read(Answered(answer=ANSWER, target=TARGET))

    assert not VALIDATOR.is_valid(result | wrong)


@pytest.mark.parametrize("name", sorted(SCHEMA["required"]))
def test_every_envelope_has_every_field(name: str) -> None:
    result = as_read(Answered(answer=ANSWER, target=TARGET))
    del result[name]

    assert not VALIDATOR.is_valid(result)


def test_the_results_that_the_docs_show_are_results() -> None:
    page = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
    plain, degraded = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    result = orjson.loads(plain)
    stand_in = {"status": "degraded", "stop": None, **orjson.loads("{" + degraded + "}")}

    VALIDATOR.validate(result)
    VALIDATOR.validate(result | stand_in)
    assert stand_in["degraded"]["notice"] == notice_of(("freshness",))
