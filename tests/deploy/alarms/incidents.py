"""Incidents: real workers in virtual time, and all that they and AWS write meanwhile.

Each says from when to when its causes lasted; which alarms must ring for them is in
`alarm_lab.py`.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from tests.deploy.alarms.incident import (
    DENIED,
    FAR,
    LEAD,
    LOG_GROUP,
    MIN,
    NEAR,
    PARKS,
    THROTTLED,
    Incident,
    Stage,
    at,
    failing,
    ill,
    played,
    well,
)
from tests.telemetry.scenes import REJECTED, Says
from worker.alarms.lines import Read, read
from worker.core.degrade import Terms
from worker.core.settlement import DegradedAnswer
from worker.ports import Handler
from worker.sim.memory import Mishap, ModelCall, Reply, answer


def healthy() -> Incident:
    """Nothing but noise."""
    return played(Stage(mood=well, minutes=40))


def an_outage_with_nothing_else() -> Incident:
    """The only target is dead for 40 minutes; jobs wait."""
    return played(Stage(mood=ill(50, failing()), minutes=65), model=(LEAD, 50))


def an_outage_with_a_handler() -> Incident:
    """The same for 25 minutes; a second-best answer takes its place."""
    sorry = Handler(does=Says(lambda: DegradedAnswer.saying("Sorry.")), terms=Terms(quality=0.4))
    route = replace(PARKS, degraded=("sorry",), on_open="degrade")
    stage = Stage(mood=ill(35, failing()), minutes=50, routes=(route,), plugins={"sorry": sorry})
    return played(stage, model=(LEAD, 35))


def an_outage_with_another_target() -> Incident:
    """The first target is dead for 25 minutes; the second is not."""
    route = replace(PARKS, targets=(NEAR, FAR))
    return played(Stage(mood=ill(35, failing()), minutes=50, routes=(route,)), model=(LEAD, 35))


def a_flapping_model() -> Incident:
    """A minute dead, two minutes well, ten times."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return (failing() if call.now // MIN % 3 == 1 else well)(call, dice)

    return played(Stage(mood=ill(40, mood), minutes=60), flaps=(LEAD, 38))


def throttles() -> Incident:
    """A call in ten is throttled, for 20 minutes."""
    return played(Stage(mood=ill(30, failing(THROTTLED, 0.1)), minutes=45), throttles=(LEAD, 30))


def a_right_is_taken() -> Incident:
    """Access is denied for ten minutes."""
    return played(Stage(mood=ill(20, failing(DENIED)), minutes=40), right=(LEAD, 20))


