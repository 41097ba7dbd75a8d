"""Jobs that wait in hand while their circuit is open: few messages, and never in the way."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from worker.core.degrade import Context
from worker.core.events import JobSettled, JobUnparked
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.ledger import State
from worker.core.moves import Hold, moved
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.verdict import Mode, Override, Verdict
from worker.core.verdict import State as Circuit
from worker.ports import Handler
from worker.runtime.flights import Phase
from worker.runtime.protection import ScaleIn
from worker.sim.clock import EPOCH, in_virtual_time
from worker.sim.memory import (
    MemoryBreakers,
    MemoryProtection,
    ModelCall,
    Reply,
    ScriptedModel,
    answer,
)
from worker.sim.world import LivingWorker, World, until_quiet

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
POLICY = BreakerPolicy(stuck_s=15.0, probe_s=15.0)
SICK = Target(name="sick", model="m", attempt_s=60.0, slow_s=15.0)
WELL = Target(name="well", model="n", attempt_s=60.0, slow_s=15.0)


class Apology:
    """A handler that has an answer for everybody."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id
        assert context.request.messages
        return DegradedAnswer(content=({"text": "Sorry."},), quality=0.1)


def sick_until(end_s: float) -> Callable[[ModelCall], Reply]:
    def mood(call: ModelCall) -> Reply:
        if call.target.name == "sick" and call.now < end_s:
            return Reply(DOWN, 0.1)
        return Reply(answer(), 1.0)

    return mood


def world_with(*routes: Route, until_s: float = 1e9) -> World:
    known = routes or (Route(name="default", targets=(SICK,)),)
    world = World(routes={route.name: route for route in known}, breakers=MemoryBreakers())
    world.model.mood = sick_until(until_s)
    return world


def employed(world: World, count: int = 1, **house: object) -> list[LivingWorker]:
    policies = dict.fromkeys(("sick", "well"), POLICY)
    rules = {"slots": 8, "policies": policies}
    return [LivingWorker(world, f"w{n}", seed=n, rules=rules, house=house) for n in range(count)]


async def opened(world: World, jobs: int = 40) -> None:
    """Send so many jobs that the circuit opens, and wait until all is still."""
    for n in range(jobs):
        world.submit(id=f"first-{n}", prompt="Hello.")
    assert world.breakers is not None
    while world.breakers.verdicts.get("sick") is None or (
        world.breakers.verdicts["sick"].state is Circuit.CLOSED
    ):
        await asyncio.sleep(0.5)
    await asyncio.sleep(20.0)


async def held_open(world: World) -> None:
    """Let an operator hold the circuit open: nothing is asked to be its probe."""
    assert world.breakers is not None
    ordered = Override(
        mode=Mode.HOLD_OPEN, for_s=3600.0, until_at=EPOCH + 3600.0, author="ann", reason="a drill"
    )
    old = Verdict(name="sick")
    held = moved(old, Hold(override=ordered, number=0), POLICY, writer="ann", nonce="n")
    assert held is not None
    await world.breakers.seen_by().swap(old, held)
    await asyncio.sleep(20.0)


async def standing(workers: list[LivingWorker]) -> tuple[LivingWorker, str]:
    """A worker with a job that waits in hand, and that job's id."""
    while True:
        for worker in workers:
            for flight in worker.supervisor.flights:
                if flight.phase is Phase.WORKING and flight.may_last_until == 0.0:
                    return worker, flight.job_id
        await asyncio.sleep(0.1)


def standing_still(worker: LivingWorker) -> bool:
    """Whether all that the worker has in hand only waits."""
    return all(flight.may_last_until == 0.0 for flight in worker.supervisor.flights)


def queue_calls(workers: list[LivingWorker]) -> Counter[str]:
    found: Counter[str] = Counter()
    for worker in workers:
        for (port, operation), calls in worker.wire.calls.items():
            if port.startswith("queue:"):
                found[operation] += calls
    return found


def test_an_open_circuit_costs_messages_for_its_probes_and_for_nothing_else() -> None:
    world = world_with()

    async def main() -> tuple[Counter[str], int, int]:
        workers = employed(world, 4)
        await opened(world, jobs=400)
        before, probed = queue_calls(workers), world.model.started.total()
        await asyncio.sleep(600)
        calls, probes = queue_calls(workers) - before, world.model.started.total() - probed
        in_hand = world.statuses()["running"]
        for worker in workers:
            await worker.drain()
        return calls, probes, in_hand

    calls, probes, in_hand = in_virtual_time(main())

    assert 100 < probes < 600
    assert 1 <= in_hand <= 4, "one in each process"
    assert calls["send"] <= probes + 4
    assert calls["receive"] <= 1.2 * probes, "nobody takes a job that gets no ticket"
    assert not world.dead.peek()


