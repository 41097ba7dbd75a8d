"""What becomes of jobs while nothing admits them, by the policy of the job or its route."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from worker.core.degrade import Context
from worker.core.events import JobSettled
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.ports import Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, ModelCall, Reply, answer
from worker.sim.world import LivingWorker, World

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
POLICY = BreakerPolicy(stuck_s=15.0, probe_s=15.0)
TARGET = Target(name="model-a", model="m", attempt_s=60.0, slow_s=15.0)
OUTAGE_S = 600.0


class Apology:
    """A handler that has an answer for everybody."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id
        assert context.request.messages
        return DegradedAnswer(content=({"text": "Sorry."},), quality=0.1)


def down_until(end_s: float) -> Callable[[ModelCall], Reply]:
    return lambda call: Reply(DOWN, 0.1) if call.now < end_s else Reply(answer(), 1.0)


def played(route: Route, *jobs: dict[str, Any], until_s: float = OUTAGE_S) -> list[JobSettled]:
    """Open the circuit with 40 jobs, send those that matter, and wait for the healing."""
    world = World(routes={"default": route}, breakers=MemoryBreakers())
    world.model.mood = down_until(OUTAGE_S)

    async def main() -> list[JobSettled]:
        rules = {"slots": 8, "policies": {"model-a": POLICY}}
        handlers = {"sorry": Handler(does=Apology())}
        workers = [
            LivingWorker(world, f"w{n}", seed=n, rules=rules, house={"handlers": handlers})
            for n in range(4)
        ]
        for n in range(40):
            world.submit(id=f"first-{n}", prompt="Hello.", on_open="park")
        await asyncio.sleep(60)
        for job in jobs:
            world.submit(prompt="Hello.", **job)
        await asyncio.sleep(until_s)
        for worker in workers:
            await worker.drain()
        return [event for worker in workers for event in worker.told.of(JobSettled)]

    names = {job["id"] for job in jobs}
    return [event for event in in_virtual_time(main()) if event.job in names]


def many(count: int, **job: Any) -> list[dict[str, Any]]:
    return [{"id": f"job-{n}", **job} for n in range(count)]


def ended_s(event: JobSettled) -> float:
    return (event.waited_ms + event.worked_ms) / 1000


HANDLED = Route(name="default", targets=(TARGET,), degraded=("sorry",))


@pytest.mark.parametrize("says", ["job", "route"])
@pytest.mark.parametrize(
    ("policy", "settlement", "from_s", "to_s"),
    [
        ("degrade", "degraded", 0.0, 30.0),
        ("degrade_after", "degraded", 120.0, 150.0),
        ("fail", "dead", 0.0, 30.0),
    ],
)
def test_a_policy_is_kept_within_seconds_by_whoever_says_it(
    says: str, policy: str, settlement: str, from_s: float, to_s: float
) -> None:
    after = policy == "degrade_after"
    if says == "job":
        route = HANDLED
        jobs = many(20, on_open="degrade_after:120" if after else policy)
    else:
        route = Route(
            name="default",
            targets=(TARGET,),
            degraded=("sorry",),
            on_open=policy,
            degrade_after_s=120.0 if after else None,
        )
        jobs = many(20)

    events = [e for e in played(route, *jobs, until_s=400.0) if e.settlement != "parked"]

    assert Counter(event.settlement for event in events) == {settlement: 20}
    assert all(event.attempts == 0 for event in events)
    assert all(from_s <= ended_s(event) <= to_s for event in events), sorted(map(ended_s, events))


def test_a_job_that_waits_for_a_real_answer_gets_one_after_the_healing() -> None:
    events = played(HANDLED, *many(20, on_open="park"), until_s=1_200.0)

    ended = [event for event in events if event.settlement != "parked"]
    assert Counter(event.settlement for event in ended) == {"answered": 20}
    assert all(event.attempts == 1 for event in ended)


def test_where_no_handler_is_degrading_means_waiting() -> None:
    route = Route(name="default", targets=(TARGET,), on_open="degrade")

    events = played(route, *many(20), until_s=1_200.0)

    ended = [event for event in events if event.settlement != "parked"]
    assert Counter(event.settlement for event in ended) == {"answered": 20}


@pytest.mark.parametrize(
    ("handled", "settlement", "reasons"),
    [(True, "degraded", {"circuit_open", "unavailable"}), (False, "dead", {"expired"})],
)
def test_the_longest_wait_ends_with_a_second_best_answer_or_none(
    *, handled: bool, settlement: str, reasons: set[str]
) -> None:
    route = Route(
        name="default",
        targets=(TARGET,),
        degraded=("sorry",) if handled else (),
        park_cap_s=30.0,
        park_max_s=100.0,
    )

    events = played(route, *many(3, on_open="park"), until_s=500.0)

    ended = [event for event in events if event.settlement != "parked"]
    assert [event.settlement for event in ended] == [settlement] * 3
    assert {event.reason for event in ended} <= reasons
    assert all(ended_s(event) > 100.0 for event in ended)


def test_a_deadline_ends_the_wait_with_a_second_best_answer() -> None:
    events = played(HANDLED, *many(5, on_open="park", deadline_s=60), until_s=400.0)

    ended = [event for event in events if event.settlement != "parked"]
    assert Counter(event.settlement for event in ended) == {"degraded": 5}
    assert all(ended_s(event) <= 60.0 for event in ended)
