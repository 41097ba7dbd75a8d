"""The task's role, held against every request that doctor and a worker make.

The role stands before the embedded stack (`iam.py`): what it does not allow is denied, as AWS
would. And what nobody asks for is a right too many.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from tests.deploy.account import MODELS, MORE, OTHER, Account, doctor, in_account, known, worker_of
from tests.deploy.iam import TOKEN, Role, guarded
from tests.deploy.template import FILES, ROOT, listed, read, statements
from worker.aws.depths import depth
from worker.cli.doctor.finding import Level
from worker.client import Client
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Fail, Outcome

CALL = "bedrock:InvokeModel"
PROTECTS = "ecs:UpdateTaskProtection"  # what the agent of ECS asks, for the task
# Every answer goes to the bucket, and so does every request.
LARGE = {"WORKER_PAYLOADS__INLINE_ANSWER_BYTES": "0"}


async def created(here: Account, roles: list[Role]) -> tuple[Role, Mapping[str, str]]:
    """A stack with its role before it, and the variables of a task that has the role."""
    template = known(read(FILES[0]))
    made = await here.create(template)
    role = here.role(template, made)
    roles.append(role)
    return role, here.environment(template, made) | MORE | {"AWS_SESSION_TOKEN": TOKEN}


def without(role: Role, sid: str, action: str) -> Role:
    """The role, short of one action of one statement."""
    one = role.statements[sid]
    left = [each for each in listed(one["Action"]) if each != action]
    return replace(role, statements={**role.statements, sid: {**one, "Action": left}})


async def worked(here: Account, environment: Mapping[str, str]) -> None:
    """A worker with a job that is answered, one that is given up and one that is parked."""

    def mood(*outcomes: Outcome) -> None:
        chances = tuple(Chance(1.0, outcome) for outcome in outcomes)
        here.stack.bedrock.set_mood(Mood(chances=chances), region="*")

    url, table = environment["WORKER_QUEUE__URL"], environment["WORKER_LEDGER__TABLE"]
    bucket = environment["WORKER_PAYLOADS__BUCKET"]
    async with (
        Client.open(url, table, bucket=bucket, inline_max_bytes=100) as client,
        here.client("sqs") as sqs,
        worker_of({**environment, **LARGE}),
    ):
        answered = await client.wait(await client.submit("Why? " * 100), timeout_s=20)
        mood(Fail("ValidationException"))
        refused = await client.wait(await client.submit("Why not?"), timeout_s=20)
        mood(Fail("ServiceUnavailableException"))
        await client.submit("And now?")
        async with asyncio.timeout(20):
            while not (await depth(sqs, environment["WORKER_QUEUE__PARKED_URL"])).total:
                await asyncio.sleep(0.1)

    assert (answered.status, refused.status) == ("ok", "failed")


def test_a_task_may_do_all_that_doctor_and_a_worker_do_and_nothing_else() -> None:
    async def story(here: Account) -> None:
        role, environment = await created(here, roles)

        report = await doctor(environment)
        await worked(here, environment)

        assert role.denied == set()
        assert report.ok
        granted = {each for one in role.statements.values() for each in listed(one["Action"])}
        assert granted - {PROTECTS} == {action for action, _ in role.asked}

    with guarded() as roles:
        in_account(story)


def test_the_rights_are_the_same_in_both_networks() -> None:
    for role in ("TaskRole", "ExecutionRole"):
        assert statements(read(FILES[0]), role) == statements(read(FILES[1]), role) != {}


def test_who_makes_a_role_by_hand_is_told_each_right() -> None:
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Operate")[2]
    granted = {
        each.partition(":")[2]
        for one in statements(read(FILES[0]), "TaskRole").values()
        for each in listed(one["Action"])
    }

    assert {action for action in granted if action not in told} == set()


def test_doctor_sees_each_right_that_a_task_lacks() -> None:
    async def story(here: Account) -> None:
        whole, environment = await created(here, roles)
        unseen = []
        for sid, one in whole.statements.items():
            for action in listed(one["Action"]):
                roles.append(without(whole, sid, action))
                report = await doctor(environment)
                told = [f for f in report.findings if f.level is not Level.GREEN]
                if not any(action in f.says + f.run for f in told):
                    unseen.append((sid, action))

        assert unseen == [("ProtectItself", PROTECTS)]

    with guarded() as roles:
        in_account(story)


def test_a_model_is_called_through_its_profile_or_named_as_one_that_is_called_itself() -> None:
    async def story(here: Account) -> None:
        role, _ = await created(here, roles)
        profile = here.given["ProfileArns"]

        for model in MODELS:
            assert role.allows(CALL, model, bedrock_InferenceProfileArn=profile)
            assert not role.allows(CALL, model)
            assert not role.allows(CALL, model, bedrock_InferenceProfileArn=f"{profile}-2")
        assert role.allows(CALL, OTHER)
        assert not role.allows(CALL, f"{OTHER}-2")

    with guarded() as roles:
        in_account(story)


def test_without_profiles_the_models_are_called_themselves() -> None:
    async def story(here: Account) -> None:
        role, _ = await created(here, roles)
        alone = replace(role, made={**role.made, "ProfileArns": "", "OtherModelArns": ""})

        assert all(alone.allows(CALL, model) for model in MODELS)
        assert not alone.allows(CALL, OTHER)

    with guarded() as roles:
        in_account(story)
