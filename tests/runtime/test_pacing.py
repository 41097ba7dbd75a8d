"""Workers and quotas: the whole runtime, and a model that throttles."""

import asyncio
from collections.abc import Callable

import pytest

from worker.core.breaker import Permit
from worker.core.events import BreakerMoved, CallRefused, JobSettled, PaceChanged
from worker.core.fault import Fault, Kind
from worker.core.pacer import Pace, PacePolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.window import Outcome
from worker.runtime.supervisor import Drain
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, answer
from worker.sim.world import LivingWorker, World, until_quiet

THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
USED_UP = Fault(kind=Kind.EXHAUSTED, code="ThrottlingException", http=429)
A = Target(name="model-a", model="m", attempt_s=60.0)


def world_with(*targets: Target) -> World:
    return World(routes={"default": Route(name="default", targets=targets or (A,))})


def noting(world: World, fault: Fault, until_s: float) -> list[tuple[str, float]]:
    """The model brings the fault from model-a's quota until then; what was called, and when."""
    calls: list[tuple[str, float]] = []

    def mood(call: ModelCall) -> Reply:
        calls.append((call.target.name, call.now))
        if call.target.name != "model-b" and call.now < until_s:
            return Reply(fault, 0.1)
        return Reply(answer(), 1.0)

    world.model.mood = mood
    return calls


def settled(worker: LivingWorker) -> list[JobSettled]:
    return [one for one in worker.told.of(JobSettled) if one.settlement == "answered"]


def until_answered(world: World, jobs: int, *, slots: int = 8) -> LivingWorker:
    async def main() -> LivingWorker:
        for n in range(jobs):
            world.submit(id=f"job-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w", rules={"slots": slots})
        await until_quiet(world)
        await worker.drain()
        return worker

    return in_virtual_time(main())


def test_while_the_service_asks_to_be_left_alone_nothing_is_called() -> None:
    world = world_with()
    calls = noting(
        world, Fault(kind=Kind.THROTTLED, code="T", http=429, retry_after_s=40.0), until_s=5.0
    )

    worker = until_answered(world, 20, slots=1)

    first, second = (at for _, at in calls[:2])
    assert second - first >= 40.0
    assert len(settled(worker)) == 20
    assert {one.attempts for one in settled(worker)} == {1}, "nobody is charged for a throttle"
    assert worker.told.of(BreakerMoved) == []


def test_a_quota_of_the_day_that_is_used_up_quarantines_the_bucket_and_nothing_else() -> None:
    world = world_with()
    calls = noting(world, USED_UP, until_s=250.0)

    worker = until_answered(world, 30)

    early = [at for _, at in calls if at < 250.0]
    assert len(early) <= 8, "those that went out together, and none after them"
    assert max(early) < 5.0
    assert len(settled(worker)) == 30
    assert {one.attempts for one in settled(worker)} == {1}
    assert worker.told.of(BreakerMoved) == [], "no word against its health"
    paces = [one.pace for one in worker.told.of(PaceChanged)]
    assert paces[:2] == [Pace.EXHAUSTED, Pace.PACED]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(kind=Kind.THROTTLED, code="T", http=429, retry_after_s=40.0), "throttled"),
        (USED_UP, "exhausted"),
    ],
)
def test_a_job_that_is_parked_for_its_quota_says_so_and_blames_no_circuit(
    fault: Fault, reason: str
) -> None:
    other = Route(name="other", targets=(Target(name="model-b", model="o"),))
    world = World(routes={"default": Route(name="default", targets=(A,)), "other": other})
    calls = noting(world, fault, until_s=5.0)

    async def main() -> list[JobSettled]:
        worker = LivingWorker(world, "w", rules={"slots": 1})  # its lane is asked for the other
        world.submit(id="first", prompt="Hello.")
        while not worker.told.of(JobSettled):
            await asyncio.sleep(0.1)
        world.submit(id="second", prompt="Hello.")
        await asyncio.sleep(20.0)
        await worker.drain()
        return [one for one in worker.told.of(JobSettled) if one.job == "second"]

    told = in_virtual_time(main())

    assert {(one.settlement, one.reason) for one in told} == {("parked", reason)}
    assert len(calls) == 1, "it was not called for that"