def a_slow_model() -> Incident:
    """For 15 minutes one answer in five takes 40 seconds. No circuit opens for so few."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return Reply(answer(), 40.0) if dice.random() < 0.2 else well(call, dice)

    late = 40 / MIN  # it is told when they come
    return played(Stage(mood=ill(25, mood), minutes=40), slow=(LEAD + late, 25 + late))


def dead_letters() -> Incident:
    """Three jobs are no jobs; an operator takes them out a quarter of an hour later."""

    async def script(stage: Stage) -> None:
        await at(LEAD)
        for n in range(3):
            stage.world.submit(id=f"bad-{n}", prompt="Hello.")
        await at(25)
        queue = stage.world.dead.seen_by()
        letters = await queue.receive(10, wait_s=0, lease_s=30)
        await queue.delete([one.receipt for one in letters])

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return Reply(REJECTED, 0.1) if call.job.startswith("bad") else well(call, dice)

    return played(Stage(mood=mood, minutes=40), script)


def jobs_that_die() -> Incident:
    """Two jobs in five are rejected, for 20 minutes: somebody deployed a producer."""

    def job(n: int, now: float) -> dict[str, Any]:
        bad = LEAD * MIN <= now < 30 * MIN and n % 5 < 2
        return {"id": f"{'bad' if bad else 'job'}-{n}"}

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        return Reply(REJECTED, 0.1) if call.job.startswith("bad") else well(call, dice)

    return played(Stage(mood=mood, minutes=60, job=job), rejected=(LEAD, 30))


def the_breakers_table_is_gone() -> Incident:
    """Workers cannot read the verdicts for 15 minutes."""

    def plan(call: Any) -> Mishap | None:
        now = asyncio.get_running_loop().time() / MIN
        return Mishap(when="before") if call.port == "breakers" and LEAD <= now < 25 else None

    # A view is stale when it is a minute old.
    return played(Stage(mood=well, minutes=40, plan=plan), stale=(LEAD + 1, 25))


def the_ledger_is_gone() -> Incident:
    """No job can be begun or ended for 20 minutes."""

    def plan(call: Any) -> Mishap | None:
        now = asyncio.get_running_loop().time() / MIN
        return Mishap(when="before") if call.port == "ledger" and LEAD <= now < 30 else None

    return played(Stage(mood=well, minutes=45, plan=plan), ledger=(LEAD, 30))


def every_worker_dies() -> Incident:
    """Both are killed; new ones come after twelve minutes."""

    async def script(stage: Stage) -> None:
        await at(LEAD - 0.01)  # before it tells of minute 10
        for one in stage.workers:
            for task in one._services:  # a kill flushes nothing
                task.cancel()
            kept = one.out.getvalue()
            await asyncio.wait(one._services)
            one.out.truncate(len(kept))
            await one.worker.crash()
        await at(22)
        for number in (2, 3):
            stage.start(number)

    return played(Stage(mood=well, minutes=40), script, silent=(LEAD, 22))


def nobody_is_wanted() -> Incident:
    """Nobody sends jobs for ten minutes; the fleet leaves in good order, and comes back."""

    async def script(stage: Stage) -> None:
        await at(LEAD - 1)
        stage.sends = False
        await at(LEAD)
        stage.wanted = 0
        for one in stage.workers:
            await one.drain()
        await at(20)
        for number in (2, 3):
            stage.start(number)
        stage.wanted, stage.sends = 2, True

    return played(Stage(mood=well, minutes=30), script)


def lines_that_are_no_metrics() -> Incident:
    """For five minutes somebody writes lines to the log that look like metrics and are none.

    CloudWatch is our own reader here: what it cannot read is what CloudWatch would refuse.
    """
    foreign = b'{"_aws":{"Timestamp":0,"CloudWatchMetrics":[{"Namespace":"X"}]}}\n'

    async def script(stage: Stage) -> None:
        await at(LEAD + 0.5)
        for _ in range(5):
            had = Read()
            read([foreign], had)
            by = {"LogGroupName": LOG_GROUP}
            stage.tell("AWS/Logs", "EMFValidationErrors", by, len(had.broken))
            stage.workers[0].out.write(foreign)
            await asyncio.sleep(MIN)

    return played(Stage(mood=well, minutes=30), script, foreign=(LEAD, 15))


def a_bug() -> Incident:
    """Twice a minute a run dies of an error of ours, for ten minutes."""

    def mood(call: ModelCall, dice: random.Random) -> Reply:
        if call.job.startswith("bug"):
            raise ZeroDivisionError
        return well(call, dice)

    def job(n: int, now: float) -> dict[str, Any]:
        bug = LEAD * MIN <= now < 20 * MIN and n % 15 == 0
        return {"id": f"{'bug' if bug else 'job'}-{n}"}

    return played(Stage(mood=mood, minutes=40, job=job), bug=(LEAD, 20))


INCIDENTS: Final[Mapping[str, Callable[[], Incident]]] = {
    one.__name__: one
    for one in (
        healthy,
        an_outage_with_nothing_else,
        an_outage_with_a_handler,
        an_outage_with_another_target,
        a_flapping_model,
        throttles,
        a_right_is_taken,
        a_slow_model,
        dead_letters,
        jobs_that_die,
        the_breakers_table_is_gone,
        the_ledger_is_gone,
        every_worker_dies,
        nobody_is_wanted,
        lines_that_are_no_metrics,
        a_bug,
    )
}


@cache
def incident(name: str) -> Incident:
    """Played once."""
    return INCIDENTS[name]()
