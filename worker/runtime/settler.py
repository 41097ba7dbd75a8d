"""Endings, in the order that survives a crash between any two steps.

    1. the fenced record          a zombie is refused here, and nothing else happens
    2. what must be sent          parked doorbell, dead letter, reply; noted as told
    3. the tasks that wait        by the tokens of the messages in hand
    4. the message is deleted

A crash after 1 is repaired by the redelivery: the finished record is found, and
what is missing is sent (`settle_late`).
"""

import asyncio
from dataclasses import replace
from typing import Any, Final, assert_never

import orjson

from worker.core.cost import Waste
from worker.core.events import DeliverySkipped, StoreFailed
from worker.core.fault import fingerprint, normalised
from worker.core.job import Job
from worker.core.ledger import Ending, Record, Stale, State, with_history
from worker.core.result import Run, build, spent_by
from worker.core.retry import backoff_s
from worker.core.settlement import Answered, Dead, Degraded, Parked, Released, Settlement
from worker.core.trail import Leg
from worker.core.upgrade import upgraded
from worker.ports import PayloadMissing, Unavailable
from worker.runtime.acks import Acks
from worker.runtime.callbacks import Answers
from worker.runtime.flights import Flight
from worker.runtime.house import House
from worker.runtime.letters import Letters
from worker.runtime.report import ms, settled, why_of
from worker.runtime.trip import Trip

PUT_TRIES: Final = 5
RECORD_BYTES_MAX: Final = 330_000  # DynamoDB takes 400 KiB: history and trail want room as well
RETRY_CAP_S: Final = 10.0
TELL_BASE_S: Final = 2.0
TELL_CAP_S: Final = 1800.0


