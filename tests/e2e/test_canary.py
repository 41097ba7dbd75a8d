"""No text of a job or an answer leaves by a log, a metric, a trace, a status or a command.

A word that stands in every prompt, system text, tool, metadata and answer, and in every
sentence of the services, goes every way that a job can go. Then everything that was written
is searched for it, however it may have been encoded on the way.
"""

import base64
import hashlib
import http.client
import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aiobotocore.session import get_session
from typer.testing import CliRunner

from tests.e2e.stage import Stage, Worker, until
from tests.traces.collector import Collector
from worker.cli import clients
from worker.cli.app import app
from worker.core.ledger import Record, State
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Answer, Fail, Hang, Page, StreamFault

CANARY = "Marzipän-Zebra-Xylophon"
ECHO = f'Refused: input {CANARY} is no good, nor is \'{CANARY}\' or {{"prompt": "{CANARY}"}}'
TOML = """
queue.url = "{jobs_url}"
queue.wait_s = 1
queue.lease_s = 6
payloads.bucket = "{bucket}"
payloads.inline_answer_bytes = 2000
replies.answers = "{replies_url}"
retry.attempts = 2
retry.attempts_max = 2
log_level = "debug"
metrics.flush_s = 0.5
health.port = {port}
traces.exporter = "otlp"
traces.endpoint = "{collector}"
model.id = "local.good"
model.quality = 0.9
targets.cheap = {{ id = "local.cheap", quality = 0.5 }}
degraded.before = {{ kind = "cache", canary_share = 1.0 }}
degraded.faq = {{ kind = "rules", file = "faq.toml" }}
degraded.short = {{ kind = "summary", target = "cheap" }}
routes.default.targets = ["default"]
"""
FAQ = f"""
[[rules]]
pattern = "Marzip"
answer = "An answer with {CANARY}."
"""

# A route for each way, with one target of its own; what that target is in the mood for.
MOODS: dict[str, Mood] = {
    "parks": Mood(script=(Fail("ThrottlingException", message=ECHO),) * 2, text=CANARY),
    "rejects": Mood(chances=(Chance(1.0, Fail("ValidationException", message=ECHO)),)),
    "long": Mood(
        chances=(Chance(1.0, Fail("ValidationException", message=f"Input is too long: {CANARY}")),)
    ),
    "odd": Mood(chances=(Chance(1.0, Fail("OddException", message=ECHO, status=600)),)),
    "denies": Mood(chances=(Chance(1.0, Fail("AccessDeniedException", message=ECHO)),)),
    "down": Mood(chances=(Chance(1.0, Fail("ServiceUnavailableException", message=ECHO)),)),
    "page": Mood(script=(Page(body=f"<html>{CANARY}</html>"),), text=CANARY),
    "stream": Mood(script=(StreamFault(message=ECHO),), text=CANARY),
    "unreadable": Mood(script=(Answer(omit=frozenset({"usage", "stopReason"})),), text=CANARY),
    "poor": Mood(text=f"not JSON: {CANARY}"),
    "hangs": Mood(chances=(Chance(1.0, Hang()),)),
    "stalls": Mood(chances=(Chance(1.0, Hang()),)),
}
ROUTES = """
routes.cached = { targets = ["down"], degraded = ["before"], on_open = "degrade" }
routes.warm = { targets = ["default"], degraded = ["before"] }
routes.ruled = { targets = ["down"], degraded = ["faq"], on_open = "degrade" }
routes.short = { targets = ["down"], degraded = ["short"], on_open = "degrade" }
routes.poison.targets = ["hangs", "stalls"]
routes.poor.targets = ["poor"]
routes.poor.accept.json_schema = '{"type": "object"}'
routes.poor.on_fault = { poor = "fail" }
routes.denies.targets = ["denies", "default"]
"""
PLAIN = ("parks", "rejects", "long", "odd", "page", "stream", "unreadable")
LIMITS = {"hangs": 1.0, "stalls": 1.0}


