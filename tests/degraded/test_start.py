"""A worker whose handlers cannot be made does not start, and says why."""

from typing import Any

import pytest

from worker.settings import Settings
from worker.wiring import run


def test_a_worker_without_one_of_its_handlers_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-west-1")
    given: Any = {
        "queue": {"url": "http://127.0.0.1:9/1/chat-jobs"},
        "model": {"id": "m"},
        "degraded": {"sorry": {"kind": "plugin", "use": "no_such_module:x"}},
        "routes": {"default": {"targets": ["default"], "degraded": ["sorry"]}},
    }

    code = run(Settings(**given))

    told = capsys.readouterr()
    assert code == 1
    assert "    sorry: no_such_module cannot be imported: ModuleNotFoundError" in told.err
    assert told.out == ""
