"""The page before real stores: a job dies, is read, mended, sent back, and answered."""

import json
import re

from tests.e2e.stage import Stage, until
from tests.page.process import Ui
from worker.core.ledger import State

CANARY = "canary-51d0-nobody-may-read-this"
SCREENS = (
    "/",
    "/timeline",
    "/routes",
    "/queues",
    "/dead",
    "/dead/log",
    "/dead/redrive",
    "/dead/discard",
    "/workers",
    "/configuration",
    "/breaker?name=default",
    "/job?id=lost-0",
    "/job?id=well",
)


def test_a_dead_job_is_read_mended_and_answered_and_its_text_is_nowhere_else(
    stage: Stage,
) -> None:
    stage.worker("worker")
    lost = [{"id": f"lost-{n}", "prompt": CANARY, "route": "nowhere"} for n in range(3)]
    stage.send([*lost, {"id": "well", "prompt": CANARY}])
    until(lambda: stage.depth(stage.dead_url).visible == 3, says="the jobs are dead")
    until(lambda: stage.records()["well"].state is State.ANSWERED, says="the other is answered")
    ui = Ui(stage.start("ui"))
    try:
        ui.sign_in()

        screens = {path: ui.ask("GET", path) for path in SCREENS}
        shown = ui.act("/job/body", seen="/job?id=lost-0", id="lost-0", reason="")
        old = json.dumps(lost[0])
        fence = re.search(r'name="fence" value="(\d+)"', shown[1])
        assert fence is not None, shown
        edit = {"id": "lost-0", "fence": fence[1], "old": old}
        edit["new"] = old.replace(', "route": "nowhere"', "")
        preview = ui.act(
            "/job/edit", seen="/job?id=lost-0", **edit, reason="the default", step="preview"
        )
        sent = ui.act("/job/edit", seen="/job?id=lost-0", **edit, reason="the default", step="send")
        until(lambda: stage.records()["lost-0"].state is State.ANSWERED, says="it is answered")
        kept = ui.act(
            "/dead/redrive",
            seen="/dead/redrive?class=unknown_route",
            **{"class": "unknown_route", "rate": "20", "canary": "", "stop_if": "0.05"},
            reason="a try",
        )
        where = ui.location
        until(lambda: "goes on" not in ui.ask("GET", where)[1], says="the run is over")
        outcome = ui.ask("GET", where)[1]
        log = ui.ask("GET", "/dead/log")[1]
    finally:
        ui.process.terminate()
        ui.process.communicate()

    assert {status for status, _ in screens.values()} == {200}
    assert [path for path, (_, text) in screens.items() if CANARY in text] == []
    assert CANARY in shown[1]
    assert (preview[0], sent[0], kept[0]) == (200, 303, 303)
    assert "A worker would take it. Changed: route" in preview[1]
    assert "0 of 2 letters were sent back." in outcome
    assert "would die again: unknown_route" in outcome
    assert CANARY not in outcome + log
    assert re.findall(r'data-label="Did">(\w+)', log) == ["redrive", "edit", "show"]
    assert {job: record.generation for job, record in stage.records().items()} == {
        "lost-0": 1,
        "lost-1": 0,
        "lost-2": 0,
        "well": 0,
    }