class Settler:
    """Writes the endings of flights, and tells them."""

    def __init__(self, house: House, acks: Acks) -> None:
        self._house = house
        self._acks = acks
        self._letters = Letters(house)
        self._answers = Answers(house, self._letters)

    async def settle(self, flight: Flight, trip: Trip, settlement: Settlement) -> bool:
        """End a claimed flight; whether it is the job's final record that says so."""
        match settlement:
            case Answered() | Degraded() | Dead():
                return await self._end(flight, trip, settlement)
            case Parked():
                await self._park(flight, trip, settlement)
            case Released():
                await self._release(flight, trip, settlement)
            case _:
                assert_never(settlement)
        return False

    async def settle_late(self, flight: Flight, job: Job | None, record: Record) -> None:
        """A late doorbell of a finished job: send what a crash kept from being sent."""
        if record.told or await self._tell(flight, job, record, None):
            await self._acknowledge(flight, record, None)

    def give_back(self, flight: Flight, *, delay_s: float) -> None:
        """Let others have the flight's messages, after `delay_s` seconds."""
        for message_id, delivery in flight.deliveries.items():
            self._acks.release(flight.queues[message_id], delivery, delay_s)

    # --- final records -----------------------------------------------------------

    async def _end(self, flight: Flight, trip: Trip, ended: Answered | Degraded | Dead) -> bool:
        content = self._envelope(trip, ended)
        where = await self._stored(content)
        fits = where is not None
        if where is None:
            trip.waste += Waste.of_tokens(*spent_by(ended))
            ended = Dead(
                reason="answer_too_large",
                detail="the answer fits no record, and no payload bucket is configured",
            )
            content = self._envelope(trip, ended)
            where = (content, "")
        mark = ""
        if isinstance(ended, Dead):
            mark = fingerprint(ended.reason, ended.code, normalised(ended.detail))
        # One good call is told by the result itself; whatever came before it is kept.
        plain = not (isinstance(ended, Dead) or trip.tried or trip.record.history)
        by_itself = isinstance(ended, Answered) and not trip.bars
        silent = trip.job is None or trip.job.reply_to is None
        told = not isinstance(ended, Dead) and silent and not _will_upgrade(ended)
        ending = Ending(
            state=_STATES[type(ended)],
            attempts=trip.attempts,
            parks=trip.record.parks,
            interruptions=trip.record.interruptions,
            crashes=trip.record.crashes if isinstance(ended, Dead) else 0,
            history=() if plain else self._history(trip),
            reason=ended.reason if isinstance(ended, Dead) else "",
            fingerprint=mark,
            result=where[0],
            result_ref=where[1],
            told=told,
            leg=None if by_itself else self._leg(trip, ended),
            rung=_joined(flight) if isinstance(ended, Dead) else frozenset(),
        )
        record = await self._written(trip, ending)
        if record is None:
            return False
        known = told or await self._tell(flight, trip.job, record, content)
        # Before the tasks are told: that may take longer than the worker has.
        self._report(flight, trip, ended, record)
        if known:
            await self._acknowledge(flight, record, content)
        return fits

    def _envelope(self, trip: Trip, ended: Answered | Degraded | Dead) -> bytes:
        record, at = trip.record, self._house.at()
        run = Run(
            job_id=record.job,
            worker=self._house.rules.worker,
            queue_ms=ms(trip.started_at - record.sent_at),
            total_ms=ms(at - record.sent_at),
            backoff_ms=ms(trip.backoff_s),
            attempts=(*record.history, *trip.history),
            attempts_total=trip.attempts,
            deadline_at=trip.deadline_at,
            handler_ms=ms(trip.handler_s),
            parked_ms=ms(trip.parked_s),
            wasted=trip.wasted,
            requested=trip.best,
        )
        return orjson.dumps(build(ended, trip.job, run))

    async def _stored(self, content: bytes) -> tuple[bytes | None, str] | None:
        """The result as the record holds it: itself or its reference; None if it fits neither."""
        payloads = self._house.payloads
        if len(content) <= self._house.rules.inline_bytes:
            return content, ""
        tried = 0
        while payloads is not None:
            try:
                ref = await payloads.put(content)
            except Unavailable as error:
                tried += 1
                self._failed(error, "put")
                if tried >= PUT_TRIES and len(content) <= RECORD_BYTES_MAX:
                    break  # the answer was paid for: better a large record than none
                await asyncio.sleep(self._pause_s(tried))
            else:
                return None, f"s3://{ref.bucket}/{ref.key}"
        return (content, "") if len(content) <= RECORD_BYTES_MAX else None

    async def _tell(
        self, flight: Flight, job: Job | None, record: Record, content: bytes | None
    ) -> bool:
        """Send the dead letter and the reply; False leaves them to the redelivery."""
        reply_to = job.reply_to if job is not None else None
        try:
            if content is None:
                content = await self._letters.content_of(record)
            # Who waits for a better answer has one: its failure is nobody's to review.
            if record.state is State.DEAD and upgraded(record.job) is None:
                await self._letters.send_dead(flight, record, content)
            if record.state is State.DEGRADED:
                await self._ring_for_upgrade(flight, record, content)
            if reply_to is not None and reply_to in self._house.replies:
                await self._letters.send_reply(reply_to, record, content)
            await self._house.ledger.mark_told(record)
        except Unavailable as error:
            self._failed(error, "tell")
            # A queue that is out of order for long must not wear the message out.
            tried, roll = flight.delivery.receive_count, self._house.roll()
            delay_s = backoff_s(tried, roll, base_s=TELL_BASE_S, cap_s=TELL_CAP_S)
            self.give_back(flight, delay_s=delay_s)
            return False
        except PayloadMissing:
            # The result outlived its object: there is nothing left to tell.
            self._house.tell(StoreFailed(store="payloads", operation="tell", why="missing"))
        return True

    async def _ring_for_upgrade(self, flight: Flight, record: Record, content: bytes) -> None:
        envelope = orjson.loads(content)
        if envelope["degraded"]["will_upgrade"]:
            await self._letters.send_upgrade(flight, record, served=envelope["quality"]["served"])

    # --- not final ---------------------------------------------------------------

    async def _park(self, flight: Flight, trip: Trip, parked: Parked) -> None:
        record = trip.record
        ending = Ending(
            state=State.PARKED,
            attempts=trip.attempts,
            parks=record.parks + 1,
            interruptions=record.interruptions,
            crashes=0 if trip.ran else record.crashes,
            history=self._history(trip),
            not_before=self._house.at() + parked.delay_s,
            reason=parked.why,
            leg=self._leg(trip, parked),
        )
        written = await self._written(trip, ending)
        if written is None:
            return
        # What joins the flight from here on may be the new doorbell itself: it must live.
        replaced = set(flight.deliveries)
        try:
            await self._letters.send_doorbell(flight, written, parked.delay_s)
        except Unavailable as error:
            # Then the message that we hold is the doorbell.
            self._failed(error, "park")
            self.give_back(flight, delay_s=parked.delay_s)
        else:
            rung = flight.tokens.get(flight.delivery.message_id, "")
            for message_id, delivery in flight.deliveries.items():
                queue = flight.queues[message_id]
                if message_id not in replaced:
                    self._acks.release(queue, delivery, 0.0)
                elif flight.tokens.get(message_id, "") in ("", rung):
                    self._acks.delete(queue, delivery)
                else:  # the doorbell has another token: this one is known to no other message
                    self._acks.release(queue, delivery, parked.delay_s)
        self._report(flight, trip, parked, written)

    async def _release(self, flight: Flight, trip: Trip, released: Released) -> None:
        if released.why == "lease_lost":
            return  # the job and its message are somebody else's now
        record = trip.record
        ending = Ending(
            state=State.INTERRUPTED,
            attempts=trip.attempts,
            parks=record.parks,
            interruptions=record.interruptions + 1,
            crashes=record.crashes,
            history=self._history(trip),
            reason=released.why,
            leg=self._leg(trip, released),
        )
        written = await self._written(trip, ending)
        if written is None:
            return
        self.give_back(flight, delay_s=released.delay_s)
        self._report(flight, trip, released, written)

    # --- common ------------------------------------------------------------------

    async def _written(self, trip: Trip, ending: Ending) -> Record | None:
        """Write the ending, however long the ledger needs; None if the claim is not ours.

        An answer is never dropped because its record cannot be written: the
        slot waits, and the heartbeat goes on.
        """
        ending = replace(
            ending,
            parked_s=trip.parked_s,
            wasted_usd=trip.wasted.sure_usd,
            wasted_most_usd=trip.wasted.most_usd,
        )
        tried = 0
        while True:
            try:
                written = await self._house.ledger.finish(trip.record, ending)
            except Unavailable as error:
                tried += 1
                self._failed(error, "finish")
                await asyncio.sleep(self._pause_s(tried))
                continue
            if isinstance(written, Stale):
                self._house.tell(DeliverySkipped(job=trip.record.job, why="stale"))
                return None
            return written

    async def _acknowledge(self, flight: Flight, record: Record, content: bytes | None) -> None:
        """Delete the messages of a finished job, once the tasks that wait for it are answered."""
        delay_s = await self._answers.give(flight, record, content)
        if delay_s is not None:
            self.give_back(flight, delay_s=delay_s)
            return
        for message_id, delivery in flight.deliveries.items():
            self._acks.delete(flight.queues[message_id], delivery)

    def _history(self, trip: Trip) -> tuple[Any, ...]:
        return with_history(trip.record.history, tuple(trip.history))

    def _leg(self, trip: Trip, settlement: Settlement) -> Leg:
        at = self._house.at()
        return trip.leg(
            _STATES[type(settlement)].value,
            at,
            why=why_of(settlement),
            until=at + settlement.delay_s if isinstance(settlement, Parked) else 0.0,
            handler=settlement.handler if isinstance(settlement, Degraded) else "",
        )

    def _pause_s(self, tried: int) -> float:
        return backoff_s(tried, self._house.roll(), base_s=0.5, cap_s=RETRY_CAP_S)

    def _failed(self, error: Unavailable, operation: str) -> None:
        self._house.tell(StoreFailed(store=error.store, operation=operation, why=error.why))

    def _report(self, flight: Flight, trip: Trip, settlement: Settlement, record: Record) -> None:
        traces = self._house.traces
        self._house.tell(settled(flight, trip, settlement, record, self._house.at(), traces=traces))


_STATES: Final = {
    Answered: State.ANSWERED,
    Degraded: State.DEGRADED,
    Dead: State.DEAD,
    Parked: State.PARKED,
    Released: State.INTERRUPTED,
}


def _joined(flight: Flight) -> frozenset[str]:
    """Messages that came while the job ran: it dies for them too, whenever their tasks hear it."""
    own = {m for m, one in flight.deliveries.items() if one.doorbell}
    return frozenset(flight.deliveries) - own - {flight.delivery.message_id}


def _will_upgrade(ended: Answered | Degraded | Dead) -> bool:
    return isinstance(ended, Degraded) and ended.will_upgrade
