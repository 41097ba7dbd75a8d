"""What workers do while the breakers' store fails them: the table in docs/breaker.md."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from worker.core.events import BreakersBlind
from worker.core.fault import Fault, Kind
from worker.core.moves import Hold, moved
from worker.core.policy import BreakerPolicy, PolicyChange
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import Mode, Override, State, Verdict
from worker.ports import Board, Unavailable
from worker.sim.breakers import BreakersHandle
from worker.sim.clock import EPOCH, in_virtual_time, wall_clock
from worker.sim.memory import Call, MemoryBreakers, Mishap, Reply, answer
from worker.sim.world import LivingWorker, World, until_quiet

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
POLICY = BreakerPolicy()
READS = frozenset({"read", "seats", "history"})


def world_of(down: tuple[float, float] = (0.0, 0.0)) -> World:
    target = Target(name="model-a", model="m", attempt_s=60.0, slow_s=15.0)
    world = World(
        routes={"default": Route(name="default", targets=(target,), on_open="park")},
        breakers=MemoryBreakers(),
    )
    world.model.mood = lambda call: (
        Reply(DOWN, 0.2) if down[0] <= call.now < down[1] else Reply(answer(), 1.0)
    )
    return world


def store_of(world: World) -> MemoryBreakers:
    assert world.breakers is not None
    return world.breakers


def lost_between(start_s: float, end_s: float, *, reads: bool) -> Callable[[Call], Mishap | None]:
    def plan(call: Call) -> Mishap | None:
        out = start_s <= asyncio.get_running_loop().time() < end_s
        hit = call.port == "breakers" and (reads or call.operation not in READS)
        return Mishap(when="before") if out and hit else None

    return plan


async def fed(world: World, numbers: range) -> None:
    for n in numbers:
        world.submit(id=f"job-{n}", prompt="Hello.")
        await asyncio.sleep(0.25)


def blinded(workers: Iterable[LivingWorker]) -> list[bool]:
    return [event.blind for worker in workers for event in worker.told.of(BreakersBlind)]


def test_a_worker_that_starts_without_the_store_begins_with_one_call_at_a_time() -> None:
    world = world_of()

    async def main() -> tuple[int, int]:
        for n in range(40):
            world.submit(id=f"job-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w1")
        worker.wire.plan = lost_between(0.0, 1e9, reads=True)
        await asyncio.sleep(0.9)
        first = world.model.in_flight_max
        await until_quiet(world)
        await worker.drain()
        return first, world.model.in_flight_max

    first, most = in_virtual_time(main())

    assert first == 1
    assert most == 8, "successes earn all the slots"
    assert world.statuses() == {"answered": 40}


def test_a_closed_circuit_goes_on_without_the_store_and_says_so() -> None:
    world = world_of()

    async def main() -> list[bool]:
        worker = LivingWorker(world, "w1")
        worker.wire.plan = lost_between(30.0, 90.0, reads=True)
        for n in range(150):
            world.submit(id=f"job-{n}", prompt="Hello.")
            await asyncio.sleep(1.0)
        await until_quiet(world)
        await worker.drain()
        return blinded([worker])

    told = in_virtual_time(main())

    assert told == [True, False]
    assert world.statuses() == {"answered": 150}


def test_while_writes_are_refused_each_worker_probes_an_open_circuit_for_itself() -> None:
    world = world_of(down=(20.0, 60.0))

    async def main() -> tuple[State, int, list[bool], list[bool]]:
        workers = [LivingWorker(world, f"w{n}", seed=n) for n in range(4)]
        for worker in workers:
            worker.wire.plan = lost_between(45.0, 180.0, reads=False)
        await fed(world, range(700))
        fleet = store_of(world).verdicts["model-a"].state
        answered = world.statuses()["answered"]
        blind = blinded(workers)
        await fed(world, range(700, 900))
        both = blinded(workers)
        await until_quiet(world, within_s=900)
        for worker in workers:
            await worker.drain()
        return fleet, answered, blind, both

    fleet, answered, blind, both = in_virtual_time(main())

    assert fleet in (State.OPEN, State.HALF_OPEN), "nobody can write that it is well again"
    assert answered > 500, "and it is, for each of them"
    assert blind == [True] * 4
    assert both == [True, False] * 4, "the first write that passes ends it"
    assert store_of(world).verdicts["model-a"].state is State.CLOSED
    assert world.statuses() == {"answered": 900}


def test_a_ramp_goes_on_while_writes_are_refused() -> None:
    world = world_of(down=(20.0, 60.0))
    ramped: list[float] = []

    def watch(_: Verdict, new: Verdict) -> None:
        if new.state is State.RAMP and new.name == "model-a":
            ramped.append(asyncio.get_running_loop().time())

    def plan(call: Call) -> Mishap | None:
        return lost_between(ramped[0], ramped[0] + 120.0, reads=False)(call) if ramped else None

    async def main() -> tuple[int, list[bool], State]:
        store_of(world).watch = watch
        workers = [LivingWorker(world, f"w{n}", seed=n) for n in range(4)]
        for worker in workers:
            worker.wire.plan = plan
        feeding = asyncio.create_task(fed(world, range(2000)))
        while not ramped:
            await asyncio.sleep(1.0)
        await asyncio.sleep(40.0)
        before = world.statuses()["answered"]
        await asyncio.sleep(60.0)
        answered = world.statuses()["answered"] - before
        blind = blinded(workers)
        await asyncio.sleep(60.0)
        after = store_of(world).verdicts["model-a"].state
        feeding.cancel()
        for worker in workers:
            await worker.drain()
        return answered, blind, after

    answered, blind, after = in_virtual_time(main())

    assert blind == [True] * 4
    assert answered >= 235, "four a second come in, and a fifth of the slots is no more in force"
    assert after is State.CLOSED


def test_refused_writes_are_forgotten_when_nobody_has_one_to_make() -> None:
    world = world_of(down=(30.0, 36.0))

    def refuses_verdicts(call: Call) -> Mishap | None:
        out = 30.0 <= asyncio.get_running_loop().time() < 90.0
        hit = (call.port, call.operation) == ("breakers", "swap")
        return Mishap(when="before") if out and hit else None

    async def main() -> list[bool]:
        worker = LivingWorker(world, "w1")
        worker.wire.plan = refuses_verdicts
        await fed(world, range(1200))
        told = blinded([worker])
        await worker.drain()
        return told

    told = in_virtual_time(main())

    assert "model-a" not in store_of(world).verdicts, "it was over before anything was written"
    assert told[-1:] != [True]


class OfALaterSchema:
    """A store in which the record of `model-a` is not to be read from `since` on."""

    def __init__(self, store: BreakersHandle, since: float) -> None:
        self._store = store
        self._since = since

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _hidden(self, name: str) -> bool:
        return name == "model-a" and asyncio.get_running_loop().time() >= self._since

    async def read(self, *, consistent: bool = False) -> Board:
        board = await self._store.read(consistent=consistent)
        there = {name: one for name, one in board.verdicts.items() if not self._hidden(name)}
        return Board(verdicts=there, policies=board.policies)

    async def swap(self, old: Verdict, new: Verdict) -> Verdict:
        if self._hidden(new.name):
            raise Unavailable("breakers", "RecordUnreadable")
        return await self._store.swap(old, new)


def test_a_verdict_that_became_unreadable_hides_no_other() -> None:
    world = world_of()

    async def main() -> tuple[list[bool], bool]:
        store = store_of(world)

        async def order(name: str, mode: Mode) -> None:
            override = Override(
                mode=mode, for_s=900.0, until_at=EPOCH + 900.0, author="ann", reason="a drill"
            )
            nothing = Verdict(name=name)
            held = moved(nothing, Hold(override=override, number=0), POLICY, nonce=name)
            assert held is not None
            await store.seen_by().swap(nothing, held)

        await order("model-a", Mode.OBSERVE)
        worker = LivingWorker(
            world, "w1", house={"breakers": OfALaterSchema(store.seen_by(), since=30.0)}
        )
        await asyncio.sleep(60.0)
        await order("endpoint:default", Mode.HOLD_OPEN)
        await asyncio.sleep(30.0)
        gates = {gate.local.name: gate for gate in worker.supervisor.gates}
        now = asyncio.get_running_loop().time()
        held = gates["endpoint:default"].mode(now) is Mode.HOLD_OPEN
        told = blinded([worker])
        await worker.drain()
        return told, held

    assert in_virtual_time(main()) == ([], True)


@pytest.mark.parametrize("ahead_s", [0.0, 40.0])
def test_a_clock_that_is_ahead_ends_an_override_early_for_everybody(ahead_s: float) -> None:
    world = world_of()

    async def main() -> float:
        store = store_of(world)
        ordered = Override(
            mode=Mode.HOLD_OPEN, for_s=60.0, until_at=EPOCH + 60.0, author="ann", reason="a drill"
        )
        nothing = Verdict(name="model-a")
        held = moved(nothing, Hold(override=ordered, number=0), POLICY, writer="ann", nonce="n")
        assert held is not None
        await store.seen_by().swap(nothing, held)
        right = LivingWorker(world, "w1")
        ahead = LivingWorker(world, "w2", seed=1, house={"at": lambda: wall_clock() + ahead_s})
        while store.verdicts["model-a"].override is not None:
            await asyncio.sleep(0.1)
        ended_at = asyncio.get_running_loop().time()
        for worker in (right, ahead):
            await worker.drain()
        return ended_at

    ended_at = in_virtual_time(main())

    assert 60.0 - ahead_s <= ended_at <= 63.0 - ahead_s


def test_a_wiped_store_takes_a_policy_from_those_who_start_after_it_only() -> None:
    world = world_of()

    async def main() -> list[int]:
        store = store_of(world)
        await store.seen_by().swap_policy(
            PolicyChange(name="model-a", version=1, values={"probes": 5})
        )
        before = LivingWorker(world, "w1")
        await asyncio.sleep(20)
        store.wipe()
        await asyncio.sleep(20)
        after = LivingWorker(world, "w2", seed=1)
        await asyncio.sleep(20)
        for worker in (before, after):
            await worker.drain()
        return [
            gate.policy.probes
            for worker in (before, after)
            for gate in worker.supervisor.gates
            if gate.local.name == "model-a"
        ]

    assert in_virtual_time(main()) == [5, POLICY.probes]
