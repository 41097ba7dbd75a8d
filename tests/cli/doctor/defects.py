"""What is made wrong, and what doctor must say of it: a table, and how each is done."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.cli.doctor.room import Room
from worker.cli.doctor.finding import Level
from worker.local.faults import Delay, Rule
from worker.local.outcomes import Fail, Hang

RED, YELLOW = Level.RED, Level.YELLOW
Break = Callable[[Room], Awaitable[object]]


@dataclass(frozen=True)
class Defect:
    """One thing that is made wrong, and what doctor must say of it.

    `fix` is in the finding's fix or command; `mends` whether applying the command heals it.
    """

    name: str
    level: Level
    of: str
    says: str
    fix: str
    break_: Break
    mends: bool = True
    settings: dict[str, str] = field(default_factory=dict)


def attributes(role: str, **given: str) -> Break:
    return lambda room: room.sqs.set_queue_attributes(
        QueueUrl=getattr(room.there, f"{role}_url"), Attributes=given
    )


def redrive(receives: int, to: str = "dead") -> Break:
    async def break_(room: Room) -> None:
        arn = getattr(room.there, f"{to}_arn")
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        await attributes("jobs", RedrivePolicy=policy)(room)

    return break_


def no_queue(role: str) -> Break:
    return lambda room: room.sqs.delete_queue(QueueUrl=getattr(room.there, f"{role}_url"))


def allow(**policy: Any) -> Break:
    return attributes("dead", RedriveAllowPolicy=json.dumps(policy))


def no_table(name: str) -> Break:
    return lambda room: room.dynamodb.delete_table(TableName=name)


async def another_ledger(room: Room, **more: Any) -> None:
    await room.dynamodb.delete_table(TableName="chat-jobs")
    plain = {
        "KeySchema": [{"AttributeName": "job", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "job", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    await room.dynamodb.create_table(TableName="chat-jobs", **(plain | more))


async def numbered(room: Room) -> None:
    await another_ledger(
        room, AttributeDefinitions=[{"AttributeName": "job", "AttributeType": "N"}]
    )


async def no_ttl(room: Room) -> None:
    await room.dynamodb.update_time_to_live(
        TableName="chat-jobs",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"},
    )


async def provisioned(room: Room) -> None:
    await room.dynamodb.update_table(
        TableName="chat-breakers",
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )


def refused(operation: str, code: str = "AccessDenied", status: int = 403) -> Break:
    async def break_(room: Room) -> None:
        room.refuse(operation, code, status)

    return break_


def model(outcome: Any, region: str = "*") -> Break:
    async def break_(room: Room) -> None:
        room.model(outcome, region)

    return break_


def environ(**given: str | None) -> Break:
    async def break_(room: Room) -> None:
        for name, value in given.items():
            room.environ.pop(name, None)
            if value is not None:
                room.environ[name] = value

    return break_


def ahead(seconds: float) -> Break:
    async def break_(room: Room) -> None:
        room.ahead_s = seconds

    return break_


async def another_region(room: Room) -> None:
    url = room.environ["WORKER_QUEUE__URL"]
    account, name = url.rsplit("/", 2)[1:]
    room.environ["WORKER_QUEUE__URL"] = f"https://sqs.eu-central-1.amazonaws.com/{account}/{name}"


async def no_reply_queue(room: Room) -> None:
    url = room.environ["WORKER_QUEUE__URL"]
    room.environ["WORKER_REPLIES__BILLING"] = url.replace("chat-jobs", "chat-nowhere")


async def not_aws(room: Room) -> None:
    """Something that answers, and knows no queues: the stack's own control plane."""
    room.environ["AWS_ENDPOINT_URL_SQS"] = f"{room.stack.url}/_local/nothing"


async def silent_queues(room: Room) -> None:
    room.limits = replace(room.limits, question_s=0.3)
    room.stack.faults.set_rules([Rule("sqs:*", Delay(30.0))])


async def silent_model(room: Room) -> None:
    room.limits = replace(room.limits, question_s=1.0)
    room.model(Hang())


IAM = (
    "User: arn:aws:sts::111122223333:assumed-role/worker/1 is not authorized to perform: "
    "bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x"
)
INVALID = Fail("ValidationException", "The provided model identifier is invalid.")
Q, T, B, M = "queue chat-", "table chat-", "bucket chat-payloads", "target default"

