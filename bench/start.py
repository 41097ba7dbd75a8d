"""From the start of a worker's process to its first receive, on one core.

The stack is a process of its own; the worker has one core, shared with whatever else the machine
does: so CPU seconds are told beside, which tell more on a machine that is busy.

`python -m bench --only start` times this environment's worker, or, with `--image OUT`, the one
that `python deploy/image.py OUT` has built, as ECS would run it.
"""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiobotocore.session import get_session

from worker.local.resources import create_resources
from worker.local.stack import LocalStack

START_S_MAX: Final = 2.0
ROUNDS: Final = 7
PATIENCE_S: Final = 60.0
LOOK_S: Final = 0.002


def measure(image: Path | None = None) -> Iterator[dict[str, Any]]:
    """The median of `ROUNDS` starts after one that warms the files up."""
    runs = asyncio.run(_runs(image))
    walls, cpus = ([run[n] for run in runs] for n in (0, 1))
    yield {
        "result": "target",
        "name": "start_to_first_receive_s",
        "of": "image" if image else "environment",
        "value": median(walls),
        "least": min(walls),
        "most": max(walls),
        "cpu_s": median(cpus),
        "limit": START_S_MAX,
        "met": median(walls) <= START_S_MAX,
    }


async def _runs(image: Path | None) -> list[tuple[float, float]]:
    async with LocalStack() as stack:
        os.environ.update(stack.environment())
        there = await create_resources(get_session(), "bench")
        settings = {
            **stack.environment(),
            "AWS_EC2_METADATA_DISABLED": "true",
            "WORKER_SERVICE": "bench",
            "WORKER_QUEUE__URL": there.jobs_url,
            "WORKER_QUEUE__WAIT_S": "1",
            "WORKER_MODEL__ID": "some.model-v1:0",
            "WORKER_LEDGER__TABLE": there.table,
            "WORKER_BREAKER__TABLE": there.breakers_table,
        }
        found = [await _run(stack, *_command(image, settings)) for _ in range(ROUNDS + 1)]
    return found[1:]


def _command(
    image: Path | None, settings: Mapping[str, str]
) -> tuple[Sequence[str], Mapping[str, str]]:
    if image is None:
        return [sys.executable, "-m", "worker", "run"], {"PATH": os.defpath, **settings}
    sys.path.insert(0, str(Path(__file__).parents[1] / "deploy"))
    from image import built  # noqa: PLC0415  (a script beside the Dockerfile, no package)

    return built(image).command(env=settings), {"PATH": os.environ["PATH"]}


async def _run(
    stack: LocalStack, command: Sequence[str], environment: Mapping[str, str]
) -> tuple[float, float]:
    """Wall-clock seconds to the first receive, and the CPU seconds of the process until its end."""
    core = min(os.sched_getaffinity(0))
    stack.faults.calls.clear()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    worker = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        stdout=asyncio.subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not stack.faults.calls["sqs:ReceiveMessage"]:
                assert worker.returncode is None, "it ended before it received"
                await asyncio.sleep(LOOK_S)
        took_s = time.perf_counter() - began
    finally:
        worker.send_signal(signal.SIGTERM)
        await worker.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took_s, cpu_s
