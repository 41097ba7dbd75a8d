"""`inference-worker workers`: what it prints, and with which code it leaves."""

import json
from dataclasses import replace

from typer.testing import CliRunner

from tests.cli.test_breaker import variables as variables  # noqa: PLC0414  (a fixture)
from worker.cli.app import app
from worker.core.verdict import State
from worker.ops.workers import Juror, View, Workers
from worker.words.workers import workers as text

AT = 1_795_600_000.0


def view(sees: str = "agrees", breaker: str = "near") -> View:
    return View(breaker=breaker, fleet=State.CLOSED, sees=sees, calls=24, failures=20, slow=0)


def juror(seat: int, *views: View) -> Juror:
    agrees = all(one.sees == "agrees" for one in views)
    return Juror(worker=f"w{seat}", seat=seat, told_at=AT - 3, agrees=agrees, views=views, seen=())


def test_each_worker_has_a_line_for_each_of_its_breakers() -> None:
    found = Workers(
        at=AT,
        about=12.4,
        jurors=(juror(3, view("sick"), view("behind", "far")), juror(0, view()), juror(1)),
    )

    lines = [" ".join(line.split()) for line in text(found).splitlines()]

    assert lines == [
        "WORKER SEAT TOLD BREAKER SEES IT ITS OWN CALLS",
        "w3 3 3 s ago near its own breaker is open, the fleet's is closed 20 of 24 failed",
        "far it has not followed the last step (closed) 20 of 24 failed",
        "w0 0 3 s ago near as the fleet 20 of 24 failed",
        "w1 1 3 s ago - - no votes",
        "",
        "about 12 workers, 3 of them with a seat.",
    ]


def test_one_worker_is_one_and_a_crowd_that_nobody_can_count_is_not_told() -> None:
    alone = Workers(at=AT, about=1.0, jurors=(juror(0, view()),))

    ends = [text(replace(alone, about=about)).splitlines()[-1] for about in (1.0, None)]

    assert ends == ["about 1 worker, 1 of them with a seat.", "1 worker with a seat."]


def test_of_a_stack_without_workers_it_says_so(variables: dict[str, str]) -> None:
    told = CliRunner().invoke(app, ["workers"], env=variables)
    seen = CliRunner().invoke(app, ["workers", "--json"], env=variables)

    assert told.exit_code == 1
    assert told.stdout == "nobody has a seat: no worker runs with this table.\n"
    assert json.loads(seen.stdout)["jurors"] == []
