"""What the twin of the breakers' store can do beyond its port: be watched, and be wiped."""

from dataclasses import replace

import pytest

from worker.core.jury import Seat
from worker.core.moves import RESTORE_STEP, Restore, moved
from worker.core.policy import EVERY, BreakerPolicy, PolicyChange
from worker.core.verdict import State, Transition, Verdict, transition
from worker.ports import Board, Unavailable
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, Mishap, Wire

NAME = "sonnet-eu"
NOTHING = Verdict(name=NAME)
OPEN = Verdict(name=NAME, state=State.OPEN, share=0.0, version=1, stage=1, epoch=1, nonce="w-1")


def row_of(old: Verdict, new: Verdict) -> Transition:
    row = transition(old, new, at=0.0)
    assert row is not None
    return row


def test_all_workers_see_one_store_and_each_wire_counts_its_own_calls() -> None:
    async def main() -> None:
        breakers, wires = MemoryBreakers(), [Wire(), Wire()]
        one, other = (breakers.seen_by(wire) for wire in wires)

        await one.swap(NOTHING, OPEN)
        await one.swap(NOTHING, OPEN)
        board = await other.read(consistent=True)

        assert board == Board(verdicts={NAME: OPEN})
        assert wires[0].calls == {("breakers", "swap"): 2}
        assert wires[1].calls == {("breakers", "read"): 1}

    in_virtual_time(main())


def test_a_write_whose_answer_is_lost_stands_and_one_whose_request_is_lost_does_not() -> None:
    async def main() -> None:
        for when, stands in (("before", False), ("after", True)):
            breakers = MemoryBreakers()
            mishap = Mishap(when=when)  # type: ignore[arg-type]
            store = breakers.seen_by(Wire(plan=lambda _, mishap=mishap: mishap))  # type: ignore[misc]

            with pytest.raises(Unavailable, match=r"^breakers: "):
                await store.swap(NOTHING, OPEN)

            assert breakers.verdicts == ({NAME: OPEN} if stands else {})

    in_virtual_time(main())


def test_who_watches_sees_every_write_and_no_lost_race() -> None:
    async def main() -> None:
        seen: list[tuple[Verdict, Verdict]] = []
        breakers = MemoryBreakers(watch=lambda old, new: seen.append((old, new)))
        store = breakers.seen_by()
        closed = replace(OPEN, state=State.CLOSED, share=1.0, version=2)

        await store.swap(NOTHING, OPEN)
        await store.swap(NOTHING, closed)
        await store.swap(OPEN, closed)

        assert seen == [(NOTHING, OPEN), (OPEN, closed)]

    in_virtual_time(main())


def test_a_wiped_store_has_nothing_and_what_was_known_can_be_restored() -> None:
    async def main() -> None:
        breakers = MemoryBreakers()
        store = breakers.seen_by()
        await store.swap(NOTHING, OPEN)
        await store.swap_policy(PolicyChange(name=EVERY, version=1))
        await store.sit(Seat(number=3, holder="worker-1", lot=0.1, beat=1), None)
        await store.note(row_of(NOTHING, OPEN))

        breakers.wipe()
        assert await store.read() == Board()
        assert (await store.seats(), await store.history(NAME, 100)) == ([], [])
        restored = moved(NOTHING, Restore(known=OPEN), BreakerPolicy(), nonce="w-2")
        assert restored is not None
        assert await store.swap(NOTHING, restored) == restored

        assert breakers.verdicts == {NAME: restored}
        assert restored.version > RESTORE_STEP

    in_virtual_time(main())


def test_what_a_worker_changes_after_its_write_is_not_written() -> None:
    async def main() -> None:
        breakers = MemoryBreakers()
        values = {"probes": 5}
        await breakers.seen_by().swap_policy(PolicyChange(name=EVERY, version=1, values=values))

        values["probes"] = 1

        assert breakers.policies[EVERY].values == {"probes": 5}

    in_virtual_time(main())
