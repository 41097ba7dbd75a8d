"""Every envelope that a worker writes in these tests is held to the published schema."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from worker.core import result
from worker.core.result_schema import SCHEMA
from worker.runtime import settler

VALIDATOR = Draft202012Validator(SCHEMA)
EACH_TEST_MAX = 300  # a simulation of many thousand jobs writes the same few shapes


@pytest.fixture(autouse=True)
def envelopes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is wrong with the envelopes so far; told when the test is over."""
    left = EACH_TEST_MAX
    wrong: list[str] = []

    def build(*given: Any) -> dict[str, Any]:
        nonlocal left
        envelope = result.build(*given)
        if left:
            left -= 1
            wrong.extend(f"{e.json_path}: {e.validator}" for e in VALIDATOR.iter_errors(envelope))
        return envelope

    monkeypatch.setattr(settler, "build", build)
    yield wrong
    assert not wrong
