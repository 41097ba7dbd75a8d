"""The breaker as a state machine, for who orchestrates in AWS: docs/stepfunctions.md.

It shares the tables and the queue of an `InferenceWorker` by their names, and needs none of its
tasks. Its log has no input and no output: a prompt is nobody's business there.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from aws_cdk import (
    Aws,
    BootstraplessSynthesizer,
    CfnOutput,
    CfnParameter,
    RemovalPolicy,
    Stack,
    Token,
)
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from inference_worker_cdk import rights

_HERE: Final = Path(__file__).parent
_NAME: Final = "breaker.asl.json"
_LOG_DELIVERY: Final = (
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
)
# The definition is JSON, and nobody says that CloudFormation escapes what it puts into it.
PLAIN: Final = r'[^"\\\x00-\x1f]*'
NONE: Final[Mapping[str, str]] = MappingProxyType({"target": "", "model_id": ""})


def definition() -> str:
    """The machine, with its places open: of the wheel, or of the source beside it."""
    packed, source = _HERE / _NAME, _HERE.parent / "statemachine" / _NAME
    found = packed if packed.exists() else source
    # CloudFormation counts every blank.
    return json.dumps(json.loads(found.read_text(encoding="utf-8")), separators=(",", ":"))


class InferenceStateMachine(Construct):
    """A state machine with its role and its log.

    Args:
        scope: Where it belongs.
        id_: Its name there.
        service: The fleet whose tables and queue it shares. Its own name is `<service>-breaker`.
        target: Whose breaker guards `model_id`: the workers' name of that target.
        model_id: What is called first: a model's id, or a profile's.
        model_arns: Every foundation model that may be called, in every Region.
        profile_arns: Inference profiles that may be called, and then the models through them.
        alternate: `target` and `model_id` of another model.
        elsewhere: The same of a profile that leads to other Regions.
        through: `direct`, or `queue` to leave every call to the workers.
        sorry: What is answered where nothing else can; empty for a failure.
        tracing: Whether X-Ray is told.

    The parts are there for more: `machine`, `role` and `log_group`.

    Raises:
        ValueError: A value has a quotation mark, a backslash or a line break in it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        service: str,
        target: str,
        model_id: str,
        model_arns: list[str],
        profile_arns: list[str],
        alternate: Mapping[str, str] = NONE,
        elsewhere: Mapping[str, str] = NONE,
        through: str = "direct",
        sorry: str = "",
        tracing: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        name = f"{service}-breaker"

        def arn(kind: str, what: str) -> str:
            return f"arn:{Aws.PARTITION}:{kind}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{what}"

        breakers = arn("dynamodb", f"table/{service}-breakers")
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.role = iam.Role(
            self,
            "Role",
            description="What the state machine may do.",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            ),
        )
        for statement in (
            rights.allow(
                "Breakers",
                ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"),
                breakers,
            ),
            rights.allow(
                "Cache",
                ("dynamodb:GetItem",),
                arn("dynamodb", f"table/{service}-cache"),
            ),
            rights.allow("SendJobs", rights.SENDS, arn("sqs", f"{service}-jobs")),
            rights.allow(
                "Errands", ("states:StartExecution",), arn("states", f"stateMachine:{name}")
            ),
            rights.allow("DeliverLogs", _LOG_DELIVERY, "*"),
            *(
                (rights.allow("Trace", ("xray:PutTraceSegments", "xray:PutTelemetryRecords"), "*"),)
                if tracing
                else ()
            ),
            *rights.of_models(model_arns, profile_arns, calls=("bedrock:InvokeModel",)),
        ):
            self.role.add_to_policy(statement)
        places = {
            "Service": service,
            "Machine": f"machine:{name}",
            "BreakersTable": f"{service}-breakers",
            "CacheTable": f"{service}-cache",
            "JobsQueueUrl": f"https://sqs.{Aws.REGION}.{Aws.URL_SUFFIX}/{Aws.ACCOUNT_ID}/{service}-jobs",
            "Through": through,
            "Target": target,
            "ModelId": model_id,
            "AlternateTarget": alternate["target"],
            "AlternateModelId": alternate["model_id"],
            "ElsewhereTarget": elsewhere["target"],
            "ElsewhereModelId": elsewhere["model_id"],
            "Sorry": sorry,
        }
        for place, value in places.items():
            if not Token.is_unresolved(value) and not re.fullmatch(PLAIN, value):
                msg = f"{place}: no quotation marks, backslashes or line breaks: it goes into JSON"
                raise ValueError(msg)
        self.machine = sfn.CfnStateMachine(
            self,
            "Machine",
            state_machine_name=name,
            state_machine_type="STANDARD",
            role_arn=self.role.role_arn,
            definition_string=definition(),
            definition_substitutions=places,
            logging_configuration=sfn.CfnStateMachine.LoggingConfigurationProperty(
                level="ERROR",
                include_execution_data=False,
                destinations=[
                    sfn.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=(
                            sfn.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                                log_group_arn=self.log_group.log_group_arn
                            )
                        )
                    )
                ],
            ),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(enabled=tracing),
        )
        # A machine whose role may do nothing yet fails its first executions.
        self.machine.node.add_dependency(self.role.node.find_child("DefaultPolicy"))

    def grant_start(self, grantee: Any) -> None:
        """Let somebody start executions and see what came of them."""
        grantee.grant_principal.add_to_principal_policy(
            rights.allow("StartJobs", ("states:StartExecution",), self.machine.attr_arn)
        )


class InferenceStateMachineStack(Stack):
    """The stack of template.statemachine.json: the machine beside the stack of a fleet."""

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(
            scope,
            id_,
            description="inference-worker: its circuit breaker as a state machine",
            synthesizer=BootstraplessSynthesizer(),
        )

        def given(name: str, says: str, **more: Any) -> Any:
            kind = {"type": "String"}
            if not more.keys() & {"type", "allowed_values"}:
                kind["allowed_pattern"] = PLAIN
            return CfnParameter(self, name, description=says, **(kind | more))

        service = given("Service", "The fleet's name: that of its stack.")
        model = given("ModelId", "What is called first: a model's id, or an inference profile's.")
        models = given(
            "ModelArns",
            "Models and inference profiles that may be called, each model in every "
            "Region that a profile leads to.",
            type="CommaDelimitedList",
        )
        target = given("Target", "The workers' name of the first target.", default="default")
        alternate = {
            "target": given("AlternateTarget", "The name of another target.", default=""),
            "model_id": given("AlternateModelId", "Its model, if there is one.", default=""),
        }
        elsewhere = {
            "target": given("ElsewhereTarget", "A target in other Regions.", default=""),
            "model_id": given("ElsewhereModelId", "The profile that leads there.", default=""),
        }
        through = given(
            "Through",
            "Who calls the model.",
            default="direct",
            allowed_values=["direct", "queue"],
        )
        sorry = given("Sorry", "The answer where there is none; empty to fail.", default="")
        made = InferenceStateMachine(
            self,
            "Breaker",
            service=service.value_as_string,
            target=target.value_as_string,
            model_id=model.value_as_string,
            model_arns=models.value_as_list,
            profile_arns=[],
            alternate={key: one.value_as_string for key, one in alternate.items()},
            elsewhere={key: one.value_as_string for key, one in elsewhere.items()},
            through=through.value_as_string,
            sorry=sorry.value_as_string,
        )
        made.machine.override_logical_id("Machine")
        CfnOutput(self, "StateMachineArn", value=made.machine.attr_arn, description="What to start")
