"""The templates are those of the code, and the code is what workers need.

The CDK code imports nothing of the worker's, so that it can be had alone; what both must say
alike is held here.
"""

import json
import re
from pathlib import Path

import pytest

from tests.deploy.template import (
    DASHBOARD,
    DEPLOY,
    FILES,
    ROOT,
    Template,
    container,
    listed,
    of_type,
    plain,
    properties,
    statements,
    strings,
)
from worker.aws.dead_letters import DEAD_INDEX_KEYS, dead_index
from worker.aws.payloads import PREFIX
from worker.cli.doctor import queues as doctor_queues
from worker.cli.doctor import rights as doctor_rights
from worker.cli.doctor.host import FARGATE_STOP_MAX_S, STOP_MARGIN_S
from worker.cli.doctor.tables import BREAKERS, CACHE, LEDGER, TableKind
from worker.settings import load

GIVEN = {"AWS::StackName": "chat", "AWS::Partition": "aws", "AWS::Region": "eu-west-1"}
HERE = GIVEN | {"AWS::AccountId": "123456789012"}


@pytest.mark.parametrize("name", [*FILES, DASHBOARD])
def test_the_committed_template_is_what_the_code_makes(name: str, synthesized: Path) -> None:
    made = (synthesized / name).read_bytes()

    assert made == (DEPLOY / name).read_bytes(), "deploy/ has changed: run `make template`"


def test_a_template_needs_no_bootstrap_and_no_assets(template: Template) -> None:
    strange = re.compile(r"[Bb]ootstrap|cdk-|CDKMetadata|inference-(nat|isolated)|\d{12}")

    assert not [one for one in strings(template) if strange.search(one)]
    assert "Rules" not in template
    assert set(template["Parameters"]) == {
        "Image",
        "ModelId",
        "ModelArns",
        "ProfileArns",
        "Tasks",
        "OldestJobSeconds",
        "LatencyMilliseconds",
        "PageEmail",
    }


def test_what_is_named_says_where_it_stands(template: Template) -> None:
    """No hash, so that a reader finds it; and one name for one thing, whatever it is."""
    names = [name for part in ("Parameters", "Conditions", "Resources") for name in template[part]]

    assert not [one for one in names if re.search(r"[0-9A-F]{8}$", one)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", [*FILES, DASHBOARD])
def test_a_template_can_be_sent_in_one_request(name: str) -> None:
    assert (DEPLOY / name).stat().st_size < 51_200  # beyond it has to lie in a bucket


# --- queues, tables, bucket ----------------------------------------------------------


def test_every_queue_is_encrypted_and_speaks_tls_only(template: Template) -> None:
    found = of_type(template, "AWS::SQS::Queue")
    denied = {
        plain(one["Properties"]["Queues"], {})[0]: one["Properties"]["PolicyDocument"]["Statement"]
        for one in of_type(template, "AWS::SQS::QueuePolicy").values()
    }

    assert set(found) == {"JobsQueue", "ParkedQueue", "DeadQueue"}
    assert set(denied) == set(found)
    for name, one in found.items():
        assert one["Properties"]["SqsManagedSseEnabled"] is True
        assert one["Properties"]["MaximumMessageSize"] == doctor_queues.MESSAGE_BYTES
        assert one["DeletionPolicy"] == one["UpdateReplacePolicy"] == "Retain"
        (statement,) = denied[name]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "sqs:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_queues_hold_what_the_settings_and_the_docs_promise(template: Template) -> None:
    found = {name: one["Properties"] for name, one in of_type(template, "AWS::SQS::Queue").items()}
    settings = load(
        {"WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/1/chat-jobs"} | MODEL
    )
    (route,) = settings.all_routes().values()
    dead_s = found["DeadQueue"]["MessageRetentionPeriod"]

    for role in ("JobsQueue", "ParkedQueue"):
        one = found[role]
        assert one["VisibilityTimeout"] == settings.queue.lease_s
        assert route.park_max_s <= one["MessageRetentionPeriod"] <= settings.ledger.keep_s
        assert one["MessageRetentionPeriod"] < dead_s
        assert one["RedrivePolicy"]["maxReceiveCount"] == doctor_queues.RECEIVES
        assert plain(one["RedrivePolicy"]["deadLetterTargetArn"], {}) == "DeadQueue.Arn"
    assert dead_s == doctor_queues.RETENTION_MAX_S
    assert "RedrivePolicy" not in found["DeadQueue"]


def test_the_dead_letter_queue_takes_from_these_two_alone(template: Template) -> None:
    found = {name: one["Properties"] for name, one in of_type(template, "AWS::SQS::Queue").items()}
    allowed = plain(found["DeadQueue"]["RedriveAllowPolicy"], HERE)

    names = [plain(found[role]["QueueName"], HERE) for role in ("JobsQueue", "ParkedQueue")]
    assert allowed == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:aws:sqs:eu-west-1:123456789012:{name}" for name in names],
    }


