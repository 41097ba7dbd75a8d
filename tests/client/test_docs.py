"""The program in docs/client.md, run as it stands, with a whole worker on the other side."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.local.resources import Resources
from worker.local.stack import LocalStack
from worker.settings import load
from worker.wiring import serve

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
MODEL = "amazon.nova-lite-v1:0"


def test_the_program_on_the_page_runs(
    on_local_stack: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    page: dict[str, Any] = {"__name__": "page"}
    exec(compile(program, str(PAGE), "exec"), page)  # noqa: S102 - it is ours

    async def scene(_: LocalStack, resources: Resources) -> None:
        monkeypatch.setenv("JOBS_QUEUE_URL", resources.jobs_url)
        monkeypatch.setenv("JOBS_TABLE", resources.table)
        settings = load(
            {
                "WORKER_QUEUE__URL": resources.jobs_url,
                "WORKER_LEDGER__TABLE": resources.table,
                "WORKER_MODEL__ID": MODEL,
                "WORKER_QUEUE__WAIT_S": "1",
            }
        )
        stop = asyncio.Event()
        worker = asyncio.create_task(serve(settings, stop=stop))
        try:
            await page["main"]()
        finally:
            stop.set()
            await worker

    on_local_stack(scene)

    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert len(lines) == 4
    assert lines[0].startswith("ok ")
    assert all(" ok " in line for line in lines[1:])
