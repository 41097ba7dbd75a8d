"""What the Dockerfile promises, read from its text; and that its pruned SDK still works."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import botocore
import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(botocore.__file__).parent / "data"


def instructions() -> list[tuple[str, str]]:
    """Keyword and argument of each instruction, continuation lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (keyword, argument.strip())
        for keyword, _, argument in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def last_stage() -> list[tuple[str, str]]:
    lines = instructions()
    start = max(n for n, (keyword, _) in enumerate(lines) if keyword == "FROM")
    return lines[start:]


def prune_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prune", ROOT / "deploy" / "prune_botocore.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "data"))


def test_the_worker_runs_as_nobody_in_particular() -> None:
    users = [argument for keyword, argument in last_stage() if keyword == "USER"]

    uid, gid = users[-1].split(":")
    assert int(uid) > 0
    assert int(gid) > 0


def test_the_worker_is_process_one() -> None:
    stage = dict(last_stage())

    assert json.loads(stage["ENTRYPOINT"]) == ["inference-worker"]
    assert json.loads(stage["CMD"]) == ["run"]
    assert stage["STOPSIGNAL"] == "SIGTERM"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "inference-worker" in scripts["scripts"]


def test_every_package_is_installed_by_its_hash() -> None:
    installs = [
        command
        for keyword, argument in instructions()
        if keyword == "RUN"
        for command in argument.split("&&")
        if " install " in command
    ]

    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or ("--no-deps" in command and "dist/" in command)


def test_nothing_is_fetched_and_nothing_secret_is_asked_for() -> None:
    keywords = {keyword for keyword, _ in instructions()}
    given = [argument for keyword, argument in instructions() if keyword in ("ARG", "ENV")]

    assert "ADD" not in keywords
    assert not re.search(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY", " ".join(given))
    assert "curl" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_last_stage_only_takes_what_was_built() -> None:
    stage = last_stage()

    assert [argument for keyword, argument in stage if keyword == "COPY"] == [
        "--from=build /opt/worker /opt/worker"
    ]
    assert not [argument for keyword, argument in stage if keyword in ("RUN", "VOLUME")]


def test_bytecode_is_made_in_the_build_and_not_at_run_time() -> None:
    environment = " ".join(argument for keyword, argument in last_stage() if keyword == "ENV")
    built = " ".join(argument for keyword, argument in instructions() if keyword == "RUN")

    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert "compileall" in built
    assert "unchecked-hash" in built


def test_the_builder_is_sent_nothing_but_what_is_copied() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = [
        source
        for keyword, argument in instructions()
        if keyword == "COPY" and not argument.startswith("--from")
        for source in argument.split()[:-1]
    ]

    assert "*" in ignored
    assert set(copied) == allowed


def test_the_builds_own_tools_are_those_of_the_lock() -> None:
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    tools = (ROOT / "deploy" / "build.txt").read_text(encoding="utf-8")
    rows = re.findall(r"^\S+==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", tools, re.MULTILINE)

    assert len(rows) == tools.count("==")
    for row in rows:
        assert row in lock


def test_pruning_keeps_less_than_half() -> None:
    kept = prune_script().SERVICES
    size = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    left = sum(
        path.stat().st_size for name in kept for path in (DATA / name).rglob("*") if path.is_file()
    )

    assert left < size / 2


def test_every_client_opens_on_a_pruned_sdk(copied: Path) -> None:
    prune_script().prune(copied)
    # A process of its own: a session remembers what it has loaded.
    script = f"""
import asyncio
import json
from aiobotocore.session import get_session

async def main():
    session = get_session()
    session.get_component("data_loader").search_paths[:] = [{str(copied)!r}]
    services = session.get_available_services()
    for name in {list(prune_script().SERVICES)!r}:
        async with session.create_client(
            name, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
        ) as client:
            assert client.meta.endpoint_url.startswith("https://"), name
    print(json.dumps(services))

asyncio.run(main())
"""
    ran = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    assert sorted(json.loads(ran.stdout)) == sorted(prune_script().SERVICES)


def test_pruning_a_foreign_folder_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()

    with pytest.raises(ValueError, match=r"no botocore/data folder"):
        prune_script().prune(tmp_path)

    assert (tmp_path / "precious").is_dir()


def test_an_sdk_without_a_service_that_we_need_is_not_pruned(copied: Path) -> None:
    shutil.rmtree(copied / "sqs")

    with pytest.raises(ValueError, match=r"no model of sqs"):
        prune_script().prune(copied)

    assert (copied / "ec2").is_dir()


def test_every_service_that_the_worker_opens_is_kept() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in [*(ROOT / "worker" / "aws").rglob("*.py")]
    )
    opened = set(re.findall(r'opened\(\s*"([a-z-]+)"', source))

    assert opened
    assert opened <= set(prune_script().SERVICES)
