"""What stands before each degraded handler of one process: its breaker, and its model's pace.

A handler's breaker is its own, and decides for this process alone. A handler that asks a
model draws on a quota, as calls for jobs do: it waits for its turn where the bucket is
paced, and is not asked where that would take too long. A throttle of its call slows the
bucket, and is no word against the handler.
"""

import asyncio
from dataclasses import dataclass

from worker.core.breaker import Breaker, Permit, Refusal
from worker.core.degrade import breaker_policy
from worker.core.events import HandlerMoved
from worker.core.fault import Fault, heard
from worker.core.pacer import Pacer
from worker.core.window import Outcome
from worker.ports import Handler
from worker.runtime.house import House
from worker.runtime.paces import Paces


@dataclass(slots=True, eq=False)
class Leave:
    """Leave to ask a handler once. Settle it, or tell that its call was throttled.

    Attributes:
        since: When it was given, on the loop's clock.
        waited_s: For how long it was waited for.
    """

    breaker: Breaker
    permit: Permit
    pacer: Pacer | None
    since: float
    waited_s: float = 0.0


class HandlerGates:
    """The gates of all handlers of one process."""

    def __init__(self, house: House, paces: Paces) -> None:
        self._house = house
        self._paces = paces
        self._breakers: dict[str, Breaker] = {}
        self._pacers: dict[str, Pacer] = {}  # of handlers that ask a model

    async def enter(self, name: str, handler: Handler, *, within_s: float) -> Leave | str:
        """Leave to ask the handler, or why there is none: `refused` or `paced`.

        Args:
            name: The handler's.
            handler: The handler.
            within_s: How long its turn is worth waiting for; 0 for one that takes no turn
                from others.
        """
        loop, breaker = asyncio.get_running_loop(), self._breaker(name, handler)
        asked_at = loop.time()
        breaker.look(asked_at)
        if breaker.room(asked_at) == 0:
            return "refused"
        pacer = self._pacers.get(name)
        if pacer is not None and pacer.paced and not await self._has_turn(pacer, within_s):
            return "paced"
        # Only now it is in flight: who waits for a turn is not.
        now = loop.time()
        permit = breaker.admit(now)
        self._tell_moves(breaker)
        if isinstance(permit, Refusal):
            return "refused"
        return Leave(breaker, permit, pacer, since=now, waited_s=now - asked_at)

    async def _has_turn(self, pacer: Pacer, within_s: float) -> bool:
        if within_s <= 0 or await self._paces.turn(pacer, within_s=within_s) is not None:
            return False
        return self._paces.joins(pacer, asyncio.get_running_loop().time())

    def settle(self, leave: Leave, outcome: Outcome) -> None:
        """Tell the breaker how the handler did."""
        leave.breaker.settle(leave.permit, outcome, asyncio.get_running_loop().time())
        self._tell_moves(leave.breaker)

    def throttled(self, leave: Leave, fault: Fault) -> None:
        """Settle, and tell the pacer: the handler's call was throttled."""
        self.settle(leave, Outcome.IGNORED)
        if leave.pacer is not None:
            outcome, _ = heard(fault.reaction.vote, slow=False, answered=True)
            self._paces.heard(leave.pacer, outcome, leave.since, fault.retry_after_s)

    def _breaker(self, name: str, handler: Handler) -> Breaker:
        breaker = self._breakers.get(name)
        if breaker is None:
            rules = self._house.rules
            breaker = self._breakers[name] = Breaker(
                name,
                breaker_policy(handler.terms.limit_s),
                slots=rules.slots,
                salt=rules.worker,
                now=asyncio.get_running_loop().time(),
            )
            if handler.target is not None:
                self._pacers[name] = self._paces.adopt(handler.target, breaker)
        return breaker

    def _tell_moves(self, breaker: Breaker) -> None:
        for move in breaker.take_moves():
            self._house.tell(
                HandlerMoved(handler=breaker.name, old=move.old, new=move.new, why=move.why)
            )
