"""A hung primary: its fallback's answer comes inside the deadline, and comes to every job."""

import asyncio
import random
from dataclasses import replace

import orjson

from worker.core.degrade import Context
from worker.core.events import JobSettled
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.ledger import State
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.ports import Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Reply, answer
from worker.sim.model import ModelCall, Mood
from worker.sim.world import LivingWorker, World, until_quiet

RUNS = 500
DEADLINE_S = 30.0
HUNG_S = 1e6
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
HUNG = Target(name="hung", model="a", attempt_s=120.0)
GOOD = Target(name="good", model="b", attempt_s=120.0)
ROUTE = Route(name="default", targets=(HUNG, GOOD))


def hangs_at_first(dice: random.Random, *, longest_s: float = 12.0) -> Mood:
    """Nothing ever comes from `hung`; `good` takes its time."""

    def mood(call: ModelCall) -> Reply:
        return Reply(answer(), HUNG_S if call.target == HUNG else dice.uniform(0.1, longest_s))

    return mood


def settled_in_time(event: JobSettled, world: World) -> bool:
    result = world.ledger.records[event.job].result
    assert result is not None
    envelope = orjson.loads(result)
    in_time: bool = envelope["latency_ms"]["total"] <= DEADLINE_S * 1000
    return in_time and (envelope["status"], envelope["route"]["target"]) == ("ok", "good")


def one_run(seed: int, route: Route = ROUTE) -> tuple[JobSettled, World]:
    """A process that has seen nothing yet, and its first job."""
    dice = random.Random(seed)  # noqa: S311 - dice, not secrets
    world = World(routes={"default": route})
    world.model.mood = hangs_at_first(dice)

    async def main() -> JobSettled:
        world.submit(id="job", prompt="Hello.", deadline_s=DEADLINE_S)
        worker = LivingWorker(world, "w", seed=seed)
        await until_quiet(world)
        await worker.drain()
        (event,) = worker.told.of(JobSettled)
        return event

    return in_virtual_time(main()), world


def test_a_hung_primary_never_starves_its_fallback() -> None:
    runs = [one_run(seed) for seed in range(RUNS)]

    late = [n for n, (event, world) in enumerate(runs) if not settled_in_time(event, world)]
    assert not late


def test_without_a_second_attempt_the_hung_primary_has_it_all() -> None:
    event, _ = one_run(0, replace(ROUTE, retry=RetryPolicy(attempts=1)))

    assert (event.settlement, event.reason) == ("dead", "expired")


def test_a_stream_of_jobs_gets_over_a_hung_primary_without_running_out_of_retries() -> None:
    world = World(routes={"default": ROUTE})
    world.model.mood = hangs_at_first(random.Random(1))  # noqa: S311 - dice, not secrets
    policy = BreakerPolicy(failure_rate=0.5, stuck_s=30.0, probe_s=30.0)

    async def main() -> list[JobSettled]:
        rules = {"slots": 32, "policies": {"hung": policy, "good": policy}}
        worker = LivingWorker(world, "w", rules=rules)
        for n in range(RUNS):
            world.submit(id=f"job-{n}", prompt="Hello.", deadline_s=DEADLINE_S)
            await asyncio.sleep(0.5)
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)

    events = in_virtual_time(main())

    assert len(events) == RUNS
    assert all(settled_in_time(event, world) for event in events)
    # Far more of them failed over than the budget holds at any one time.
    assert world.model.targets.count("hung") > 50


class Apology:
    """A handler that has an answer for everybody."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id == context.job
        return DegradedAnswer.saying("Sorry.", quality=0.4)


def paced_jobs(latency_s: float, *degraded: str) -> list[tuple[State, float]]:
    """Four jobs with 10 s each, while their quota lets one go out every few seconds."""
    route = Route(name="default", targets=(GOOD,), degraded=degraded, handlers_s=2.0)
    world = World(routes={"default": route})
    world.model.mood = lambda call: (
        Reply(THROTTLED, 0.05) if call.job == "first" else Reply(answer(), latency_s)
    )

    async def main() -> None:
        handlers = {"sorry": Handler(does=Apology())}
        worker = LivingWorker(world, "w1", house={"handlers": handlers})
        world.submit(id="first", prompt="Hello.")
        await asyncio.sleep(1.0)
        for n in range(4):
            world.submit(id=f"job-{n}", prompt="Hello.", deadline_s=10.0)
        await asyncio.sleep(60.0)
        await worker.drain()

    in_virtual_time(main())
    records = [world.ledger.records[f"job-{n}"] for n in range(4)]
    return [(r.state, (r.finished_at or 1e9) - r.sent_at) for r in records]


def test_who_waits_for_a_turn_does_not_end_after_the_deadline() -> None:
    ended = paced_jobs(9.9)

    assert all(after_s <= 10.5 for state, after_s in ended if state is State.ANSWERED)
    assert len(ended) == 4


def test_who_waits_for_a_turn_leaves_the_handlers_their_time() -> None:
    ended = paced_jobs(HUNG_S, "sorry")

    assert {state for state, _ in ended} == {State.DEGRADED}
    assert max(after_s for _, after_s in ended) <= 10.0


def test_a_job_with_little_time_is_called_for_at_once_on_a_clock_that_ticks() -> None:
    """Between what a call needs at least and what is kept for handlers there is time for one."""
    route = Route(name="default", targets=(GOOD,), degraded=("sorry",), handlers_s=2.0)
    world = World(routes={"default": route})
    world.model.mood = lambda _: Reply(answer(), 0.2)

    async def main() -> None:
        handlers = {"sorry": Handler(does=Apology())}
        worker = LivingWorker(world, "w1", house={"handlers": handlers})
        await asyncio.sleep(0.2)
        world.submit(id="job-1", prompt="Hello.", deadline_s=1.9)
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main(), tick_s=1e-5)

    assert world.ledger.records["job-1"].state is State.ANSWERED
    assert world.model.started["job-1"] == 1
