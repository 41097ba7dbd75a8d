"""Pollers: they take no more than there are slots for, and lose nothing they take.

One poller per queue, up to `pollers_max` while batches come back full. A
receive is never cancelled: what it brings after the stop goes back at once. A
queue that was empty is asked with one slot, if others could use the rest.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from worker.core.events import DeliverySkipped
from worker.core.fairness import RETURNS_MAX, over_share
from worker.core.intake import Hold
from worker.ports import Delivery, Queue, Unavailable
from worker.runtime.acks import Acks
from worker.runtime.flights import Flight, Flights
from worker.runtime.gates import Gates
from worker.runtime.heartbeat import FIRST_AT
from worker.runtime.holds import Holds
from worker.runtime.house import House, Lane
from worker.runtime.permits import Permits
from worker.runtime.pulse import Pulse

BATCH: Final = 10
TRIAL_S: Final = 1.0
LOOK_IN_S: Final = 5.0
TENANT_SEEN_S: Final = 10.0
CIRCUIT_LOOK_S: Final = 0.5
SCARCE_S: Final = 1.0
REFUSED_DELAY_S: Final = 2.0
SHARE_DELAY_S: Final = 2.0  # and up to four times more, by the dice

Start = Callable[[Flight], None]


class Intake:
    """Receives for one lane, and starts a flight for each delivery."""

    def __init__(
        self,
        house: House,
        lane: Lane,
        *,
        permits: Permits,
        flights: Flights,
        acks: Acks,
        holds: Holds,
        gates: Gates,
        stop: asyncio.Event,
        start: Start,
        pulse: Pulse,
    ) -> None:
        self._house = house
        self._lane = lane
        self._permits = permits
        self._flights = flights
        self._acks = acks
        self._holds = holds
        self._gates = gates
        self._stop = stop
        self._start = start
        self._pulse = pulse
        self._extra = 0
        self._asked = 0  # slots reserved by polls under way
        self._routes = [house.rules.routes[name] for name in lane.routes]
        self._tenants_seen: dict[str, float] = {}

    async def run(self) -> None:
        """Poll both queues of the lane until the stop."""
        async with asyncio.TaskGroup() as pollers:
            for queue in (self._lane.jobs, self._lane.parked):
                name = f"poll-{self._lane.name}-{queue.name}"
                pollers.create_task(self._poll(queue, pollers), name=name)

    async def _poll(self, queue: Queue, pollers: asyncio.TaskGroup, *, extra: bool = False) -> None:
        shares = queue is self._lane.parked or len(self._house.lanes) > 1
        came = 0 if shares else BATCH
        rules = self._house.rules
        poller, now = asyncio.current_task(), asyncio.get_running_loop().time
        while not self._stop.is_set():
            self._pulse.turn(poller, now())
            scarce = (room := self._room()) < rules.slots
            if (hold_s := self._has_to_wait(room)) > 0:
                await self._pause(hold_s)
                continue
            idle_share = 1 if (shares and came == 0) or self._holds.anxious else BATCH
            self._pulse.wait(poller)
            most = await self._reserve(min(BATCH, idle_share, room))
            if most == 0:
                break
            self._pulse.turn(poller, now())
            # A queue that shares the slots waits with one of them, and only while
            # there are enough; else it looks in, and gives its slot to those who wait.
            looks_in = shares and (most > 1 or self._permits.free < BATCH)
            # Where a circuit leaves little room the queues take turns; but who only
            # looks in never gets a probe's job while others wait for every message.
            wait_s = min(SCARCE_S, rules.wait_s) if scarce else rules.wait_s
            came = await self._receive(queue, most, 0.0 if looks_in and not scarce else wait_s)
            if came == BATCH and not self._stop.is_set():
                if self._extra < rules.pollers_max - 1 and self._permits.free >= BATCH:
                    self._extra += 1
                    pollers.create_task(self._poll(queue, pollers, extra=True))
            elif extra:
                break
            else:
                await self._rest(came, most, looks_in=looks_in or scarce, scarce=scarce)
        self._pulse.gone(poller)
        self._extra -= extra

    def _has_to_wait(self, room: int) -> float:
        """How long nothing may be received, in seconds; 0 if it may."""
        if isinstance(hold := self._holds.ask(), Hold):
            return hold.for_s
        # The queue itself is the cheapest place to wait for an open circuit.
        return CIRCUIT_LOOK_S if room <= 0 else 0.0

    async def _reserve(self, most: int) -> int:
        self._asked += most
        try:
            return await self._permits.reserve(most, linger_s=self._house.rules.linger_s)
        finally:
            self._asked -= most

    async def _rest(self, came: int, most: int, *, looks_in: bool, scarce: bool) -> None:
        """Give others a chance before the next receive."""
        rules = self._house.rules
        if self._holds.anxious:
            await self._pause(TRIAL_S)  # how does the one that came fare?
        elif 0 < came < most:
            await self._pause(rules.linger_s)
        elif came == 0 and scarce:
            await self._pause(CIRCUIT_LOOK_S)  # now the other queue
        elif came == 0 and looks_in and most == 1:
            await self._pause(min(LOOK_IN_S, rules.wait_s))

    def _room(self) -> int:
        """How many more jobs of this lane are worth having in hand."""
        capacity = self._gates.capacity(self._routes)
        if capacity >= self._house.rules.slots:
            return capacity
        in_hand = sum(flight.lane is self._lane for flight in self._flights)
        return capacity + self._gates.overhang(self._routes) - in_hand - self._asked

    async def _receive(self, queue: Queue, most: int, wait_s: float) -> int:
        rules, loop = self._house.rules, asyncio.get_running_loop()
        deliveries: list[Delivery] = []
        taken: list[int] = []
        # SQS counts the lease from its own receive; ours must not be longer than that.
        asked_at = loop.time()
        self._asked += most
        try:
            deliveries = await queue.receive(most, wait_s=wait_s, lease_s=rules.lease_s)
        except Unavailable as error:
            self._holds.out_of_reach(error, "receive")
            self._holds.hold("local" if error.local else "queue")
        else:
            self._holds.lift("queue")
            received_at = max(asked_at, loop.time() - 1.0)
            taken = [len(d.body) for d in deliveries if self._admit(queue, d, received_at)]
        finally:
            self._asked -= most
            self._permits.settle_reservation(most, taken)
        return len(deliveries)

    def _admit(self, queue: Queue, delivery: Delivery, received_at: float) -> bool:
        """Start a flight for the delivery, or say in one line why it needs none."""
        lease_s = self._house.rules.lease_s
        if self._acks.remembers(delivery.message_id):
            self._acks.delete(queue, delivery)
            return self._skip(delivery, "deleted_before")
        if self._flights.adopt_message(delivery, queue):
            return self._skip(delivery, "running_here")
        if self._stop.is_set():
            self._acks.release(queue, delivery, 0.0)
            return self._skip(delivery, "stopping")
        if self._gates.capacity(self._routes) == 0:
            # It came from a poll that was under way when the circuit opened.
            delay_s = REFUSED_DELAY_S * (1 + self._house.roll())
            self._acks.release(queue, delivery, delay_s)
            return self._skip(delivery, "circuit_open")
        if self._goes_back(delivery):
            delay_s = SHARE_DELAY_S * (1 + 4 * self._house.roll())
            self._acks.release(queue, delivery, delay_s)
            return self._skip(delivery, "over_share")
        flight = Flight(
            lane=self._lane,
            delivery=delivery,
            received_at=received_at,
            lease_until=received_at + lease_s,
            extend_at=received_at + lease_s * FIRST_AT,
            size_bytes=len(delivery.body),
        )
        self._flights.take_off(flight, queue)
        self._start(flight)
        return True

    def _goes_back(self, delivery: Delivery) -> bool:
        if not delivery.tenant:
            return False
        now = asyncio.get_running_loop().time()
        self._tenants_seen[delivery.tenant] = now
        self._tenants_seen = {
            tenant: at for tenant, at in self._tenants_seen.items() if now - at <= TENANT_SEEN_S
        }
        return delivery.receive_count <= RETURNS_MAX and over_share(
            self._flights.by_tenant,
            delivery.tenant,
            slots=self._house.rules.slots,
            free=self._permits.free,
            waiting=len(self._tenants_seen) - 1,
        )

    def _skip(self, delivery: Delivery, why: str) -> bool:
        self._house.tell(DeliverySkipped(job=delivery.job or delivery.message_id, why=why))
        return False

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
