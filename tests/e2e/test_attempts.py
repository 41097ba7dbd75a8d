"""One HTTP request per recorded attempt, whatever the environment tells the SDK about retries."""

from typing import Final

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, until
from worker.core.fault import Kind
from worker.core.ledger import Record, State
from worker.local.errors import ERRORS
from worker.local.moods import Chance, Mood
from worker.local.outcomes import (
    Answer,
    Close,
    Drip,
    EndEarly,
    Fail,
    Hang,
    Outcome,
    Page,
    Reset,
    StreamFault,
)

RETRYING_SDK: Final = {"AWS_MAX_ATTEMPTS": "7", "AWS_RETRY_MODE": "adaptive"}
OURS: Final = (  # our own credentials or clock: the job is given back
    "ExpiredTokenException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "UnrecognizedClientException",
)
OUTCOMES: Final[tuple[Outcome, ...]] = (
    *(Fail(code) for code in ERRORS if code not in OURS),
    Fail("ThrottlingException", retry_after_ms=50),
    Fail("ThrottlingException", "Too many tokens per day."),
    Fail("ValidationException", "Input is too long for requested model."),
    Fail("ValidationException", "The provided model identifier is invalid."),
    Fail("ModelErrorException", original_status=503),
    Fail("NobodyKnowsException", status=418),
    Fail("NobodyKnowsException", status=599),
    Page(413),
    Page(429),
    Page(502),
    Page(503),
    Page(504),
    Hang(),
    Hang(after_events=0),
    Hang(after_events=2),
    Reset(),
    Reset(after_events=0),
    Reset(after_events=2),
    Close(),
    Close(after_events=0),
    Close(after_events=2),
    EndEarly(),
    StreamFault(),
    StreamFault("throttlingException"),
    StreamFault("modelTimeoutException"),
    Drip(chunk_bytes=1, gap_s=0.5),
    Answer(stop_reason="malformed_model_output"),
    Answer(omit=frozenset({"output"})),
    Answer(omit=frozenset({"stopReason"})),
    Answer(omit=frozenset({"usage"})),
    Answer(omit=frozenset({"output", "stopReason", "usage", "metrics"})),
)
HEAD: Final = """
queue.url = "{jobs_url}"
queue.wait_s = 2
slots = 100
"""
ROUTE: Final = """
[targets.{name}]
id = "{name}"
api = "{api}"
attempt_s = 2
[routes.{name}]
targets = ["{name}"]
park_base_s = 800
park_cap_s = 900
"""


def test_the_model_is_asked_as_often_as_the_ledger_says_for_every_fault(
    stage: Stage, note: Note
) -> None:
    faulty = {
        f"{short}-{n}": (api, outcome)
        for n, outcome in enumerate(OUTCOMES)
        for short, api in (("whole", "converse"), ("stream", "converse_stream"))
    }
    ours = {f"ours-{n}": code for n, code in enumerate(OURS)}
    apis = {name: api for name, (api, _) in faulty.items()} | dict.fromkeys(ours, "converse")
    for name, (_, outcome) in faulty.items():
        stage.mood(Mood(chances=(Chance(1.0, outcome),)), name)
    for name, code in ours.items():
        stage.mood(Mood(script=(Fail(code),)), name)
    toml = HEAD.format(jobs_url=stage.jobs_url)
    toml += "".join(ROUTE.format(name=name, api=api) for name, api in apis.items())
    stage.worker("worker", toml, **RETRYING_SDK)

    stage.send({"id": name, "prompt": "Why?", "route": name} for name in faulty)
    until(lambda: len(stage.records()) == len(faulty), says="every job is claimed")
    until(lambda: State.RUNNING not in stage.states(), says="every job is parked or dead")
    stage.send({"id": name, "prompt": "Why?", "route": name} for name in ours)
    until(
        lambda: stage.states().get(State.ANSWERED, 0) >= len(ours),
        says="the jobs that were given back are answered",
    )

    records, calls = stage.records(), stage.calls_by_job()
    assert calls == {job: _recorded(record) for job, record in records.items()}
    assert stage.stats()["bedrock"]["total"] == sum(calls.values())
    seen = {row.kind for record in records.values() for row in record.history}
    # No request arrives where nobody is reached, and a status says enough where a code does not.
    assert set(Kind) - seen == {Kind.UNREACHABLE, Kind.UNKNOWN}
    assert max(calls.values()) == 3, "the worker's own retries are among them"
    assert {records[job].state for job in ours} == {State.ANSWERED}
    note(f"{len(records)} jobs, {sum(calls.values())} requests, and as many recorded attempts")


def _recorded(record: Record) -> int:
    """Attempts in the record. One good call is all told by its result: it has no history."""
    plain = record.state is State.ANSWERED and not record.history
    return record.attempts if plain else len(record.history)