def test_a_job_in_hand_starts_with_the_ramp_and_parked_ones_soon_after() -> None:
    world = world_with(until_s=300.0)

    async def main() -> list[LivingWorker]:
        workers = employed(world, 2)
        await opened(world, jobs=100)
        await until_quiet(world, within_s=600)
        for worker in workers:
            await worker.drain()
        return workers

    workers = in_virtual_time(main())

    unparked = [event for worker in workers for event in worker.told.of(JobUnparked)]
    assert world.statuses() == {"answered": 100}
    assert unparked
    assert all(event.parks >= 1 and event.parked_ms >= 1000 for event in unparked)
    assert max(record.parks for record in world.ledger.records.values()) >= 1


def test_who_drains_gives_back_at_once_what_only_waits() -> None:
    world = world_with()

    async def main() -> tuple[str, float]:
        workers = employed(world, 6)
        await opened(world, jobs=400)
        worker, job = await standing(workers)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await worker.drain()
        took_s = loop.time() - began
        assert world.ledger.records[job].state is State.INTERRUPTED
        for other in workers:
            await other.drain()
        return job, took_s

    job, took_s = in_virtual_time(main())

    record = world.ledger.records[job]
    assert took_s <= 5.0 + 1.0, "as long as a poll under way"
    assert (record.attempts, record.crashes) == (0, 0)


def test_what_is_claimed_while_the_worker_leaves_waits_for_no_circuit() -> None:
    world = world_with()

    async def main() -> float:
        workers = employed(world, 6)
        await opened(world, jobs=400)
        worker, _ = await standing(workers)
        for flight in worker.supervisor.flights:
            flight.cut_short("another reason")
        worker.wire.latency_s = 2.0
        while not any(f.phase is Phase.CLAIMING for f in worker.supervisor.flights):
            await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await worker.drain()
        took_s = loop.time() - began
        for other in workers:
            await other.drain()
        return took_s

    assert in_virtual_time(main()) <= 20.0, "and not the whole grace of 30 s"


def test_who_was_in_hand_at_a_crash_is_parked_and_cleared() -> None:
    world = world_with()

    async def main() -> str:
        workers = employed(world, 6)
        await opened(world, jobs=400)
        worker, job = await standing(workers)
        await worker.crash()
        while world.ledger.records[job].state is State.RUNNING:
            await asyncio.sleep(1.0)
        for other in workers:
            if other is not worker:
                await other.drain()
        return job

    record = world.ledger.records[in_virtual_time(main())]

    assert record.crashes == 0
    assert record.parks >= 1


@pytest.mark.parametrize("slots", [1, 8])
def test_no_slot_waits_that_another_route_could_use(slots: int) -> None:
    sick = Route(name="sick", targets=(SICK,))
    well = Route(name="default", targets=(WELL,))
    world = world_with(sick, well)

    async def main() -> tuple[Counter[str], int]:
        worker = LivingWorker(
            world, "w", rules={"slots": slots, "policies": {"sick": POLICY, "well": POLICY}}
        )
        for n in range(30):
            world.submit(id=f"sick-{n}", route="sick", prompt="Hello.")
        await asyncio.sleep(60)
        for n in range(60):
            world.submit(id=f"well-{n}", prompt="Hello.")
        await asyncio.sleep(120)
        ended = Counter(
            record.state.value
            for record in world.ledger.records.values()
            if record.route == "default"
        )
        running = world.statuses()["running"]
        await worker.drain()
        return ended, running

    ended, running = in_virtual_time(main())

    assert ended == {"answered": 60}
    assert running <= 1
    parked = [r.parks for r in world.ledger.records.values() if r.route == "sick"]
    assert max(parked) >= 2, "where others are served a refused job waits in its queue"


def test_two_open_routes_have_one_job_in_hand_each() -> None:
    one = Route(name="default", targets=(SICK,))
    other = Route(name="other", targets=(WELL,))
    world = world_with(one, other)
    world.model.mood = lambda _: Reply(DOWN, 0.1)

    async def main() -> list[str]:
        (worker,) = employed(world)
        for n in range(40):
            world.submit(id=f"other-{n}", route="other", prompt="Hello.")
        await opened(world)
        seen: set[str] = set()
        most = 0
        for _ in range(200):
            await asyncio.sleep(1.0)
            waiting = [r for r in world.ledger.records.values() if r.state is State.RUNNING]
            most = max(most, len(waiting))
            seen |= {record.route for record in waiting}
        assert most <= 4
        await worker.drain()
        return sorted(seen)

    assert in_virtual_time(main()) == ["default", "other"]


