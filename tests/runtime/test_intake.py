"""Taking jobs: no more than there are slots for, as few receives as possible, fairly."""

import asyncio
from collections import Counter
from dataclasses import replace

from worker.core.events import DeliverySkipped, IntakeHeld, JobSettled
from worker.core.fault import Fault, Kind
from worker.core.ledger import State
from worker.core.route import Route
from worker.core.target import Target
from worker.ports import RecordUnreadable
from worker.runtime.house import Lane
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Call, MemoryQueue, Mishap, always, answer
from worker.sim.world import LivingWorker, World, until_quiet


def test_nothing_is_received_that_has_no_slot() -> None:
    world = World()
    world.model.mood = always(answer(), 5.0)
    most = 0

    async def main() -> None:
        nonlocal most
        for _ in range(30):
            world.submit()
        worker = LivingWorker(world, "w1", rules={"slots": 3})
        while not world.quiet():
            await asyncio.sleep(0.1)
            most = max(most, world.jobs.depth().in_flight)
        await worker.drain()

    in_virtual_time(main())

    # A message whose delete is still buffered is in flight, and holds no slot any more.
    assert world.model.in_flight_max == 3
    assert most <= 3 + 3


def test_bodies_in_hand_stay_within_their_bytes() -> None:
    world = World()
    world.model.mood = always(answer(), 5.0)
    mib = 1024 * 1024

    async def main() -> None:
        for _ in range(8):
            world.submit(prompt="x" * 1_000_000)
        worker = LivingWorker(world, "w1", rules={"slots": 50, "bytes_max": 3 * mib})
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert world.model.in_flight_max <= 3
    assert world.statuses() == {"answered": 8}


def test_a_deep_queue_costs_a_fifth_of_a_call_per_job() -> None:
    world = World()
    world.model.mood = always(answer(), 0.5)
    jobs = 2000

    async def main() -> Counter[tuple[str, str]]:
        for _ in range(jobs):
            world.submit()
        worker = LivingWorker(world, "w1", rules={"slots": 100})
        worker.wire.latency_s = 0.01
        await until_quiet(world)
        calls = Counter(worker.wire.calls)
        await worker.drain()
        return calls

    calls = in_virtual_time(main())

    of_queues = sum(n for (port, _), n in calls.items() if port.startswith("queue:"))
    assert of_queues / jobs <= 0.25


def test_one_slot_serves_both_queues() -> None:
    world = World()
    world.model.mood = always(answer(), 0.1)

    async def main() -> float:
        for _ in range(10):
            world.submit()
        for n in range(10):
            world.parked.put(b'{"prompt": "Hello.", "id": "p-%d"}' % n)
        worker = LivingWorker(world, "w1", rules={"slots": 1})
        await until_quiet(world, within_s=60)
        await worker.drain()
        return asyncio.get_running_loop().time()

    in_virtual_time(main())

    assert world.statuses() == {"answered": 20}


def test_while_the_ledger_is_out_of_reach_the_queue_keeps_the_jobs() -> None:
    world = World()
    outage_s = 120.0

    async def main() -> tuple[LivingWorker, int]:
        for _ in range(20):
            world.submit()
        worker = LivingWorker(world, "w1")

        def no_ledger(call: Call) -> Mishap | None:
            over = asyncio.get_running_loop().time() > outage_s
            return None if over or call.port != "ledger" else Mishap(when="before")

        worker.wire.plan = no_ledger
        await asyncio.sleep(outage_s)
        receives = worker.wire.calls["queue:jobs", "receive"]
        await until_quiet(world)
        await worker.drain()
        return worker, receives

    worker, receives = in_virtual_time(main())

    assert receives <= 15, "one look now and then, not a poll a second"
    assert {held.why for held in worker.told.of(IntakeHeld)} == {"ledger"}
    assert world.statuses() == {"answered": 20}
    assert all(record.crashes == 0 for record in world.ledger.records.values())


