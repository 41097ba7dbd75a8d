"""A stage for every test, and the figures that the tests measured, told at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage

FIGURES = pytest.StashKey[list[str]]()

Note = Callable[[str], None]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stack of the test's own; what its workers said is printed if the test fails."""
    with Stage(tmp_path) as opened:
        try:
            yield opened
        finally:
            print(opened.tails())  # noqa: T201  (pytest shows it with a failure only)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Keeps a measured figure: it is told at the end of the run, and is no assertion."""

    def keep(figure: str) -> None:
        request.config.stash.setdefault(FIGURES, []).append(f"{request.node.name}: {figure}")

    return keep


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if figures := config.stash.get(FIGURES, []):
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(figure)
