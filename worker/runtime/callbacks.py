"""Answers the tasks of state machines: the last thing that a finished job owes.

A message with a task token is the debt: it is not deleted before its token is answered, or
nobody waits for it any more. One try; then the message goes back to its queue, and its slot
to others. While Step Functions is out of order a process asks it ever more rarely.
"""

import asyncio
from typing import Final

from worker.core.callback import Succeeded, callback_of
from worker.core.events import StoreFailed, TaskAnswered
from worker.core.ledger import Record, State
from worker.core.retry import backoff_s
from worker.ports import Callbacks, PayloadMissing, TaskRefused, Unavailable
from worker.runtime.flights import Flight
from worker.runtime.house import House
from worker.runtime.letters import Letters

REST_S: Final = 1.0  # after the first failure; doubled by each that follows
REST_MAX_S: Final = 60.0
TRY_BASE_S: Final = 2.0
TRY_CAP_S: Final = 1800.0


class Answers:
    """Answers task tokens, and knows when to leave Step Functions alone."""

    def __init__(self, house: House, letters: Letters) -> None:
        self._house = house
        self._letters = letters
        self._failed_in_a_row = 0
        self._rests_until = 0.0
        self._asks = 0

    async def give(self, flight: Flight, record: Record, content: bytes | None) -> float | None:
        """Answer the tokens of all messages in hand.

        Args:
            flight: The messages.
            record: The job's final record.
            content: Its result envelope, None if it must be fetched.

        Returns:
            None if nobody waits any more, and the messages may be deleted; else the seconds
            after which they are to come back.
        """
        callbacks = self._house.callbacks
        if callbacks is None:
            return None
        told: set[str] = set()
        # Another message may join the flight meanwhile, with a token of its own.
        while waiting := dict.fromkeys(t for t in flight.tokens.values() if t not in told):
            if (rest_s := self._rest_s()) > 0:
                return max(rest_s, self._backoff_s(flight))
            try:
                if content is None:
                    content = await self._content_of(record)
                for token in waiting:
                    await self._tell(callbacks, token, record, content)
                    told.add(token)
            except Unavailable as error:
                self._failed(error)
                return self._backoff_s(flight)
        return None

    async def _content_of(self, record: Record) -> bytes | None:
        """What the answer is made of; None if nothing is needed, or nothing is there any more."""
        if record.state in (State.DEAD, State.CANCELLED):
            return None
        try:
            return await self._letters.content_of(record)
        except PayloadMissing:
            return None

    async def _tell(
        self, callbacks: Callbacks, token: str, record: Record, content: bytes | None
    ) -> None:
        answer = callback_of(record, content)
        if isinstance(answer, Succeeded):
            asked, error = callbacks.succeed(token, answer.output), ""
        else:
            asked, error = callbacks.fail(token, answer.error, answer.cause), answer.error
        self._asks += 1
        try:
            waited = await asked
        finally:
            self._asks -= 1
        self._failed_in_a_row = 0
        self._house.tell(
            TaskAnswered(job=record.job, succeeded=not error, waited=waited, error=error)
        )

    def _rest_s(self) -> float:
        """How long nobody is to ask; after a failure one asks for all."""
        if self._failed_in_a_row and self._asks:
            return REST_S
        return self._rests_until - asyncio.get_running_loop().time()

    def _failed(self, error: Unavailable) -> None:
        self._house.tell(StoreFailed(store=error.store, operation="answer", why=error.why))
        if error.store != "tasks" or isinstance(error, TaskRefused):
            return
        now = asyncio.get_running_loop().time()
        if now >= self._rests_until:  # else the same outage, seen by another job
            rest_s = min(REST_MAX_S, REST_S * 2.0 ** min(self._failed_in_a_row, 16))
            self._failed_in_a_row += 1
            self._rests_until = now + rest_s

    def _backoff_s(self, flight: Flight) -> float:
        """A message that waits for long must not be worn out by it."""
        tried, roll = flight.delivery.receive_count, self._house.roll()
        return backoff_s(tried, roll, base_s=TRY_BASE_S, cap_s=TRY_CAP_S)
