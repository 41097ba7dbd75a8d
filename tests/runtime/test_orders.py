"""A move whose writer was cancelled is told once it is seen, as one whose answer was lost."""

import asyncio

import pytest

from worker.core.events import BreakerMoved
from worker.core.gate import Gate
from worker.core.moves import Trip
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State
from worker.ports import Unavailable
from worker.runtime.orders import Orders
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.memory import MemoryBreakers, Told
from worker.sim.wire import Call, Mishap, Wire

TRIP = Trip(stage=0, why="12 of 20 calls failed", roll=0.5)


@pytest.mark.parametrize("lost", [(), ("swap",)], ids=["at its write", "at the look after it"])
def test_a_move_whose_writer_was_cut_short_is_told_when_it_is_seen(lost: tuple[str, ...]) -> None:
    def plan(call: Call) -> Mishap | None:
        if call.operation in lost:
            return Mishap(when="after", error=Unavailable(store="breakers", why="TimeoutError"))
        return Mishap(when="after", hangs=True) if call.number <= 1 + len(lost) else None

    async def main() -> None:
        store, told = MemoryBreakers(), Told()
        ours = store.seen_by(Wire(plan=plan))
        orders = Orders(ours, worker="w", at=wall_clock, tell=told)
        gate = Gate("near", BreakerPolicy(), slots=8, worker="w", now=0.0)
        cut = asyncio.create_task(orders.give(gate, TRIP))
        await asyncio.sleep(1.0)
        cut.cancel()
        await asyncio.wait([cut])
        assert cut.cancelled()
        assert store.verdicts["near"].state is State.OPEN
        assert not store.rows

        for _ in range(2):
            await orders.recall((await ours.read()).verdicts["near"])

        assert [moved.new for moved in told.of(BreakerMoved)] == [State.OPEN]
        assert [row.new for row in store.rows["near"].values()] == [State.OPEN]

    in_virtual_time(main())
