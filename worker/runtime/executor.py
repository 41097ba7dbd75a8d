"""The life of one delivery: claim the job, work on it, settle it.

    claim    parse the body; one conditional write makes the job ours, or says why not
    work     ask `plan`, do what it says, ask again; ends with a settlement
    settle   `settler.py` writes the ending and tells it

The executor decides nothing: what a fault means is in `core/fault.py`, where a
job goes next in `core/route.py`, who may claim in `core/ledger.py`.
"""

import asyncio
import uuid
from dataclasses import replace
from typing import Final, assert_never

from worker.core.answer import Answer
from worker.core.envelope import parse, parse_payload
from worker.core.events import AttemptMade, DeliverySkipped, FaultUnknown, StoreFailed
from worker.core.fault import Fault, Kind
from worker.core.guards import MassDeathGuard
from worker.core.job import Job, PayloadRef, Request
from worker.core.ledger import Claim, Conflict, Finished, Record, RunningElsewhere
from worker.core.retry import RetryBudget, backoff_s
from worker.core.route import Call, Degrade, Discard, Park, Release, Route, Target, plan
from worker.core.settlement import Answered, Dead, Degraded, Parked, Released, Settlement
from worker.core.strict_json import Malformed
from worker.ports import PayloadMissing, Unavailable
from worker.runtime.flights import Flight, Flights, Phase
from worker.runtime.holds import Holds
from worker.runtime.house import House
from worker.runtime.permits import Permits
from worker.runtime.settler import Settler
from worker.runtime.trip import Trip

PAYLOAD_TRIES: Final = 3
SUSPECT_DELAY_S: Final = 5.0
_ID_CONFLICT: Final = Malformed(
    "id_conflict", "id", "another job, with another request, has this id"
)


