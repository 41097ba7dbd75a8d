"""The operator's commands: what they print, and with which code they leave."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from worker.cli.app import app
from worker.core.policy import EVERY, PolicyChange
from worker.core.verdict import Mode, Override, State, Verdict
from worker.ops.breakers import Standing, standing
from worker.ops.desk import Desk, InDoubt
from worker.ops.overrides import Told
from worker.ops.policies import Amended
from worker.ports import Board
from worker.sim.memory import MemoryBreakers
from worker.words import breaker as text

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
WHY = ["--reason", "incident 42", "--author", "alice"]
runner = CliRunner()


@pytest.fixture(autouse=True)
def smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("WORKER_QUEUE__URL", URL)
    monkeypatch.setenv("WORKER_MODEL__ID", "some.model-v1:0")


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """What leads to an embedded stack."""
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "local", "up"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as stack:
        assert stack.stdout is not None
        found = dict[str, str]()
        while "WORKER_PAYLOADS__BUCKET" not in found:
            line = stack.stdout.readline()
            assert line.startswith("export "), line
            name, _, value = line.removeprefix("export ").strip().partition("=")
            found[name] = shlex.split(value)[0]
        yield found
        stack.terminate()


def breaker(variables: dict[str, str], *arguments: str) -> Result:
    return runner.invoke(app, ["breaker", *arguments], env=variables)


def one(told: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told.stdout)["breakers"][0]
    return found


def test_an_override_is_shown_told_and_given_back(variables: dict[str, str]) -> None:
    calm = breaker(variables, "show")
    dry = breaker(variables, "hold-open", "default", "--for", "30m", *WHY, "--dry-run")
    held = breaker(variables, "hold-open", "default", "--for", "30m", *WHY)
    shown = breaker(variables, "show", "--why")
    seen = breaker(variables, "show", "default", "--json")
    ended = breaker(variables, "auto", "default", "--reason", "all is well", "--author", "bob")
    again = breaker(variables, "auto", "default")
    history = breaker(variables, "history")

    codes = [r.exit_code for r in (calm, dry, held, shown, seen, ended, again, history)]
    assert codes == [0, 0, 0, 1, 1, 0, 0, 0]
    assert calm.stdout.count("no record yet") == 2
    assert "Nobody votes on it now" in dry.stdout
    assert "Nothing was changed." in dry.stdout
    assert "hold_open is in force for default, for 30 min." in held.stdout
    assert "inference-worker breaker auto default" in held.stdout
    assert "hold_open, 30 min left" in shown.stdout
    assert "order    hold_open for 30 min by alice: incident 42" in shown.stdout
    assert one(seen)["override"]["for_s"] == 1800.0
    assert "ended for default: hold_open for 30 min by alice: incident 42." in ended.stdout
    assert "no override is there" in again.stdout
    assert "released: all is well" in history.stdout
    assert "Traceback" not in "".join(r.output for r in (calm, dry, held, shown, ended, history))


@pytest.mark.parametrize("mode", ["hold-closed", "observe"])
def test_other_modes_leave_the_circuit_calm(variables: dict[str, str], mode: str) -> None:
    name = "endpoint:default"
    dry = breaker(variables, mode, name, "--for", "1h", *WHY, "--dry-run")
    held = breaker(variables, mode, name, "--for", "1h", *WHY)
    shown = breaker(variables, "show", name)
    ending = breaker(variables, "auto", name, "--dry-run")
    ended = breaker(variables, "auto", name)

    assert [r.exit_code for r in (dry, held, shown, ending, ended)] == [0] * 5
    assert "calls would pass all the same" in dry.stdout
    assert f"{mode.replace('-', '_')}, 1 h left" in shown.stdout
    assert "nothing would change now" in ending.stdout


def test_a_policy_is_changed_shown_and_given_back(variables: dict[str, str]) -> None:
    why = ["--reason", "calmer", "--author", "alice"]
    put = breaker(variables, "policy", "default", "--set", "failure_rate=0.6", *why)
    shown = breaker(variables, "policy", "default")
    seen = breaker(variables, "policy", "--json")
    wrong = breaker(variables, "policy", "--every", "--set", "probes=0", *why)
    dropped = breaker(variables, "policy", "default", "--unset", "failure_rate", *why, "--json")

    assert [r.exit_code for r in (put, shown, seen, wrong, dropped)] == [0, 0, 0, 2, 0]
    assert "Workers follow within 18 s, and within a second where calls fail." in put.stdout
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["failure_rate", "0.6", "store"] in rows
    assert ["min_calls", "8", "default"] in rows
    assert [found["name"] for found in json.loads(seen.stdout)["breakers"]] == [
        "default",
        "endpoint:default",
    ]
    assert "probes must be from 1 to 32, not 0. Nothing was changed." in wrong.stderr
    assert json.loads(dropped.stdout)["now"]["values"] == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "defalt"], "Did you mean default?"),
        (["history", "defalt"], "Did you mean default?"),
        (["policy", "defalt"], "Did you mean default?"),
        (["auto", "defalt"], "Did you mean default?"),
        (["hold-open", "defalt", "--for", "1m", *WHY], "Did you mean default?"),
        (["hold-open", "default", "--for", "30", *WHY], "as in 90s, 30m, 2h or 1d"),
        (["hold-open", "default", "--for", "8d", *WHY], "--for is from 1 s to 7 d, not 8d"),
        (["hold-open", "default", "--for", "1m"], "Missing option '--reason'"),
        (["hold-open", "default", *WHY], "Missing option '--for'"),
        (["observe", "default", "--for", "1m", "--reason", ""], "give a reason of 1 to 200"),
        (["history", "--most", "0"], "--most is from 1 to 100"),
        (["show", "--look", "2m"], "--look is from 1 s to 1 min"),
        (["policy", "--set", "probes=2", *WHY], "or --every"),
        (["policy", "default", "--every"], "not both"),
        (["policy", "default", "--set", "probes", *WHY], "--set takes a knob and its value"),
        (["policy", "default", "--set", "probes=2"], "give a reason"),
        (["policy", "default", "--set", "ramp=a", *WHY], "ramp must be numbers"),
    ],
)
def test_used_wrongly_is_two(variables: dict[str, str], arguments: list[str], says: str) -> None:
    told = breaker(variables, *arguments)

    assert told.exit_code == 2, told.output
    assert says in told.stderr
    assert told.stdout == ""
    assert "Traceback" not in told.stderr


def test_a_store_that_nobody_serves_is_told_in_one_message(variables: dict[str, str]) -> None:
    nowhere = {**variables, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}
    no_table = {**variables, "WORKER_BREAKER__TABLE": "none"}
    ask = [
        breaker(nowhere, "show"),
        breaker(nowhere, "hold-open", "default", "--for", "1m", *WHY),
        breaker(no_table, "auto", "default"),
    ]

    assert [told.exit_code for told in ask] == [2, 2, 2]
    assert all("Nothing was changed." in told.stderr for told in ask)
    assert "AWS_ENDPOINT_URL_DYNAMODB" in ask[0].stderr
    assert "There is no such table" in ask[2].stderr
    assert all("Traceback" not in told.stderr for told in ask)


def test_without_a_region_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")

    told = breaker({}, "show")

    assert told.exit_code == 2
    assert "Set AWS_DEFAULT_REGION." in told.stderr


def test_where_nothing_is_shared_there_is_nothing_to_show() -> None:
    told = breaker({"WORKER_BREAKER__SHARED": "false"}, "show")

    assert told.exit_code == 2
    assert "every process decides alone" in told.stderr


def test_wrong_settings_are_told() -> None:
    told = breaker({"WORKER_SLOT": "3"}, "show")

    assert told.exit_code == 2
    assert "Did you mean `WORKER_SLOTS`?" in told.stderr


@pytest.mark.parametrize(
    "command", ["show", "hold-open", "hold-closed", "observe", "auto", "history", "policy"]
)
def test_every_command_explains_itself(command: str) -> None:
    told = runner.invoke(app, ["breaker", command, "--help"])

    assert told.exit_code == 0
    assert "--config" in told.stdout


# --- words -----------------------------------------------------------------------


def stands(mode: Mode | None = None, state: State = State.CLOSED) -> Standing:
    verdict = Verdict(name="sonnet", state=state, version=1)
    if mode is not None:
        given = Override(mode=mode, for_s=60, until_at=60, author="bob\x1b", reason="mine")
        verdict = replace(verdict, override=given)
    desk = Desk(store=MemoryBreakers().seen_by(), policies={}, at=lambda: 0.0)
    return standing(desk, Board(verdicts={"sonnet": verdict}), "sonnet")


def test_who_was_faster_is_named_without_control_characters() -> None:
    told = Told(stands=False, before=stands(), now=stands(Mode.OBSERVE))

    assert "there is now: observe for 1 min by bob?: mine" in text.held(told)
    assert "gave sonnet another order: observe for 1 min by bob?" in text.released(told)


def test_a_change_that_lost_its_race_names_the_winner() -> None:
    theirs = PolicyChange(name=EVERY, version=4, values={"probes": 5}, author="bob", reason="x")
    told = Amended(stands=False, before=theirs, now=theirs, breakers=("sonnet",))

    said = text.amended(told)

    assert said.startswith("not changed: somebody else was faster")
    assert "probes=5\n  version 4, by bob, now: x" in said


def test_what_is_in_doubt_is_told_as_such() -> None:
    said = text.in_doubt(InDoubt("breakers", "ReadTimeoutError"))

    assert "may or may not" in said
    assert "inference-worker breaker show --why" in said


@pytest.mark.parametrize(
    ("now", "mode", "says"),
    [
        (stands(state=State.OPEN), Mode.HOLD_CLOSED, "The circuit is open: calls would pass again"),
        (stands(state=State.OPEN), Mode.HOLD_OPEN, "only probes pass now"),
        (stands(Mode.HOLD_OPEN), Mode.OBSERVE, "held open: calls would pass again"),
        (stands(Mode.HOLD_OPEN), Mode.HOLD_OPEN, "No call passes now either"),
        (stands(), Mode.OBSERVE, "The circuit is closed: nothing would change now"),
    ],
)
def test_a_dry_run_says_what_would_change(now: Standing, mode: Mode, says: str) -> None:
    assert says in text.would_hold(now, mode, 60.0)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (stands(Mode.HOLD_OPEN), "The circuit is closed: calls would pass again"),
        (stands(Mode.HOLD_OPEN, State.OPEN), "calls would pass as it recovers"),
        (stands(Mode.HOLD_CLOSED, State.OPEN), "calls would stop until it has recovered"),
        (stands(), "nothing would change"),
    ],
)
def test_a_dry_run_of_the_end_says_what_would_change(now: Standing, says: str) -> None:
    assert says in text.would_release(now)
