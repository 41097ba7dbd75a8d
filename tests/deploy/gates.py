"""The gates that a template goes through, each as a function: what it finds, as texts.

`lint` is cfn-lint, `validate` is AWS's own validator with our rules of deploy/rules. Only what
is informational is passed over. `nag` is cdk-nag, which looks at the app and not at a template.
`bounds` is ours: numbers that must go together, whatever a parameter is given.
"""

import atexit
import json
import math
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.deploy.conftest import need_tools
from tests.deploy.template import DEPLOY, Template, of_type

RULES = DEPLOY / "rules" / "house.guard"
NAG = """
import json
import sys
sys.path.insert(0, sys.argv[1])
import app
app.use_node_of_wheel()
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from inference_worker_cdk import InferenceWorkerStack, Network
checked = App(analytics_reporting=False, tree_metadata=False, outdir=sys.argv[2])
Validations.of(checked).add_plugins(AwsSolutionsChecks())
for preset in Network:
    InferenceWorkerStack(checked, f"inference-{preset}", preset=preset, **json.loads(sys.argv[3]))
checked.synth()
"""

NAG_MACHINE = NAG.replace("InferenceWorkerStack, Network", "InferenceStateMachineStack").replace(
    """for preset in Network:
    InferenceWorkerStack(checked, f"inference-{preset}", preset=preset, **json.loads(sys.argv[3]))
""",
    'InferenceStateMachineStack(checked, "inference-breaker")\n',
)


def lint(template: Template) -> list[str]:
    need_tools()
    from cfnlint.api import lint as linted  # noqa: PLC0415  (a second, for the few that need it)

    return [f"{one.rule.id} {one.message}" for one in linted(json.dumps(template))]


@cache
def _engine() -> Any:
    from cloudformation_validate import (  # noqa: PLC0415
        CompositeEngine,
        CompositeEngineConfig,
        file_to_external_rule_source,
    )

    rules = [file_to_external_rule_source(str(RULES))]
    atexit.register(_engine.cache_clear)  # while the library that must free it is still there
    return CompositeEngine(CompositeEngineConfig(guard_rules=rules))


def validate(template: Template) -> list[str]:
    need_tools()
    report = _engine().validate_template(json.dumps(template).encode())
    return [
        f"{one.rule_id} {one.message}"
        for one in report.diagnostics
        if one.severity.name not in ("INFO", "DEBUG")
    ]


def bounds(template: Template) -> list[str]:
    """Scalable targets that some choice of parameters gives more tasks at least than at most."""

    def choices(value: Any) -> list[float]:
        """The least and the most that it may be."""
        if not isinstance(value, dict):
            return [float(value)]
        one = template["Parameters"][value["Ref"]]
        if "AllowedValues" in one:
            return [float(each) for each in one["AllowedValues"]]
        return [one.get("MinValue", -math.inf), one.get("MaxValue", math.inf)]

    found = []
    for name, one in of_type(template, "AWS::ApplicationAutoScaling::ScalableTarget").items():
        least, most = (choices(one["Properties"][f"{end}Capacity"]) for end in ("Min", "Max"))
        if max(least) > min(most):
            found.append(f"MinCapacity of {name} can be {max(least):g}, its most {min(most):g}")
    return found


def nag(out: Path, **options: bool) -> set[tuple[str, str]]:
    """What cdk-nag finds in both presets: a rule, and the construct that breaks it.

    `options` are the stack's; `out` has the templates afterwards.
    """
    return _nag(NAG, out, **options)


def _nag(program: str, out: Path, **options: bool) -> set[tuple[str, str]]:
    need_tools()
    ran = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", program, str(DEPLOY), str(out), json.dumps(options)],
        capture_output=True,
        text=True,
        check=False,  # it fails, for it knows nothing of our exceptions
        timeout=300,
    )
    report = out / "validation-report.json"
    assert report.exists(), ran.stderr
    plugins = json.loads(report.read_text(encoding="utf-8"))["pluginReports"]
    return {
        (one["ruleName"], where["constructPath"].partition("/")[2].removesuffix("/Resource"))
        for plugin in plugins
        for one in plugin["violations"]
        for where in one["violatingConstructs"]
    }


def nag_machine(out: Path) -> set[tuple[str, str]]:
    """What cdk-nag finds in the state machine's stack."""
    return _nag(NAG_MACHINE, out)
