"""The rules that the embedded stack cannot play: values in, findings out."""

import asyncio
import json
import os
import shlex
import subprocess
from typing import Any

import pytest

from worker.cli.doctor import host, targets
from worker.cli.doctor import place as place_module
from worker.cli.doctor.buckets import bucket_findings
from worker.cli.doctor.finding import Finding, Level
from worker.cli.doctor.host import (
    METADATA,
    Answered,
    clock_findings,
    memory_findings,
    offset_of,
    pool_findings,
    stop_findings,
    task_of,
)
from worker.cli.doctor.place import Place
from worker.cli.doctor.queues import Needs, lane_findings, queue_findings
from worker.cli.doctor.tables import BREAKERS, LEDGER, table_findings
from worker.cli.doctor.targets import apis_of, fault_finding, resources_of
from worker.core.fault import Fault, Kind, normalised
from worker.core.target import Api, Target
from worker.settings import Lane, Settings

HERE = Place(
    region="eu-west-1",
    account="111122223333",
    caller="arn:aws:sts::111122223333:assumed-role/worker/x",
)
TASK = {"LaunchType": "FARGATE", "Family": "chat", "Revision": "7", "Limits": {"Memory": 512}}
ON = {"AttributeName": "ttl", "TimeToLiveStatus": "ENABLED"}
KEPT = {"PointInTimeRecoveryStatus": "ENABLED"}
URL = "https://sqs.eu-west-1.amazonaws.com/111122223333/chat-jobs"


def described(**more: Any) -> dict[str, Any]:
    """The table of breakers as it should be."""
    return {
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
        ],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "DeletionProtectionEnabled": True,
        **more,
    }


@pytest.mark.parametrize(
    ("more", "level", "says"),
    [
        ({"Replicas": [{"RegionName": "us-east-1"}]}, Level.RED, "is a global table"),
        ({"TableStatus": "CREATING"}, Level.RED, "is CREATING"),
        ({"DeletionProtectionEnabled": False}, Level.YELLOW, "can be deleted by one command"),
    ],
)
def test_a_table_of_breakers_is_of_one_region_ready_and_safe(
    more: dict[str, Any], level: Level, says: str
) -> None:
    as_it_should_be = [*table_findings("b", described(), BREAKERS, ttl=ON, backups=KEPT)]

    (found,) = table_findings("b", described(**more), BREAKERS, ttl=ON, backups=KEPT)

    assert as_it_should_be == []
    assert found.level is level
    assert says in found.says


