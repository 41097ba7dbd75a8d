"""`inference-worker workers`: who has a seat in the jury, and who sees it otherwise.

Exit codes: 0 all agree, 1 one sees something otherwise, or nobody has a seat; 2 used wrongly,
or the store could not be asked.
"""

from pathlib import Path

import orjson

from worker.cli.breaker import at_desk
from worker.ops.desk import Desk
from worker.ops.workers import workers
from worker.words import workers as text


def show(config: Path | None, *, as_json: bool) -> int:
    """Print each worker's view against the fleet's."""

    async def act(desk: Desk) -> int:
        found = await workers(desk)
        told = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
        print(told if as_json else text.workers(found))
        return 0 if found.jurors and all(one.agrees for one in found.jurors) else 1

    return at_desk(config, act)
