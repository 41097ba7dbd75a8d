"""`inference-worker doctor`: what a worker with these settings would meet, and how to mend it.

Exit codes: 0 nothing is red, 1 something is, 2 used wrongly.
"""

import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import orjson

from worker.cli.check import given
from worker.cli.doctor.exam import Report, examine, examine_stores
from worker.cli.doctor.finding import Finding, Level, ordered
from worker.cli.doctor.text import report as text
from worker.cli.in_time import left, run
from worker.settings import Problem, Settings


def doctor(config: Path | None, *, calls: bool, as_json: bool) -> int:
    """Print what is wrong; 1 if something is red."""
    ours, problems = given(config)
    if ours is None:
        print("\n\n\n".join(map(str, problems)), file=sys.stderr)
        return 2
    told = run(_examined(ours.settings, problems, calls=calls))
    print(_as_json(told) if as_json else text(told))
    return left(0 if told.ok else 1)


def stores(settings: Settings) -> tuple[Problem, ...]:
    """For `check --live`, which ends by `left`: what is wrong with queues, tables and bucket."""
    found = run(examine_stores(settings, at=time.time))
    return tuple(one.problem for one in found if one.level is not Level.GREEN)


async def _examined(settings: Settings, problems: tuple[Problem, ...], *, calls: bool) -> Report:
    told = await examine(settings, calls=calls, at=time.time, environ=os.environ)
    return replace(told, findings=ordered((*map(_of_settings, problems), *told.findings)))


def _of_settings(problem: Problem) -> Finding:
    """What `check` says, as a finding."""
    facts = ", ".join(f"{name} is {value}" for name, value in problem.facts)
    return Finding(
        level=Level.RED if problem.fatal else Level.YELLOW,
        of="settings",
        says=problem.wrong,
        causes=problem.advice,
        fix=f"In force: {facts}." if facts else "",
        run=problem.run,
    )


def _as_json(told: Report) -> str:
    shown = {
        "ok": told.ok,
        "region": told.place.region,
        "account": told.place.account,
        "caller": told.place.caller,
        "calls": told.calls,
        "took_s": told.took_s,
        "findings": [asdict(one) for one in told.findings],
    }
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
