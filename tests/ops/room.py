"""An operator at the twin of the store, whose line to it may be bad."""

from collections.abc import Coroutine, Mapping
from typing import Any

from worker.core.jury import Seat, Vote
from worker.core.moves import Order, Trip, moved
from worker.core.policy import EVERY, BreakerPolicy
from worker.core.verdict import Mode, Override, Verdict, transition
from worker.ops.desk import Desk
from worker.ops.overrides import Told, hold
from worker.ops.policies import Amended, amend
from worker.sim.clock import EPOCH, in_virtual_time, wall_clock
from worker.sim.memory import MemoryBreakers, Mishap, Wire
from worker.sim.wire import Call

POLICY = BreakerPolicy()
NAMES = ("sonnet", "endpoint:eu-west-1")


class Room:
    """A store, and an operator who may have a bad line to it."""

    def __init__(self, **mishaps: Mishap) -> None:
        self.breakers = MemoryBreakers()
        self.mishaps: dict[str, list[Mishap]] = {name: [one] for name, one in mishaps.items()}
        self.wire = Wire(plan=self._plan)
        self.desk = self.sit(self.wire)

    def sit(self, wire: Wire | None = None) -> Desk:
        return Desk(
            store=self.breakers.seen_by(wire),
            policies=dict.fromkeys(NAMES, POLICY),
            given=frozenset({"probes"}),
            at=wall_clock,
        )

    def _plan(self, call: Call) -> Mishap | None:
        waiting = self.mishaps.get(call.operation)
        return waiting.pop(0) if waiting else None

    async def give(self, order: Order, name: str = "sonnet") -> Verdict:
        old = self.breakers.verdicts.get(name, Verdict(name=name))
        new = moved(old, order, POLICY, writer="worker-1", nonce="w", at=wall_clock())
        assert new is not None
        return await self.breakers.seen_by().swap(old, new)

    async def note(self, new: Verdict) -> None:
        """Keep the history's row of a first verdict, as its writer does."""
        row = transition(Verdict(name=new.name), new, wall_clock())
        assert row is not None
        await self.breakers.seen_by().note(row)

    async def hold(self, mode: Mode = Mode.HOLD_OPEN, for_s: float = 60.0, **how: Any) -> Told:
        given = {"author": "alice", "reason": "incident 42", **how}
        return await hold(self.desk, "sonnet", mode, for_s=for_s, **given)

    async def amend(self, put: Mapping[str, Any], name: str = EVERY, **how: Any) -> Amended:
        given = {"drop": (), "author": "alice", "reason": "a test", **how}
        return await amend(self.desk, name, put=put, **given)

    def seat(self, number: int, vote: Vote, *, beat: int = 1) -> None:
        seat = Seat(number=number, holder=f"w{number}", lot=0.1, beat=beat, votes={"sonnet": vote})
        self.breakers.seats[number] = seat


def run(main: Coroutine[Any, Any, None]) -> None:
    in_virtual_time(main)


def override_of(author: str, mode: Mode = Mode.OBSERVE) -> Override:
    return Override(mode=mode, for_s=600, until_at=EPOCH + 600, author=author, reason="other")


TRIP = Trip(stage=0, why="3 of 3 voters find it bad (recent)", roll=0.5)
