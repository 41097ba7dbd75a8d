"""What a worker may do: what it does, with what it does it to, and nothing else.

`LOOKS` changes nothing and reads no job; it is what lets `inference-worker doctor`, run as a
task of the same definition, tell green from unknown.
"""

from collections.abc import Sequence
from typing import Any, Final

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from inference_worker_cdk.stores import PAYLOADS, Queues, Tables

RECEIVES: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
SENDS: Final = ("sqs:SendMessage",)
LEDGER: Final = ("dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
BREAKERS: Final = ("dynamodb:PutItem", "dynamodb:Query")
CACHE: Final = ("dynamodb:GetItem", "dynamodb:PutItem")
OBJECTS: Final = ("s3:GetObject", "s3:PutObject")
CALLS: Final = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
ANSWERS: Final = ("states:SendTaskFailure", "states:SendTaskSuccess")
LOOKS: Final = {
    "queues": ("sqs:GetQueueAttributes",),
    "tables": (
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
    ),
    "bucket": (
        "s3:GetBucketPublicAccessBlock",
        "s3:GetLifecycleConfiguration",
        "s3:ListBucket",
    ),
}


def allow(sid: str, actions: tuple[str, ...], *resources: str, **more: Any) -> Any:
    """One statement."""
    return iam.PolicyStatement(sid=sid, actions=[*actions], resources=[*resources], **more)


def of_stores(queues: Queues, tables: Tables, bucket: Any) -> list[Any]:
    """What a worker does with the stores."""
    every = (queues.jobs, queues.parked, queues.dead)
    return [
        allow("TakeJobs", RECEIVES, queues.jobs.queue_arn, queues.parked.queue_arn),
        allow("ParkAndGiveUp", SENDS, queues.parked.queue_arn, queues.dead.queue_arn),
        allow("Ledger", LEDGER, tables.ledger.table_arn),
        allow("Breakers", BREAKERS, tables.breakers.table_arn),
        allow("Cache", CACHE, tables.cache.table_arn),
        allow("Payloads", OBJECTS, bucket.arn_for_objects(f"{PAYLOADS}*")),
        allow("LookAtQueues", LOOKS["queues"], *(one.queue_arn for one in every)),
        allow(
            "LookAtTables",
            LOOKS["tables"],
            *(one.table_arn for one in (tables.ledger, tables.breakers, tables.cache)),
        ),
        allow("LookAtBucket", LOOKS["bucket"], bucket.bucket_arn),
    ]


def of_task(cluster_name: str) -> Any:
    """To keep itself from being scaled in while it has jobs in hand."""
    task = f"arn:{Aws.PARTITION}:ecs:{Aws.REGION}:{Aws.ACCOUNT_ID}:task/{cluster_name}/*"
    return allow("ProtectItself", ("ecs:UpdateTaskProtection",), task)


def of_tasks() -> Any:
    """To answer tasks of state machines. IAM knows no resource for it: a token names its task."""
    return allow("AnswerTasks", ANSWERS, "*")


def of_models(
    model_arns: list[str],
    profile_arns: list[str],
    other_model_arns: Sequence[str] = (),
    *,
    calls: tuple[str, ...] = CALLS,
) -> list[Any]:
    """To call models; those behind a profile through it alone, in every Region it leads to.

    Converse is authorised as InvokeModel: there is no action of its name.
    """
    if not profile_arns:
        return [allow("CallModels", calls, *model_arns, *other_model_arns)]
    through = {"StringLike": {"bedrock:InferenceProfileArn": profile_arns}}
    made = [
        allow("CallProfiles", calls, *profile_arns),
        allow("CallModelsThroughProfiles", calls, *model_arns, conditions=through),
    ]
    if other_model_arns:
        made.append(allow("CallOthers", calls, *other_model_arns))
    return made
