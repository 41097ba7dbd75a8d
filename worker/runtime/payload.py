"""What a job asks: in its message, or fetched from where its claim check leads.

A payload is read into memory that is reserved for it first, beside the bodies of all
jobs in hand, and is held until the job is over. Where there is none a job waits in its
slot for a while, and is parked.
"""

import asyncio
from math import inf
from typing import Final

from worker.core.envelope import parse_payload
from worker.core.job import Job, PayloadRef, Request
from worker.core.retry import backoff_s
from worker.core.settlement import Dead, Parked, Released, Settlement
from worker.core.strict_json import Malformed
from worker.ports import PayloadMissing, Payloads, Unavailable
from worker.runtime.holds import Holds
from worker.runtime.house import House
from worker.runtime.permits import Permits
from worker.runtime.trip import Trip

PAYLOAD_TRIES: Final = 3
MEMORY_WAIT_S: Final = 60.0  # three times as long as a poll may hold what it reserved


class Requests:
    """Gets the request of a job, wherever it lies."""

    def __init__(self, house: House, *, holds: Holds, permits: Permits) -> None:
        self._house = house
        self._holds = holds
        self._permits = permits

    async def of(self, trip: Trip, job: Job) -> Request | Settlement:
        """The request, or how the job ends without it."""
        ref = job.request
        if isinstance(ref, Request):
            return ref
        payloads = self._house.payloads
        if payloads is None:
            return Dead(reason="payload_forbidden", detail="payload_ref: claim checks are off")
        if not self._late(trip) and await self._has_memory(trip, ref.size_bytes):
            return await self._fetched(payloads, ref)
        if self._late(trip) or self._too_old_to_park(trip):
            return Dead(reason="expired")
        return Parked(delay_s=15.0 * (1 + self._house.roll()), why="memory_full")

    def give_back(self, trip: Trip) -> None:
        """The job is over: its payload's memory is free for others."""
        if trip.payload_bytes:
            self._permits.give_back_payload(trip.payload_bytes)

    async def _has_memory(self, trip: Trip, size_bytes: int) -> bool:
        left_s = inf if trip.deadline_at is None else trip.deadline_at - self._house.at()
        try:
            async with asyncio.timeout(min(left_s, MEMORY_WAIT_S)):
                await self._permits.reserve_bytes(size_bytes)
        except TimeoutError:
            return False
        trip.payload_bytes = size_bytes
        return True

    async def _fetched(self, payloads: Payloads, ref: PayloadRef) -> Request | Settlement:
        for tried in range(1, PAYLOAD_TRIES + 1):
            try:
                payload = await payloads.get(ref.bucket, ref.key, bytes_max=ref.size_bytes)
            except PayloadMissing:
                return Dead(reason="payload_missing", detail="payload_ref.uri: no such object")
            except Unavailable as error:
                self._holds.out_of_reach(error, "get")
                if error.local:
                    return Released(why="local", delay_s=self._holds.hold("local"))
                await asyncio.sleep(backoff_s(tried, self._house.roll(), base_s=0.5, cap_s=5.0))
            else:
                return self._read(payload, ref)
        return Parked(delay_s=15.0 * (1 + self._house.roll()), why="payloads_unavailable")

    def _read(self, payload: bytes, ref: PayloadRef) -> Request | Dead:
        request = parse_payload(payload, ref, self._house.rules.limits)
        if isinstance(request, Malformed):
            inside = "" if request.reason == "payload_mismatch" else "payload_ref: "
            return Dead(reason=request.reason, detail=f"{inside}{request}")
        return request

    def _late(self, trip: Trip) -> bool:
        return trip.deadline_at is not None and self._house.at() >= trip.deadline_at

    def _too_old_to_park(self, trip: Trip) -> bool:
        age_s = self._house.at() - trip.record.sent_at
        return trip.route is not None and age_s > trip.route.park_max_s
