"""A job that brings workers down is found, and its neighbours are cleared."""

import asyncio

from worker.core.answer import Answer
from worker.core.events import FlightFailed, JobSettled
from worker.core.fault import Fault
from worker.core.ledger import State
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, always, answer
from worker.sim.world import LivingWorker, World, until_quiet


def test_a_killer_among_neighbours_dies_alone() -> None:
    world = World()
    killers: list[str] = []

    def mood(call: ModelCall) -> Reply:
        if call.job == "killer":
            killers.append(call.job)
        return Reply(answer(), 2.0)

    world.model.mood = mood

    async def main() -> None:
        for n in range(7):
            world.submit(id=f"job-{n}", prompt="Hello.")
        world.submit(id="killer", prompt="Hello.")
        for n in range(12, 32):
            world.submit(id=f"job-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w0")
        runs = 0
        while not world.quiet():
            await asyncio.sleep(0.5)
            if len(killers) > runs:
                runs = len(killers)
                await worker.crash()  # whoever runs the killer is killed
                worker = LivingWorker(world, f"w{runs}")
        await worker.drain()

    in_virtual_time(main())

    records = world.ledger.records
    assert (records["killer"].state, records["killer"].reason) == (State.DEAD, "crash_loop")
    assert len(killers) == 3
    others = [record for job, record in records.items() if job != "killer"]
    assert {record.state for record in others} == {State.ANSWERED}
    assert {record.crashes for record in others} == {0}, "each was cleared by its own outcome"


def test_a_bystander_of_one_crash_is_answered_and_cleared() -> None:
    world = World()
    world.model.mood = always(answer(), 5.0)

    async def main() -> JobSettled:
        world.submit(id="job-1", prompt="Hello.")
        first = LivingWorker(world, "w1")
        await asyncio.sleep(2)
        await first.crash()
        second = LivingWorker(world, "w2")
        await until_quiet(world)
        await second.drain()
        return second.told.of(JobSettled)[0]

    event = in_virtual_time(main())

    assert (event.settlement, event.attempts, event.crashes) == ("answered", 2, 0)
    assert world.model.started == {"job-1": 2}


def test_one_crash_makes_nobody_a_suspect() -> None:
    world = World()
    world.model.mood = always(answer(), 5.0)

    async def main() -> list[JobSettled]:
        for n in range(8):
            world.submit(id=f"job-{n}", prompt="Hello.")
        first = LivingWorker(world, "w1")
        await asyncio.sleep(2)
        await first.crash()
        second = LivingWorker(world, "w2")
        await until_quiet(world)
        await second.drain()
        return second.told.of(JobSettled)

    events = in_virtual_time(main())

    assert [event.settlement for event in events] == ["answered"] * 8
    assert world.model.in_flight_max == 8, "all at once"


def test_suspects_wait_for_each_other_without_a_charge() -> None:
    world = World()
    world.model.mood = always(answer(), 5.0)

    async def main() -> list[JobSettled]:
        for n in range(4):
            world.submit(id=f"job-{n}", prompt="Hello.")
        for name in ("w1", "w2"):
            doomed = LivingWorker(world, name)
            while world.model.in_flight < 4:
                await asyncio.sleep(1)
            await doomed.crash()
            world.model.in_flight = 0
        world.model.in_flight_max = 0
        last = LivingWorker(world, "w3")
        await until_quiet(world)
        await last.drain()
        return last.told.of(JobSettled)

    events = in_virtual_time(main())

    assert world.model.in_flight_max == 1, "one suspect at a time"
    assert world.statuses() == {"answered": 4}
    waits = [event for event in events if event.reason == "suspect_waits"]
    assert waits
    assert all((event.settlement, event.crashes) == ("parked", 2) for event in waits)


def test_a_job_that_breaks_our_own_code_is_dead_after_three_runs() -> None:
    world = World()

    class Broken:
        async def call(self, *_: object, **__: object) -> Answer | Fault:
            world.model.started["job-1"] += 1
            msg = "the text of a job"
            raise ZeroDivisionError(msg)

    async def main() -> LivingWorker:
        world.submit(id="job-1", prompt="Hello.")
        worker = LivingWorker(world, "w1", house={"model": Broken()})
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())

    failures = worker.told.of(FlightFailed)
    assert [event.error for event in failures] == ["ZeroDivisionError"] * 3
    assert all(event.where.startswith("test_poison.py:") for event in failures)
    assert world.ledger.records["job-1"].reason == "crash_loop"
