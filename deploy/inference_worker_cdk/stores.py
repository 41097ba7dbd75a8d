"""What keeps jobs and answers: three queues, three tables, one bucket.

All of it stays when the stack goes, for it holds people's jobs: a stack that is deleted
leaves queues, tables and the bucket behind, and with them the policies that guard them. A stack
that never came to be leaves none, but the two tables that are protected from deletion: so these
are made when little is left that can fail. `worker/local/resources.py` makes the same ones
on the embedded stack, and `inference-worker doctor` asks for what is set here; where the two
differ, tests/deploy says so.
"""

from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

MESSAGE_BYTES: Final = 1_048_576
CRASH_BACKSTOP: Final = 100
"""maxReceiveCount: only a job that crashes its workers comes so far; a park is a new message."""
KEPT: Final = Duration.days(7)
"""Of a waiting job: above `park_max_s` (1 day), below the ledger's `keep_s` (14 days)."""
DEAD_KEPT: Final = Duration.days(14)
"""The most that SQS allows. What SQS itself moves keeps its first send's time, so a dead letter
that waited for the whole of `KEPT` still has a week."""
PAYLOADS_KEPT: Final = Duration.days(30)
"""Above 7 days in a queue, and 14 in the ledger or the dead-letter queue."""
PAYLOADS: Final = "payloads/"
STAYS: Final = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
"""Unless it was made by a creation that failed: left behind, it would hold its name."""
DEAD_INDEX: Final = "dead"
DEAD_INDEX_HOLDS: Final = (
    "sent_at",
    "generation",
    "fence",
    "attempts",
    "fingerprint",
    "reason",
    "route",
    "tenant",
    "dead_code",
    "dead_target",
    "note",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queues of one lane."""

    jobs: Any
    parked: Any
    dead: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables that a fleet shares."""

    ledger: Any
    breakers: Any
    cache: Any


def queues(scope: Construct, service: str, *, lease_s: int) -> Queues:
    """`<service>-jobs`, `-parked` and `-dead`: encrypted, by TLS only, dead letters from ours only.

    They have names because a dead-letter queue that says whose it is must know the others'
    before they are there.
    """

    def queue(role: str, **more: Any) -> Any:
        made = sqs.Queue(
            scope,
            role.capitalize(),
            queue_name=f"{service}-{role}",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            max_message_size_bytes=MESSAGE_BYTES,
            visibility_timeout=Duration.seconds(lease_s),
            removal_policy=STAYS,
            **more,
        )
        made.node.find_child("Policy").apply_removal_policy(STAYS)
        return made

    where = f"arn:{Aws.PARTITION}:sqs:{Aws.REGION}:{Aws.ACCOUNT_ID}:{service}"
    dead = queue("dead", retention_period=DEAD_KEPT)
    # By name: a reference would be a circle, for each of them names the dead-letter queue.
    dead.node.default_child.redrive_allow_policy = {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"{where}-jobs", f"{where}-parked"],
    }
    backstop = sqs.DeadLetterQueue(queue=dead, max_receive_count=CRASH_BACKSTOP)
    return Queues(
        jobs=queue("jobs", retention_period=KEPT, dead_letter_queue=backstop),
        parked=queue("parked", retention_period=KEPT, dead_letter_queue=backstop),
        dead=dead,
    )


def tables(scope: Construct, service: str) -> Tables:
    """`<service>-jobs` (the ledger), `-breakers` and `-cache`: on demand, with a TTL."""

    def table(name: str, what: str, *keys: str, precious: bool) -> Any:
        return dynamodb.Table(
            scope,
            what,
            table_name=f"{service}-{name}",
            partition_key=_text(keys[0]),
            sort_key=_text(keys[1]) if keys[1:] else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="ttl",
            deletion_protection=precious,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=precious
            ),
            # A protected one cannot be deleted: to try it would end a rollback half-way.
            removal_policy=RemovalPolicy.RETAIN if precious else RemovalPolicy.DESTROY,
        )

    ledger = table("jobs", "Ledger", "job", precious=True)
    ledger.add_global_secondary_index(
        index_name=DEAD_INDEX,
        partition_key=_text("dead"),
        sort_key=dynamodb.Attribute(name="finished_at", type=dynamodb.AttributeType.NUMBER),
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=list(DEAD_INDEX_HOLDS),
    )
    return Tables(
        ledger=ledger,
        breakers=table("breakers", "Breakers", "pk", "sk", precious=True),
        cache=table("cache", "Cache", "key", precious=False),
    )


def bucket(scope: Construct) -> Any:
    """For requests and answers that are too large for a message: private, and forgetting."""
    made = s3.Bucket(
        scope,
        "Payloads",
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=[
            s3.LifecycleRule(id="old-payloads", prefix=PAYLOADS, expiration=PAYLOADS_KEPT),
            # Not in the same rule: what a producer has begun and left may lie anywhere.
            s3.LifecycleRule(
                id="unfinished", abort_incomplete_multipart_upload_after=Duration.days(1)
            ),
        ],
        removal_policy=STAYS,
    )
    made.policy.apply_removal_policy(STAYS)
    return made


def _text(name: str) -> Any:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
