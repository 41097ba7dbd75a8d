"""`inference-worker doctor` and `check --live`: what they print, and with which code they leave."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.test_breaker import variables as variables  # noqa: PLC0414  (a fixture)
from tests.cli.test_status import RESOLVER
from worker.cli.app import app
from worker.cli.doctor import text
from worker.cli.doctor.exam import Report
from worker.cli.doctor.finding import Level, green, ordered, red, yellow
from worker.cli.doctor.place import Place
from worker.cli.in_time import INTERRUPTED

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
runner = CliRunner()


@pytest.fixture(autouse=True)
def smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("WORKER_QUEUE__URL", URL)
    monkeypatch.setenv("WORKER_MODEL__ID", "some.model-v1:0")


def asked(variables: Mapping[str, str | None], *arguments: str) -> Result:
    return runner.invoke(app, ["doctor", *arguments], env=variables)


def test_a_stack_that_is_well_is_told_with_what_was_done(variables: dict[str, str]) -> None:
    told = asked(variables)
    quiet = asked(variables, "--no-calls")

    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("0 red, ")
    assert "2 dry calls were made, of one token each; nothing was changed." in told.stdout
    assert " answers Converse and ConverseStream in " in told.stdout
    assert "No model was called; nothing was changed." in quiet.stdout
    assert "target default" not in quiet.stdout


def test_what_is_red_is_told_first_and_as_json(variables: dict[str, str]) -> None:
    broken = {**variables, "WORKER_LEDGER__TABLE": "nowhere", "WORKER_GRACE_S": "115"}

    told = asked(broken)
    seen = json.loads(asked(broken, "--json").stdout)

    assert told.exit_code == 1
    assert told.stdout.index("RED") < told.stdout.index("YELLOW") < told.stdout.index("GREEN")
    assert "      aws dynamodb create-table --table-name nowhere" in told.stdout
    first = seen["findings"][0]
    assert (seen["ok"], seen["calls"], first["level"]) == (False, 2, "red")
    assert (first["of"], first["says"]) == ("table nowhere", "the table nowhere does not exist.")
    warned = [one["says"] for one in seen["findings"] if one["of"] == "settings"]
    assert warned == ["the grace is longer than Fargate grants."]


def test_settings_that_cannot_be_used_are_told_before_anybody_is_asked() -> None:
    told = asked({"WORKER_SLOT": "3"})

    assert told.exit_code == 2
    assert "Did you mean `WORKER_SLOTS`?" in told.stderr
    assert told.stdout == ""


def test_check_live_looks_at_stores_alone_in_the_same_words(variables: dict[str, str]) -> None:
    broken = {**variables, "WORKER_LEDGER__TABLE": "nowhere"}

    live = runner.invoke(app, ["check", "--live", "--json"], env=broken)
    doctor = json.loads(asked(broken, "--json").stdout)

    problems = [one["wrong"] for one in json.loads(live.stdout)["problems"]]
    of_stores = [
        one["says"]
        for one in doctor["findings"]
        if one["level"] != "green" and one["of"].partition(" ")[0] in ("queue", "table", "bucket")
    ]
    assert live.exit_code == 1
    assert problems == of_stores
    assert "the table nowhere does not exist." in problems


SOON = """
def told(host, *rest, **more):
    if host == "queues.invalid":
        print("resolving", file=sys.stderr, flush=True)
    return slow(host, *rest, **more)

socket.getaddrinfo = told
from worker.cli.doctor import exam
for ask in (exam.examine, exam.examine_stores):
    ask.__kwdefaults__["limits"] = exam.Limits(clients_s=20, caller_s=20, question_s=1.0)
from worker.cli import main
"""


def slow_names(variables: Mapping[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    """The command, where the name of the queues' endpoint takes 20 s to be not found."""
    program = RESOLVER.replace('"status"', ", ".join(f'"{one}"' for one in arguments))
    return subprocess.Popen(  # noqa: S603  (our own program)
        [sys.executable, "-c", program.replace("from worker.cli import main\n", SOON)],
        env={**os.environ, **variables, "AWS_ENDPOINT_URL_SQS": "http://queues.invalid"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_nobody_waits_for_a_name_that_is_slow_to_resolve(variables: dict[str, str]) -> None:
    with slow_names(variables, "doctor", "--no-calls", "--json") as ran:
        out, err = ran.communicate(timeout=18)  # the resolver takes longer

    assert ran.returncode == 1, err
    reds = [one["of"] for one in json.loads(out)["findings"] if one["level"] == "red"]
    assert reds == ["endpoint sqs"]


def test_check_live_does_not_wait_for_it_either(variables: dict[str, str]) -> None:
    with slow_names(variables, "check", "--live") as ran:
        out, err = ran.communicate(timeout=18)

    assert ran.returncode == 1, err
    assert b"at the endpoint of sqs" in out


def test_ctrl_c_ends_it_at_once(variables: dict[str, str]) -> None:
    with slow_names(variables, "doctor", "--no-calls") as ran:
        assert ran.stderr is not None
        assert ran.stderr.readline() == b"resolving\n"
        ran.send_signal(signal.SIGINT)
        ran.communicate(timeout=15)

    assert ran.returncode == INTERRUPTED


def test_a_closed_stdout_is_no_crash(variables: dict[str, str]) -> None:
    command = f"exec {sys.executable} -m worker doctor --no-calls >&-"
    ran = subprocess.run(  # noqa: S603  (our own program)
        ["/bin/sh", "-c", command],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_report_is_told_in_order_each_line_once() -> None:
    found = (
        green("clock", "well"),
        yellow("b", "b is odd.", "It costs."),
        red("a", "a is wrong.", "It hurts.", "Mend it:", "mend a"),
        red("a", "a is wrong.", "It hurts.", "Mend it:", "mend a"),
    )
    report = Report(place=Place(), calls=1, took_s=0.4, findings=ordered(found))

    told = text.report(report)

    assert not report.ok
    assert [one.level for one in report.findings] == [Level.RED, Level.YELLOW, Level.GREEN]
    assert told == (
        "1 red, 1 yellow, 1 green, in 0.4 s. 1 dry call was made, of one token each; nothing was "
        "changed.\n\n"
        "RED: jobs are lost, paid for twice, or not taken\n"
        "  a\n    a is wrong.\n    It hurts.\n    Mend it:\n      mend a\n\n"
        "YELLOW: works, and is not as it should be\n"
        "  b\n    b is odd.\n    It costs.\n\n"
        "GREEN\n  clock: well"
    )