DEFECTS = (
    # --- queues
    Defect("no jobs queue", RED, Q + "jobs", "does not exist", "create-queue", no_queue("jobs")),
    Defect("no parked queue", RED, Q + "parked", "does not", "-parked", no_queue("parked")),
    Defect(
        "no dead queue", RED, Q + "dead", "does not", "--queue-name chat-dead", no_queue("dead")
    ),
    Defect(
        "jobs are kept too short",
        RED,
        Q + "jobs",
        "a job may wait for 1 d",
        "MessageRetentionPeriod",
        attributes("jobs", MessageRetentionPeriod="600"),
    ),
    Defect(
        "parked jobs are kept too short",
        RED,
        Q + "parked",
        "a job may wait for 3 d",
        "chat-parked",
        attributes("parked", MessageRetentionPeriod="172800"),
        settings={
            "WORKER_ROUTES__DEFAULT__TARGETS": "default",
            "WORKER_ROUTES__DEFAULT__PARK_MAX_S": "259200",
        },
    ),
    Defect(
        "gives up at once", RED, Q + "jobs", "maxReceiveCount is 1", "RedrivePolicy", redrive(1)
    ),
    Defect(
        "never gives up",
        YELLOW,
        Q + "parked",
        "no redrive policy",
        "chat-dead",
        attributes("parked", RedrivePolicy=""),
    ),
    Defect(
        "gives up elsewhere",
        YELLOW,
        Q + "jobs",
        "another queue than chat-dead",
        "chat-dead",
        redrive(100, to="parked"),
    ),
    Defect(
        "visibility below the lease",
        YELLOW,
        Q + "jobs",
        "visibility timeout of 30 s, below queue.lease_s (90 s)",
        '"VisibilityTimeout":"90"',
        attributes("jobs", VisibilityTimeout="30"),
    ),
    Defect(
        "small messages only",
        YELLOW,
        Q + "dead",
        "small messages only",
        "1048576",
        attributes("dead", MaximumMessageSize="262144"),
    ),
    Defect(
        "not encrypted",
        YELLOW,
        Q + "jobs",
        "not encrypted",
        "SqsManagedSseEnabled",
        attributes("jobs", SqsManagedSseEnabled="false"),
    ),
    Defect(
        "jobs are hidden",
        YELLOW,
        Q + "jobs",
        "hides each job for its first 60 s",
        '"DelaySeconds":"0"',
        attributes("jobs", DelaySeconds="60"),
    ),
    Defect(
        "dead letters die before their time",
        RED,
        Q + "dead",
        "shorter than the queue they come from",
        "1209600",
        attributes("dead", MessageRetentionPeriod="86400"),
    ),
    Defect(
        "allow policy denies",
        RED,
        Q + "dead",
        "takes nothing from chat-jobs, chat-parked",
        "byQueue",
        allow(redrivePermission="denyAll"),
    ),
    Defect(
        "allow policy names others",
        RED,
        Q + "dead",
        "its redrive allow policy is byQueue",
        ":other",
        allow(redrivePermission="byQueue", sourceQueueArns=["arn:aws:sqs:us-east-1:1:other"]),
    ),
    Defect(
        "duplicates outlive the ledger",
        YELLOW,
        Q + "jobs",
        "longer than the ledger",
        "WORKER_LEDGER__KEEP_S=1209600",
        environ(WORKER_LEDGER__KEEP_S="604800"),
    ),
    Defect(
        "no reply queue",
        RED,
        "queue chat-nowhere",
        "the reply queue chat-nowhere does not exist",
        "create-queue --queue-name chat-nowhere",
        no_reply_queue,
    ),
    Defect(
        "no reply queue in another account",
        RED,
        "queue nowhere",
        "the reply queue nowhere does not exist",
        "names the account 111122223333, and AWS takes us for one of ",
        environ(WORKER_REPLIES__BILLING="http://127.0.0.1:1/111122223333/nowhere"),
        mends=False,  # it is theirs to make
    ),
    Defect(
        "queue of another Region",
        RED,
        Q + "jobs",
        "is in eu-central-1, and the SDK's Region is us-east-1",
        "AWS_DEFAULT_REGION=eu-central-1",
        another_region,
        mends=False,  # AWS_REGION is set too, and wins
    ),
    # --- tables
    Defect("no ledger", RED, T + "jobs", "does not exist", "create-table", no_table("chat-jobs")),
    Defect(
        "no table of breakers",
        RED,
        T + "breakers",
        "does not exist",
        "--table-name chat-breakers",
        no_table("chat-breakers"),
    ),
    Defect(
        "another key",
        RED,
        T + "breakers",
        "another key than `job`",
        "WORKER_LEDGER__TABLE",
        environ(WORKER_LEDGER__TABLE="chat-breakers"),
        mends=False,  # needs the setting too
    ),
    Defect(
        "a key of numbers", RED, T + "jobs", "another key", "chat-jobs-2", numbered, mends=False
    ),
    Defect("no index", YELLOW, T + "jobs", "has no index `dead`", "update-table", another_ledger),
    Defect("no TTL", YELLOW, T + "jobs", "TTL on `ttl` is off", "update-time-to-live", no_ttl),
    Defect(
        "provisioned",
        YELLOW,
        T + "breakers",
        "provisioned capacity",
        "--billing-mode PAY_PER_REQUEST",
        provisioned,
    ),
    # --- bucket
    Defect(
        "no bucket",
        RED,
        B,
        "does not exist",
        "create-bucket --bucket chat-payloads",
        lambda room: room.s3.delete_bucket(Bucket="chat-payloads"),
    ),
    Defect(
        "no bucket of others",
        RED,
        "bucket others",
        "does not exist",
        "WORKER_PAYLOADS__ALLOWED_BUCKETS=",
        environ(WORKER_PAYLOADS__ALLOWED_BUCKETS="others"),
    ),
    # --- models
    Defect(
        "no right to call",
        RED,
        M,
        "may not be called: bedrock:InvokeModel, bedrock:InvokeModelWithResponseStream is denied",
        "inference-profile/eu.some.model",
        model(Fail("AccessDeniedException", IAM)),
        mends=False,
    ),
    Defect(
        "no model access",
        RED,
        M,
        "is not for this account",
        "Ask for access to the model",
        model(Fail("AccessDeniedException")),
        mends=False,
    ),
    Defect(
        "bad model id", RED, M, "cannot be used", "WORKER_MODEL__ID", model(INVALID), mends=False
    ),
    Defect(
        "model of another Region",
        RED,
        "target far",
        "in eu-west-1) cannot be used",
        "list-foundation-models --region eu-west-1",
        model(INVALID, "eu-west-1"),
        mends=False,
        settings={
            "WORKER_TARGETS__FAR__ID": "some.model",
            "WORKER_TARGETS__FAR__REGION": "eu-west-1",
        },
    ),
    Defect(
        "needs a profile",
        RED,
        M,
        "through an inference profile only",
        "list-inference-profiles",
        model(
            Fail(
                "ValidationException",
                "Invocation of model ID x with on-demand throughput isn\u2019t supported.",
            )
        ),
        mends=False,
    ),
    Defect(
        "throttled",
        YELLOW,
        M,
        "is throttled",
        "service-quotas",
        model(Fail("ThrottlingException")),
        mends=False,
    ),
    Defect(
        "quota of the day",
        YELLOW,
        M,
        "is throttled",
        "service-quotas",
        model(Fail("ThrottlingException", "Too many tokens per day")),
        mends=False,
    ),
    Defect(
        "ill",
        YELLOW,
        M,
        "ServiceUnavailableException 503",
        "Ask again",
        model(Fail("ServiceUnavailableException")),
        mends=False,
    ),
    Defect("silent model", YELLOW, M, "did not answer", "Ask again", silent_model, mends=False),
    Defect(
        "no Converse",
        RED,
        M,
        "refuses the smallest request",
        "WORKER_MODEL__API=invoke",
        model(Fail("ValidationException", "Your input is malformed.")),
    ),
    Defect(
        "no way to the model",
        RED,
        M,
        "cannot be reached",
        "bedrock-runtime",
        environ(AWS_ENDPOINT_URL_BEDROCK_RUNTIME="http://127.0.0.1:9"),
        mends=False,
    ),
    # --- who and when
    Defect(
        "no credentials",
        RED,
        "credentials",
        "NoCredentialsError",
        "aws sso login",
        environ(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None),
        mends=False,
    ),
    Defect(
        "expired credentials",
        RED,
        "credentials",
        "ExpiredToken",
        "get-caller-identity",
        refused("*", "ExpiredToken"),
        mends=False,
    ),
    Defect(
        "refused signature",
        RED,
        "clock",
        "InvalidSignatureException",
        "timedatectl",
        refused("dynamodb:*", "InvalidSignatureException"),
        mends=False,
    ),
    Defect(
        "no Region",
        RED,
        "Region",
        "NoRegionError",
        "AWS_DEFAULT_REGION",
        environ(AWS_REGION=None, AWS_DEFAULT_REGION=None),
    ),
    Defect(
        "an endpoint that is no URL",
        RED,
        "AWS",
        "ValueError",
        "AWS_ENDPOINT",
        environ(AWS_ENDPOINT_URL_SQS="nonsense"),
        mends=False,
    ),
    Defect(
        "no such profile",
        RED,
        "AWS",
        "ProfileNotFound",
        "AWS_PROFILE",
        environ(AWS_PROFILE="nobody"),
        mends=False,
    ),
    Defect("clock ahead", YELLOW, "clock", "ahead of AWS's", "set-ntp", ahead(30), mends=False),
    Defect("clock behind", YELLOW, "clock", "behind AWS's", "set-ntp", ahead(-30), mends=False),
    Defect("clock far off", RED, "clock", "min ahead of", "set-ntp", ahead(290), mends=False),
    Defect(
        "silent queues",
        RED,
        "endpoint sqs",
        "Nobody answers within the time",
        "com.amazonaws.us-east-1.sqs",
        silent_queues,
        mends=False,
    ),
    Defect(
        "no way to the tables",
        RED,
        "endpoint dynamodb",
        "Nobody answers",
        "AWS_ENDPOINT_URL_DYNAMODB",
        environ(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9"),
        mends=False,
    ),
    Defect(
        "no way to the state machines",
        RED,
        "endpoint states",
        "Nobody answers",
        "AWS_ENDPOINT_URL_SFN",
        environ(AWS_ENDPOINT_URL_SFN="http://127.0.0.1:9", WORKER_TASK_TOKENS="true"),
        mends=False,
    ),
    Defect(
        "something in between",
        RED,
        "endpoint sqs",
        "is not AWS: 404",
        "AWS_ENDPOINT_URL_SQS",
        not_aws,
        mends=False,
    ),
    # --- what may not even be looked at
    Defect(
        "attributes are hidden",
        YELLOW,
        Q + "jobs",
        "sqs:GetQueueAttributes is denied",
        "sqs:GetQueueAttributes",
        refused("sqs:GetQueueAttributes"),
        mends=False,
    ),
    Defect(
        "backups are hidden",
        YELLOW,
        T + "jobs",
        "dynamodb:DescribeContinuousBackups is denied",
        "table/chat-jobs",
        refused("dynamodb:DescribeContinuousBackups", "AccessDeniedException"),
        mends=False,
    ),
    Defect(
        "lifecycle is hidden",
        YELLOW,
        B,
        "s3:GetLifecycleConfiguration is denied",
        "s3:GetLifecycleConfiguration",
        refused("s3:GetBucketLifecycleConfiguration"),
        mends=False,
    ),
    Defect(
        "a bucket that may not be listed",
        YELLOW,
        B,
        "cannot be looked at",
        "s3:ListBucket",
        refused("s3:HeadBucket"),
        mends=False,
    ),
    Defect(
        "tables are ill",
        YELLOW,
        "rights dynamodb",
        "InternalServerError",
        "Ask again",
        refused("dynamodb:UpdateItem", "InternalServerError", status=500),
        mends=False,
    ),
    Defect(
        "tables are busy",
        YELLOW,
        "rights dynamodb",
        "ThrottlingException",
        "Ask again",
        refused("dynamodb:PutItem", "ThrottlingException"),
        mends=False,
    ),
)