@pytest.mark.parametrize(
    ("name", "kind"), [("LedgerTable", LEDGER), ("BreakersTable", BREAKERS), ("CacheTable", CACHE)]
)
def test_each_table_is_what_doctor_asks_for(template: Template, name: str, kind: TableKind) -> None:
    one = template["Resources"][name]
    made = one["Properties"]
    types = {row["AttributeName"]: row["AttributeType"] for row in made["AttributeDefinitions"]}
    indexed = DEAD_INDEX_KEYS if kind.index else {}

    keys = [(row["AttributeName"], row["KeyType"]) for row in made["KeySchema"]]
    assert tuple(keys) == kind.keys
    assert types == dict.fromkeys((key for key, _ in kind.keys), "S") | indexed
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    recovers = made["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert (recovers, made["DeletionProtectionEnabled"]) == (kind.precious, kind.precious)
    assert (one["DeletionPolicy"] == "Retain") is kind.precious
    assert made.get("GlobalSecondaryIndexes", []) == ([dead_index()] if kind.index else [])


def test_the_bucket_is_private_and_forgets(template: Template) -> None:
    ((name, one),) = of_type(template, "AWS::S3::Bucket").items()
    made = one["Properties"]
    policy = properties(template, "AWS::S3::BucketPolicy")

    assert all(made["PublicAccessBlockConfiguration"].values())
    assert len(made["PublicAccessBlockConfiguration"]) == 4
    assert "BucketEncryption" in made
    rules = {rule["Id"]: rule for rule in made["LifecycleConfiguration"]["Rules"]}
    assert (rules["old-payloads"]["Prefix"], rules["old-payloads"]["ExpirationInDays"]) == (
        PREFIX,
        30,
    )
    assert "Prefix" not in rules["unfinished"]
    assert plain(policy["Bucket"], {}) == name
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert one["DeletionPolicy"] == "Retain"


# --- rights --------------------------------------------------------------------------


def test_a_worker_may_do_what_doctor_tries_and_no_more(template: Template) -> None:
    """`worker/cli/doctor/rights.py` lists what workers do; a right here is one of that list."""
    granted = statements(template, "TaskRole")

    def tried(*, receives: bool, sends: bool) -> set[str]:
        return set(doctor_rights.of_queue(SQS, "", receives=receives, sends=sends))

    def of(sid: str) -> tuple[set[str], list[str]]:
        one = granted.pop(sid)
        assert one["Effect"] == "Allow"
        return set(listed(one["Action"])), [*listed(plain(one["Resource"], HERE))]

    taken = tried(receives=True, sends=False)
    assert of("TakeJobs") == (taken, ["JobsQueue.Arn", "ParkedQueue.Arn"])
    sent = tried(receives=False, sends=True)
    assert of("ParkAndGiveUp") == (sent, ["ParkedQueue.Arn", "DeadQueue.Arn"])
    for sid, kind in (("Ledger", LEDGER), ("Breakers", BREAKERS), ("Cache", CACHE)):
        assert of(sid) == ({f"dynamodb:{action}" for action in kind.rights}, [f"{sid}Table.Arn"])
    objects = set(doctor_rights.of_bucket(SQS, "", writes=True))
    assert of("Payloads") == (objects, [f"PayloadsBucket.Arn/{PREFIX}*"])
    assert {granted.pop(sid)["Effect"] for sid in [*granted] if sid.startswith("LookAt")} == {
        "Allow"
    }
    actions, (where,) = of("ProtectItself")
    assert actions == {"ecs:UpdateTaskProtection"}
    assert re.fullmatch(r"arn:aws:ecs:eu-west-1:123456789012:task/WorkerCluster/\*", where)
    assert set(granted) == {"CallProfiles", "CallModelsThroughProfiles"}


def test_what_looks_changes_nothing(template: Template) -> None:
    looks = [
        action
        for sid, one in statements(template, "TaskRole").items()
        if sid.startswith("LookAt")
        for action in listed(one["Action"])
    ]

    assert len(looks) == 7
    assert all(re.match(r"\w+:(Get|List|Describe)", action) for action in looks)
    assert "s3:GetObject" not in looks


def test_models_are_called_through_their_profile_alone(template: Template) -> None:
    granted = statements(template, "TaskRole")
    direct, through = granted["CallProfiles"], granted["CallModelsThroughProfiles"]
    called = {"Fn::If": ["CallsModelsThemselves", {"Ref": "ModelArns"}, {"Ref": "ProfileArns"}]}

    assert direct["Resource"] == called
    assert through["Resource"] == {"Ref": "ModelArns"}
    assert through["Condition"] == {"StringLike": {"bedrock:InferenceProfileArn": called}}
    for one in (direct, through):
        assert one["Action"] == [
            "bedrock:InvokeModel",
            "bedrock:InvokeModelWithResponseStream",
        ]


# --- the task ------------------------------------------------------------------------


def test_the_task_writes_nowhere_and_is_nobody(template: Template) -> None:
    one = container(template)
    user = re.search(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert one["ReadonlyRootFilesystem"] is True
    assert user is not None
    assert one["User"] == user[1]
    assert one["LinuxParameters"] == {"Capabilities": {"Drop": ["ALL"]}, "InitProcessEnabled": True}
    assert "MountPoints" not in one
    assert "Secrets" not in one
    definition = properties(template, "AWS::ECS::TaskDefinition")
    assert definition["RuntimePlatform"]["CpuArchitecture"] == "ARM64"
    assert "Volumes" not in definition


def test_the_stop_is_as_long_as_the_grace_needs(template: Template) -> None:
    stop_s = container(template)["StopTimeout"]

    assert load(QUEUE | MODEL).grace_s + STOP_MARGIN_S <= stop_s == FARGATE_STOP_MAX_S


def test_health_is_asked_as_the_docs_say(template: Template) -> None:
    page = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
    (block,) = re.findall(r'^"healthCheck": (\{.*?^\})', page, re.MULTILINE | re.DOTALL)
    told = {key[0].upper() + key[1:]: value for key, value in json.loads(block).items()}

    assert container(template)["HealthCheck"] == told


def test_a_log_that_is_ill_holds_up_no_job(template: Template) -> None:
    options = container(template)["LogConfiguration"]["Options"]

    assert options["mode"] == "non-blocking"
    assert options["max-buffer-size"] == f"{25 * 1024 * 1024}b"
    assert properties(template, "AWS::Logs::LogGroup")["RetentionInDays"] == 30


def test_the_environment_is_settings_that_a_worker_takes(template: Template) -> None:
    given = HERE | URLS | {"PayloadsBucket": "chat-payloads"}
    rows = container(template)["Environment"]
    environment = {row["Name"]: plain(row["Value"], given) for row in rows}
    settings = load(environment)
    tables = (settings.ledger_table, settings.breakers_table)

    assert settings.service == "chat"
    assert tables == ("LedgerTable", "BreakersTable")
    assert settings.cache.table == "CacheTable"
    assert settings.payloads.bucket == "chat-payloads"
    assert settings.queue.dead_url == URLS["DeadQueue"]
    assert environment["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_names_are_those_that_settings_would_guess(template: Template) -> None:
    """So an operator's command needs the name of the fleet and the URL of one queue."""
    settings = load({**QUEUE, **MODEL, "WORKER_SERVICE": "chat"})
    names = {
        name: plain(one["Properties"]["TableName"], HERE)
        for name, one in of_type(template, "AWS::DynamoDB::Table").items()
    }

    assert names == {
        "LedgerTable": settings.ledger_table,
        "BreakersTable": settings.breakers_table,
        "CacheTable": "chat-cache",
    }
    assert plain(template["Resources"]["JobsQueue"]["Properties"]["QueueName"], HERE) == "chat-jobs"


def test_a_deployment_that_fails_goes_back_and_takes_no_worker_away(template: Template) -> None:
    service = properties(template, "AWS::ECS::Service")
    how = service["DeploymentConfiguration"]

    assert how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (how["MinimumHealthyPercent"], how["MaximumPercent"]) == (100, 200)
    assert service["LaunchType"] == "FARGATE"
    assert "EnableExecuteCommand" not in service  # a read-only root knows no such way in


# --- the network ---------------------------------------------------------------------


def test_nobody_comes_in(template: Template) -> None:
    service = properties(template, "AWS::ECS::Service")
    where = service["NetworkConfiguration"]["AwsvpcConfiguration"]
    ((door,),) = [plain(where["SecurityGroups"], {})]
    made = template["Resources"][door.removesuffix(".GroupId")]["Properties"]

    assert where["AssignPublicIp"] == "DISABLED"
    assert "SecurityGroupIngress" not in made
    assert [(one["FromPort"], one["ToPort"]) for one in made["SecurityGroupEgress"]] == [(443, 443)]
    assert not of_type(template, "AWS::EC2::SecurityGroupIngress")


def test_the_isolated_network_has_no_way_out_and_all_that_workers_ask(
    templates: dict[str, Template],
) -> None:
    alone, way = templates["template.isolated.json"], templates["template.json"]

    def ends(one: Template) -> set[str]:
        return {
            plain(each["Properties"]["ServiceName"], GIVEN).partition(".eu-west-1.")[2]
            for each in of_type(one, "AWS::EC2::VPCEndpoint").values()
        }

    assert ends(way) == {"s3", "dynamodb"}
    assert ends(alone) == {"s3", "dynamodb", "sqs", "logs", "bedrock-runtime"} | {
        "ecr.api",
        "ecr.dkr",
    }
    for kind in ("AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::Route"):
        assert not of_type(alone, kind)
    assert len(of_type(way, "AWS::EC2::NatGateway")) == 1


class _Sqs:
    """Clients whose methods are named and never called."""

    def __getattr__(self, name: str) -> object:
        return print


SQS = _Sqs()
MODEL = {"WORKER_MODEL__ID": "some.model-v1:0"}
QUEUE = {"WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"}
URLS = {
    f"{role.capitalize()}Queue": f"https://sqs.eu-west-1.amazonaws.com/123456789012/chat-{role}"
    for role in ("jobs", "parked", "dead")
}
