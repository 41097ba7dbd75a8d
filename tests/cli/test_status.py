"""`inference-worker status`: what it prints, and with which code it leaves."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.test_breaker import variables as variables  # noqa: PLC0414  (a fixture)
from worker.cli.app import app
from worker.core.verdict import Mode, State
from worker.ops.breakers import Standing
from worker.ops.causes import Cause, CauseName
from worker.ops.dissents import Dissent
from worker.ops.status import Status, Trouble, Unread
from worker.ops.waiting import Waiting
from worker.ops.ways import Way
from worker.ports import Depth
from worker.words import status as text

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
AT = 1_795_600_000.0
runner = CliRunner()


@pytest.fixture(autouse=True)
def smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_QUEUE__URL", URL)
    monkeypatch.setenv("WORKER_MODEL__ID", "some.model-v1:0")


def asked(variables: Mapping[str, str | None], *arguments: str) -> Result:
    return runner.invoke(app, ["status", *arguments], env=variables)


def test_a_stack_that_is_well_is_told_in_a_few_lines(variables: dict[str, str]) -> None:
    told = asked(variables)

    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("all is well.")
    assert "all 2 are closed." in told.stdout
    assert "default: nothing waits" in told.stdout
    assert "WHY" not in told.stdout


def test_with_why_it_says_what_users_get_and_as_json_all_of_it(variables: dict[str, str]) -> None:
    why = asked(variables, "--why")
    seen = asked(variables, "--json")

    assert "default: a model's answer, from default" in why.stdout
    found = json.loads(seen.stdout)
    assert (found["calm"], found["causes"], found["unread"]) == (True, [], [])
    assert found["waiting"][0]["depths"]["jobs"] == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_a_queue_and_a_table_that_are_not_there_are_told_by_their_names(
    variables: dict[str, str],
) -> None:
    lacks = {
        "WORKER_QUEUE__DEAD_URL": variables["WORKER_QUEUE__URL"] + "-nowhere",
        "WORKER_LEDGER__TABLE": "nowhere",
        "WORKER_BREAKER__TABLE": "nowhere-either",
    }

    told = asked(variables | lacks, "--why")

    assert told.exit_code == 1
    assert "a queue or table of ours cannot be used" in told.stdout
    assert "  queue default dead: " in told.stdout
    assert "  ledger: ResourceNotFoundException" in told.stdout
    assert "  breakers: ResourceNotFoundException" in told.stdout
    assert "Traceback" not in told.output


@pytest.fixture
def deaf() -> Iterator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_services_that_never_answer_are_told_as_such(variables: dict[str, str], deaf: str) -> None:
    nowhere = {"AWS_ENDPOINT_URL_SQS": deaf, "AWS_ENDPOINT_URL_DYNAMODB": deaf}

    told = asked(variables | nowhere, "--json")

    assert told.exit_code == 1
    found = json.loads(told.stdout)
    assert {one["what"] for one in found["unread"]} == {
        "breakers",
        "ledger",
        "queue default dead",
        "queue default jobs",
        "queue default parked",
    }
    assert {one["why"] for one in found["unread"]} <= {"ReadTimeoutError", "TimeoutError"}


def test_without_a_region_it_says_so(variables: dict[str, str]) -> None:
    told = asked({**variables, "AWS_DEFAULT_REGION": None, "AWS_CONFIG_FILE": "/dev/null"})

    assert told.exit_code == 2
    assert "AWS cannot be asked: NoRegionError." in told.stderr
    assert "Set AWS_DEFAULT_REGION." in told.stderr


def test_settings_that_are_wrong_are_explained(variables: dict[str, str]) -> None:
    told = asked(variables | {"WORKER_SLOTS": "none"})

    assert told.exit_code == 2
    assert "WORKER_SLOTS" in told.stderr


def test_of_processes_that_decide_alone_the_queues_are_told(variables: dict[str, str]) -> None:
    told = asked(variables | {"WORKER_BREAKER__SHARED": "false"}, "--why")

    assert told.exit_code == 0
    assert "every process decides alone" in told.stdout
    assert "default: nothing waits" in told.stdout


# --- the words ----------------------------------------------------------------------

STANDING = Standing(
    name="sonnet",
    recorded=True,
    in_settings=True,
    state=State.OPEN,
    share=0.0,
    since_at=AT - 2,
    rest_s=3.0,
    level=0,
    tickets=3,
    tickets_out=2,
    good=0,
    bad=0,
    mode=Mode.ENFORCE,
    override=None,
    left_s=0.0,
    why="x",
    writer="w1",
    version=1,
    stage=1,
    epoch=1,
    round=1,
)
TROUBLE = Trouble(name="sonnet", known=True, since_at=AT - 90, opened_by="9 x Oops", probe_in_s=1.0)
STATUS = Status(
    at=AT,
    took_s=0.1,
    calm=False,
    shared=True,
    workers=3.0,
    causes=(),
    breakers=(STANDING,),
    troubles=(TROUBLE,),
    ways=(),
    waiting=(),
    dissents=(),
    unread=(),
)
WAY = Way(
    route="chat",
    known=True,
    calls=(),
    out=(("sonnet", "open"), ("haiku", "left_alone")),
    handlers=(),
    on_open="park",
    degrade_after_s=None,
    park_max_s=3600.0,
)


def test_every_cause_has_words_and_an_advice() -> None:
    assert set(text.TELLS) == set(CauseName)
    assert all(says and todo.endswith(".") for says, todo in text.TELLS.values())


def test_a_cause_says_what_was_seen_and_what_to_do() -> None:
    one = Cause(
        name=CauseName.THROTTLED,
        of=("sonnet",),
        code="ThrottlingException 429",
        says="Too many\x1b requests",
        count=9,
        workers=2,
    )

    lines = list(text.cause(one))

    assert lines[0].startswith("throttled: the service throttles")
    assert lines[1] == (
        "    seen 9 times in a minute by 2 workers, "
        'mostly ThrottlingException 429: "Too many? requests"'
    )
    assert "docs/pacing.md" in lines[2]


def test_what_opened_a_circuit_long_ago_is_told_as_such() -> None:
    one = Cause(name=CauseName.STALLED, of=("sonnet",), code="stall_timeout (stall)", count=9)

    assert list(text.cause(one))[1] == (
        "    when its circuit opened: mostly stall_timeout (stall); nobody tells of it now"
    )


def test_what_is_minor_is_told_below_and_not_in_the_first_line() -> None:
    one = Cause(
        name=CauseName.SERVICE_ERRORS, of=("sonnet",), code="X", count=1, workers=1, minor=True
    )
    found = replace(STATUS, calm=True, workers=1.0, causes=(one,))

    told = text.status(found, why=True)

    assert told.startswith("all is well. About 1 worker.")
    assert "service_errors: the service answers with errors (sonnet); few calls" in told
    assert "seen 1 time in a minute by 1 worker, mostly X" in told


def test_a_fleet_that_recovers_without_faults_of_late_says_so() -> None:
    assert text.headline(STATUS) == (
        "not well: circuits recover (sonnet); no fault was told of in the last minute. "
        "About 3 workers."
    )


@pytest.mark.parametrize(
    ("change", "probe_in_s", "says"),
    [
        ({}, 1.0, "next: a probe in about 1 s, if a job waits"),
        ({}, 0.0, "next: a probe as soon as a job waits"),
        ({}, None, "next: nothing, until the operator's order ends"),
        ({"state": State.HALF_OPEN}, None, "next: what 2 of 3 probes bring"),
        ({"state": State.RAMP, "share": 0.2}, None, "next: more than 20% of the slots, when"),
    ],
)
def test_a_circuit_says_what_comes_next(
    change: dict[str, object], probe_in_s: float | None, says: str
) -> None:
    found = replace(STATUS, breakers=(replace(STANDING, **change),))  # type: ignore[arg-type]

    lines = list(text.trouble(replace(TROUBLE, probe_in_s=probe_in_s), found))

    assert lines[0] == "sonnet: opened 1.5 min ago: 9 x Oops"
    assert says in lines[1]


def test_a_circuit_that_opened_too_long_ago_says_so() -> None:
    lines = list(text.trouble(replace(TROUBLE, since_at=None), STATUS))

    assert "opened longer ago than" in lines[0]


def test_a_circuit_whose_history_could_not_be_read_says_so() -> None:
    lines = list(text.trouble(replace(TROUBLE, known=False, since_at=None), STATUS))

    assert lines[0] == "sonnet: its history could not be read"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "no model is left: sonnet (open), haiku (left alone). Jobs wait, 1 h at most, then"),
        ({"handlers": ("cache",)}, "Jobs wait, 1 h at most, then cache answers."),
        ({"handlers": ("cache", "rules"), "on_open": "degrade"}, "at once, from cache, rules"),
        (
            {"handlers": ("cache",), "on_open": "degrade_after", "degrade_after_s": 60.0},
            "After 1 min a second-best answer, from cache.",
        ),
        ({"calls": ("a", "b"), "known": False}, "chat: a, b, in this order, as far as circuits"),
        ({"on_open": "fail"}, "Jobs are given up at once."),
        ({"calls": ("far",)}, "a model's answer, from far; not from sonnet (open), haiku"),
    ],
)
def test_a_route_says_what_its_users_get(change: dict[str, object], says: str) -> None:
    assert says in text.way(replace(WAY, **change))  # type: ignore[arg-type]


def test_what_waits_and_what_nobody_knows_is_told_by_lane() -> None:
    depths = {"jobs": Depth(visible=40, in_flight=3, delayed=0), "parked": None}
    lanes = (
        Waiting(lane="a", depths=depths, answers_per_min=None, drains_s=None, unknown="so it is"),
        Waiting(lane="b", depths={}, answers_per_min=60.0, drains_s=90.0),
        Waiting(lane="c", depths={}, answers_per_min=None, drains_s=0.0),
    )

    told = text.status(replace(STATUS, waiting=lanes), why=False)

    assert [line.split() for line in told.splitlines() if line.startswith("  a ")] == [
        ["a", "jobs", "40", "3", "0"],
        ["a", "parked", "?", "?", "?"],
        ["a", "dead", "?", "?", "?"],
    ]
    assert "  a: how long that takes cannot be known: so it is" in told
    assert "  b: about 1.5 min at 60 answers a minute, if no more comes" in told
    assert "  c: nothing waits" in told


def test_who_sees_it_otherwise_and_what_could_not_be_read_is_told() -> None:
    dissents = tuple(
        Dissent(worker="w1", breaker="sonnet", sees=sees, calls=8, failures=7)
        for sees in ("sick", "behind")
    )
    found = replace(STATUS, dissents=dissents, unread=(Unread(what="ledger", why="X"),))

    told = text.status(found, why=True)

    assert "w1, sonnet: its own breaker is open (7 of 8 of its calls failed)" in told
    assert "w1, sonnet: it has not followed the last step (7 of 8" in told
    assert "COULD NOT BE READ\n  ledger: X" in told


RESOLVER = """
import socket, sys, time
real = socket.getaddrinfo

def slow(host, *rest, **more):
    if host in ("127.0.0.1", None):
        return real(host, *rest, **more)
    time.sleep(20)
    raise socket.gaierror(-3, "Temporary failure in name resolution")

socket.getaddrinfo = slow
sys.argv = ["inference-worker", "status"]
from worker.cli import main
main()
"""


def test_nobody_waits_for_a_resolver_that_takes_its_time(tmp_path: Path) -> None:
    given = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "WORKER_QUEUE__URL": URL,
        "WORKER_MODEL__ID": "some.model-v1:0",
    }

    told = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", RESOLVER],
        env=given,
        cwd=tmp_path,
        capture_output=True,
        timeout=15,  # the resolver takes longer
        check=False,
    )

    assert told.returncode == 1, told.stderr
    assert b"not well" in told.stdout
