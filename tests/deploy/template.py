"""A template as data: its resources by type, statements of its policies, what a Ref leads to."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = ("template.json", "template.isolated.json")
MACHINE = "template.statemachine.json"
DASHBOARD = "dashboard.json"

Template = dict[str, Any]


def read(name: str) -> Template:
    made: Template = json.loads((DEPLOY / name).read_text(encoding="utf-8"))
    return made


def of_type(template: Template, kind: str) -> dict[str, Any]:
    """Resources of a type, by logical id."""
    return {n: one for n, one in template["Resources"].items() if one["Type"] == kind}


def watching(template: Template) -> dict[str, Any]:
    """Alarms on metrics that tell somebody. What scales has no name, and is in test_scaling.py."""
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    return {n: one for n, one in alarms.items() if "AlarmName" in one["Properties"]}


def properties(template: Template, kind: str) -> Any:
    """The properties of the only resource of a type."""
    ((_, one),) = of_type(template, kind).items()
    return one["Properties"]


def container(template: Template) -> Any:
    (one,) = properties(template, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return one


def statements(template: Template, role: str) -> dict[str, Any]:
    """The statements of a role's policies, by Sid or by their first action."""
    found = {}
    for one in of_type(template, "AWS::IAM::Policy").values():
        if any(role in str(ref["Ref"]) for ref in one["Properties"]["Roles"]):
            for statement in one["Properties"]["PolicyDocument"]["Statement"]:
                found[statement.get("Sid") or listed(statement["Action"])[0]] = statement
    return found


def listed(value: Any) -> list[Any]:
    """One or many, as many."""
    return value if isinstance(value, list) else [value]


def plain(value: Any, given: Mapping[str, Any]) -> Any:
    """A value with its references resolved, where `given` knows them."""
    if isinstance(value, list):
        return [plain(one, given) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return given.get(value["Ref"], value["Ref"])
    if set(value) == {"Fn::GetAtt"}:
        name = ".".join(value["Fn::GetAtt"])
        return given.get(name, name)
    if set(value) == {"Fn::Sub"}:
        return re.sub(
            r"\$\{([^!}][^}]*)\}", lambda one: str(given.get(one[1], one[1])), value["Fn::Sub"]
        ).replace("${!", "${")
    if set(value) == {"Fn::ImportValue"}:
        return plain(value["Fn::ImportValue"], given)
    if set(value) == {"Fn::Join"}:
        glue, parts = value["Fn::Join"]
        return glue.join(str(one) for one in plain(parts, given))
    if set(value) == {"Fn::If"} and value["Fn::If"][0] in given:
        condition, yes, no = value["Fn::If"]
        return plain(yes if given[condition] else no, given)
    return {key: plain(one, given) for key, one in value.items()}


def strings(value: Any) -> Iterator[str]:
    """Every text in it, keys too."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value
