"""Workers and their circuits: the whole runtime, a shared store, and a model that fails."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from worker.core.events import BreakerMoved, JobSettled
from worker.core.fault import Fault, Kind
from worker.core.moves import RESTORED, Hold, moved
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import Mode, Override, State, Verdict
from worker.sim.clock import EPOCH, in_virtual_time
from worker.sim.memory import MemoryBreakers, Mishap, ModelCall, Reply, answer
from worker.sim.world import LivingWorker, World, until_quiet

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
DENIED = Fault(kind=Kind.MISCONFIGURED, code="AccessDeniedException", http=403)
POLICY = BreakerPolicy(stuck_s=15.0, probe_s=15.0)
TARGET = Target(name="model-a", model="m", attempt_s=60.0, slow_s=15.0)


def world_with(*targets: Target, on_open: str = "park") -> World:
    route = Route(name="default", targets=targets or (TARGET,), on_open=on_open)
    return World(routes={"default": route}, breakers=MemoryBreakers())


def employed(world: World, count: int, slots: int = 8) -> list[LivingWorker]:
    policies = dict.fromkeys(("model-a", "model-b"), POLICY)
    rules = {"slots": slots, "policies": policies}
    return [LivingWorker(world, f"w{n}", seed=n, rules=rules) for n in range(count)]


def down_between(
    start_s: float, end_s: float, *, hangs: bool = False
) -> Callable[[ModelCall], Reply]:
    def mood(call: ModelCall) -> Reply:
        if start_s <= call.now < end_s:
            return Reply(DOWN, 1e6 if hangs else 0.2)
        return Reply(answer(), 1.0)

    return mood


async def steady(world: World, jobs: int, every_s: float) -> None:
    for n in range(jobs):
        world.submit(id=f"job-{n}", prompt="Hello.")
        await asyncio.sleep(every_s)


def fleet_moves(workers: list[LivingWorker], breaker: str = "model-a") -> list[tuple[str, str]]:
    found = [
        (move.version, move.old.value, move.new.value)
        for worker in workers
        for move in worker.told.of(BreakerMoved)
        if move.scope == "fleet" and move.breaker == breaker
    ]
    return [(old, new) for _, old, new in sorted(found)]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_fleet_stops_together_probes_within_its_tickets_and_recovers(*, hangs: bool) -> None:
    world = world_with()
    world.model.mood = down_between(20.0, 140.0, hangs=hangs)
    calls_while_open = 0

    async def main() -> list[LivingWorker]:
        nonlocal calls_while_open
        workers = employed(world, 4)
        await steady(world, 100, 0.2)
        feeding = asyncio.create_task(steady_more(world, 400, 0.3))
        await asyncio.sleep(40)
        before = world.model.started.total()
        await asyncio.sleep(60)
        calls_while_open = world.model.started.total() - before
        await feeding
        await until_quiet(world, within_s=600)
        for worker in workers:
            await worker.drain()
        return workers

    workers = in_virtual_time(main())

    moves = fleet_moves(workers)
    assert moves[0] == ("closed", "open")
    assert moves[-1] == ("ramp", "closed")
    assert world.breakers is not None
    assert len(moves) == len(world.breakers.rows["model-a"]), "each move is told and kept once"
    assert calls_while_open <= 3 * 60 / 4, "tickets bound the probes of the whole fleet"
    assert world.statuses() == {"answered": 500}
    assert max(world.model.started.values()) <= 12


async def steady_more(world: World, jobs: int, every_s: float) -> None:
    for n in range(jobs):
        world.submit(id=f"more-{n}", prompt="Hello.")
        await asyncio.sleep(every_s)


@pytest.mark.parametrize("name", ["w1-0", "w2-0", "w3-0", "w4-0"])
def test_the_only_slot_of_a_fleet_is_in_the_ramp_at_some_time(name: str) -> None:
    world = world_with()
    world.model.mood = down_between(20.0, 60.0)

    async def main() -> list[LivingWorker]:
        worker = LivingWorker(world, name, rules={"slots": 1, "policies": {"model-a": POLICY}})
        await steady(world, 300, 0.5)
        await until_quiet(world, within_s=600)
        await worker.drain()
        return [worker]

    workers = in_virtual_time(main())

    assert fleet_moves(workers)[-1] == ("ramp", "closed")
    assert world.statuses() == {"answered": 300}


def test_calls_that_hang_do_not_keep_a_worker_with_free_slots_from_probing() -> None:
    world = world_with(Target(name="model-a", model="m", attempt_s=600.0, slow_s=15.0))
    world.model.mood = down_between(20.0, 60.0, hangs=True)

    async def main() -> tuple[int, Counter[str]]:
        worker = employed(world, 1, slots=32)[0]
        await steady(world, 100, 1.0)
        await asyncio.sleep(60)
        hanging = world.model.in_flight
        statuses = world.statuses()
        await worker.drain()
        return hanging, statuses

    hanging, statuses = in_virtual_time(main())

    assert 8 <= hanging < 32, "as many hang as it takes to open, and some slots are free"
    assert statuses["answered"] == 100 - hanging


@pytest.mark.parametrize("killed", [True, False])
def test_workers_that_left_do_not_keep_the_others_from_opening(*, killed: bool) -> None:
    world = world_with()
    world.model.mood = down_between(12.0, 40.0)

    async def main() -> list[LivingWorker]:
        gone = employed(world, 3)
        await asyncio.sleep(5)
        for worker in gone:
            await (worker.crash() if killed else worker.drain())
        workers = [
            LivingWorker(world, f"new-{n}", seed=n, rules={"policies": {"model-a": POLICY}})
            for n in range(2)
        ]
        await steady(world, 400, 0.2)
        await until_quiet(world, within_s=900)
        for worker in workers:
            await worker.drain()
        return workers

    workers = in_virtual_time(main())

    assert ("closed", "open") in fleet_moves(workers)
    assert world.breakers is not None
    holders = {seat.holder for seat in world.breakers.seats.values()}
    assert holders <= {"", "w0", "w1", "w2"}, "who drains gives its seat back"
    assert world.statuses() == {"answered": 400}


def test_an_open_circuit_leaves_jobs_in_the_queue() -> None:
    world = world_with()
    world.model.mood = down_between(0.0, 1e9)

    async def main() -> tuple[int, int]:
        workers = employed(world, 2)
        await steady(world, 200, 0.05)
        await asyncio.sleep(110)
        parked = world.statuses()["parked"]
        waiting = len(world.jobs.peek())
        for worker in workers:
            await worker.drain()
        return parked, waiting

    parked, waiting = in_virtual_time(main())

    assert waiting >= 100, "what nobody can serve is not received"
    assert parked <= 100
    assert not world.statuses()["dead"]


def test_where_one_target_is_open_jobs_go_to_the_next_at_once() -> None:
    other = Target(name="model-b", model="n", attempt_s=60.0, slow_s=15.0)
    world = world_with(TARGET, other)

    def mood(call: ModelCall) -> Reply:
        return Reply(DOWN if call.target.name == "model-a" else answer(), 0.2)

    world.model.mood = mood

    async def main() -> list[JobSettled]:
        workers = employed(world, 2)
        await steady(world, 300, 0.1)
        await until_quiet(world)
        for worker in workers:
            await worker.drain()
        return [event for worker in workers for event in worker.told.of(JobSettled)]

    settled = in_virtual_time(main())

    assert world.statuses() == {"answered": 300}
    assert {event.settlement for event in settled} == {"answered"}
    assert world.model.targets.count("model-a") <= 100, "most jobs met the open circuit"


def test_a_target_without_access_is_left_alone_and_costs_no_job() -> None:
    world = world_with()
    world.model.mood = lambda call: Reply(DENIED if call.now < 100 else answer(), 0.2)

    async def main() -> int:
        worker = LivingWorker(world, "w", rules={"slots": 4, "policies": {"model-a": POLICY}})
        await steady(world, 50, 0.1)
        await asyncio.sleep(90)
        denied = world.model.started.total()
        await until_quiet(world, within_s=4000)
        await worker.drain()
        return denied

    denied = in_virtual_time(main())

    assert denied <= 8, "two in a row, and what was in flight with them"
    assert world.statuses() == {"answered": 50}


@pytest.mark.parametrize("mode", [Mode.HOLD_OPEN, Mode.HOLD_CLOSED, Mode.OBSERVE])
def test_an_operator_is_obeyed_until_the_time_is_over(mode: Mode) -> None:
    world = world_with()
    sick = mode is not Mode.HOLD_OPEN
    world.model.mood = down_between(0.0, 100.0) if sick else down_between(0, 0)

    async def main() -> int:
        workers = employed(world, 2)
        assert world.breakers is not None
        store = world.breakers.seen_by()
        ordered = Override(
            mode=mode, for_s=60.0, until_at=EPOCH + 60.0, author="ann", reason="a drill"
        )
        here = (await store.read()).verdicts.get("model-a")
        old = here or Verdict(name="model-a")
        held = moved(old, Hold(override=ordered, number=0), POLICY, writer="ann", nonce="n")
        assert held is not None
        await store.swap(old, held)
        await asyncio.sleep(20)
        before = world.model.started.total()
        await steady(world, 100, 0.2)
        during = world.model.started.total() - before
        await until_quiet(world, within_s=900)
        for worker in workers:
            await worker.drain()
        return during

    during = in_virtual_time(main())

    assert during == 0 if mode is Mode.HOLD_OPEN else during >= 60
    assert world.statuses() == {"answered": 100}
    assert world.breakers is not None
    assert world.breakers.verdicts["model-a"].override is None, "an end leaves no order behind"


def test_a_store_that_is_lost_in_an_outage_costs_no_job() -> None:
    world = world_with()
    world.model.mood = down_between(20.0, 120.0)

    async def main() -> list[LivingWorker]:
        workers = employed(world, 4)

        def plan(call: object) -> Mishap | None:
            now = asyncio.get_running_loop().time()
            lost = getattr(call, "port", "") == "breakers" and 40 < now < 180
            return Mishap(when="before") if lost else None

        for worker in workers:
            worker.wire.plan = plan
        await steady(world, 900, 0.3)
        await until_quiet(world, within_s=900)
        await asyncio.sleep(60)
        for worker in workers:
            await worker.drain()
        return workers

    workers = in_virtual_time(main())

    assert world.statuses() == {"answered": 900}
    assert all(gate.verdict.state is State.CLOSED for w in workers for gate in w.supervisor.gates)


def test_a_store_that_is_wiped_in_an_outage_gets_back_what_the_fleet_knows() -> None:
    world = world_with()
    world.model.mood = down_between(20.0, 200.0)

    async def main() -> tuple[Verdict, Verdict]:
        workers = employed(world, 4)
        assert world.breakers is not None
        feeding = asyncio.create_task(steady(world, 800, 0.3))
        await asyncio.sleep(60)
        before = world.breakers.verdicts["model-a"]
        world.breakers.wipe()
        await asyncio.sleep(20)
        after = world.breakers.verdicts["model-a"]
        await asyncio.sleep(100)
        assert world.breakers.seats, "the jury sits again"
        await feeding
        await until_quiet(world, within_s=900)
        for worker in workers:
            await worker.drain()
        return before, after

    before, after = in_virtual_time(main())

    assert after.version > before.version
    assert after.epoch > before.epoch, "what the lost life has under way names a lesser one"
    assert after.state is not State.CLOSED
    assert world.breakers is not None
    told = [row for row in world.breakers.rows["model-a"].values() if row.why.startswith(RESTORED)]
    assert len(told) == 1, "the history says once what happened"
    assert world.statuses() == {"answered": 800}