def test_one_unreadable_record_does_not_hold_up_the_others() -> None:
    world = World()

    async def main() -> LivingWorker:
        for n in range(5):
            world.submit(id=f"job-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        claims = iter([Mishap(when="before", error=RecordUnreadable())])
        worker.wire.plan = lambda call: next(claims, None) if call.operation == "claim" else None
        await asyncio.sleep(30)
        assert world.statuses() == {"answered": 4}
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    assert not worker.told.of(IntakeHeld)
    assert world.statuses() == {"answered": 5}


def test_without_credentials_a_job_goes_back_uncharged_and_the_intake_waits() -> None:
    world = World()
    local = Fault(kind=Kind.LOCAL, code="NoCredentialsError")
    world.model.mood = always(local, 0.0)

    async def main() -> JobSettled:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        await asyncio.sleep(20)
        world.model.mood = always(answer(), 0.1)
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    record = world.ledger.records["job-1"]
    assert (event.settlement, event.reason, event.attempts) == ("released", "local", 0)
    assert (record.state, record.attempts, record.crashes) == (State.ANSWERED, 1, 0)


def test_a_tenant_with_a_backlog_leaves_others_their_share() -> None:
    world = World()
    world.model.mood = always(answer(), 2.0)
    held: list[Counter[str]] = []

    async def main() -> list[str]:
        for n in range(100):
            tenant = "small" if n % 5 == 4 else "big"
            world.submit(group=tenant, id=f"{tenant}-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w1", rules={"slots": 8})
        while not world.quiet():
            await asyncio.sleep(0.5)
            held.append(Counter(worker.supervisor.flights.by_tenant))
        await worker.drain()
        return [event.why for event in worker.told.of(DeliverySkipped)]

    skipped = in_virtual_time(main())

    contended = [slots for slots in held if slots["small"]]
    assert skipped.count("over_share") > 10
    assert sum(slots["small"] for slots in contended) / len(contended) > 2.5, "more than a fifth"
    assert world.statuses() == {"answered": 100}


def test_a_duplicate_delivery_of_a_job_in_hand_is_adopted() -> None:
    world = World()
    world.model.mood = always(answer(), 10.0)

    async def main() -> LivingWorker:
        message_id = world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        await asyncio.sleep(3)
        world.jobs.deliver_again(message_id)
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    assert [event.why for event in worker.told.of(DeliverySkipped)] == ["running_here"]
    assert worker.wire.calls["queue:jobs", "delete"] == 1
    assert world.model.started == {"job-1": 1}


def test_a_job_that_runs_elsewhere_is_hidden_until_that_lease_ends() -> None:
    world = World()
    world.model.mood = always(answer(), 30.0)

    async def main() -> tuple[LivingWorker, LivingWorker]:
        message_id = world.submit(id="job-1", prompt="Hello.")
        first = LivingWorker(world, "w1")
        await asyncio.sleep(1)
        second = LivingWorker(world, "w2")
        first.stop.set()  # so that the second gets the duplicate
        await asyncio.sleep(5)
        world.jobs.deliver_again(message_id)
        await until_quiet(world)
        await second.drain()
        await first.task
        return first, second

    first, second = in_virtual_time(main())

    assert "running_elsewhere" in [e.why for e in second.told.of(DeliverySkipped)]
    assert world.ledger.records["job-1"].state is State.ANSWERED
    assert len(first.told.of(JobSettled) + second.told.of(JobSettled)) <= 2


def test_a_message_whose_delete_failed_is_deleted_when_it_comes_back() -> None:
    world = World()

    async def main() -> LivingWorker:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")

        def no_deletes(call: Call) -> Mishap | None:
            early = asyncio.get_running_loop().time() < 15
            return Mishap(when="before") if early and call.operation == "delete" else None

        worker.wire.plan = no_deletes
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    assert [event.why for event in worker.told.of(DeliverySkipped)] == ["deleted_before"]
    assert worker.wire.calls["ledger", "claim"] == 1


def test_each_lane_serves_its_own_routes() -> None:
    route = Route(name="default", targets=(Target(name="a", model="m"),))
    world = World(routes={"default": route, "slow": replace(route, name="slow")})
    slow_jobs, slow_parked = MemoryQueue(name="slow-jobs"), MemoryQueue(name="slow-parked")

    async def main() -> list[JobSettled]:
        worker = LivingWorker(
            world,
            "w1",
            house={
                "lanes": tuple(
                    Lane(
                        name=name,
                        jobs=jobs.seen_by(),
                        parked=parked.seen_by(),
                        dead=world.dead.seen_by(),
                        routes=frozenset({name}),
                    )
                    for name, jobs, parked in (
                        ("default", world.jobs, world.parked),
                        ("slow", slow_jobs, slow_parked),
                    )
                )
            },
        )
        world.submit(id="job-1", prompt="Hello.")
        world.submit(id="lost", prompt="Hello.", route="slow")
        slow_jobs.put(b'{"id": "job-2", "prompt": "Hello.", "route": "slow"}')
        await asyncio.sleep(30)
        await worker.drain()
        return worker.told.of(JobSettled)

    events = in_virtual_time(main())

    reasons = {event.job: (event.settlement, event.reason) for event in events}
    assert reasons == {
        "job-1": ("answered", ""),
        "lost": ("dead", "unknown_route"),
        "job-2": ("answered", ""),
    }
