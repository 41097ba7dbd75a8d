"""The stack of template.json: an `InferenceWorker` in a network of its own.

What differs between accounts is a parameter, so the synthesized template is the same
everywhere: it needs no bootstrap, carries no assets and names no account.
"""

from typing import Any

from aws_cdk import (
    Aws,
    BootstraplessSynthesizer,
    CfnCondition,
    CfnOutput,
    CfnParameter,
    Fn,
    Stack,
    Token,
)
from constructs import Construct

from inference_worker_cdk.network import Network, network
from inference_worker_cdk.worker import InferenceWorker

_ARN = "arn:[a-z-]+:bedrock:[a-z0-9-]*:[0-9]*:"
_NAME = "[A-Za-z0-9][A-Za-z0-9._:/-]*"  # no `*`: what may be called is named
_MODEL = f"{_ARN}((foundation|custom|imported|provisioned)-model|custom-model-deployment)/{_NAME}"
_PROFILE = f"{_ARN}(application-)?inference-profile/{_NAME}"


class InferenceWorkerStack(Stack):
    """Queues, tables, bucket, network and workers. Its name is the fleet's name."""

    def __init__(self, scope: Construct, id_: str, *, preset: Network = Network.NAT) -> None:
        super().__init__(
            scope,
            id_,
            description="inference-worker: jobs from SQS, answers of Bedrock, each stored once",
            synthesizer=BootstraplessSynthesizer(),
        )
        image = self._parameter(
            "Image",
            "URI of the worker's image in ECR of this account and Region, for arm64.",
            allowed_pattern=r"\S+",
        )
        model = self._parameter(
            "ModelId",
            "What is called: a model id or an inference profile's.",
            allowed_pattern=r"\S+",
        )
        models = self._parameter(
            "ModelArns",
            "Foundation models that may be called: of a profile, one for each Region it leads to.",
            type="CommaDelimitedList",
            allowed_pattern=_MODEL,
        )
        profiles = self._parameter(
            "ProfileArns",
            "Inference profiles that may be called, and then the models through them alone. "
            "Empty where the models are called themselves.",
            type="CommaDelimitedList",
            default="",
            allowed_pattern=f"({_PROFILE})?",
        )
        others = self._parameter(
            "OtherModelArns",
            "Where profiles are called: further models, which are called themselves.",
            type="CommaDelimitedList",
            default="",
            allowed_pattern=f"({_MODEL})?",
        )
        called = self._either("CallsModelsThemselves", profiles, models.value_as_list)
        tasks = self._parameter(
            "Tasks", "How many workers run.", type="Number", default=2, min_value=0
        )
        vpc = network(self, preset)
        self.worker = InferenceWorker(
            self,
            "Worker",
            service=Aws.STACK_NAME,
            image=image.value_as_string,
            model_id=model.value_as_string,
            model_arns=models.value_as_list,
            profile_arns=called,
            # A statement of none is refused: with none it says again what may be called anyhow.
            other_model_arns=self._either("CallsNoOthers", others, called),
            vpc=vpc,
            tasks=tasks.value_as_number,
        )
        self._name_what_is_kept()
        for name, value, what in (
            ("JobsQueueUrl", self.worker.queues.jobs.queue_url, "Where producers send jobs"),
            ("LedgerTable", self.worker.tables.ledger.table_name, "Where answers are read"),
            ("PayloadsBucketName", self.worker.bucket.bucket_name, "Large requests and answers"),
            ("ClusterName", self.worker.cluster.cluster_name, "Where the workers run"),
            ("ServiceName", self.worker.fleet.service_name, "The workers' service"),
            ("SubnetId", vpc.select_subnets().subnet_ids[0], "One of theirs"),
            ("SecurityGroupId", self.worker.door.security_group_id, "Theirs"),
            ("LogGroupName", self.worker.log_group.log_group_name, "Where they log"),
            ("TaskRoleArn", self.worker.task_role.role_arn, "Whom others' queues may let in"),
        ):
            CfnOutput(self, name, value=value, description=what)

    def _name_what_is_kept(self) -> None:
        """Give what holds jobs an id that no change of this code moves: it would be replaced."""
        queues, tables = self.worker.queues, self.worker.tables
        for name, one in {
            "JobsQueue": queues.jobs,
            "ParkedQueue": queues.parked,
            "DeadQueue": queues.dead,
            "LedgerTable": tables.ledger,
            "BreakersTable": tables.breakers,
            "CacheTable": tables.cache,
            "PayloadsBucket": self.worker.bucket,
        }.items():
            one.node.default_child.override_logical_id(name)

    def _either(self, empty: str, list_: Any, else_: list[str]) -> list[str]:
        """What a parameter lists, or `else_` where it lists nothing: the condition `empty`."""
        nothing = Fn.condition_equals(Fn.join("", list_.value_as_list), "")
        condition = CfnCondition(self, empty, expression=nothing)
        made: list[str] = Token.as_list(
            Fn.condition_if(condition.logical_id, else_, list_.value_as_list)
        )
        return made

    def _parameter(self, name: str, description: str, **more: Any) -> Any:
        return CfnParameter(self, name, description=description, **({"type": "String"} | more))
