"""The failover matrix: what becomes of a job, for every fault and every way out.

Played over the wire: a real worker, the real Bedrock adapter, HTTP to the embedded
stack. Every cell has a process of its own, so that no breaker remembers another
cell. Run it to write the table of docs/routes.md anew:

    python -m tests.local.failover
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.aws.bedrock_stage import client_for
from worker.aws.bedrock import Bedrock
from worker.cli import markdown
from worker.cli.breaker_page import filled
from worker.core.degrade import Context
from worker.core.events import AttemptMade, JobSettled
from worker.core.fault import Kind
from worker.core.job import Job
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Api, Target
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Answer, Fail, Hang, Outcome
from worker.local.stack import LocalStack
from worker.ports import Handler
from worker.sim.world import LivingWorker, World

PAGE: Final = Path(__file__).parents[2] / "docs" / "routes.md"
HERE, ELSEWHERE, CUT_OFF = "us-east-1", "us-west-2", "eu-west-1"
PATIENT_S: Final = 30.0  # a busy machine is no fault
CLOSED: Final = "http://127.0.0.1:1"  # nobody listens on port 1

# How each kind of fault is made. `unreachable` needs no answer, and `unknown` is what
# no answer comes to: a status says enough where a code does not.
FAULTS: Final[Mapping[Kind, Outcome | None]] = MappingProxyType(
    {
        Kind.UNAVAILABLE: Fail("ServiceUnavailableException"),
        Kind.TIMED_OUT: Hang(),
        Kind.THROTTLED: Fail("ThrottlingException"),
        Kind.EXHAUSTED: Fail("ThrottlingException", "Too many tokens per day."),
        Kind.REJECTED: Fail("ValidationException"),
        Kind.TOO_LONG: Fail("ValidationException", "Input is too long for requested model."),
        Kind.MISCONFIGURED: Fail("AccessDeniedException"),
        Kind.POOR: Answer(stop_reason="malformed_model_output"),
        Kind.UNREACHABLE: None,
        Kind.LOCAL: Fail("ExpiredTokenException"),
    }
)
WAYS: Final = ("nothing else", "another Region", "another model", "a handler")


class Sorry:
    """A handler with one answer for everything."""

    async def answer(self, _job: Job, _context: Context) -> DegradedAnswer:
        return DegradedAnswer(content=({"text": "Later."},), quality=0.1)


def route(kind: Kind, way: str) -> Route:
    """A target whose calls end in `kind`, and beside it one way out."""
    region = HERE if FAULTS[kind] is not None else CUT_OFF
    first = Target(
        name="first",
        model=f"{kind.value}-{WAYS.index(way)}",
        region=region,
        api=Api.CONVERSE,
        attempt_s=1.0 if kind is Kind.TIMED_OUT else PATIENT_S,
        context_tokens=1000,
    )
    well = replace(first, name="other", attempt_s=PATIENT_S)
    others = {
        "another Region": replace(well, region=ELSEWHERE),
        "another model": replace(well, model="larger", context_tokens=2000),
    }
    return Route(
        name="default",
        targets=(first, *((others[way],) if way in others else ())),
        degraded=("sorry",) if way == "a handler" else (),
    )


async def cell(kind: Kind, way: str, model: Bedrock) -> str:
    """What becomes of one job."""
    world = World(routes={"default": route(kind, way)})
    sorry = Handler(does=Sorry())
    worker = LivingWorker(
        world, "w", house={"model": model, "handlers": {"sorry": sorry}}, rules={"wait_s": 0.5}
    )
    world.submit(id="job", prompt="Hello.")
    while not (settled := worker.told.of(JobSettled)):
        await asyncio.sleep(0.02)
    await worker.drain()
    attempts = worker.told.of(AttemptMade)
    assert attempts[0].kind is kind, f"{kind}: the first call ended in {attempts[0].kind}"
    return _told(settled[0], attempts)


def _told(settled: JobSettled, attempts: list[AttemptMade]) -> str:
    calls = "1 call" if len(attempts) == 1 else f"{len(attempts)} calls"
    match settled.settlement:
        case "answered":
            return f"answered by the {attempts[-1].target} target at call {len(attempts)}"
        case "degraded":
            return f"degraded after {calls}"
        case ending:
            return f"{ending} after {calls}: `{settled.reason}`"


async def played() -> dict[Kind, list[str]]:
    """Every cell, all at once."""
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(LocalStack())
        clients: dict[str, Any] = {
            region: await stack.enter_async_context(client_for(url, pool=50, region_name=region))
            for region, url in ((HERE, local.url), (ELSEWHERE, local.url), (CUT_OFF, CLOSED))
        }
        for kind, outcome in FAULTS.items():
            for n in range(len(WAYS)):
                if outcome is not None:
                    mood = Mood(chances=(Chance(1.0, outcome),))
                    local.bedrock.set_mood(mood, model=f"{kind.value}-{n}", region=HERE)
        model = Bedrock(clients)
        cells = {(kind, way): cell(kind, way, model) for kind in FAULTS for way in WAYS}
        results = dict(zip(cells, await asyncio.gather(*cells.values()), strict=True))
    return {kind: [results[kind, way] for way in WAYS] for kind in FAULTS}


def table(rows: Mapping[Kind, list[str]]) -> str:
    """The matrix as a table."""
    return markdown.table(
        ("Calls of the first target end in", *(f"Beside it: {way}" for way in WAYS)),
        ((f"`{kind}`", *cells) for kind, cells in rows.items()),
    )


if __name__ == "__main__":
    text = filled(PAGE.read_text(encoding="utf-8"), {"matrix": table(asyncio.run(played()))})
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