class Executor:
    """Runs deliveries, one `run` each. Holds what this process learns of its targets."""

    def __init__(
        self,
        house: House,
        *,
        flights: Flights,
        settler: Settler,
        holds: Holds,
        permits: Permits,
    ) -> None:
        self._house = house
        self._flights = flights
        self._settler = settler
        self._holds = holds
        self._permits = permits
        self._budgets: dict[str, RetryBudget] = {}
        self._mass_death = MassDeathGuard()
        self._suspect: Flight | None = None  # the one that runs in isolation

    async def run(self, flight: Flight) -> None:
        """Claim, work and settle; the slot is the caller's to free."""
        trip = await self._claim(flight)
        if trip is None:
            return
        try:
            settlement = await self._work_or_be_cut(flight, trip)
            flight.phase = Phase.SETTLING
            await self._settler.settle(flight, trip, settlement)
        finally:
            if self._suspect is flight:
                self._suspect = None
            if trip.payload_bytes:
                self._permits.give_back(slots=0, size_bytes=trip.payload_bytes)

    # --- claim -----------------------------------------------------------------

    async def _claim(self, flight: Flight) -> Trip | None:
        delivery = flight.delivery
        job = parse(delivery.body, self._house.rules.limits)
        named = job.id if isinstance(job, Job) else None
        job_id = named or delivery.job or delivery.message_id
        digest = job.digest if isinstance(job, Job) else ""
        if (other := self._flights.holder(job_id)) is not None:
            if other.digest == digest:
                self._flights.hand_over(flight, other)
                self._skip(job_id, "running_here")
                return None
            job, job_id = _ID_CONFLICT, delivery.message_id
        self._flights.board(flight, job_id, digest)
        claimed = await self._ask_ledger(flight, job_id, job)
        if isinstance(claimed, Conflict):
            # The id is taken by another request: this message is a job of its own, and dead.
            job = _ID_CONFLICT
            claimed = await self._ask_ledger(flight, delivery.message_id, job)
        match claimed:
            case None:
                return None
            case Record():
                flight.record = claimed
                return self._trip(flight, job, claimed)
            case Finished(record=record):
                self._skip(job_id, "finished")
                await self._settler.settle_late(
                    flight, job if isinstance(job, Job) else None, record
                )
            case RunningElsewhere(lease_left_s=left_s):
                self._skip(job_id, "running_elsewhere")
                self._settler.give_back(flight, delay_s=left_s + self._house.roll())
            case Conflict():
                # Two foreign claims under one MessageId cannot be; give it back, and look again.
                self._settler.give_back(flight, delay_s=SUSPECT_DELAY_S)
            case _:
                assert_never(claimed)
        return None

    async def _ask_ledger(
        self, flight: Flight, job_id: str, job: Job | Malformed
    ) -> Record | Finished | RunningElsewhere | Conflict | None:
        delivery = flight.delivery
        now = asyncio.get_running_loop().time()
        sent_at = delivery.sent_at if delivery.first_sent_at is None else delivery.first_sent_at
        ask = Claim(
            job=job_id,
            owner=self._house.rules.worker,
            nonce=uuid.uuid4().hex,
            doorbell=delivery.message_id,
            # Both leases lapse together, so a crash costs one wait and not two.
            lease_s=max(1.0, flight.lease_until - now),
            digest=job.digest if isinstance(job, Job) else "",
            sent_at=sent_at,
            route=job.route if isinstance(job, Job) else "",
            tenant=(job.tenant if isinstance(job, Job) else "") or delivery.tenant,
            own_doorbell=delivery.doorbell,
        )
        for tried in (1, 2):
            try:
                claimed = await self._house.ledger.claim(ask)
            except Unavailable as error:
                if tried == 1 and not error.local:
                    continue  # once more with the same nonce: its answer may only have been lost
                self._out_of_reach(error, "claim")
                self._settler.give_back(flight, delay_s=self._holds.hold(error.store))
                return None
            self._holds.lift("ledger")
            return claimed
        msg = "the second try returns"
        raise AssertionError(msg)

    def _trip(self, flight: Flight, job: Job | Malformed, record: Record) -> Trip:
        parsed = job if isinstance(job, Job) else None
        route = self._house.rules.routes.get(parsed.route) if parsed else None
        deadline_at = parsed.deadline(record.sent_at) if parsed else None
        if deadline_at is None and route is not None and route.deadline_s is not None:
            deadline_at = record.sent_at + route.deadline_s
        at = self._house.at()
        if route is not None:
            longest_s = route.retry.attempts * max(t.attempt_s for t in route.targets)
            if deadline_at is not None:
                longest_s = min(longest_s, max(0.0, deadline_at - at))
            flight.may_last_until = asyncio.get_running_loop().time() + longest_s
        return Trip(
            job=parsed,
            malformed=job if isinstance(job, Malformed) else None,
            record=record,
            route=route,
            started_at=at,
            deadline_at=deadline_at,
            attempts=record.attempts - 1,  # the claim charged one call before it was made
        )

    # --- work ------------------------------------------------------------------

    async def _work_or_be_cut(self, flight: Flight, trip: Trip) -> Settlement:
        if flight.cut:
            return Released(why=flight.cut)
        flight.phase = Phase.WORKING
        try:
            return await self._work(flight, trip)
        except asyncio.CancelledError:
            if not flight.takes_back_cancel():
                raise
            return Released(why=flight.cut)

    async def _work(self, flight: Flight, trip: Trip) -> Settlement:
        ready = self._unfit(flight, trip) or self._isolate(flight, trip)
        if ready is not None:
            return ready
        assert trip.job is not None, "an unfit job was settled"
        assert trip.route is not None, "an unfit job was settled"
        trip.ran = True
        request = await self._request(trip, trip.job)
        if not isinstance(request, Request):
            return request
        return await self._call_until_settled(trip, trip.job, trip.route, request)

    def _unfit(self, flight: Flight, trip: Trip) -> Dead | None:
        if trip.malformed is not None:
            wrong = trip.malformed
            detail = f"{wrong.field}: {wrong.detail}" if wrong.field else wrong.detail
            return Dead(reason=wrong.reason, detail=detail)
        if trip.record.crashes >= self._house.rules.crashes_max:
            return Dead(
                reason="crash_loop",
                detail=f"{trip.record.crashes} runs of it ended without any outcome",
            )
        assert trip.job is not None, "what is not malformed is a job"
        if trip.route is None:
            return Dead(reason="unknown_route", detail="route: no such route is configured")
        if trip.route.name not in flight.lane.routes:
            return Dead(reason="unknown_route", detail="route: this queue does not serve it")
        if trip.job.reply_to is not None and trip.job.reply_to not in self._house.replies:
            return Dead(
                reason="unknown_reply_to", detail="reply_to: no such reply queue is configured"
            )
        return None

    def _isolate(self, flight: Flight, trip: Trip) -> Parked | None:
        """A job whose last run ended without an outcome runs with no other such job.

        If it brings the process down again, no second suspect is charged for it.
        """
        if trip.record.crashes == 0:
            return None
        if self._suspect is not None:
            return Parked(delay_s=SUSPECT_DELAY_S * (1 + self._house.roll()), why="suspect_waits")
        self._suspect = flight
        return None

    async def _request(self, trip: Trip, job: Job) -> Request | Settlement:
        ref = job.request
        if isinstance(ref, Request):
            return ref
        payloads = self._house.payloads
        if payloads is None:
            return Dead(reason="payload_forbidden", detail="payload_ref: claim checks are off")
        await self._permits.reserve_bytes(ref.size_bytes)
        trip.payload_bytes = ref.size_bytes
        for tried in range(1, PAYLOAD_TRIES + 1):
            try:
                payload = await payloads.get(ref.bucket, ref.key, bytes_max=ref.size_bytes)
            except PayloadMissing:
                return Dead(reason="payload_missing", detail="payload_ref.uri: no such object")
            except Unavailable as error:
                self._out_of_reach(error, "get")
                if error.local:
                    return Released(why="local", delay_s=self._holds.hold(error.store))
                await asyncio.sleep(backoff_s(tried, self._house.roll(), base_s=0.5, cap_s=5.0))
            else:
                return self._read_payload(payload, ref)
        return Parked(delay_s=15.0 * (1 + self._house.roll()), why="payloads_unavailable")

    def _read_payload(self, payload: bytes, ref: PayloadRef) -> Request | Dead:
        request = parse_payload(payload, ref, self._house.rules.limits)
        if isinstance(request, Malformed):
            return Dead(reason=request.reason, detail=f"{request.field}: {request.detail}")
        return request

    async def _call_until_settled(
        self, trip: Trip, job: Job, route: Route, request: Request
    ) -> Settlement:
        house = self._house
        while True:
            budget = self._budgets.get(route.name)
            if budget is None:
                budget = self._budgets[route.name] = RetryBudget(route.retry)
            decision = plan(route, trip.seen(house.at()), roll=house.roll(), budget=budget.tokens)
            match decision:
                case Call():
                    budget.spend(decision.spends)
                    answer = await self._call(trip, decision, request)
                    if answer is not None:
                        budget.earn()
                        return Answered(answer=answer, target=decision.target)
                case Park(delay_s=delay_s, why=why):
                    return Parked(delay_s=delay_s, why=why)
                case Degrade(handler=name, why=why):
                    degraded = await house.handlers[name].answer(job, request)
                    if degraded is not None:
                        return Degraded(answer=degraded, handler=name, why=why)
                    route = replace(route, degraded=route.degraded[1:])
                case Discard(reason=reason):
                    return self._discard(trip, reason)
                case Release(why=why):
                    return Released(why=why, delay_s=self._holds.hold("credentials"))
                case _:
                    assert_never(decision)

    async def _call(self, trip: Trip, call: Call, request: Request) -> Answer | None:
        loop, target = asyncio.get_running_loop(), call.target
        if call.wait_s:
            trip.backoff_s += call.wait_s
            await asyncio.sleep(call.wait_s)
        started = loop.time()
        outcome = await self._house.model.call(
            target,
            request,
            job=trip.record.job,
            attempt=trip.attempts + 1,
            bound_s=call.bound_s,
        )
        now = loop.time()
        if isinstance(outcome, Fault):
            outcome = self._in_the_light_of_others(trip, target, outcome, now)
        else:
            self._mass_death.served(target.name, now)
            self._holds.lift("credentials")
        row = trip.came_back(target, outcome, now - started)
        self._house.tell(
            AttemptMade(
                job=trip.record.job,
                target=target.name,
                number=row.number,
                kind=row.kind,
                code=row.code,
                http=row.http,
                duration_ms=row.duration_ms,
                first_token_ms=outcome.first_token_ms if isinstance(outcome, Answer) else None,
                slow=now - started > target.slow_s,
                billed=row.billed,
                timer=row.timer,
                request_id=row.request_id,
            )
        )
        return outcome if isinstance(outcome, Answer) else None

    def _in_the_light_of_others(
        self, trip: Trip, target: Target, fault: Fault, now: float
    ) -> Fault:
        if fault.kind is Kind.UNKNOWN:
            self._house.tell(
                FaultUnknown(
                    target=target.name, code=fault.code, http=fault.http, message=fault.message
                )
            )
        kind = self._mass_death.reads(target.name, trip.record.job, fault.kind, now)
        kind = self._holds.local_cause.reads(f"bedrock:{target.region}", kind, now)
        return fault if kind is fault.kind else replace(fault, kind=kind)

    # --- small change ----------------------------------------------------------

    def _discard(self, trip: Trip, reason: str) -> Dead:
        if not trip.tried:
            return Dead(reason=reason)
        fault = trip.tried[-1][1]
        return Dead(reason=reason, detail=fault.message, code=fault.code)

    def _out_of_reach(self, error: Unavailable, operation: str) -> None:
        if error.network:
            now = asyncio.get_running_loop().time()
            self._holds.local_cause.unreachable(error.store, now)
        self._house.tell(StoreFailed(store=error.store, operation=operation, why=error.why))

    def _skip(self, job_id: str, why: str) -> None:
        self._house.tell(DeliverySkipped(job=job_id, why=why))
