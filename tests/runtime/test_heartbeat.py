"""Leases: extended while the job runs, given up when the ledger says so."""

import asyncio

from worker.core.events import JobSettled, LeaseLost
from worker.core.ledger import Claim, Record, State
from worker.core.route import Route
from worker.core.target import Target
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.memory import Call, Mishap, always, answer
from worker.sim.world import LivingWorker, World, until_quiet

PATIENT = Route(name="default", targets=(Target(name="a", model="m", attempt_s=100_000.0),))


def test_a_job_longer_than_its_lease_stays_ours() -> None:
    world = World(routes={"default": PATIENT})
    world.model.mood = always(answer(), 300.0)

    async def main() -> tuple[LivingWorker, LivingWorker]:
        world.submit(id="job-1", prompt="Hello.")
        first, second = LivingWorker(world, "w1"), LivingWorker(world, "w2")
        await until_quiet(world)
        await first.drain()
        await second.drain()
        return first, second

    first, second = in_virtual_time(main())

    assert world.model.started == {"job-1": 1}
    renewals = first.wire.calls["ledger", "renew"] + second.wire.calls["ledger", "renew"]
    assert 20 <= renewals <= 30, "300 s, one each 12 s"


def test_a_short_job_costs_no_extension() -> None:
    world = World()
    world.model.mood = always(answer(), 11.0)

    async def main() -> LivingWorker:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    assert worker.wire.calls["queue:jobs", "extend"] == 0
    assert worker.wire.calls["ledger", "renew"] == 0


def test_extensions_go_ten_at_a_time() -> None:
    world = World(routes={"default": PATIENT})
    world.model.mood = always(answer(), 15.0)

    async def main() -> LivingWorker:
        for _ in range(40):
            world.submit()
        worker = LivingWorker(world, "w1", rules={"slots": 40})
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    assert worker.wire.calls["queue:jobs", "extend"] <= 8
    assert world.statuses() == {"answered": 40}


def test_a_claim_that_was_lost_cuts_the_work_short_and_writes_nothing() -> None:
    world = World(routes={"default": PATIENT})
    world.model.mood = always(answer(), 60.0)

    async def main() -> tuple[LivingWorker, Record]:
        message_id = world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        await asyncio.sleep(2)
        rival = Claim(
            job="job-1",
            owner="rival",
            nonce="n",
            doorbell=message_id,
            lease_s=1000.0,
            digest=world.ledger.records["job-1"].digest,
            sent_at=wall_clock(),
        )
        held = world.ledger.records["job-1"]
        # As after a stall: the claim has lapsed, and another worker has taken the job.
        world.ledger.records["job-1"] = held.__class__(
            **{**{f: getattr(held, f) for f in held.__slots__}, "lease_until": 0.0}
        )
        taken = await world.ledger.seen_by().claim(rival)
        assert isinstance(taken, Record)
        await asyncio.sleep(40)
        assert world.ledger.records["job-1"] == taken
        await worker.drain()
        return worker, taken

    worker, taken = in_virtual_time(main())

    assert [event.why for event in worker.told.of(LeaseLost)] == ["claimed_elsewhere"]
    assert not worker.told.of(JobSettled)
    assert world.ledger.records["job-1"].fence == taken.fence
    assert world.model.cancelled == 1


def test_an_outage_of_the_queue_does_not_cost_the_answer() -> None:
    world = World(routes={"default": PATIENT})
    world.model.mood = always(answer(), 60.0)

    async def main() -> LivingWorker:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")

        def no_extensions(call: Call) -> Mishap | None:
            return Mishap(when="before") if call.operation == "extend" else None

        worker.wire.plan = no_extensions
        await until_quiet(world)
        await worker.drain()
        return worker

    in_virtual_time(main())

    assert world.ledger.records["job-1"].state is State.ANSWERED
    assert world.model.started == {"job-1": 1}


def test_no_job_is_held_longer_than_the_queue_allows() -> None:
    world = World(routes={"default": PATIENT})
    world.model.mood = always(answer(), 90_000.0)

    async def main() -> JobSettled:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        while not (settled := worker.told.of(JobSettled)):
            await asyncio.sleep(60)
        await worker.drain()
        return settled[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.reason) == ("released", "in_hand_too_long")
    assert event.worked_ms <= 11.1 * 3600 * 1000
