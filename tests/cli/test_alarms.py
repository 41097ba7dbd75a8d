"""`inference-worker alarms replay`, from lines of workers to who would have been called."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.alarms.stack import template
from worker.aws.emf import flusher
from worker.cli.app import app
from worker.core.series import Measurement, Metrics

START = 1_795_420_800  # 2026-11-23 08:00 UTC
TEXT = "the text of a job"


def worker_log(*, service: str = "inference-worker", minutes: int = 30) -> bytes:
    """A worker whose calls fail from minute 10 to minute 19, with its other lines."""
    out = io.BytesIO()
    flush = flusher(out.write, namespace="InferenceWorker", service=service, worker="w")
    for minute in range(minutes):
        metrics = Metrics()
        metrics.add(Measurement("ModelCalls", 30, ("t",)))
        metrics.add(Measurement("ModelErrors", 30 if 10 <= minute < 20 else 0, ("t",)))
        flush(metrics.take(), START + 60.0 * minute)
        out.write(b'{"event":"job.settled","at":1}\n')
    return out.getvalue()


def queue_metrics() -> str:
    """The dead-letter queue holds something from minute 15 on; the fourth line is broken."""
    queue = {
        "namespace": "AWS/SQS",
        "metric": "Visible",
        "dimensions": {"QueueName": "inference-worker-dead"},
    }
    lines = [json.dumps({"at": START + 60 * n, **queue, "value": int(n > 14)}) for n in range(30)]
    lines[3] = f'{{"at": "{TEXT}"}}'
    return "\n".join(lines)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log, a template that reads it, and metrics of a queue."""
    made = template()
    for query in made["Resources"]["Unserved"]["Properties"]["Metrics"][1:]:
        metric = query["MetricStat"]["Metric"]
        metric["Namespace"] = "InferenceWorker"
        metric["MetricName"] = {"Calls": "ModelCalls", "Errors": "ModelErrors"}.get(
            metric["MetricName"], "JobsUnserved"
        )
    (tmp_path / "template.json").write_text(json.dumps(made))
    (tmp_path / "worker.log").write_bytes(worker_log())
    (tmp_path / "queue.jsonl").write_text(queue_metrics())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replayed(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        app(["alarms", "replay", *arguments])
    return int(left.value.code or 0)


T = ("--template", "template.json")


@pytest.mark.usefixtures("place")
def test_it_says_what_rang_when_and_whom_it_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed("worker.log", *T, "--extra", "queue.jsonl") == 0

    shown = capsys.readouterr()
    assert "2026-11-23 08:00 to 2026-11-23 08:30 UTC, 30 minutes" in shown.out
    assert "metrics: 59 lines; other: 30; broken: 1" in shown.out
    assert "+13 min 08:13    +23 min 08:23    Chat" in shown.out
    assert "+16 min 08:16    still rings      Chat" in shown.out
    assert "InferenceWorker JobsUnserved [Service=inference-worker]: Unserved" in shown.out
    assert "+16   08:16  both                 ALARM  to Page" in shown.out
    assert shown.err == (
        "queue.jsonl, line 4: namespace and metric are texts, dimensions an object\n"
    )


@pytest.mark.usefixtures("place")
def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed("worker.log", *T, "--json", "--after", "10m") == 0

    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    by_id = {one["id"]: one for one in told["alarms"]}
    assert (told["minutes"], told["from"]) == (40, "2026-11-23T08:00:00+00:00")
    assert by_id["Unserved"]["rang"] == [
        {
            "fired": 13,
            "fired_at": "2026-11-23T08:13:00+00:00",
            "cleared": 23,
            "cleared_at": "2026-11-23T08:23:00+00:00",
        }
    ]
    assert by_id["DeadJobs"]["absent"] == ["AWS/SQS Visible [QueueName=inference-worker-dead]"]
    assert [(one["minute"], one["alarm"], one["state"], one["to"]) for one in told["notices"]] == [
        (13, "Unserved", "ALARM", "Chat"),
        (14, "Worse", "ALARM", "Chat"),
        (23, "Unserved", "OK", "Chat"),
    ]


@pytest.mark.usefixtures("place")
def test_stdin_is_read_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(worker_log(minutes=10))))

    assert replayed("-", *T) == 0

    assert "No alarm rang." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nowhere.log", *T), 1, "nowhere.log cannot be read: No such file"),
        (("worker.log",), 1, "deploy/template.json cannot be read: No such file"),
        (("worker.log", "--template", "queue.jsonl"), 1, "is no JSON: YAML is not read"),
        (("worker.log", "--template", "empty.json"), 1, "no Resources"),
        (("worker.log", "--template", "bare.json"), 1, "has no alarms"),
        (("worker.log", "--template", "list.json"), 1, "no Resources"),
        (("worker.log", "old.log", *T), 1, "it is 20780 days, and 14 are played"),
        (("empty.json", *T), 1, "no metrics in what was given"),
        (("other.log", *T), 1, "--param AWS::StackName=NAME"),
        (("worker.log", *T, "--param", "Percent=x"), 1, "Threshold is no number"),
        (("worker.log", *T, "--param", "Percent"), 2, "--param is NAME=VALUE"),
        (("worker.log", *T, "--after", "soon"), 2, "--after is a number and a unit"),
        ((), 2, ""),
    ],
)
def test_what_cannot_be_played_is_said(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    (place / "empty.json").write_text("{}")
    (place / "list.json").write_text("[]")
    (place / "old.log").write_bytes(worker_log(minutes=1).replace(b"1795420800000", b"1"))
    (place / "bare.json").write_text('{"Resources": {}}')
    (place / "other.log").write_bytes(worker_log(service="other"))

    assert replayed(*arguments) == code

    shown = capsys.readouterr()
    assert says in shown.err
    assert TEXT not in shown.out + shown.err


def test_another_stack_is_given_by_its_name(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "other.log").write_bytes(worker_log(service="other"))

    assert replayed("other.log", *T, "--param", "AWS::StackName=other") == 0

    assert "RANG" in capsys.readouterr().out


def test_many_broken_lines_are_counted_and_not_all_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = b'{"_aws": "' + TEXT.encode() + b'"}\n'
    (place / "worker.log").write_bytes(broken * 8 + worker_log())

    assert replayed("worker.log", *T) == 0

    shown = capsys.readouterr()
    assert shown.err.count("_aws has no list") == 5
    assert "worker.log: and 3 more such lines" in shown.err
    assert TEXT not in shown.out + shown.err
