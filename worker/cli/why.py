"""`inference-worker why JOB`: the whole path of one job.

What is done is in `worker/ops/path.py`. Exit codes: 0 it was told, 2 there is no such job,
or the ledger could not be asked.
"""

from pathlib import Path

import orjson

from worker.cli.dead_place import at_desk
from worker.ops.dead_desk import DeadDesk
from worker.ops.path import path
from worker.words import why as text


def why(config: Path | None, job: str, *, as_json: bool) -> int:
    """Print the path of a job."""

    async def act(desk: DeadDesk) -> int:
        found = await path(desk, job)
        print(
            orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
            if as_json
            else text.path(found)
        )
        return 0

    return at_desk(config, act)
