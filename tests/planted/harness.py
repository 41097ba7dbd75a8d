"""Bugs that we plant ourselves: a test suite that nothing can fail tests nothing.

Each is a small lie in the core, and the core's tests must not believe it.
It is told in a copy of the package; the tests then run against the copy, in a
process of their own. Text that is no longer in the source fails loudly: plant
the bug anew where the rule lives now.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

REPO: Final = Path(__file__).parent.parent.parent
AT_ONCE: Final = min(4, os.cpu_count() or 1)
LIMIT_S: Final = 300
FAILED: Final = 1  # pytest's own code for "tests ran, and some failed"
SEED: Final = 1  # of Hypothesis, where no other is asked for

Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Bug:
    """A lie: in `module`, `old` becomes `new`, and `tests` must notice."""

    name: str
    module: str
    tests: str
    old: str
    new: str


def run(bug: Bug | None, tests: str, seed: int) -> Run:
    """The tests of the core against a copy of it, with `bug` planted."""
    with TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder)
        shutil.copytree(
            REPO / "worker" / "core",
            copy / "worker" / "core",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.copy(REPO / "worker" / "__init__.py", copy / "worker")
        if bug is not None:
            path = copy / "worker" / "core" / f"{bug.module}.py"
            source = path.read_text(encoding="utf-8")
            assert source.count(bug.old) == 1, (
                f"{bug.name!r} cannot be planted: {bug.old!r} stands {source.count(bug.old)} "
                f"times in worker/core/{bug.module}.py. Plant it anew where the rule lives now."
            )
            path.write_text(source.replace(bug.old, bug.new), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=line"),
            *("-p", "no:cacheprovider", "--hypothesis-profile=planted"),
            f"--hypothesis-seed={seed}",
            *("-c", str(REPO / "pyproject.toml"), "--rootdir", str(REPO)),
            *("-o", f"pythonpath={copy}"),
            *(str(REPO / "tests" / "core" / name) for name in tests.split()),
        ]
        env = os.environ | {"PYTHONPATH": str(copy)}
        return subprocess.run(  # noqa: S603  (our own interpreter, our own arguments)
            command, cwd=copy, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )


@cache
def runs(bugs: tuple[Bug, ...], seed: int = SEED) -> dict[str, "Future[Run]"]:
    """Every run, started once, a few at a time; "" is the core without a bug."""
    pool = ThreadPoolExecutor(AT_ONCE)
    clean = pool.submit(run, None, " ".join(sorted({bug.tests for bug in bugs})), seed)
    return {"": clean} | {bug.name: pool.submit(run, bug, bug.tests, seed) for bug in bugs}


def passes(bugs: tuple[Bug, ...]) -> None:
    """Assert that the core without a bug passes what must find the bugs."""
    honest = runs(bugs)[""].result()

    assert honest.returncode == 0, honest.stdout


def is_found(bug: Bug, bugs: tuple[Bug, ...]) -> None:
    """Assert that the tests fail where this one of `bugs` is planted."""
    planted = runs(bugs)[bug.name].result()

    assert planted.returncode == FAILED, f"nobody noticed that {bug.name}:\n{planted.stdout}"
