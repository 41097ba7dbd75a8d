"""Claims: parse the body, and one conditional write makes the job ours, or says why not.

Whatever the ledger refuses needs no run here: the job is finished, runs already,
or belongs to somebody else. Each refusal is seen to before `claim` returns.
"""

import asyncio
import uuid
from collections import OrderedDict
from typing import Final, assert_never

from worker.core.envelope import parse, token_of
from worker.core.events import DeliverySkipped, JobRedriven, JobUnparked
from worker.core.job import Job
from worker.core.ledger import Claim, Conflict, Finished, Record, RunningElsewhere
from worker.core.strict_json import Malformed
from worker.core.upgrade import as_upgrade, route_of_upgrade, upgraded
from worker.ports import RecordUnreadable, Unavailable
from worker.runtime.flights import Flight, Flights, Phase
from worker.runtime.holds import Holds
from worker.runtime.house import House
from worker.runtime.settler import Settler
from worker.runtime.trip import Trip

FOREIGN_DELAY_S: Final = 5.0
UNREADABLE_DELAY_S: Final = 300.0
UNHEARD_MAX: Final = 1_000
_ID_CONFLICT: Final = Malformed(
    "id_conflict", "id", "another job, with another request, has this id"
)


class Claims:
    """Claims jobs for one process."""

    def __init__(self, house: House, *, flights: Flights, settler: Settler, holds: Holds) -> None:
        self._house = house
        self._flights = flights
        self._settler = settler
        self._holds = holds
        # Nonces of claims that we gave up on: one of them may stand, and then it is ours.
        self._unheard: OrderedDict[str, str] = OrderedDict()

    async def claim(self, flight: Flight) -> Trip | None:
        """Make the flight's job ours; None if there is nothing to run, and all is seen to."""
        delivery = flight.delivery
        job_id, job = self._read(flight)
        digest = job.digest if isinstance(job, Job) else ""
        if (other := self._flights.holder(job_id)) is not None:
            ends = other.phase is Phase.SETTLING and not delivery.doorbell
            if other.digest == digest and not ends:
                self._flights.hand_over(flight, other)
                self._skip(job_id, "running_here")
                return None
            if ends or other.phase is Phase.CLAIMING:
                # Whose the id is, the ledger is about to say; and a dead job whose letter is out
                # may have been redriven by this very message.
                self._settler.give_back(flight, delay_s=FOREIGN_DELAY_S)
                return None
            job, job_id = _ID_CONFLICT, delivery.message_id
        self._flights.board(flight, job_id, digest)
        claimed = await self._ask_ledger(flight, job_id, job)
        if isinstance(claimed, Conflict):
            # The id is taken by another request: this message is a job of its own, and dead.
            job = _ID_CONFLICT
            self._flights.rename(flight, delivery.message_id)
            claimed = await self._ask_ledger(flight, delivery.message_id, job)
        match claimed:
            case None:
                return None
            case Record():
                flight.record = claimed
                self._tell_redriven(claimed)
                self._tell_unparked(claimed)
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
                self._settler.give_back(flight, delay_s=FOREIGN_DELAY_S)
            case _:
                assert_never(claimed)
        return None

    def _read(self, flight: Flight) -> tuple[str, Job | Malformed]:
        """The flight's job and its id; the token of the task that waits for it is noted."""
        delivery, limits = flight.delivery, self._house.rules.limits
        read = parse(delivery.body, limits)
        token = read.task_token if isinstance(read, Job) else token_of(delivery.body, limits)
        job_id, job = _named(flight, read)
        if token and upgraded(job_id) is None:  # of an upgrade nobody waits: its task is over
            flight.tokens[delivery.message_id] = token
        return job_id, job

    async def _ask_ledger(
        self, flight: Flight, job_id: str, job: Job | Malformed
    ) -> Record | Finished | RunningElsewhere | Conflict | None:
        delivery = flight.delivery
        now = asyncio.get_running_loop().time()
        if (unheard := self._unheard.pop(job_id, "")) != "":
            flight.extend_at = now  # that claim's lease began long ago
        sent_at = delivery.sent_at if delivery.first_sent_at is None else delivery.first_sent_at
        ask = Claim(
            job=job_id,
            owner=self._house.rules.worker,
            nonce=unheard or uuid.uuid4().hex,
            doorbell=delivery.message_id,
            # Both leases lapse together, so a crash costs one wait and not two.
            lease_s=max(1.0, flight.lease_until - now),
            digest=job.digest if isinstance(job, Job) else "",
            sent_at=sent_at,
            route=job.route if isinstance(job, Job) else "",
            tenant=(job.tenant if isinstance(job, Job) else "") or delivery.tenant,
            own_doorbell=delivery.doorbell,
            redrive=delivery.redrive,
        )
        for tried in (1, 2):
            try:
                claimed = await self._house.ledger.claim(ask)
            except RecordUnreadable as error:
                # One bad record is no outage: this message waits, and the intake goes on.
                self._holds.out_of_reach(error, "claim")
                self._settler.give_back(flight, delay_s=UNREADABLE_DELAY_S)
                return None
            except Unavailable as error:
                if tried == 1 and not error.local:
                    continue  # once more with the same nonce: its answer may only have been lost
                self._holds.out_of_reach(error, "claim")
                self._unheard[job_id] = ask.nonce
                if len(self._unheard) > UNHEARD_MAX:
                    self._unheard.popitem(last=False)
                self._settler.give_back(flight, delay_s=self._holds.hold(error.store))
                return None
            self._holds.lift("ledger")
            return claimed
        msg = "the second try returns"
        raise AssertionError(msg)

    def _trip(self, flight: Flight, job: Job | Malformed, record: Record) -> Trip:
        parsed = job if isinstance(job, Job) else None
        route = self._house.rules.routes.get(parsed.route) if parsed else None
        if route is not None and upgraded(record.job) is not None:
            route = route_of_upgrade(route)
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

    def _tell_redriven(self, record: Record) -> None:
        """Nothing has befallen this generation yet. A crash before this line hides it."""
        befell = record.crashes or record.parks or record.interruptions or record.history
        if record.generation and not befell:
            self._house.tell(
                JobRedriven(
                    job=record.job,
                    route=record.route,
                    tenant=record.tenant,
                    generation=record.generation,
                )
            )

    def _tell_unparked(self, record: Record) -> None:
        """Its last ending was a park. A run that crashes is told again with the next claim."""
        if record.parked_at is not None:
            parked_s = max(0.0, self._house.at() - record.parked_at)
            self._house.tell(
                JobUnparked(
                    job=record.job,
                    route=record.route,
                    tenant=record.tenant,
                    parks=record.parks,
                    parked_ms=round(parked_s * 1000),
                )
            )

    def _skip(self, job_id: str, why: str) -> None:
        self._house.tell(DeliverySkipped(job=job_id, why=why))


def _named(flight: Flight, job: Job | Malformed) -> tuple[str, Job | Malformed]:
    """The id under which the flight is to run, and the job as it runs under it."""
    delivery = flight.delivery
    named = job.id if isinstance(job, Job) else None
    of = upgraded(delivery.job)
    if of is None:
        return named or delivery.job or delivery.message_id, job
    # Only workers send to the parked queue; what anybody else calls an upgrade is none.
    ours = delivery.doorbell and flight.queues[delivery.message_id] is flight.lane.parked
    if not ours or named not in (None, of):
        return named or of or delivery.message_id, job
    return delivery.job, as_upgrade(job, served=delivery.above) if isinstance(job, Job) else job
