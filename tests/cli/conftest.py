"""Commands run in this process here, and must leave it alive."""

import os
import sys

import pytest


@pytest.fixture(autouse=True)
def no_command_ends_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves behind a thread that still works ends the process at once: here, as usual."""
    monkeypatch.setattr(os, "_exit", sys.exit)