def test_a_job_in_hand_degrades_and_expires_when_its_time_has_come() -> None:
    route = Route(name="default", targets=(SICK,), degraded=("sorry",), on_open="degrade_after")
    world = world_with(route)

    async def main() -> list[JobSettled]:
        (worker,) = employed(world, handlers={"sorry": Handler(does=Apology())})
        await held_open(world)
        told = len(worker.told.of(JobSettled))
        world.submit(id="patient", prompt="Hello.", on_open="degrade_after:100")
        world.submit(id="hurried", prompt="Hello.", on_open="park", deadline_s=50, min_quality=0.9)
        await asyncio.sleep(200)
        settled = worker.told.of(JobSettled)[told:]
        await worker.drain()
        return settled

    settled = {e.job: e for e in in_virtual_time(main()) if e.settlement in ("degraded", "dead")}

    patient, hurried = settled["patient"], settled["hurried"]
    assert (patient.settlement, patient.parks) == ("degraded", 0)
    assert 99_000 <= patient.waited_ms + patient.worked_ms <= 103_000
    assert (hurried.settlement, hurried.reason) == ("dead", "expired")
    assert 40_000 <= hurried.waited_ms + hurried.worked_ms <= 56_000, "told at its last look"


def test_a_process_alone_in_its_trouble_keeps_no_job_that_another_could_serve() -> None:
    world = world_with(until_s=0.0)
    denied = Fault(kind=Kind.MISCONFIGURED, code="AccessDeniedException", http=403)
    alone = ScriptedModel(mood=lambda _: Reply(denied, 2.0))

    async def main() -> Counter[str]:
        (worker,) = employed(world, model=alone.seen_by())
        for n in range(2):
            world.submit(id=f"denied-{n}", prompt="Hello.")
        await asyncio.sleep(1.5)
        worker.wire.latency_s = 0.6  # the third one's claim is under way meanwhile
        world.submit(id="late", prompt="Hello.")
        await asyncio.sleep(20)
        statuses = world.statuses()
        await worker.drain()
        return statuses

    statuses = in_virtual_time(main())

    assert alone.started == {"denied-0": 1, "denied-1": 1}
    assert statuses == {"parked": 3}


def test_what_one_process_must_not_call_for_is_soon_tried_by_another() -> None:
    world = world_with(until_s=0.0)
    denied = Fault(kind=Kind.MISCONFIGURED, code="AccessDeniedException", http=403)
    alone = ScriptedModel(mood=lambda _: Reply(denied, 2.0))

    async def main() -> float:
        (worker,) = employed(world, model=alone.seen_by())
        for n in range(2):
            world.submit(id=f"denied-{n}", prompt="Hello.")
        await asyncio.sleep(1.5)
        worker.wire.latency_s = 0.6  # the third one's claim is under way meanwhile
        world.submit(id="late", prompt="Hello.")
        await asyncio.sleep(2.0)
        (other,) = employed(world)
        await until_quiet(world)
        for one in (worker, other):
            await one.drain()
        late = world.ledger.records["late"]
        return (late.finished_at or 1e12) - late.sent_at

    took_s = in_virtual_time(main())

    assert alone.started == {"denied-0": 1, "denied-1": 1}
    assert world.statuses() == {"answered": 3}
    assert took_s < 60.0, "its quarantine lasts five minutes, and is nobody else's"


def test_a_job_that_only_waits_keeps_no_task_from_being_scaled_in() -> None:
    world, agent = world_with(), MemoryProtection()

    async def main() -> tuple[bool, bool]:
        workers = employed(world, 6)
        await opened(world, jobs=400)
        worker, _ = await standing(workers)
        scale_in = ScaleIn(worker.supervisor._house, agent.seen_by(), worker.supervisor.flights)
        await scale_in.look()
        waits = agent.protected
        world.model.mood = lambda _: Reply(answer(), 50.0)
        while standing_still(worker):
            await asyncio.sleep(1.0)
        await scale_in.look()
        works = agent.protected
        for one in workers:
            await one.crash()
        return waits, works

    assert in_virtual_time(main()) == (False, True)


def test_a_job_whose_handler_stumbled_is_parked_and_not_kept_in_hand() -> None:
    """In hand it would wait for its circuit; after the park its handlers are asked again."""

    class Stumbles(Apology):
        asked = 0

        async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
            Stumbles.asked += 1
            if Stumbles.asked == 1:
                raise OSError
            return await super().answer(job, context)

    route = Route(name="default", targets=(SICK,), degraded=("sorry",), on_open="degrade")
    world = world_with(route)

    async def main() -> None:
        (worker,) = employed(world, handlers={"sorry": Handler(does=Stumbles())})
        await held_open(world)
        world.submit(id="job-1", prompt="Hello.", deadline_s=600)
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert Stumbles.asked == 2
    assert world.ledger.records["job-1"].state is State.DEGRADED
