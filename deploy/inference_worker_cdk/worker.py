"""A fleet of workers on Fargate, with everything that it needs.

The tasks write nothing to a disk, run as nobody, have no way in, and get 120 seconds to
stop. What replaces a task is its own health alone, never a model's: docs/health.md.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from aws_cdk import Aws, Duration, Size
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from inference_worker_cdk import rights, stores
from inference_worker_cdk.alarm_kinds import USUAL, Thresholds
from inference_worker_cdk.alarms import Alarms, Place
from inference_worker_cdk.scaling import Bounds, Scaling

LEASE_S: Final = 90  # `queue.lease_s`
STOP_S: Final = 120  # Fargate's most; `grace_s` is 100, and 10 more go to giving back and flushing
HEALTH_PORT: Final = 8081
SLOTS: Final = "32"  # `slots`
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
        profile_arns: Inference profiles that may be called. With any, the models of `model_arns`
            can be called through them alone.
        other_model_arns: Models that are called themselves, where profiles are called, too.
        vpc: Where the tasks live; see `network` for one of its own.
        tasks_min: How many run when there is nothing to do; with 0 the first job after a rest waits
            for minutes.
        tasks_max: How many run at most.
        waiting_per_task: How many jobs may wait for each; see docs/scaling.md.
        spot_weight: Of those beyond the first, so many run on Spot for each one that does not.
        cpu: Of a task, in 1/1024 of a core.
        memory_mib: Of a task. Twice `bytes_max`, and 128.
        answers_state_machines: Whether jobs may come with the task token of a state machine,
            which workers answer (docs/task-tokens.md).
        settings: Further variables of docs/settings.md. They win over ours.
        at: When the alarms ring.

    The parts are there for more: `queues`, `tables`, `bucket`, `cluster`, `fleet` (the service),
    `door` (its security group), `task_role`, `log_group`, `scaling`, `alarms`, the topics that
    these tell, `page` and `chat`, and `places`, where their metrics lie.

    Raises:
        ValueError: There is no such number of tasks, or the least is above the most.
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
        tasks_min: int = 1,
        tasks_max: int = 10,
        waiting_per_task: float = 192,
        spot_weight: int = 0,
        other_model_arns: Sequence[str] = (),
        cpu: int = 512,
        memory_mib: int = 1024,
        answers_state_machines: bool = False,
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
            removal_policy=stores.STAYS,
        )
        self.cluster = ecs.Cluster(
            self, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        self.task_role = self._role("TaskRole", "What a worker may do.")
        for statement in (
            *rights.of_stores(self.queues, self.tables, self.bucket),
            rights.of_task(self.cluster.cluster_name),
            *rights.of_models(model_arns, profile_arns, other_model_arns),
        ):
            self.task_role.add_to_policy(statement)
        ours = self._ours(service, model_id)
        if answers_state_machines:
            self.task_role.add_to_policy(rights.of_tasks())
            ours["WORKER_TASK_TOKENS"] = "true"
        definition = self._definition(service, cpu, memory_mib)
        environment = ours | {**settings}
        self._container(definition, image, environment)
        self.door = self._door(vpc)
        self.fleet = self._service(definition, spot_weight)
        namespace = environment.get("WORKER_METRICS__NAMESPACE", NAMESPACE)
        self.scaling = Scaling(
            self,
            "Scaling",
            cluster=self.cluster.cluster_name,
            fleet=self.fleet.service_name,
            service=environment["WORKER_SERVICE"],
            namespace=namespace,
            queues=self.queues,
            bounds=Bounds(
                tasks_min=tasks_min,
                tasks_max=tasks_max,
                slots=environment.get("WORKER_SLOTS", SLOTS),
                waiting_per_task=waiting_per_task,
            ),
        )
        self.places = self._places(environment["WORKER_SERVICE"], namespace)
        self.alarms = Alarms(
            self,
            "Alarm",
            service=service,
            places=self.places,
            at=at,
            tasks_min=tasks_min,
            to_zero=self.scaling.to_zero,
        )
        self.page, self.chat = self.alarms.page, self.alarms.chat
        self._roll_back_for_our_faults()
        self._order(vpc, definition)

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

    def _order(self, vpc: Any, definition: Any) -> None:
        """First the network, then the cluster, then what needs it; a deletion goes the other way.

        A task that starts before its way out is there cannot be pulled, and three of them fail
        the stack; one that drains after the way has gone could not settle its jobs.
        """
        self.cluster.node.add_dependency(vpc)
        self.fleet.node.add_dependency(definition.execution_role)
        for protected in (self.tables.ledger, self.tables.breakers):
            protected.node.add_dependency(self.cluster)

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

    def _service(self, definition: Any, spot_weight: int) -> Any:
        """The service, without a desired count: a deployment would set it back."""
        providers = ecs.CfnClusterCapacityProviderAssociations(
            self,
            "Providers",
            cluster=self.cluster.cluster_name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            default_capacity_provider_strategy=[],
        )
        one = ecs.CapacityProviderStrategy
        fleet = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=definition,
            capacity_provider_strategies=[
                one(capacity_provider="FARGATE", base=1, weight=1),
                one(capacity_provider="FARGATE_SPOT", weight=spot_weight),
            ],
            platform_version=ecs.FargatePlatformVersion.VERSION1_4,
            security_groups=[self.door],
            assign_public_ip=False,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        fleet.node.add_dependency(providers)  # by name alone it would be created before them
        return fleet