def test_a_ttl_on_another_attribute_is_ended_before_ours_begins() -> None:
    def told(**ttl: str) -> str:
        (found,) = table_findings("b", described(), BREAKERS, ttl=ttl, backups=KEPT)
        return found.run.rpartition(" ")[2]

    off = {"TimeToLiveStatus": "DISABLED", "AttributeName": "expires"}
    assert told(**off) == "Enabled=true,AttributeName=ttl"
    on = {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    assert told(**on) == "Enabled=false,AttributeName=expires", "DynamoDB takes one at a time"


def test_an_index_that_is_still_made_is_told() -> None:
    table = {
        **described(),
        "KeySchema": [{"AttributeName": "job", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "job", "AttributeType": "S"}],
        "GlobalSecondaryIndexes": [{"IndexName": "dead", "IndexStatus": "CREATING"}],
    }

    (found,) = table_findings("t", table, LEDGER, ttl=ON, backups=KEPT)

    assert found.says == "the index `dead` of the table t is CREATING."


def test_a_queue_with_a_key_of_its_own_is_encrypted() -> None:
    plain = {"SqsManagedSseEnabled": "false"}

    assert [one.says for one in queue_findings(URL, "jobs", plain)] == [
        "the jobs queue chat-jobs is not encrypted."
    ]
    assert [*queue_findings(URL, "jobs", plain | {"KmsMasterKeyId": "alias/ours"})] == []


def lanes_of(count: int, **policy: Any) -> list[Finding]:
    """What is found of a dead-letter queue that many lanes share."""
    at = "https://sqs.eu-west-1.amazonaws.com/111122223333/"
    lane = Lane(name="a", url=at + "a", parked_url=at + "p", dead_url=at + "d", routes=("r",))
    sources = tuple(f"{at}q{n}" for n in range(2 * count))
    needs = Needs(lease_s=90, waits_s=60, keep_s=60, sources=sources)
    dead = {"MessageRetentionPeriod": "1209600", "RedriveAllowPolicy": json.dumps(policy)}
    return [*lane_findings(lane, {"dead-letter": dead}, needs, HERE)]


def allowed_by(found: Finding) -> dict[str, Any]:
    """The redrive allow policy that a command sets."""
    attributes: dict[str, str] = json.loads(shlex.split(found.run)[-1])
    assert list(attributes) == ["RedriveAllowPolicy"]
    policy: dict[str, Any] = json.loads(attributes["RedriveAllowPolicy"])
    return policy


def test_no_more_queues_are_allowed_by_name_than_sqs_takes() -> None:
    (open_,) = lanes_of(5, redrivePermission="allowAll")
    (shut,) = lanes_of(6, redrivePermission="denyAll")

    assert len(allowed_by(open_)["sourceQueueArns"]) == 10
    assert lanes_of(6, redrivePermission="allowAll") == []
    assert (shut.level, allowed_by(shut)) == (Level.RED, {"redrivePermission": "allowAll"})


BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
SHUT = ("", {"PublicAccessBlockConfiguration": dict.fromkeys(BLOCKS, True)})
DAY_S = 86_400


def ends(days: int, **more: Any) -> dict[str, Any]:
    """A rule of a lifecycle."""
    return {"Status": "Enabled", "Expiration": {"Days": days}, **more}


def judged(code: str, *rules: dict[str, Any], head: Any = (), public: Any = SHUT) -> list[Finding]:
    """What is found of a bucket with these rules."""
    told = (code, {"Rules": rules} if rules else {})
    return [*bucket_findings("b", dict(head), told, public, HERE, keep_s=14 * DAY_S)]


def test_a_bucket_of_another_region_is_told_with_the_command_for_one_here() -> None:
    (found,) = judged("", ends(30), head={"BucketRegion": "us-east-1"})

    assert "is in us-east-1, and the SDK's Region is eu-west-1" in found.says
    assert found.run.endswith("LocationConstraint=eu-west-1")


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "AccessDenied", "NotImplemented"])
def test_rules_that_could_not_be_read_are_not_replaced(code: str) -> None:
    found = judged(code, public=(code, {}))

    assert len(found) == 2
    assert all("cannot be looked at as a whole" in one.says for one in found)
    assert not any("put-bucket" in one.run or "put-public" in one.run for one in found)


@pytest.mark.parametrize(
    "others",
    [
        (),
        (ends(7, Filter={"Prefix": "it's theirs/"}),),
        (ends(7, Filter={"Tag": {"Key": "a", "Value": "b"}}),),
        (ends(7, Status="Disabled"),),
        ({"Status": "Enabled", "Expiration": {"ExpiredObjectDeleteMarker": True}},),
    ],
)
def test_what_workers_put_is_ended_and_nothing_else(others: tuple[dict[str, Any], ...]) -> None:
    (found,) = judged("" if others else "NoSuchLifecycleConfiguration", *others)

    words = shlex.split(found.run)
    *before, ours = json.loads(words[-1])["Rules"]
    assert tuple(before) == others, "the command takes the place of all rules"
    assert (ours["Filter"], ours["Expiration"]) == ({"Prefix": "payloads/"}, {"Days": 30})
    assert judged("", *before, ours) == []


def test_a_bucket_that_forgets_before_the_ledger_is_told() -> None:
    (early,) = judged("", ends(30), ends(3, Prefix="pay"))

    assert "deletes payloads after 3 d, and the ledger knows a job for 14 d" in early.says
    assert judged("", ends(14, Filter={"Prefix": ""})) == []


# --- the host --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grace_s", "task", "environ", "level", "says", "run"),
    [
        (100, TASK, {}, Level.YELLOW, "is given 110 s", "--task-definition chat:7"),
        (115, TASK, {}, Level.RED, "needs 125 s, and Fargate allows 120", "WORKER_GRACE_S=110"),
        (300, {**TASK, "LaunchType": "EC2"}, {}, Level.YELLOW, "given 310 s", "chat:7"),
        (100, {}, {}, Level.YELLOW, "is given 110 s", "<family>:<revision>"),
        (
            100,
            None,
            {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
            Level.YELLOW,
            "the pod is given 110 s",
            "terminationGracePeriodSeconds: 110",
        ),
        (100, None, {}, Level.GREEN, "whoever stops a worker should wait 110 s", ""),
    ],
)
def test_a_stop_is_given_its_time(
    grace_s: float,
    task: dict[str, Any] | None,
    environ: dict[str, str],
    *,
    level: Level,
    says: str,
    run: str,
) -> None:
    (found,) = stop_findings(grace_s, task, environ)

    assert found.level is level
    assert says in found.says
    assert run in found.run


