"""Defects, as data: what somebody might break, and the gate that must see it.

A change is a path into the template and what is put there; `GONE` takes away. Resources are
named by their type where there is one of it, else by their logical id.
"""

import copy
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.template import Template, of_type

GONE: Final = object()
TASK = "AWS::ECS::TaskDefinition"
SERVICE = "AWS::ECS::Service"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
WORKER = "Properties.ContainerDefinitions.0"
TASK_POLICY = "WorkerTaskRoleDefaultPolicy"
EVERY_MODEL = {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect.

    Attributes:
        of: The resource.
        path: Where in it.
        put: What is put there.
        seen_by: `lint`, `validate` or `bounds`.
        as_: The rule that must tell.
    """

    name: str
    of: str
    path: str
    put: Any
    seen_by: str
    as_: str


CIRCLE = {"Fn::GetAtt": ["JobsQueue", "Arn"]}
_ROWS: Final[tuple[tuple[str, str, str, Any, str, str], ...]] = (
    # What CloudFormation refuses, or a service.
    ("a typo in a property", "JobsQueue", "Properties.VisibilityTimeOut", 90, "validate", "F3002"),
    ("a Ref to nothing", SERVICE, "Properties.TaskDefinition", {"Ref": "Tsk"}, "validate", "F1020"),
    (
        "an attribute that is none",
        "JobsQueue",
        "Properties.RedrivePolicy.deadLetterTargetArn",
        {"Fn::GetAtt": ["DeadQueue", "ARN"]},
        "validate",
        "E9004",
    ),
    (
        "a circle of references",
        "DeadQueue",
        "Properties.RedriveAllowPolicy.sourceQueueArns",
        [CIRCLE],
        "validate",
        "F3004",
    ),
    (
        "a visibility that SQS refuses",
        "JobsQueue",
        "Properties.VisibilityTimeout",
        43_201,
        "validate",
        "F3034",
    ),
    ("a delay that SQS refuses", "JobsQueue", "Properties.DelaySeconds", 901, "validate", "F3034"),
    (
        "an attribute of no key",
        "LedgerTable",
        "Properties.AttributeDefinitions.3",
        {"AttributeName": "note", "AttributeType": "S"},
        "validate",
        "E3039",
    ),
    ("a size that Fargate has not", TASK, "Properties.Memory", "8192", "validate", "E3047"),
    (
        "an action that is none",
        TASK_POLICY,
        "Properties.PolicyDocument.Statement.0.Action",
        ["sqs:RecieveMessage"],
        "lint",
        "W3037",
    ),
    (
        "a retention that logs have not",
        "AWS::Logs::LogGroup",
        "Properties.RetentionInDays",
        31,
        "lint",
        "E3030",
    ),
    ("a stop that Fargate refuses", TASK, f"{WORKER}.StopTimeout", 300, "validate", "stop_within"),
    (
        "two ways to launch",
        SERVICE,
        "Properties.LaunchType",
        "FARGATE",
        "validate",
        "one_way_to_launch",
    ),
    (
        "every model",
        TASK_POLICY,
        "Properties.PolicyDocument.Statement.0",
        EVERY_MODEL,
        "validate",
        "models_by_name",
    ),
    (
        "every model, in a list",
        TASK_POLICY,
        "Properties.PolicyDocument.Statement.0",
        EVERY_MODEL | {"Resource": ["*"], "Action": ["bedrock:InvokeModel"]},
        "validate",
        "models_by_name",
    ),
    (
        "every model of a maker",
        TASK_POLICY,
        "Properties.PolicyDocument.Statement.0",
        EVERY_MODEL | {"Resource": ["arn:aws:bedrock:*::foundation-model/some.*"]},
        "validate",
        "models_by_name",
    ),
    (
        "every model of a maker, alone",
        TASK_POLICY,
        "Properties.PolicyDocument.Statement.0",
        EVERY_MODEL | {"Resource": "arn:aws:bedrock:*::foundation-model/some.*"},
        "validate",
        "models_by_name",
    ),
    (
        "nobody to pull the image",
        TASK,
        "Properties.ExecutionRoleArn",
        GONE,
        "validate",
        "role_that_pulls",
    ),
    # What works, and is not as it should be.
    ("no word on the stop", TASK, f"{WORKER}.StopTimeout", GONE, "validate", "stop_within"),
    ("a stop that is too short", TASK, f"{WORKER}.StopTimeout", 30, "validate", "stop_within"),
    (
        "a root that can be written",
        TASK,
        f"{WORKER}.ReadonlyRootFilesystem",
        False,
        "validate",
        "nothing_is",
    ),
    ("root", TASK, f"{WORKER}.User", "0:0", "validate", "nothing_is_written"),
    ("root, for nobody is named", TASK, f"{WORKER}.User", GONE, "validate", "nothing_is_written"),
    (
        "a log that blocks",
        TASK,
        f"{WORKER}.LogConfiguration.Options.mode",
        GONE,
        "validate",
        "log_that_blocks_nobody",
    ),
    (
        "a public address",
        SERVICE,
        "Properties.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp",
        "ENABLED",
        "validate",
        "tasks_without_address",
    ),
    (
        "a queue in clear",
        "ParkedQueue",
        "Properties.SqsManagedSseEnabled",
        False,
        "validate",
        "queues_enc",
    ),
    (
        "a queue that gives up soon",
        "ParkedQueue",
        "Properties.RedrivePolicy.maxReceiveCount",
        3,
        "validate",
        "giving_up_is_for_workers",
    ),
    (
        "a queue that goes with the stack",
        "JobsQueue",
        "DeletionPolicy",
        "Delete",
        "validate",
        "what_holds",
    ),
    (
        "a protected table that goes with the stack",
        "LedgerTable",
        "DeletionPolicy",
        "RetainExceptOnCreate",
        "validate",
        "what_is_protected_stays",
    ),
    (
        "a table whose records go with it",
        "BreakersTable",
        "UpdateReplacePolicy",
        "Delete",
        "validate",
        "what_is_protected_stays",
    ),
    (
        "a bucket that goes with the stack",
        "AWS::S3::Bucket",
        "DeletionPolicy",
        GONE,
        "validate",
        "what_holds",
    ),
    # What AWS refuses when it is too late, and no validator sees.
    ("more at least than at most", TARGET, "Properties.MinCapacity", 11, "bounds", "MinCapacity"),
    ("none at most", TARGET, "Properties.MaxCapacity", 0, "bounds", "MinCapacity"),
)

SEEDED: Final = tuple(Defect(*row) for row in _ROWS)


def broken(template: Template, defect: Defect) -> Template:
    """The template with the defect in it."""
    made = copy.deepcopy(template)
    names = [*of_type(made, defect.of)] or [n for n in made["Resources"] if n.startswith(defect.of)]
    (name,) = names
    here: Any = made["Resources"][name]
    *way, last = (int(one) if one.isdigit() else one for one in defect.path.split("."))
    for step in way:
        here = here[step]
    if defect.put is GONE:
        del here[last]
    elif isinstance(here, list) and last == len(here):
        here.append(defect.put)
    else:
        here[last] = defect.put
    assert made != template, "a defect that changes nothing"
    return made
