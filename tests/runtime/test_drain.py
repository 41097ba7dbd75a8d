"""Leaving: what fits the grace finishes, the rest goes back uncharged, and nothing is lost."""

import asyncio

from worker.core.events import DeliverySkipped, DrainEnded, JobSettled, JobUnparked
from worker.core.fault import Fault, Kind
from worker.core.ledger import State
from worker.runtime.supervisor import Drain
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Call, Mishap, ModelCall, Reply, always, answer
from worker.sim.world import LivingWorker, World, until_quiet


def test_an_idle_worker_leaves_as_soon_as_its_poll_has_landed() -> None:
    world = World()

    async def main() -> tuple[Drain, float]:
        worker = LivingWorker(world, "w1")
        await asyncio.sleep(7)
        drain = await worker.drain()
        return drain, asyncio.get_running_loop().time()

    drain, at = in_virtual_time(main())

    assert (drain, round(at)) == (Drain.CLEAN, 10)
    assert world.jobs.cancelled_receives == 0


def test_what_fits_the_grace_finishes_and_the_rest_goes_back_uncharged() -> None:
    world = World()
    world.model.mood = lambda call: Reply(answer(), 10.0 if call.job.startswith("short") else 55.0)

    async def main() -> tuple[LivingWorker, Drain]:
        for n in range(4):
            world.submit(id=f"short-{n}", prompt="Hello.")
            world.submit(id=f"long-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        await asyncio.sleep(2)
        drain = await worker.drain()
        assert world.jobs.depth().visible == 4, "released means visible at once"
        return worker, drain

    worker, drain = in_virtual_time(main())

    records = world.ledger.records
    assert drain is Drain.CLEAN
    assert all(records[f"short-{n}"].state is State.ANSWERED for n in range(4))
    for n in range(4):
        record = records[f"long-{n}"]
        assert record.state is State.INTERRUPTED
        assert (record.attempts, record.interruptions, record.crashes) == (0, 1, 0)
    (ended,) = worker.told.of(DrainEnded)
    assert (ended.clean, ended.released) == (True, 4)
    assert ended.took_s <= 30


def test_what_was_given_back_starts_elsewhere_at_once() -> None:
    world = World()
    world.model.mood = always(answer(), 55.0)

    async def main() -> JobSettled:
        world.submit(id="job-1", prompt="Hello.")
        first = LivingWorker(world, "w1")
        await asyncio.sleep(1)
        await first.drain()
        left_at = asyncio.get_running_loop().time()
        world.model.mood = always(answer(), 1.0)
        second = LivingWorker(world, "w2")
        await until_quiet(world)
        assert asyncio.get_running_loop().time() - left_at < 4
        await second.drain()
        return second.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.attempts, event.interruptions) == ("answered", 1, 1)


def test_a_message_that_a_late_poll_brings_goes_back() -> None:
    world = World()

    async def main() -> LivingWorker:
        worker = LivingWorker(world, "w1")
        await asyncio.sleep(1)
        worker.stop.set()
        await asyncio.sleep(1)
        world.submit(id="job-1", prompt="Hello.")
        await worker.task
        return worker

    worker = in_virtual_time(main())

    assert [event.why for event in worker.told.of(DeliverySkipped)] == ["stopping"]
    assert not world.ledger.records
    (message,) = world.jobs.peek()
    assert message.receive_count == 1


def test_a_job_that_is_being_claimed_at_the_cut_is_given_back() -> None:
    world = World()

    async def main() -> Drain:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1", rules={"grace_s": 10.0, "wait_s": 1.0})

        def slow_claim(call: Call) -> Mishap | None:
            worker.wire.latency_s = 8.0 if call.operation == "claim" else 0.0
            return None

        worker.wire.plan = slow_claim
        await asyncio.sleep(0.5)
        return await worker.drain()

    drain = in_virtual_time(main())

    record = world.ledger.records["job-1"]
    assert drain is Drain.CLEAN
    assert (record.state, record.attempts) == (State.INTERRUPTED, 0)
    assert not world.model.started


def test_a_worker_that_cannot_settle_leaves_within_the_grace_all_the_same() -> None:
    world = World()

    async def main() -> tuple[Drain, float]:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        worker.wire.plan = lambda call: (
            Mishap(when="before", hangs=True) if call.operation == "finish" else None
        )
        await asyncio.sleep(5)
        drain = await worker.drain()
        return drain, asyncio.get_running_loop().time()

    drain, at = in_virtual_time(main())

    assert drain is Drain.FORCED
    assert at <= 35.0
    assert len(world.jobs.peek()) == 1


def test_the_interruption_of_one_job_leaves_its_neighbour_alone() -> None:
    world = World()

    def mood(call: ModelCall) -> Reply:
        return Reply(answer(), 1.0 if call.number > 1 or call.job == "job-1" else 55.0)

    world.model.mood = mood

    async def main() -> None:
        world.submit(id="job-1", prompt="Hello.")
        world.submit(id="job-2", prompt="Hello.")
        first = LivingWorker(world, "w1")
        await asyncio.sleep(0.5)
        await first.drain()
        second = LivingWorker(world, "w2")
        await until_quiet(world)
        await second.drain()

    in_virtual_time(main())

    assert world.statuses() == {"answered": 2}
    assert world.model.started == {"job-1": 1, "job-2": 2}


def test_a_park_ends_once_however_often_its_next_run_is_interrupted() -> None:
    down = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
    world = World()
    world.model.mood = lambda c: Reply(down, 0.1) if c.now < 3 else Reply(answer(), 50.0)

    async def main() -> list[JobUnparked]:
        world.submit(id="job-1", prompt="Hello.")
        told: list[JobUnparked] = []
        for n in range(3):
            worker = LivingWorker(world, f"w{n}", rules={"grace_s": 5.0})
            await asyncio.sleep(30 if n < 2 else 150)
            await worker.drain()
            told += worker.told.of(JobUnparked)
        return told

    told = in_virtual_time(main())

    record = world.ledger.records["job-1"]
    assert (record.state, record.interruptions) == (State.ANSWERED, 2)
    assert [event.parks for event in told] == list(range(1, record.parks + 1))
    assert abs(sum(event.parked_ms for event in told) / 1000 - record.parked_s) < 0.1
