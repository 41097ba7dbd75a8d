"""Each gate lets our templates through, and catches what is seeded into them."""

from pathlib import Path

import pytest

from tests.deploy import gates
from tests.deploy.alarms import watched
from tests.deploy.alarms.defects_watched import WATCHED
from tests.deploy.defects import SEEDED, Defect, broken
from tests.deploy.template import Template

_TASK, _PULLS = "Worker/TaskRole/DefaultPolicy", "Worker/ExecutionRole/DefaultPolicy"
_HERE = "<AWS::Region>:<AWS::AccountId>"
_WILD = "AwsSolutions-IAM5[Resource::%s]"
GATES = {
    "lint": gates.lint,
    "validate": gates.validate,
    "bounds": gates.bounds,
    "alarms": watched.alarms,
    "composites": watched.composites,
}
EXCEPTIONS = {
    ("AwsSolutions-VPC7", "Network"): "Flow logs cost more than the network; nobody can come in, "
    "and who goes out where is the account's to watch.",
    ("AwsSolutions-S1", "Worker/Payloads"): "Access logs would keep every payload's key in another "
    "bucket. CloudTrail's data events tell the same to who turns them on.",
    ("AwsSolutions-DDB3", "Worker/Cache"): "What it holds can be asked of a model again.",
    ("AwsSolutions-ECS2", "Worker/Task"): "No variable is a secret: they name queues and tables.",
    (_WILD % "<PayloadsBucket.Arn>/payloads/*", _TASK): "Objects are named by the hash of what "
    "they hold.",
    (
        _WILD % f"arn:<AWS::Partition>:ecs:{_HERE}:task/<WorkerCluster>/*",
        _TASK,
    ): "A task's id is not known before it runs.",
    (_WILD % "*", _PULLS): "ecr:GetAuthorizationToken takes no resource.",
    (_WILD % f"arn:<AWS::Partition>:ecr:{_HERE}:repository/*", _PULLS): "The repository is in a "
    "parameter that CloudFormation cannot take apart; it is pulled from this account alone.",
}


def test_a_template_passes_every_gate(template: Template) -> None:
    found = {name: told for name, gate in GATES.items() if (told := gate(template))}

    assert found == {}


def test_no_two_defects_have_one_name() -> None:
    names = [defect.name for defect in (*SEEDED, *WATCHED)]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("defect", [*SEEDED, *WATCHED], ids=lambda defect: defect.name)
def test_a_seeded_defect_is_caught(defect: Defect, templates: dict[str, Template]) -> None:
    worse = broken(templates["template.json"], defect)

    found = GATES[defect.seen_by](worse)

    assert any(one.startswith(defect.as_) for one in found), found


def test_what_cdk_nag_finds_is_an_exception_with_a_reason(tmp_path: Path) -> None:
    found = gates.nag(tmp_path)

    assert found == EXCEPTIONS.keys()
