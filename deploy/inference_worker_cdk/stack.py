"""The stack of template.json: an `InferenceWorker` in a network of its own; and its dashboard.

What differs between accounts is a parameter, so the synthesized template is the same
everywhere: it needs no bootstrap, carries no assets and names no account.
"""

from typing import Any, Final

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
from aws_cdk import aws_sns as sns
from constructs import Construct

from inference_worker_cdk.alarm_kinds import USUAL, Thresholds
from inference_worker_cdk.alarms import Place
from inference_worker_cdk.dashboard import Dashboard
from inference_worker_cdk.network import Network, network
from inference_worker_cdk.worker import NAMESPACE, InferenceWorker

DRAWN: Final = ("ClusterName", "ServiceName", "LogGroupName")
"""Outputs that the dashboard's stack imports: CloudFormation finds these names itself."""
_ARN = "arn:[a-z-]+:bedrock:[a-z0-9-]*:[0-9]*:"


class Named(Stack):
    """A stack whose parts are named by where they stand, and by no hash.

    The CDK's hashes keep apart what might have one name; here nothing has, and a test would
    tell. What is shorter can be read, and fits into one request.
    """

    def _allocate_logical_id(self, cfn_element: Any) -> str:
        parts = [one for one in cfn_element.node.path.split("/")[1:] if one != "Resource"]
        return "".join(one for n, one in enumerate(parts) if n == 0 or one != parts[n - 1])


class InferenceWorkerStack(Named):
    """Queues, tables, bucket, network and workers. Its name is the fleet's name."""

    def __init__(self, scope: Construct, id_: str, *, preset: Network = Network.NAT) -> None:
        super().__init__(
            scope,
            id_,
            description="inference-worker: jobs from SQS, answers of Bedrock, each stored once",
            synthesizer=BootstraplessSynthesizer(),
        )
        image = self._parameter(
            "Image", "URI of the worker's image in ECR of this account and Region, for arm64."
        )
        model = self._parameter("ModelId", "What is called: a model id or an inference profile's.")
        models = self._parameter(
            "ModelArns",
            "Foundation models that may be called: of a profile, one for each Region it leads to.",
            type="CommaDelimitedList",
            allowed_pattern=f"{_ARN}(foundation|custom|imported|provisioned)-model/.+",
        )
        profiles = self._parameter(
            "ProfileArns",
            "Inference profiles that may be called, and then the models through them alone. "
            "Empty where the models are called themselves.",
            type="CommaDelimitedList",
            default="",
            allowed_pattern=f"({_ARN}(application-)?inference-profile/.+)?",
        )
        direct = CfnCondition(
            self,
            "CallsModelsThemselves",
            expression=Fn.condition_equals(Fn.join("", profiles.value_as_list), ""),
        )
        called = Fn.condition_if(direct.logical_id, models.value_as_list, profiles.value_as_list)
        tasks = self._parameter(
            "Tasks", "How many workers run.", type="Number", default=2, min_value=0
        )
        oldest = self._parameter(
            "OldestJobSeconds",
            "How long a job may wait in its queue before an alarm: half of its deadline.",
            type="Number",
            default=USUAL.oldest_job_s,
            min_value=1,
        )
        latency = self._parameter(
            "LatencyMilliseconds",
            "Answers slower than this, at the 95th percentile, are an alarm.",
            type="Number",
            default=USUAL.latency_ms,
            min_value=1,
        )
        called_by = self._parameter(
            "PageEmail",
            "Whom the two alarms that must call somebody write to; empty for nobody.",
            default="",
            allowed_pattern="([^@ ]+@[^@ ]+)?",
        )
        vpc = network(self, preset)
        self.worker = InferenceWorker(
            self,
            "Worker",
            service=Aws.STACK_NAME,
            image=image.value_as_string,
            model_id=model.value_as_string,
            model_arns=models.value_as_list,
            profile_arns=Token.as_list(called),
            vpc=vpc,
            tasks=tasks.value_as_number,
            at=Thresholds(oldest_job_s=oldest.value_as_number, latency_ms=latency.value_as_number),
        )
        self._name_what_is_kept()
        for name, alarm in self.worker.alarms.named.items():
            alarm.override_logical_id(f"Alarm{name}")
        for name, topic in (("PageTopic", self.worker.page), ("ChatTopic", self.worker.chat)):
            topic.node.default_child.override_logical_id(name)
        self._write_to(called_by)
        for name, value, what in (
            ("JobsQueueUrl", self.worker.queues.jobs.queue_url, "Where producers send jobs"),
            ("LedgerTable", self.worker.tables.ledger.table_name, "Where answers are read"),
            ("PayloadsBucketName", self.worker.bucket.bucket_name, "Large requests and answers"),
            ("ClusterName", self.worker.cluster.cluster_name, "Where the workers run"),
            ("ServiceName", self.worker.fleet.service_name, "The workers' service"),
            ("SubnetId", vpc.select_subnets().subnet_ids[0], "One of theirs"),
            ("SecurityGroupId", self.worker.door.security_group_id, "Theirs"),
            ("LogGroupName", self.worker.log_group.log_group_name, "Where they log"),
            ("PageTopicArn", self.worker.page.topic_arn, "What must call somebody"),
            ("ChatTopicArn", self.worker.chat.topic_arn, "What may be read later"),
        ):
            shared = f"{Aws.STACK_NAME}-{name}" if name in DRAWN else None
            CfnOutput(self, name, value=value, description=what, export_name=shared)

    def _write_to(self, address: Any) -> None:
        """Tell an address what pages; it must agree first, by the link in SNS's first mail."""
        given = CfnCondition(
            self,
            "SomebodyIsCalled",
            expression=Fn.condition_not(Fn.condition_equals(address.value_as_string, "")),
        )
        subscription = sns.CfnSubscription(
            self,
            "PageByEmail",
            topic_arn=self.worker.page.topic_arn,
            protocol="email",
            endpoint=address.value_as_string,
        )
        subscription.cfn_options.condition = given

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

    def _parameter(self, name: str, description: str, **more: Any) -> Any:
        return CfnParameter(self, name, description=description, **({"type": "String"} | more))


class DashboardStack(Named):
    """The dashboard of a stack, by that one's name.

    It is a stack of its own, for CloudFormation takes 51,200 bytes in one request, and both
    together are larger.
    """

    def __init__(self, scope: Construct, id_: str, *, of: str | None = None) -> None:
        super().__init__(
            scope,
            id_,
            description="inference-worker: the dashboard of one stack",
            synthesizer=BootstraplessSynthesizer(),
        )
        worker = CfnParameter(
            self, "Worker", description="Name of the stack whose dashboard it is.", default=of
        ).value_as_string

        def told(output: str) -> Any:
            return Fn.import_value(f"{worker}-{output}")

        queues = {
            role: Place(namespace="AWS/SQS", dimensions={"QueueName": f"{worker}-{role}"})
            for role in ("jobs", "parked", "dead")
        }
        tasks = {"ClusterName": told("ClusterName"), "ServiceName": told("ServiceName")}
        log = {"LogGroupName": told("LogGroupName")}
        places = queues | {
            "worker": Place(namespace=NAMESPACE, dimensions={"Service": worker}),
            "fleet": Place(namespace="ECS/ContainerInsights", dimensions=tasks),
            "log": Place(namespace="AWS/Logs", dimensions=log),
        }
        Dashboard(self, "Dashboard", service=worker, places=places)
