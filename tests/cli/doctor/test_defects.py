"""Seeded defects: each is named, with a fix; and where a fix can be applied here, it mends it."""

import asyncio
import json

import pytest

from tests.cli.doctor.awscli import parsed
from tests.cli.doctor.defects import (
    DEFECTS,
    INVALID,
    RED,
    YELLOW,
    B,
    Defect,
    M,
    Q,
    T,
    allow,
    another_region,
    environ,
    no_queue,
    no_table,
    provisioned,
    silent_queues,
)
from tests.cli.doctor.room import Room, about, in_room
from worker.cli.doctor.finding import Level
from worker.cli.doctor.opening import Limits
from worker.local.faults import Delay, Rule
from worker.local.outcomes import Fail, Hang


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda one: one.name)
def test_a_defect_is_named_with_its_fix_and_the_fix_mends_it(defect: Defect) -> None:
    async def story(room: Room) -> None:
        await defect.break_(room)

        report = await room.doctor()

        found = about(report, defect.of, defect.says)
        assert len(found) == 1, report.findings
        assert found[0].level is defect.level
        assert report.ok is all(one.level is not RED for one in report.findings)
        assert found[0].causes
        assert defect.fix in f"{found[0].fix} {found[0].run}"
        if defect.mends:
            await room.apply(found[0].run)
            assert about(await room.doctor(), defect.of, defect.says) == []

    in_room(story, defect.settings)


TASKS = "task tokens"
ACTIONS = {
    "sqs:ReceiveMessage": ("sqs:ReceiveMessage", Q + "jobs"),
    "sqs:DeleteMessage": ("sqs:DeleteMessage", Q + "parked"),
    "sqs:ChangeMessageVisibility": ("sqs:ChangeMessageVisibility", Q + "jobs"),
    "sqs:SendMessageBatch": ("sqs:SendMessage", Q + "dead"),
    "dynamodb:BatchGetItem": ("dynamodb:BatchGetItem", T + "jobs"),
    "dynamodb:UpdateItem": ("dynamodb:UpdateItem", T + "jobs"),
    "dynamodb:PutItem": ("dynamodb:PutItem", T + "breakers"),
    "dynamodb:Query": ("dynamodb:Query", T + "breakers"),
    "s3:GetObject": ("s3:GetObject", B),
    "s3:UploadPart": ("s3:PutObject", B),
    "states:SendTaskSuccess": ("states:SendTaskSuccess", TASKS),
    "states:SendTaskFailure": ("states:SendTaskFailure", TASKS),
}
RESOURCES = {B: "chat-payloads/*", TASKS: "*"}


CAUSES = {
    Q + "jobs": "No job could be taken.",
    Q + "parked": "No job could wait for a circuit.",
    Q + "dead": "No job that is given up could be kept.",
    T + "jobs": "No job could be claimed.",
    T + "breakers": "Each process would decide alone",
    B: "No large request or answer could be kept.",
    TASKS: "No state machine that waits for a job would get its answer.",
}


def test_calls_that_could_not_even_be_signed_are_not_counted() -> None:
    async def story(room: Room) -> None:
        await environ(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)(room)

        report = await room.doctor()

        assert report.calls == 0
        (red,) = [one for one in report.findings if one.level is RED]
        assert red.of == "credentials", "what is one thing is told once"

    in_room(story)


def test_each_right_that_lacks_is_named_with_the_statement_that_grants_it() -> None:
    async def story(room: Room) -> None:
        for operation, (action, of) in ACTIONS.items():
            room.refuse(operation)

            report = await room.doctor(calls=False)

            (found,) = about(report, of, f"{action} is denied")
            assert found.level is RED
            assert CAUSES[of] in found.causes
            (statement,) = json.loads(found.run)["Statement"]
            assert (statement["Effect"], statement["Action"]) == ("Allow", [action])
            assert statement["Resource"][0].endswith(RESOURCES.get(of, of.rpartition(" ")[2]))
            room.stack.faults.clear()

    in_room(story, {"WORKER_TASK_TOKENS": "true"})