def settings(stage: Stage, collector: Collector, replies_url: str, port: int) -> str:
    text = TOML.format(
        jobs_url=stage.jobs_url,
        bucket=stage.bucket,
        replies_url=replies_url,
        collector=collector.url,
        port=port,
    )
    for name in MOODS:
        more = (
            f", attempt_s = {LIMITS[name]}, slow_s = 1, first_token_s = 1" if name in LIMITS else ""
        )
        text += f'targets.{name} = {{ id = "local.{name}", quality = 0.9{more} }}\n'
    for name in PLAIN:
        text += f'routes.{name} = {{ targets = ["{name}"], park_base_s = 1, park_cap_s = 1 }}\n'
    return text + ROUTES


def asked(job: str, **more: Any) -> dict[str, Any]:
    """A job whose every text holds the word."""
    return {
        "id": job,
        "messages": [{"role": "user", "content": [{"text": f"Tell me of {CANARY}, please."}]}],
        "system": [{"text": f"You are {CANARY}."}],
        "tools": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "look",
                        "description": f"looks for {CANARY}",
                        "inputSchema": {"json": {"type": "object", "title": CANARY}},
                    }
                }
            ]
        },
        "metadata": {"note": CANARY},
        **more,
    }


def jobs(stage: Stage) -> Iterator[dict[str, Any] | str]:
    yield asked("answered", inference={"maxTokens": 2000})  # by a stream
    yield asked("large", additional={"note": CANARY})
    yield asked("replied", reply_to="answers")
    yield asked("same", route="warm")
    for route in (*PLAIN, "denies", "ruled", "short", "poison", "poor"):
        yield asked(f"by-{route}", route=route)
    yield asked("expired", deadline_at=1_000_000_000)
    yield asked("too-good", min_quality=0.95)
    yield asked("elsewhere", allow_geo=["eu"])
    yield asked("no-reply", reply_to="nowhere")
    yield asked("no-route", route="nowhere")
    yield asked("twice")
    yield asked("both") | {"prompt": CANARY}
    yield {"id": "unknown", "prompt": CANARY, "promt": CANARY}
    yield {"id": "kind", "prompt": [CANARY]}
    yield json.dumps(asked("cut"))[:-9]
    yield f'"{CANARY}"'
    yield {"id": "missing", "payload_ref": _ref(stage, b"never put")}
    payload = json.dumps({"prompt": CANARY}).encode()
    stage.put_object("a-payload", payload)
    yield {"id": "checked", "payload_ref": _ref(stage, payload)}


def _ref(stage: Stage, payload: bytes) -> dict[str, Any]:
    return {
        "uri": f"s3://{stage.bucket}/a-payload" + ("" if payload != b"never put" else "-not"),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "bytes": len(payload),
    }


def disguises() -> dict[str, str]:
    """The word as it might be written; of base64 what is the same wherever it begins."""
    raw = CANARY.encode()
    found = {
        "plain": CANARY,
        "upper": CANARY.upper(),
        "lower": CANARY.lower(),
        "json": json.dumps(CANARY)[1:-1],
        "python": ascii(CANARY)[1:-1],
        "bytes": repr(raw)[2:-1],
        "part": "Xylophon",
    }
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + raw).decode()
        found[f"base64 {shift}"] = encoded[4:-4]
    return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def commands(records: Mapping[str, Record]) -> Iterator[list[str]]:
    # The words of a command are made of what its JSON has: some of them will do.
    in_words = {"by-rejects", "by-long", "by-odd", "by-poor", "by-parks", "by-poison", "again"}
    for job, record in records.items():
        for form in ([], ["--json"]) if job in in_words else (["--json"],):
            yield ["why", job, *form]
            if record.state is State.DEAD:
                yield ["dead", "show", job, *form]
    for form in ([], ["--json"]):
        yield ["dead", "groups", *form]
        yield ["dead", "list", *form]
        yield ["dead", "redrive", "--all", "--dry-run", "--force", "--reason", "a test", *form]
        yield ["dead", "discard", "--all", "--dry-run", "--reason", "a test", *form]
        yield [
            "dead",
            "edit",
            "by-rejects",
            "--unset",
            "metadata",
            "--dry-run",
            "--reason",
            "x",
            *form,
        ]
        yield ["dead", "import", "--dry-run", "--reason", "a test", *form]
        yield ["dead", "log", *form]
        yield ["breaker", "show", "--why", *form]
        yield ["breaker", "history", *form]
    yield ["dead", "export"]
    yield ["check", "--live"]