def test_a_target_whose_circuit_is_open_too_is_not_held_back_by_its_quota_alone() -> None:
    world = world_with()

    async def main() -> tuple[str, str]:
        worker = LivingWorker(world, "w")
        gates, now = worker.supervisor.gates, asyncio.get_running_loop().time()
        route = world.routes["default"]
        gates.paces.of["model-a"].exhausted(now, retry_after_s=900.0)
        before = gates.refusals(route)["model-a"]
        local = next(gate.local for gate in gates if gate.local.name == "model-a")
        while isinstance(permit := local.admit(now), Permit):
            local.settle(permit, Outcome.FAILURE, now)
        after = gates.refusals(route)["model-a"]
        assert after.until == before.until, "the longer one counts"
        await worker.drain()
        return before.why, after.why

    assert in_virtual_time(main()) == ("exhausted", "open")


def test_jobs_go_to_another_quota_meanwhile_and_not_to_a_target_of_the_same() -> None:
    world = world_with(
        Target(name="model-a", model="m", bucket="shared"),
        Target(name="model-c", model="n", bucket="shared"),
        Target(name="model-b", model="o"),
    )
    calls = noting(world, USED_UP, until_s=250.0)

    worker = until_answered(world, 30, slots=1)

    first, *later = (name for name, _ in calls)
    assert first == "model-a"
    assert set(later) == {"model-b"}
    assert {one.target for one in settled(worker)} == {"model-b"}


def test_a_job_waits_for_its_turn_without_asking_again_and_again() -> None:
    world = world_with()
    allowed, tokens = 2.0, [0.0, 0.0]

    def mood(call: ModelCall) -> Reply:
        tokens[0] = min(allowed, tokens[0] + (call.now - tokens[1]) * allowed)
        tokens[1] = call.now
        if tokens[0] < 1:
            return Reply(THROTTLED, 0.1)
        tokens[0] -= 1
        return Reply(answer(), 1.0)

    world.model.mood = mood

    worker = until_answered(world, 200)

    assert len(settled(worker)) == 200
    assert len(worker.told.of(CallRefused)) <= 10
    gates = worker.supervisor.gates
    assert gates.paces.of["model-a"].pace is Pace.PACED


def paced_worker(world: World, before: Callable[[LivingWorker], None]) -> LivingWorker:
    worker = LivingWorker(world, "w", rules={"slots": 8, "pacing": PacePolicy(wait_s=5.0)})
    before(worker)
    return worker


def slow_pace(worker: LivingWorker) -> None:
    pacer = worker.supervisor.gates.paces.of["model-a"]
    now = asyncio.get_running_loop().time()
    for _ in range(2):
        pacer.throttled(now, began=now, in_flight=0, recent_per_s=0.0)
    pacer._top, pacer._searching = 0.5, False


def test_a_drain_does_not_wait_for_turns() -> None:
    world = world_with()

    async def main() -> tuple[Drain, float]:
        worker = paced_worker(world, slow_pace)
        for n in range(5):
            world.submit(id=f"job-{n}", prompt="Hello.")
        await asyncio.sleep(2.0)
        began = asyncio.get_running_loop().time()
        drain = await worker.drain()
        return drain, asyncio.get_running_loop().time() - began

    drain, took_s = in_virtual_time(main())

    assert drain is Drain.CLEAN
    assert took_s <= 10.0


def test_the_pace_of_each_bucket_that_has_one_can_be_read() -> None:
    world = world_with()

    async def main() -> list[dict[str, float]]:
        found = []
        worker = LivingWorker(world, "w")
        pacer = worker.supervisor.gates.paces.of["model-a"]
        found.append(worker.supervisor.paces)
        slow_pace(worker)
        found.append(worker.supervisor.paces)
        pacer.exhausted(asyncio.get_running_loop().time())
        found.append(worker.supervisor.paces)
        await worker.drain()
        return found

    free, paced, exhausted = in_virtual_time(main())

    assert free == {}
    assert paced == {"model-a": pytest.approx(0.3, abs=0.05)}
    assert exhausted == {"model-a": 0.0}
