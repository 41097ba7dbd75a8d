"""A fleet of workers on Fargate, with everything that it needs.

The tasks write nothing to a disk, run as nobody, have no way in, and get 120 seconds to
stop. What replaces a task is its own health alone, never a model's: docs/health.md.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from aws_cdk import Aws, Duration, RemovalPolicy, Size
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from inference_worker_cdk import rights, stores
from inference_worker_cdk.alarm_kinds import USUAL, Thresholds
from inference_worker_cdk.alarms import Alarms, Place

LEASE_S: Final = 90  # `queue.lease_s`
STOP_S: Final = 120  # Fargate's most; `grace_s` is 100, and 10 more go to giving back and flushing
HEALTH_PORT: Final = 8081
NOBODY: Final = "65532:65532"  # as the image has it
NAMESPACE: Final = "InferenceWorker"  # `metrics.namespace`
_LOG_BUFFER: Final = Size.mebibytes(25)


class InferenceWorker(Construct):
    """Queues, tables, a bucket, and a service of workers.

    Args:
        scope: Where it belongs.
        id_: Its name there.
        service: Name of the fleet (`WORKER_SERVICE`), and what the names of queues and tables
            begin with.
        image: URI of the worker's image, for arm64. One of ECR, of this account and Region.
        model_id: What is called: `WORKER_MODEL__ID`.
        model_arns: Every foundation model that may be called, or that a profile leads to, in
            every Region that it leads to.
        profile_arns: Inference profiles that may be called. With any, the models can be called
            through them alone.
        vpc: Where the tasks live; see `network` for one of its own.
        tasks: How many.
        cpu: Of a task, in 1/1024 of a core.
        memory_mib: Of a task. Twice `bytes_max`, and 128.
        settings: Further variables of docs/settings.md. They win over ours.
        at: When the alarms ring.

    The parts are there for more: `queues`, `tables`, `bucket`, `cluster`, `fleet` (the service),
    `door` (its security group), `task_role`, `log_group`, `alarms`, the topics that these tell,
    `page` and `chat`, and `places`, where their metrics lie.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        service: str,
        image: str,
        model_id: str,
        model_arns: list[str],
        profile_arns: list[str],
        vpc: Any,
        tasks: int = 2,
        cpu: int = 512,
        memory_mib: int = 1024,
        settings: Mapping[str, str] = MappingProxyType({}),
        at: Thresholds = USUAL,
    ) -> None:
        super().__init__(scope, id_)
        self.queues = stores.queues(self, service, lease_s=LEASE_S)
        self.tables = stores.tables(self, service)
        self.bucket = stores.bucket(self)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.cluster = ecs.Cluster(
            self, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        self.task_role = self._role("TaskRole", "What a worker may do.")
        for statement in (
            *rights.of_stores(self.queues, self.tables, self.bucket),
            rights.of_task(self.cluster.cluster_name),
            *rights.of_models(model_arns, profile_arns),
        ):
            self.task_role.add_to_policy(statement)
        definition = self._definition(service, cpu, memory_mib)
        self._container(definition, image, self._ours(service, model_id) | {**settings})
        self.door = self._door(vpc)
        self.fleet = self._service(definition, tasks)
        namespace = settings.get("WORKER_METRICS__NAMESPACE", NAMESPACE)
        self.places = self._places(service, namespace)
        self.alarms = Alarms(self, "Alarm", service=service, places=self.places, at=at)
        self.page, self.chat = self.alarms.page, self.alarms.chat
        self._roll_back_for_our_faults()

    def grant_submit(self, grantee: Any) -> None:
        """Let a producer send jobs and read their answers: `worker.client`."""
        for statement in (
            rights.allow("SendJobs", rights.SENDS, self.queues.jobs.queue_arn),
            rights.allow("ReadAnswers", ("dynamodb:BatchGetItem",), self.tables.ledger.table_arn),
            rights.allow(
                "LargeOnes", rights.OBJECTS, self.bucket.arn_for_objects(f"{stores.PAYLOADS}*")
            ),
        ):
            grantee.grant_principal.add_to_principal_policy(statement)

    def _ours(self, service: str, model_id: str) -> dict[str, str]:
        """The settings that name what was made here. All others keep their defaults."""
        return {
            "AWS_DEFAULT_REGION": Aws.REGION,
            "WORKER_SERVICE": service,
            "WORKER_QUEUE__URL": self.queues.jobs.queue_url,
            "WORKER_QUEUE__PARKED_URL": self.queues.parked.queue_url,
            "WORKER_QUEUE__DEAD_URL": self.queues.dead.queue_url,
            "WORKER_LEDGER__TABLE": self.tables.ledger.table_name,
            "WORKER_BREAKER__TABLE": self.tables.breakers.table_name,
            "WORKER_CACHE__TABLE": self.tables.cache.table_name,
            "WORKER_PAYLOADS__BUCKET": self.bucket.bucket_name,
            "WORKER_MODEL__ID": model_id,
            "WORKER_HEALTH__PORT": str(HEALTH_PORT),
        }

    def _places(self, service: str, namespace: str) -> dict[str, Place]:
        queues = {"jobs": self.queues.jobs, "parked": self.queues.parked, "dead": self.queues.dead}
        of_queues = {
            role: Place(namespace="AWS/SQS", dimensions={"QueueName": one.queue_name})
            for role, one in queues.items()
        }
        tasks = {
            "ClusterName": self.cluster.cluster_name,
            "ServiceName": self.fleet.service_name,
        }
        log = {"LogGroupName": self.log_group.log_group_name}
        return of_queues | {
            "worker": Place(namespace=namespace, dimensions={"Service": service}),
            "fleet": Place(namespace="ECS/ContainerInsights", dimensions=tasks),
            "log": Place(namespace="AWS/Logs", dimensions=log),
        }

    def _roll_back_for_our_faults(self) -> None:
        """Take a deployment back whose runs die of errors of ours.

        For nothing else: a model that fails would roll back good workers, and keep its own
        cure from being deployed. By name, for alarms on the tasks name the service.
        """
        self.fleet.node.default_child.add_property_override(
            "DeploymentConfiguration.Alarms",
            {
                "AlarmNames": [self.alarms.named["UnhandledErrors"].ref],
                "Enable": True,
                "Rollback": True,
            },
        )

    def _role(self, name: str, description: str) -> Any:
        return iam.Role(
            self,
            name,
            description=description,
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            ),
        )

    def _definition(self, service: str, cpu: int, memory_mib: int) -> Any:
        pulls = self._role("ExecutionRole", "Pulls the image and writes the log, for ECS.")
        repositories = f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:{Aws.ACCOUNT_ID}:repository/*"
        pulls.add_to_policy(rights.allow("SignIn", ("ecr:GetAuthorizationToken",), "*"))
        pulls.add_to_policy(
            rights.allow(
                "Pull",
                (
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ),
                repositories,
            )
        )
        return ecs.FargateTaskDefinition(
            self,
            "Task",
            family=service,
            cpu=cpu,
            memory_limit_mib=memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            task_role=self.task_role,
            execution_role=pulls,
        )

    def _container(self, definition: Any, image: str, environment: dict[str, str]) -> None:
        linux = ecs.LinuxParameters(self, "Linux", init_process_enabled=True)
        linux.drop_capabilities(ecs.Capability.ALL)
        definition.add_container(
            "worker",
            image=ecs.ContainerImage.from_registry(image),
            essential=True,
            environment=dict(sorted(environment.items())),
            health_check=ecs.HealthCheck(
                command=["CMD", "inference-worker", "health"],
                interval=Duration.seconds(15),
                timeout=Duration.seconds(5),
                retries=3,
                start_period=Duration.seconds(30),
            ),
            linux_parameters=linux,
            # Blocking, a CloudWatch that is ill would hold up every worker.
            logging=ecs.LogDrivers.aws_logs(
                log_group=self.log_group,
                stream_prefix="worker",
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=_LOG_BUFFER,
            ),
            readonly_root_filesystem=True,
            stop_timeout=Duration.seconds(STOP_S),
            user=NOBODY,
        )

    def _door(self, vpc: Any) -> Any:
        door = ec2.SecurityGroup(
            self, "Door", vpc=vpc, description="No way in; HTTPS out.", allow_all_outbound=False
        )
        door.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "The services of AWS")
        return door

    def _service(self, definition: Any, tasks: int) -> Any:
        return ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=definition,
            desired_count=tasks,
            platform_version=ecs.FargatePlatformVersion.VERSION1_4,
            security_groups=[self.door],
            assign_public_ip=False,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
