"""The image, built by its Dockerfile without an engine (`deploy/image.py`), and run read-only.

Where no root is to be had, or no `unshare`, the image is built and weighed and not run, and says
so; in CI never. The Python is this machine's: that of the base image is not shown here.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from tests.deploy.template import ROOT
from tests.deploy.test_dockerfile import IMAGE
from worker.client import Client
from worker.local.resources import Resources, create_resources
from worker.local.stack import LocalStack

SITE_MB_MAX = 45
NEEDS_ROOT = "an image is run by root on Linux: for a mount namespace, as an engine does"
# What no worker needs to take jobs: each would cost its start, and its memory.
NEVER = (
    *("worker.cli.demo", "worker.cli.doctor", "worker.local", "worker.ops", "worker.page"),
    *("worker.sim", "worker.words", "boto3", "jinja2", "ministack", "opentelemetry", "starlette"),
)
HEALTH = (("health",), ("health", "--ready"))
COMMANDS = (("check", "--live"), ("doctor",))
# Run from the image: the SDK's models and its parsers, the extensions, the ports on the stack.
SUITE = (
    "tests/aws/test_bedrock_call.py",
    "tests/contract/test_dead_letters.py",
    "tests/contract/test_payloads.py",
)
# Others' tools come behind the image's packages. What pytest wants of pygments, no worker prints.
PYTEST = """
import sys
packages, root, *arguments = sys.argv[1:]
sys.path += [packages, root]
import pygments.lexers
pygments.lexers.__path__.append(packages + "/pygments/lexers")
import pytest, worker, botocore
assert not any(m.__file__.startswith(root) for m in (worker, botocore)), "not the image's own"
sys.exit(pytest.main(arguments))
"""
# Not that this user may not, but that nobody could: else a root in there might.
WRITES = """
import errno, json, os
told = {}
for folder in ["/", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/etc", "/usr", "/proc", PREFIX]:
    try:
        open(folder + "/x", "w")
    except OSError as error:
        told[folder] = errno.errorcode[error.errno]
    else:
        told[folder] = "written"
print(json.dumps([os.getuid(), os.getgroups(), sorted(os.environ), told, os.getcwd()]))
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Any]:
    """Built once. In a folder that nobody owns: pytest's own cannot be entered by another user."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        Path(folder).chmod(0o755)
        yield IMAGE.build(Path(folder))


@pytest.fixture
def run(image: Any) -> Any:
    """The command line of a process of the image."""
    if shutil.which("unshare") is None or said(["unshare", "--mount", "true"]).returncode:
        if os.environ.get("CI"):
            pytest.fail(NEEDS_ROOT)
        pytest.skip(NEEDS_ROOT)
    return image.command


def said(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603


def test_the_image_is_built_and_its_packages_are_light(image: Any) -> None:
    (site,) = image.root.glob("opt/worker/lib/python*/site-packages")
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())

    assert size / 1e6 <= SITE_MB_MAX
    assert image.user == "65532:65532"
    assert image.copied == (image.root / "opt/worker",)
    # Whatever was used to build it is not in what the last stage takes.
    names = {path.name.partition("-")[0] for path in site.iterdir()}
    assert {"worker", "botocore"} < names
    assert not {"pip", "setuptools", "hatchling"} & names


def test_nothing_can_be_written_by_a_nobody_without_a_home(image: Any, run: Any) -> None:
    code = f"PREFIX = {str(image.copied[0])!r}\n{WRITES}"
    ran = said(run("-c", code, entrypoint=["python"]))

    assert ran.returncode == 0, ran.stderr
    uid, groups, names, told, folder = json.loads(ran.stdout)
    assert (uid, groups, folder) == (65532, [], "/")
    assert set(told.values()) <= {"EROFS", "ENOENT"}
    assert {name for name, code in told.items() if code == "EROFS"} >= {
        *("/", "/tmp", "/dev", "/etc", "/usr", str(image.copied[0]))  # noqa: S108  (nothing is)
    }
    assert "HOME" not in names
    assert set(names) <= {*image.env, "LC_CTYPE"}  # the last is Python's own


def test_a_worker_of_the_image_answers_and_leaves_when_it_is_told(run: Any, image: Any) -> None:
    async def story(there: Resources, env: Mapping[str, str]) -> None:
        worker = await asyncio.create_subprocess_exec(
            *run(env=env), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with Client.open(there.jobs_url, there.table) as client:
                job = await client.submit("Why is the sky blue?")
                result = await client.wait(job, timeout_s=60)
            health = await heard(*(run(*one, env=env) for one in HEALTH))
        finally:
            worker.terminate()
            _, errors = await worker.communicate()

        assert (result.status, worker.returncode, errors) == ("ok", 0, b"")
        assert health == [0, 0]
        assert image.healthcheck == ("inference-worker", *HEALTH[0])
        after = await heard(*(run(*one, env=env) for one in (HEALTH[0], *COMMANDS)))
        assert after == [1, 0, 0]

    on_a_stack(story)


async def heard(*commands: Sequence[str]) -> list[int]:
    """Their exit codes, run side by side."""

    async def one(command: Sequence[str]) -> int:
        to = asyncio.subprocess.DEVNULL
        return await (await asyncio.create_subprocess_exec(*command, stdout=to, stderr=to)).wait()

    return await asyncio.gather(*(one(command) for command in commands))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def on_a_stack(story: Any) -> None:
    async def main() -> None:
        async with LocalStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in stack.environment().items():
                    patch.setenv(name, value)
                there = await create_resources(get_session(), "chat")
                env = {
                    **stack.environment(),
                    "AWS_EC2_METADATA_DISABLED": "true",
                    "WORKER_SERVICE": "chat",
                    "WORKER_QUEUE__URL": there.jobs_url,
                    "WORKER_QUEUE__WAIT_S": "1",  # a stop lets the last receive come home
                    "WORKER_MODEL__ID": "some.model-v1:0",
                    "WORKER_PAYLOADS__BUCKET": there.bucket,
                    "WORKER_HEALTH__PORT": str(free_port()),
                }
                await story(there, env)

    asyncio.run(main())


def test_a_part_of_the_suite_passes_from_the_image(run: Any) -> None:
    (packages,) = {path for path in map(Path, sys.path) if path.name == "site-packages"}
    ours = [str(ROOT / name) for name in SUITE]
    options = ("-q", "--capture=sys", "-p", "no:cacheprovider", "--rootdir", str(ROOT))
    words = ("-P", "-c", PYTEST, str(packages), str(ROOT), *options, *ours)
    ran = said(run(*words, entrypoint=["python"], seen=[ROOT, packages]))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout


def test_a_worker_imports_nothing_that_it_does_not_need() -> None:
    code = "import sys, worker.cli.app, worker.cli.check, worker.wiring; print(*sys.modules)"
    loaded = said([sys.executable, "-c", code]).stdout.split()

    assert "worker.wiring" in loaded
    assert [n for n in loaded if any(n == one or n.startswith(f"{one}.") for one in NEVER)] == []
