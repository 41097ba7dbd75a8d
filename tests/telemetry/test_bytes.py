"""What a job writes to the log is what `plan` says: the figures of `core/bill.py` are measured."""

import asyncio
import random
import uuid
from dataclasses import replace

import pytest

from tests.telemetry.stage import Speaking
from worker.core.answer import Usage
from worker.core.bill import LINE_BYTES, METRIC_BYTES
from worker.core.metric import Profile
from worker.core.route import Route
from worker.core.target import Target
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, answer
from worker.sim.world import World

PER_S, LASTS_S = 200, 20
TARGET = Target(name="default", model="eu.amazon.nova-lite-v1:0", price_input=0.06)


def busy(profile: Profile, level: str) -> tuple[float, float]:
    """Bytes per job of lines and of metrics, of one worker that answers 200 jobs a second."""
    dice = random.Random(1)  # noqa: S311 - a simulation's dice

    def mood(_: ModelCall) -> Reply:
        usage = Usage(input=dice.randint(100, 3000), output=dice.randint(50, 800))
        request_id = str(uuid.UUID(int=dice.getrandbits(128)))
        said = replace(answer(), usage=usage, request_id=request_id)
        return Reply(said, dice.lognormvariate(-2.0, 0.3))

    async def main() -> Speaking:
        world = World(routes={"default": Route(name="default", targets=(TARGET,))})
        world.model.mood = mood
        rules = {"slots": 200, "pollers_max": 16}
        one = Speaking(world, "w" * 12, profile=profile, level=level, given={"rules": rules})
        for n in range(PER_S * LASTS_S):
            world.submit(id=str(uuid.UUID(int=n)), prompt="Hello.")
            if n % PER_S == 0:
                await asyncio.sleep(1.0)
        await asyncio.sleep(10.0)
        await one.drain()
        return one

    lines = in_virtual_time(main()).out.getvalue().splitlines(keepends=True)
    metrics = sum(len(line) for line in lines if b'"_aws"' in line)
    jobs = PER_S * LASTS_S
    return (sum(map(len, lines)) - metrics) / jobs, metrics / jobs


@pytest.mark.parametrize("level", LINE_BYTES)
def test_the_bytes_of_a_jobs_lines_are_as_planned(level: str) -> None:
    lines, metrics = busy(Profile.FULL, level)

    says = f"bill.py: LINE_BYTES[{level!r}] is to be {lines:.0f}"
    assert lines == pytest.approx(LINE_BYTES[level], rel=0.1, abs=1.0), says
    assert metrics == pytest.approx(METRIC_BYTES[Profile.FULL], rel=0.25)
    assert (lines + metrics) * 1000 <= 5e6, "5 MB for 1,000 jobs"


def test_the_core_profile_writes_about_half_as_much() -> None:
    _, metrics = busy(Profile.CORE, "warning")

    assert metrics == pytest.approx(METRIC_BYTES[Profile.CORE], rel=0.25)
