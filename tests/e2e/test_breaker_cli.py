"""An operator takes the circuit over for real, and a worker process obeys."""

import json
from typing import Any

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, until
from worker.core.ledger import State
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Constant, Fail

WHY = ("--reason", "incident 42", "--author", "alice")


def shown(stage: Stage, code: int) -> dict[str, Any]:
    told = stage.command("breaker", "show", "default", "--json")
    assert told.returncode == code, told.stdout + told.stderr
    (one,) = json.loads(told.stdout)["breakers"]
    found: dict[str, Any] = one
    return found


def test_a_circuit_that_is_held_open_keeps_jobs_in_the_queue_until_it_is_given_back(
    stage: Stage, note: Note
) -> None:
    held = stage.command("breaker", "hold-open", "default", "--for", "10m", *WHY)
    stage.worker("one", slots=4)
    stage.send({"id": f"job-{n}", "prompt": "Why?"} for n in range(5))

    during = shown(stage, code=1)
    waiting, calls = stage.depth().total + stage.depth(stage.parked_url).total, stage.calls_by_job()
    ended = stage.command("breaker", "auto", "default", "--author", "bob")
    until(stage.settled, says="the jobs go out", within_s=60)

    assert (held.returncode, ended.returncode) == (0, 0), held.stderr + ended.stderr
    assert (during["state"], during["mode"]) == ("closed", "hold_open")
    assert during["override"]["author"] == "alice"
    assert (waiting, calls) == (5, {})
    assert {r.state for r in stage.records().values()} == {State.ANSWERED}
    assert shown(stage, code=0)["mode"] == "enforce"
    told = stage.command("breaker", "history", "default", "--json")
    rows = json.loads(told.stdout)["rows"]
    assert [(row["by"], row["mode"]) for row in rows] == [
        ("bob", "enforce"),
        ("alice", "hold_open"),
    ]
    note("5 jobs waited for `auto`, and none was called before")


def test_a_running_worker_obeys_an_order_and_its_end(stage: Stage) -> None:
    # Now and then a call fails, so the worker looks at the verdicts within a second.
    failing = Chance(0.3, Fail("ServiceUnavailableException"))
    stage.mood(Mood(latency=Constant(0.2), chances=(failing,)))
    worker = stage.worker("one", slots=4)
    stage.send({"id": f"job-{n}", "prompt": "Why?"} for n in range(60))
    until(lambda: len(stage.calls_by_job()) >= 10, says="calls go out")

    held = stage.command("breaker", "hold-open", "default", "--for", "3s", *WHY)
    until(lambda: stage.in_flight() == 0 and not stage.settled(), says="calls stop")
    stage.mood(Mood(latency=Constant(0.05)))
    until(stage.settled, says="the override ends by itself, and every job is settled")
    until(lambda: shown(stage, code=0)["override"] is None, says="the worker notes its end")

    assert held.returncode == 0, held.stderr
    assert len(stage.records()) == 60
    assert worker.process.poll() is None
