"""The end of the process, where a task of somebody's does not hear that it is over."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys, time
from worker import wiring
from worker.runtime.supervisor import Drain

async def deaf():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def serve(settings, *, stop):
    if sys.argv[2] == "task":
        task = asyncio.create_task(deaf())
    else:
        task = asyncio.create_task(asyncio.to_thread(time.sleep, 30))
    await asyncio.sleep(0.1)
    print("drained")
    return Drain[sys.argv[1]]

wiring.serve = serve
sys.exit(wiring.run(None))
"""


@pytest.mark.parametrize("deaf", ["task", "thread"])
@pytest.mark.parametrize(("drain", "code"), [("CLEAN", 0), ("FORCED", 3)])
def test_a_process_ends_without_who_does_not_hear_it(drain: str, code: int, deaf: str) -> None:
    ended = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", PROGRAM, drain, deaf], capture_output=True, timeout=25, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"drained\n", b"")