def test_a_task_has_room_for_what_jobs_may_hold() -> None:
    mib = 1_048_576

    (tight,) = memory_findings(256 * mib, TASK)
    (roomy,) = memory_findings(64 * mib, TASK)

    assert (tight.level, roomy.level) == (Level.YELLOW, Level.GREEN)
    assert "the task has 512 MiB, and 640 may be needed" in tight.says
    advised = int(tight.run.removeprefix("WORKER_BYTES_MAX="))
    assert [one.level for one in memory_findings(advised, TASK)] == [Level.GREEN]
    assert [*memory_findings(64 * mib, None)] == []


def settings(**more: Any) -> Settings:
    given: Any = {"queue": {"url": URL}, "model": {"id": "a.model"}, **more}
    return Settings(**given)


def test_each_connection_has_its_file() -> None:
    (few,) = pool_findings(settings(), 128)
    (many,) = pool_findings(settings(slots=500), 100_000)
    (well,) = pool_findings(settings(), 1024)

    assert [one.level for one in (few, many, well)] == [Level.RED, Level.YELLOW, Level.GREEN]
    assert "121 connections may be open at once, and this process may open 128 files" in few.says
    assert many.run == "WORKER_SLOTS=62"
    assert [one.level for one in pool_findings(settings(slots=62), 1024)] == [Level.GREEN]


@pytest.mark.parametrize(
    ("answers", "level", "says"),
    [
        ([], Level.YELLOW, "is not known"),
        ([(10.2, 10.9, 10)], Level.GREEN, "at most 0.9 s off"),
        ([(10.2, 10.9, 10), (11.6, 11.7, 11)], Level.GREEN, "at most 0.7 s off"),
        # Within what whole seconds and a slow answer leave open, nobody is accused.
        ([(12.9, 20.0, 10)], Level.GREEN, "off"),
        ([(13.5, 13.6, 10)], Level.YELLOW, "2.5 s ahead of AWS's"),
        ([(6.0, 6.5, 10)], Level.YELLOW, "3.5 s behind AWS's"),
        ([(310.0, 310.5, 10)], Level.RED, "5 min ahead of AWS's"),
    ],
)
def test_a_clock_is_judged_by_the_dates_of_answers(
    answers: list[tuple[float, float, float]], level: Level, says: str
) -> None:
    told = [Answered(sent_at=s, received_at=r, date_at=d) for s, r, d in answers]

    (found,) = clock_findings(offset_of(told), 2.0)

    assert (found.level, found.of) == (level, "clock")
    assert says in found.says


def test_ecs_is_asked_where_there_is_one() -> None:
    bodies = [json.dumps(TASK).encode(), b"[]", b"<html>"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"GET /v4/x/task HTTP/1.1")
        body = bodies.pop(0)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async def main() -> list[Any]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            at = {METADATA: f"http://127.0.0.1:{port}/v4/x"}
            told = [await task_of(at, limit_s=20) for _ in range(3)]
        return [*told, await task_of(at, limit_s=20), await task_of({}, limit_s=20)]

    assert asyncio.run(main()) == [TASK, {}, {}, {}, None]


# --- names -----------------------------------------------------------------------


def test_a_profile_is_granted_with_its_models_everywhere() -> None:
    model = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
    arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/x"

    assert resources_of(model, "eu-west-1", HERE) == [
        f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{model}",
        "arn:aws:bedrock:*::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
    ]
    assert resources_of("amazon.nova-lite-v1:0", "eu-west-1", HERE) == [
        "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
    ]
    assert resources_of(arn, "eu-west-1", HERE) == [arn]
    profile = f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{model}"
    assert resources_of(profile, "eu-west-1", HERE)[0] == profile
    assert resources_of(profile, "eu-west-1", HERE)[1].endswith(":*::foundation-model/" + model[3:])


