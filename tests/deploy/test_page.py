"""docs/deploy.md: its commands are ones, its code makes a stack, its figures are the template's."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.doctor.awscli import parsed
from tests.deploy import gates
from tests.deploy.conftest import need_tools
from tests.deploy.template import DEPLOY, FILES, ROOT, Template, of_type, read

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
# What the command line makes of several requests; `deploy` has a test of its own.
CUSTOM = ("cloudformation deploy", "ecr get-login-password", "logs tail")


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
    service, operation, given = parsed(command)

    assert service
    assert operation
    assert given


def test_the_deploy_command_gives_the_template_what_it_asks_for() -> None:
    (command,) = [one for one in commands() if one.startswith("aws cloudformation deploy")]
    words = shlex.split(command)
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
    ],
)
def test_a_parameter_takes_every_form_of_an_arn(template: Template, name: str, value: str) -> None:
    assert re.fullmatch(template["Parameters"][name]["AllowedPattern"], value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ModelArns", "*"),
        ("ModelArns", ""),
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

    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(template["Parameters"])
    assert outputs
    assert outputs <= set(template["Outputs"])


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
