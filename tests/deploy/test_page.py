"""docs/deploy.md: its commands are ones, its code makes a stack, its figures are the template's."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from tests.cli.doctor.awscli import parsed
from tests.deploy import gates
from tests.deploy.account import Account, in_account, known
from tests.deploy.alarms import watched as watching
from tests.deploy.conftest import need_tools
from tests.deploy.template import DEPLOY, FILES, ROOT, Template, of_type, plain, read
from tests.deploy.test_dockerfile import script

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
# What the command line makes of several requests; `deploy` has a test of its own.
CUSTOM = (
    *("cloudformation deploy", "cloudformation wait"),
    *("ecr get-login-password", "logs tail", "s3 rm"),
)


DONE_ELSEWHERE = ("aws cloudformation delete-stack", "aws ecr delete-repository")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every `aws …` of the page, without what it is piped into."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.partition(" | ")[0] for line in lines if line.startswith("aws ")]


def is_custom(command: str) -> bool:
    return command.removeprefix("aws ").startswith(CUSTOM)


@pytest.mark.parametrize("command", [one for one in commands() if not is_custom(one)])
def test_a_command_is_a_request_that_aws_takes(command: str) -> None:
    service, operation, _ = parsed(command)

    assert service
    assert operation


def deploys() -> list[str]:
    return [one for one in commands() if one.startswith("aws cloudformation deploy")]


def test_the_deploy_command_gives_the_template_what_it_asks_for() -> None:
    words = shlex.split(deploys()[0])
    template = read(Path(words[words.index("--template-file") + 1]).name)
    given = [one.partition("=") for one in words[words.index("--parameter-overrides") + 1 :]]
    needed = {n for n, one in template["Parameters"].items() if "Default" not in one}

    assert words[words.index("--capabilities") + 1] == "CAPABILITY_IAM"
    assert needed <= {name for name, _, _ in given} <= set(template["Parameters"])
    for name, _, value in given:
        pattern = template["Parameters"][name].get("AllowedPattern", ".+")
        for one in value.split(","):
            assert re.fullmatch(pattern, one), (name, one)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ModelArns", "arn:aws:bedrock:::foundation-model/some.model-v1:0"),
        ("ModelArns", "arn:aws:bedrock:eu-west-1:123456789012:custom-model/some.model/abc"),
        ("ProfileArns", ""),
        ("ProfileArns", "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1"),
        ("ProfileArns", "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/x"),
        ("OtherModelArns", ""),
        (
            "OtherModelArns",
            "arn:aws:bedrock:eu-west-1:123456789012:custom-model-deployment/abcdefghijkl",
        ),
    ],
)
def test_a_parameter_takes_every_form_of_an_arn(template: Template, name: str, value: str) -> None:
    assert re.fullmatch(template["Parameters"][name]["AllowedPattern"], value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ModelArns", "*"),
        ("ModelArns", ""),
        ("ModelArns", "arn:aws:bedrock:eu-west-1::foundation-model/*"),
        ("OtherModelArns", "arn:aws:bedrock:eu-west-1::foundation-model/some.*"),
        ("ProfileArns", "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/*"),
        ("Image", ""),
        ("ModelId", ""),
        ("ModelArns", "arn:aws:bedrock:eu-west-1::foundation-model/"),
        ("ModelArns", "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/x"),
        ("ProfileArns", "arn:aws:bedrock:eu-west-1::foundation-model/some.model-v1:0"),
        ("ProfileArns", "eu.some.model-v1:0"),
    ],
)
def test_a_parameter_takes_nothing_else(template: Template, name: str, value: str) -> None:
    assert not re.fullmatch(template["Parameters"][name]["AllowedPattern"], value)


def test_every_parameter_and_output_of_the_page_is_one(template: Template) -> None:
    (table,) = re.findall(
        r"^\| parameter \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    )
    outputs = set(re.findall(r"<([A-Z]\w+)>", PAGE)) | set(re.findall(r"output\s`(\w+)`", PAGE))

    named = [re.findall(r"`(\w+)`", row.split(" | ")[0]) for row in table.splitlines()]
    assert {name for row in named for name in row} == set(template["Parameters"])
    assert outputs
    assert outputs <= set(template["Outputs"])


def test_an_upgrade_changes_nothing_but_the_image() -> None:
    first, *later = [shlex.split(one) for one in deploys()]

    for words in later:
        at = words.index("--parameter-overrides")
        same = [word for word in words[:at] if word != "--no-execute-changeset"]
        assert same == first[: first.index("--parameter-overrides")]
        assert words[at + 1 :] == ["Image=$IMAGE"]
    assert ["--no-execute-changeset" in words for words in later] == [True, False]
    images = re.findall(r"^export IMAGE=(\S+)$", PAGE, re.MULTILINE)
    assert len(set(images)) == 2


def test_what_is_waited_for_is_a_waiter() -> None:
    waits = [shlex.split(one)[3] for one in commands() if "cloudformation wait" in one]
    waiters = botocore.session.get_session().get_waiter_model("cloudformation").waiter_names

    assert waits
    assert set(waits) <= {xform_name(one, "-") for one in waiters}


def test_what_imports_is_taken_away_and_gone_before_what_exports() -> None:
    """Else CloudFormation refuses: the dashboard imports names of the stack."""
    section = PAGE.partition("## To take it away")[2]
    stacks = re.findall(
        r"^aws cloudformation (\S+(?: \S+)?) --stack-name (\S+)$", section, re.MULTILINE
    )

    assert stacks == [
        (what, name)
        for name in ("chat-dashboard", "chat")
        for what in ("delete-stack", "wait stack-delete-complete")
    ]
    assert "Fn::ImportValue" in json.dumps(read("dashboard.json"))


def test_no_page_names_a_part_by_a_hash_of_the_cdks() -> None:
    """Parts are named by where they stand (test_stack.py)."""
    pages = {one.name: one.read_text(encoding="utf-8") for one in (ROOT / "docs").glob("*.md")}
    found = {n: re.findall(r"\b[A-Z][A-Za-z]+[0-9A-F]{8}\b", text) for n, text in pages.items()}

    assert {name: names for name, names in found.items() if names} == {}


def test_what_to_do_after_a_failed_creation_takes_all_that_it_leaves(template: Template) -> None:
    section = PAGE.partition("**If the creation fails**")[2].partition("\n## ")[0]
    left = {
        plain(one["Properties"]["TableName"], {"AWS::StackName": "chat"})
        for one in template["Resources"].values()
        if one.get("DeletionPolicy") == "Retain"
    }

    for action in ("update-table", "delete-table"):
        assert set(re.findall(rf"{action} --table-name (\S+)", section)) == left


def test_taking_it_away_leaves_nothing() -> None:
    section = PAGE.partition("## To take it away")[2].partition("\n## ")[0]

    async def story(here: Account) -> None:
        template = known(read(FILES[0]))
        made = await here.create(template)
        (logs_of,) = of_type(template, "AWS::Logs::LogGroup")
        filled_in = {"PayloadsBucketName": made["PayloadsBucket"], "LogGroupName": made[logs_of]}
        async with (
            here.client("sqs") as sqs,
            here.client("dynamodb") as dynamodb,
            here.client("s3") as s3,
            here.client("logs") as logs,
        ):
            assert len((await sqs.list_queues())["QueueUrls"]) == 3  # there was something
            for command in dict.fromkeys(one for one in commands() if one in lines(section)):
                # The embedded stack's own deletion knows no DeletionPolicy: it would take all.
                if not is_custom(command) and not command.startswith(DONE_ELSEWHERE):
                    await here.mend([filled(command, here, filled_in)])

            assert not (await sqs.list_queues()).get("QueueUrls")
            # It goes with the stack.
            assert (await dynamodb.list_tables())["TableNames"] == ["chat-cache"]
            assert (await s3.list_buckets())["Buckets"] == []
            assert (await logs.describe_log_groups())["logGroups"] == []

    in_account(story)


def lines(section: str) -> str:
    return section.replace("\\\n", " ")


def filled(command: str, here: Account, given: Mapping[str, str]) -> str:
    """A command of the page with what it has in brackets, for this account."""
    for name, value in given.items():
        command = command.replace(f"<{name}>", value)
    return re.sub(r"https://sqs\S+/111122223333/", f"{here.stack.url}/{here.number}/", command)


def test_its_costs_are_those_of_today() -> None:
    ran = subprocess.run(  # noqa: S603  (our own)
        [sys.executable, str(DEPLOY / "cost.py")], capture_output=True, text=True, check=True
    )
    told = PAGE.partition("<!-- costs: deploy/cost.py -->")[2].partition("<!-- end of costs -->")[0]

    assert told.strip() == ran.stdout.strip(), "run `make template`"


def test_costs_are_counted_in_the_template(template: Template) -> None:
    """By hand: a task of half a core and 1 GB, a NAT gateway, five endpoints, what watches."""
    cost = script("cost")
    isolated = not of_type(template, "AWS::EC2::NatGateway")

    assert f"{cost.task(template):.3f}" == f"{730 * (0.5 * 0.03238 + 1 * 0.00356):.3f}"
    assert float(cost.network(template)) == pytest.approx(
        730 * (5 * 2 * 0.01 if isolated else 0.045 + 0.005)
    )
    watched = {
        "Resources": {
            "One": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "x"}},
            "Two": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "Metrics": [{"MetricStat": {}}, {"MetricStat": {}}, {"Expression": "a+b"}]
                },
            },
            "Both": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {}},
        }
    }
    assert float(cost.alarms(watched)) == pytest.approx(3 * 0.10 + 0.50)
    # Nobody's alarms in the template: Application Auto Scaling makes two of six metrics.
    read = sum(len(one) for one in watching.read_by(template).values())
    assert float(cost.alarms(template)) == pytest.approx((read + 2 * 6) * 0.10 + 5 * 0.50)
    assert float(cost.insights()) == pytest.approx(38 * 0.30)


def test_the_task_that_is_looked_at_is_the_stacks() -> None:
    (command,) = [one for one in commands() if one.startswith("aws ecs run-task")]
    _, _, given = parsed(command)
    (definition,) = of_type(read(FILES[0]), "AWS::ECS::TaskDefinition").values()
    (container,) = definition["Properties"]["ContainerDefinitions"]
    (override,) = given["overrides"]["containerOverrides"]

    assert definition["Properties"]["Family"] == {"Ref": "AWS::StackName"}
    assert override["name"] == container["Name"]
    assert override["command"] == ["doctor"]
    assert 'ENTRYPOINT ["inference-worker"]' in (ROOT / "Dockerfile").read_text(encoding="utf-8")


# --- as a part of another app --------------------------------------------------------


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """What the page's code makes, with the construct from its wheel."""
    need_tools()
    at = tmp_path_factory.mktemp("theirs")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(at), str(DEPLOY)], check=True)  # noqa: S603  (our own)
    (wheel,) = at.glob("*.whl")
    start = (
        f"import sys; sys.path.insert(0, {str(DEPLOY)!r})\nimport app\napp.use_node_of_wheel()\n"
    )
    away = f"sys.path[0] = {str(wheel)!r}\n"
    (code,) = blocks("python")
    (at / "main.py").write_text(start + away + code, encoding="utf-8")
    ran = subprocess.run(  # noqa: S603  (our own)
        [sys.executable, str(at / "main.py")],
        env={"CDK_OUTDIR": str(at / "cdk.out"), "HOME": str(Path.home()), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    made: Template = json.loads((at / "cdk.out" / "answers.template.json").read_text())
    return made


def test_the_pages_own_app_passes_the_gates(theirs: Template) -> None:
    assert (gates.lint(theirs), gates.validate(theirs)) == ([], [])


def test_a_producer_may_send_read_and_no_more(theirs: Template) -> None:
    (policy,) = [
        one["Properties"]["PolicyDocument"]["Statement"]
        for name, one in of_type(theirs, "AWS::IAM::Policy").items()
        if name.startswith("Producer")
    ]

    assert [one["Action"] for one in policy] == [
        "sqs:SendMessage",
        "dynamodb:BatchGetItem",
        ["s3:GetObject", "s3:PutObject"],
    ]
    assert all("*" not in one["Resource"] for one in policy)


def test_without_profiles_the_models_are_called_themselves(theirs: Template) -> None:
    found = [
        one
        for policy in of_type(theirs, "AWS::IAM::Policy").values()
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        if "bedrock" in str(one["Action"])
    ]

    (calls,) = found
    assert (
        calls["Resource"] == "arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0"
    )
    assert "Condition" not in calls


def test_settings_of_the_app_win_over_ours(theirs: Template) -> None:
    (definition,) = of_type(theirs, "AWS::ECS::TaskDefinition").values()
    (container,) = definition["Properties"]["ContainerDefinitions"]
    given = {one["Name"]: one["Value"] for one in container["Environment"]}

    assert given["WORKER_SLOTS"] == "16"
    assert given["WORKER_SERVICE"] == "chat"


def test_the_cdks_command_line_makes_the_same_template(tmp_path: Path) -> None:
    need_tools()
    context = {"network": "isolated", "name": "chat"}
    ran = subprocess.run(
        [sys.executable, "app.py"],
        cwd=DEPLOY,
        env={
            "CDK_OUTDIR": str(tmp_path),
            "CDK_CONTEXT_JSON": json.dumps(context),
            "HOME": str(Path.home()),
            "PATH": "/nowhere",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    made = json.loads((tmp_path / "chat.template.json").read_text())
    shorter = runpy.run_path(str(DEPLOY / "app.py"))["shorter"]
    assert shorter(made) == read("template.isolated.json")
    assert (tmp_path / "chat-dashboard.template.json").exists()
    assert "deprecated" not in ran.stderr
    # More than CloudFormation takes in one request: the command line needs a bucket for it.
    assert (tmp_path / "chat.template.json").stat().st_size > 51_200
    steps = re.findall(r"`npx aws-cdk@2 (\w+)", PAGE)
    assert steps == ["bootstrap", "deploy", "deploy"]