@pytest.mark.parametrize(
    ("operation", "code", "of"),
    [
        ("sqs:DeleteMessage", "OptInRequired", Q + "jobs"),
        ("s3:UploadPart", "AllAccessDisabled", B),
    ],
)
def test_a_refusal_in_words_of_its_own_is_not_taken_for_a_right(
    operation: str, code: str, of: str
) -> None:
    async def story(room: Room) -> None:
        room.refuse(operation, code)

        report = await room.doctor(calls=False)

        service = operation.partition(":")[0]
        assert len(about(report, f"rights {service}", code)) == 1
        given = [one.says for one in report.findings if one.of == of and "not denied" in one.says]
        assert given == []

    in_room(story)


def test_rights_are_not_asked_where_the_queue_is_not() -> None:
    async def story(room: Room) -> None:
        await another_region(room)
        room.environ["WORKER_REPLIES__BILLING"] = room.environ["WORKER_QUEUE__URL"] + "-replies"
        room.refuse("sqs:*", "InvalidAddress", 404)

        report = await room.doctor(calls=False)

        told = [one.says for one in report.findings if one.of.startswith("queue ")]
        assert len(told) == 4, told
        assert all("is in eu-central-1, and the SDK's Region is us-east-1" in one for one in told)

    in_room(story)


def test_a_role_is_granted_by_a_command() -> None:
    async def story(room: Room) -> None:
        room.refuse("sqs:ReceiveMessage")
        caller = "arn:aws:sts::111122223333:assumed-role/chat-worker/abc"
        async with await _sts(caller) as server:
            port = server.sockets[0].getsockname()[1]
            room.environ["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{port}"
            report = await room.doctor(calls=False)

        names = set()
        for of in ("jobs", "parked"):
            (found,) = about(report, Q + of, "is denied")
            service, operation, given = parsed(found.run)
            assert (service, operation) == ("iam", "put_role_policy")
            assert given["RoleName"] == "chat-worker"
            names.add(given["PolicyName"])
        assert len(names) == 2, "one would take the other's place"
        assert report.place.caller == caller

    in_room(story)


async def _sts(arn: str) -> asyncio.Server:
    """An STS that takes everybody for `arn`."""
    body = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>{arn}</Arn><UserId>x</UserId>"
        "<Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    ).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def test_a_healthy_stack_has_nothing_red_and_its_fixes_make_it_green() -> None:
    async def story(room: Room) -> None:
        first = await room.doctor()
        yellow = [one for one in first.findings if one.level is YELLOW]
        assert first.ok
        assert yellow
        assert [one.name for one in DEFECTS if about(first, one.of, one.says)] == []

        for one in yellow:
            await room.apply(one.run)
        last = await room.doctor()

        assert {one.level for one in last.findings} == {Level.GREEN}, last.findings

    settings = {name: value for one in DEFECTS for name, value in one.settings.items()}
    in_room(story, settings | {"WORKER_ROUTES__DEFAULT__TARGETS": "default,far"})


def test_every_command_that_is_advised_is_one_that_aws_knows() -> None:
    """Of every defect at once, as far as they go together."""

    async def story(room: Room) -> None:
        for name in ("jobs", "parked"):
            await no_queue(name)(room)
        await no_table("chat-jobs")(room)
        await provisioned(room)
        await allow(redrivePermission="denyAll")(room)
        for outcome in (
            Fail("AccessDeniedException"),
            INVALID,
            Fail("ThrottlingException"),
        ):
            room.model(outcome)
            await room.doctor()
        await silent_queues(room)
        await room.doctor()
        commands = {one.run for report in room.seen for one in report.findings}

        known = [parsed(command) for command in commands if command.startswith("aws ")]

        assert len(known) >= 10, commands

    in_room(story)


def test_with_everything_down_it_ends_within_its_limits() -> None:
    async def story(room: Room) -> None:
        room.limits = Limits(clients_s=20, caller_s=0.2, question_s=0.3)
        room.stack.faults.set_rules([Rule("*", Delay(600.0))])
        room.model(Hang())

        report = await room.doctor()

        said = {one.of for one in report.findings if one.level is RED}
        assert {"endpoint sqs", "endpoint dynamodb", "endpoint s3"} <= said
        assert about(report, "caller", "STS did not answer")
        assert about(report, "clock", "not known")
        assert about(report, M, "did not answer")

    in_room(story)
