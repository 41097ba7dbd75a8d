"""The pacers of one process, one for each quota bucket: turns before calls.

Where nothing was throttled lately there is nothing to ask. Decisions are those of
`core/pacer.py`; here a job waits for its turn, and what was heard of a call is told.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Final

from worker.core.breaker import Breaker, Refusal
from worker.core.events import PaceChanged
from worker.core.pacer import AHEAD_S, Pace, PacePolicy, Pacer
from worker.core.target import Target
from worker.core.window import Outcome
from worker.ports import Tell

RECENT_S: Final = 4.0


def bucket_of(target: Target) -> str:
    """The name of a target's quota bucket: its own, unless it shares one."""
    return target.bucket or target.name


class Paces:
    """All pacers of one process.

    Args:
        worker: The process's name.
        targets: Every target of every route.
        policy: Of all pacers.
        breakers: The breaker of each target: it counts the calls.
        tell: Who wants to know.
    """

    def __init__(
        self,
        *,
        worker: str,
        targets: Iterable[Target],
        policy: PacePolicy,
        breakers: Mapping[str, Breaker],
        tell: Tell,
    ) -> None:
        self._worker = worker
        self._policy = policy
        self._tell = tell
        self._pacers: dict[str, Pacer] = {}
        self._breakers: dict[str, list[Breaker]] = {}
        self.of: dict[str, Pacer] = {}
        """By target."""
        for target in targets:
            if target.name not in self.of:
                self.of[target.name] = self.adopt(target, breakers[target.name])

    def adopt(self, target: Target, breaker: Breaker) -> Pacer:
        """The pacer of a target, whose calls this breaker counts from now on."""
        bucket = bucket_of(target)
        pacer = self._pacers.setdefault(bucket, Pacer(bucket, self._policy, salt=self._worker))
        self._breakers.setdefault(bucket, []).append(breaker)
        return pacer

    def __iter__(self) -> Iterator[Pacer]:
        return iter(self._pacers.values())

    async def turn(self, pacer: Pacer, *, within_s: float = inf) -> Refusal | None:
        """Wait for a turn, for up to the policy's `wait_s`; the refusal if that would not do.

        Args:
            pacer: Of the target's bucket.
            within_s: Wait no longer than this either.
        """
        loop = asyncio.get_running_loop()
        by = loop.time() + min(self._policy.wait_s, within_s)
        turn = pacer.turn(loop.time(), by=by)
        self._tell_news(pacer, loop.time())
        if isinstance(turn, Refusal):
            return turn
        while (wait_s := turn.at - loop.time()) > 0:
            if turn.at > by:
                return pacer.give_up(turn, loop.time())
            await asyncio.sleep(wait_s)
        return None

    def joins(self, pacer: Pacer, now: float) -> bool:
        """Whether one more call may be in flight."""
        return pacer.joins(now, self._in_flight(pacer))

    def heard(
        self, pacer: Pacer, outcome: Outcome, began: float, retry_after_s: float | None
    ) -> None:
        """A call came back that began at `began`, throttled or because the quota is used up."""
        now = asyncio.get_running_loop().time()
        if outcome is Outcome.EXHAUSTED:
            pacer.exhausted(now, retry_after_s=retry_after_s)
        elif outcome is Outcome.THROTTLED:
            pacer.throttled(
                now,
                began=began,
                in_flight=self._in_flight(pacer),
                recent_per_s=sum(b.per_s(now, RECENT_S) for b in self._of(pacer)),
                retry_after_s=retry_after_s,
            )
        self._tell_news(pacer, now)

    def is_short(self, target: Target, now: float) -> bool:
        """Whether the target's quota is paced still: time alone may have ended that."""
        pacer = self.of[target.name]
        pacer.look(now)
        self._tell_news(pacer, now)
        return pacer.paced

    def refusal(self, target: Target, now: float, *, alone: bool) -> Refusal | None:
        """Why a call had to wait too long for its turn; None if it had not.

        Args:
            target: Which target.
            now: The time.
            alone: Whether the job has no target with another quota: then it waits longer.
        """
        pacer = self.of[target.name]
        return pacer.refusal(now, by=now + (self._policy.wait_s if alone else AHEAD_S))

    def capacity(self, rooms: Mapping[str, int], now: float) -> int:
        """How many jobs are worth having in hand.

        Args:
            rooms: By target, what its gates would have in hand.
            now: The time.
        """
        found: dict[str, int] = {}
        for name, more in rooms.items():
            bucket = self.of[name].bucket
            found[bucket] = found.get(bucket, 0) + more
        for bucket, room in found.items():
            pacer = self._pacers[bucket]
            if pacer.paced:
                pacer.look(now)
                self._tell_news(pacer, now)
                most = pacer.capacity(now, self._in_flight(pacer))
                found[bucket] = room if most is None else min(room, most)
        return sum(found.values())

    # --- telling ---------------------------------------------------------------

    def per_s(self, now: float) -> dict[str, float]:
        """The pace of each bucket that has one, in calls per second; 0 in quarantine."""
        return {
            pacer.bucket: 0.0 if pacer.pace is Pace.EXHAUSTED else pacer.per_s(now)
            for pacer in self
            if pacer.paced
        }

    def _tell_news(self, pacer: Pacer, now: float) -> None:
        for pace in pacer.take_news():
            refusal = pacer.refusal(now, by=now)
            self._tell(
                PaceChanged(
                    bucket=pacer.bucket,
                    pace=pace,
                    per_s=round(pacer.per_s(now), 3) if pacer.paced else None,
                    in_flight_max=pacer.limit(now),
                    rests_s=round(refusal.until - now, 3) if refusal else 0.0,
                )
            )

    def _of(self, pacer: Pacer) -> Sequence[Breaker]:
        return self._breakers[pacer.bucket]

    def _in_flight(self, pacer: Pacer) -> int:
        return sum(breaker.in_flight for breaker in self._of(pacer))