def test_no_text_of_a_job_leaves_but_by_its_answer(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage.folder / "faq.toml").write_text(FAQ)
    replies_url = stage.make_queue("canary-answers")
    stage.mood(Mood(text=f"{CANARY} " * 150, output_tokens=3000), "local.good")
    stage.mood(Mood(text=CANARY), "local.cheap")
    for name, mood in MOODS.items():
        stage.mood(mood, f"local.{name}")
    port = free_port()
    toml = settings(stage, collector, replies_url, port)
    worker = stage.worker("worker", toml)
    sent = list(jobs(stage))
    stage.send(json.dumps(one) if isinstance(one, dict) else one for one in sent)
    stage.send([json.dumps(asked("twice", route="nowhere"))])  # another request under its id
    records = until(lambda: ended(stage, len(sent) + 1), says="every job has ended", within_s=40)
    stage.send([json.dumps(asked("again", route="cached"))])  # "same" has filled the cache
    records = until(lambda: ended(stage, len(sent) + 2), says="the cache has answered")

    told = {"health": health(port), **said(stage, worker, toml, records, monkeypatch)}
    status = stage.command("status", "--why", "--json")
    told["status"] = status.stdout + status.stderr
    assert worker.stop() == 0
    told["worker"] = worker.log()
    told["traces"] = "".join(str(request) for _, request in collector.requests)

    seen(records, worker, told)
    for where, text in told.items():
        for disguise, word in disguises().items():
            assert word not in text, f"{where} has the word, as {disguise}: {around(text, word)}"


def ended(stage: Stage, most: int) -> dict[str, Record]:
    """The records, once there are so many and all have ended."""
    records = stage.records()
    over = len(records) >= most and all(record.state.final for record in records.values())
    return records if over else {}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def health(port: int) -> str:
    told = ""
    for path in ("/livez", "/readyz", "/nowhere"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        told += f"{answer.headers}{answer.read().decode()}"
        connection.close()
    return told


def said(
    stage: Stage,
    worker: Worker,
    toml: str,
    records: Mapping[str, Record],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """What every command prints, on both its streams."""
    config = stage.folder / f"{worker.name}.toml"
    assert config.read_text() == toml
    for name, value in stage.variables.items():
        if not name.startswith("WORKER_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("WORKER_CONFIG", str(config))
    session = get_session()  # one for all: each would read the SDK's models anew
    monkeypatch.setattr(clients, "get_session", lambda: session)
    runner, told = CliRunner(), {}
    for arguments in commands(records):
        result = runner.invoke(app, arguments)
        assert result.exit_code in (0, 1), f"{arguments}: {result.output}"
        told[" ".join(arguments)] = result.output
    return told


def seen(records: dict[str, Record], worker: Worker, told: dict[str, str]) -> None:
    """That every way was gone, and that what is searched is what was meant."""
    reasons = Counter(r.reason for r in records.values() if r.state is State.DEAD)
    assert set(reasons) >= {
        "rejected",
        "too_long",
        "poison",
        "poor",
        "attempts_exhausted",
        "expired",
        "below_quality",
        "unknown_route",
        "unknown_reply_to",
        "id_conflict",
        "not_json",
        "unknown_field",
        "payload_missing",
    }, reasons
    handlers = {line["handler"] for line in worker.lines("job.settled") if line["handler"]}
    assert handlers == {"before", "faq", "short"}
    settled = Counter(line["settlement"] for line in worker.lines("job.settled"))
    assert settled["parked"] >= 1
    assert worker.lines("fault.unknown")
    assert any(record.result_ref for record in records.values())
    assert '"_aws"' in told["worker"]
    assert "process" in told["traces"]
    assert "by-rejects" in told["dead groups"] + told["dead list"]
    assert '"parked"' in told["why by-parks --json"]


def around(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 300) : at + 200]
