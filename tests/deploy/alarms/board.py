"""The gate for the dashboard: a list of faults. Its form is held by `dashboard.schema.json`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.deploy.alarms.watched import HERE, STATISTICS, refused, unknown
from tests.deploy.template import Template, of_type, plain
from worker.core.metric import Profile

_SEARCH = re.compile(
    r"SEARCH\('\{(?P<names>[^}]+)\} MetricName=\"(?P<metric>\w+)\"(?: Service=\"[^\"]+\")?', "
    r"'(?P<stat>\w+)', (?P<period>\d+)\)( / \d+)?"
)
_SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text(encoding="utf-8"))


def body_of(template: Template) -> Any:
    """The dashboard as CloudWatch gets it.

    Raises:
        ValueError: It is no JSON.
    """
    ((_, one),) = of_type(template, "AWS::CloudWatch::Dashboard").items()
    return json.loads(plain(one["Properties"]["DashboardBody"], HERE))


def faults(template: Template, alarms_named: set[str], fields: set[str]) -> list[str]:
    """What is wrong with its dashboard.

    Args:
        template: Where it is.
        alarms_named: The names of all alarms that there are.
        fields: What log lines have.
    """
    try:
        body = body_of(template)
    except ValueError as error:
        return [f"it is no JSON: {error}"]
    found = [f"{one.instance_path}: {one.message}" for one in _schema().iter_errors(body)]
    if found:
        return found
    found += refused("PutDashboard", {"DashboardName": "x", "DashboardBody": json.dumps(body)})
    found += _overlaps(body["widgets"])
    for one in body["widgets"]:
        shown = one["properties"]
        match one["type"]:
            case "alarm":
                names = {arn.rpartition(":")[2] for arn in shown["alarms"]}
                found += [f"there is no alarm {name}" for name in sorted(names - alarms_named)]
            case "log":
                found += _asks(shown["query"], fields)
            case _:
                found += [f"{shown['title']}: {why}" for why in _draws(shown["metrics"])]
    return found


def _schema() -> Any:
    return jsonschema_rs.validator_for(_SCHEMA)


def _overlaps(widgets: list[dict[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for number, one in enumerate(widgets):
        if one["x"] + one["width"] > 24:
            yield f"widget {number} leaves the grid of 24 columns"
        for x in range(one["x"], one["x"] + one["width"]):
            for y in range(one["y"], one["y"] + one["height"]):
                if (x, y) in taken:
                    yield f"widgets {taken[x, y]} and {number} overlap"
                    return
                taken[x, y] = str(number)


def drawn(body: Any) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Each metric that is drawn: namespace, name, dimensions and statistic."""
    for one in body["widgets"]:
        for row in one["properties"].get("metrics", ()):
            *named, how = row
            if named:
                yield named[0], named[1], tuple(named[2::2]), how["stat"]
            elif found := _SEARCH.fullmatch(how["expression"]):
                namespace, *names = found["names"].split(",")
                yield namespace, found["metric"], tuple(names), found["stat"]


def _draws(metrics: list[Any]) -> Iterator[str]:
    ids = [row[-1]["id"] for row in metrics if "id" in row[-1]]
    for twice in {one for one in ids if ids.count(one) > 1}:
        yield f"two metrics have the id {twice}"
    for namespace, metric, names, stat in drawn(
        {"widgets": [{"properties": {"metrics": metrics}}]}
    ):
        yield from unknown(namespace, metric, names, Profile.FULL)
        if not STATISTICS.fullmatch(stat):
            yield f"{stat} is no statistic"
    for row in metrics:
        expression = row[-1].get("expression", "")
        if expression.startswith("SEARCH"):
            if not _SEARCH.fullmatch(expression):
                yield f"no search: {expression}"
            continue
        words = set(re.findall(r"[a-z]\w*", expression))
        if words - set(ids):
            yield f"nothing has the id {', '.join(sorted(words - set(ids)))}"


_OURS = frozenset({"timestamp", "desc", "asc", "as", "by", "and", "in", "like", "jobs", "sample"})
_STEPS = frozenset({"fields", "filter", "stats", "sort", "limit", "count", "latest"})


def _asks(query: str, fields: set[str]) -> Iterator[str]:
    source, *steps = query.split(" | ")
    if not re.fullmatch(r"SOURCE '[^']+'", source):
        yield f"no log group: {source}"
    for step in steps:
        if step.split()[0] not in _STEPS:
            yield f"no step of a query: {step}"
        words = set(re.findall(r"[a-z_]+", re.sub(r'"[^"]*"', "", step)))
        for word in sorted(words - _OURS - _STEPS - fields):
            yield f"no line has {word}"
