"""A stack that is told to answer state machines: one right more, and a way to use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import gates
from tests.deploy.conftest import need_tools
from tests.deploy.template import (
    DEPLOY,
    FILES,
    ROOT,
    Template,
    container,
    listed,
    of_type,
    read,
    statements,
)
from tests.deploy.test_gates import _TASK, _WILD, EXCEPTIONS
from worker.cli.doctor import rights as doctor_rights

WILD = {
    (_WILD % "*", _TASK): "The right to answer a task knows no resource: its token names the task.",
}


class Anything:
    """Stands for a client whose methods are named and not called."""

    def __getattr__(self, name: str) -> object:
        return lambda **_: name


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Both presets with `answers_state_machines`, and what cdk-nag finds beyond our exceptions."""
    out = tmp_path_factory.mktemp("answering")
    found = gates.nag(out, answers_state_machines=True)
    assert found == EXCEPTIONS.keys() | WILD.keys()
    return {
        preset: json.loads((out / f"inference-{preset}.template.json").read_text(encoding="utf-8"))
        for preset in ("nat", "isolated")
    }


def test_it_passes_every_gate(answering: dict[str, Template]) -> None:
    for template in answering.values():
        assert gates.lint(template) == []
        assert gates.validate(template) == []


def test_workers_may_answer_tasks_and_are_told_to(answering: dict[str, Template]) -> None:
    for template in answering.values():
        statement = statements(template, "TaskRole")["AnswerTasks"]
        variables = {row["Name"]: row["Value"] for row in container(template)["Environment"]}

        assert set(listed(statement["Action"])) == set(doctor_rights.of_tasks(Anything()))
        assert statement["Resource"] == "*"
        assert variables["WORKER_TASK_TOKENS"] == "true"


def test_where_there_is_no_way_out_step_functions_has_an_endpoint(
    answering: dict[str, Template],
) -> None:
    ways = {
        preset: {
            json.dumps(one["Properties"]["ServiceName"])
            for one in of_type(template, "AWS::EC2::VPCEndpoint").values()
        }
        for preset, template in answering.items()
    }

    assert any(".states" in name for name in ways["isolated"])
    assert not any(".states" in name for name in ways["nat"]), "it has a way out"


@pytest.mark.parametrize("name", FILES)
def test_a_stack_that_is_not_told_so_has_nothing_of_it(name: str) -> None:
    text = json.dumps(read(name))

    assert "states:" not in text
    assert "TASK_TOKENS" not in text


def test_the_cdks_command_line_says_so_by_a_word_of_context(tmp_path: Path) -> None:
    need_tools()
    context = {"answers_state_machines": "true", "network": "isolated", "name": "chat"}
    subprocess.run(  # noqa: S603  (our own script)
        [sys.executable, str(DEPLOY / "app.py")],
        env={**os.environ, "CDK_OUTDIR": str(tmp_path), "CDK_CONTEXT_JSON": json.dumps(context)},
        check=True,
        cwd=tmp_path,
        timeout=300,
    )

    made = (tmp_path / "chat.template.json").read_text(encoding="utf-8")

    assert "AnswerTasks" in statements(json.loads(made), "TaskRole")
    page = (ROOT / "docs" / "task-tokens.md").read_text(encoding="utf-8")
    assert "-c answers_state_machines=true" in page