def denied(model: str, why: str) -> Finding:
    """What is told of IAM's refusal, as the table of faults leaves its sentence."""
    message = normalised(
        "User: arn:aws:sts::111122223333:assumed-role/worker/1 is not authorized to perform: "
        "bedrock:InvokeModelWithResponseStream on resource: "
        f"arn:aws:bedrock:eu-west-1::foundation-model/anthropic.x {why}"
    )
    fault = Fault(kind=Kind.MISCONFIGURED, code="AccessDeniedException", http=403, message=message)
    return fault_finding(Target(name="a", model=model), (Api.CONVERSE,), fault, HERE)


def test_the_models_behind_a_profile_of_ones_own_are_not_forgotten() -> None:
    why = "because no identity-based policy allows the action"
    own = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/x"

    assert denied(own, why).fix == "Grant bedrock:InvokeModel, and on the models behind it:"
    assert denied("anthropic.x", why).fix == "Grant bedrock:InvokeModel:"


def test_no_grant_is_advised_against_a_policy_that_denies() -> None:
    found = denied("eu.anthropic.x", "with an explicit deny in a service control policy")

    assert (found.level, found.run) == (Level.RED, "")
    assert "no grant helps" in found.fix


@pytest.mark.parametrize(
    ("target", "apis"),
    [
        (Target(name="a", model="m"), (Api.CONVERSE, Api.CONVERSE_STREAM)),
        (Target(name="a", model="m", max_tokens=200), (Api.CONVERSE,)),
        (Target(name="a", model="m", api=Api.INVOKE), (Api.INVOKE,)),
    ],
)
def test_each_operation_that_jobs_may_reach_is_called(
    target: Target, apis: tuple[Api, ...]
) -> None:
    assert apis_of(target) == apis


@pytest.mark.parametrize(
    ("code", "of"),
    [
        ("ProxyConnectionError", "host"),
        ("ExpiredTokenException", "credentials"),
        ("InvalidSignatureException", "clock"),
    ],
)
def test_trouble_of_our_own_is_not_told_of_a_target(code: str, of: str) -> None:
    fault = Fault(kind=Kind.LOCAL, code=code)

    found = fault_finding(Target(name="a", model="m"), (Api.CONVERSE,), fault, HERE)

    assert (found.level, found.of) == (Level.RED, of)
    assert code in found.says


def test_what_to_look_at_shows_no_secret() -> None:
    fault = Fault(kind=Kind.LOCAL, code="ProxyConnectionError")
    found = fault_finding(Target(name="a", model="m"), (Api.CONVERSE,), fault, HERE)
    given = {
        "PATH": os.environ["PATH"],
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_SESSION_TOKEN": "hidden",
        "HTTPS_PROXY": "http://us:hidden@proxy:3128",
        "AWS_ENDPOINT_URL_SQS": "http://queues:4566",
    }

    shown = subprocess.run(  # noqa: S603  (our own command)
        ["/bin/sh", "-c", found.run], env=given, capture_output=True, check=True, text=True
    ).stdout

    assert set(shown.split()) == {
        "HTTPS_PROXY=http://proxy:3128",
        "AWS_ENDPOINT_URL_SQS=http://queues:4566",
    }


def test_who_asks_is_granted_by_name_or_not_at_all() -> None:
    user = Place(caller="arn:aws:iam::111122223333:user/people/alice")
    root = Place(caller="arn:aws:iam::111122223333:root")

    assert HERE.grant("{}", "p").startswith("aws iam put-role-policy --role-name worker ")
    assert user.grant("{}", "p").startswith("aws iam put-user-policy --user-name alice ")
    assert root.grant("{}", "p") == ""
    sso = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/alice"
    assert Place(caller=sso).grant("{}", "p") == "", "IAM refuses to change it"


def test_arns_keep_to_their_partition() -> None:
    china = Place(region="cn-north-1", account="111122223333")

    assert china.table_arn("t") == "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/t"
    assert china.table_arn("arn:aws:x") == "arn:aws:x"
    assert HERE.queue_arn(URL) == "arn:aws:sqs:eu-west-1:111122223333:chat-jobs"


@pytest.mark.parametrize("module", [host, place_module, targets])
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    import doctest  # noqa: PLC0415

    assert doctest.testmod(module).failed == 0
