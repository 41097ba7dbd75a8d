"""Runs the worker, and lets it leave in order.

    the stop          no more polls; those under way land, and what they bring goes back
    grace - firm_s    jobs still at work are cut short: fenced, uncharged, visible at once
    grace - firm_s/2  deletes and releases are flushed
    grace             whatever is left is cancelled; the leases lapse by themselves

The nesting is the shutdown order: services outlive the flights they serve.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from worker.core.events import DrainEnded, DrainStarted, FlightFailed, WorkerStarted
from worker.core.verdict import State
from worker.runtime.acks import Acks
from worker.runtime.claims import Claims
from worker.runtime.degrader import Degrader
from worker.runtime.executor import Executor
from worker.runtime.flights import Flight, Flights, Phase
from worker.runtime.gates import Gates
from worker.runtime.heartbeat import Heartbeat
from worker.runtime.holds import Holds
from worker.runtime.house import House, Lane
from worker.runtime.intake import Intake
from worker.runtime.permits import Permits
from worker.runtime.protection import ScaleIn
from worker.runtime.pulse import Health, Pulse
from worker.runtime.settler import Settler
from worker.runtime.syncer import Syncer
from worker.runtime.upstream import Upstream
from worker.runtime.witness import Witness

FIRM_S: Final = 8.0
FIRM_SHARE: Final = 0.3  # of a grace too short for `FIRM_S`
MESSAGE_BYTES: Final = 1_048_576  # the largest that a queue gives out

Service = Callable[[], Awaitable[None]]


class Drain(StrEnum):
    """How the worker left."""

    CLEAN = "clean"
    FORCED = "forced"


class Supervisor:
    """One worker process."""

    def __init__(
        self, house: House, *, stop: asyncio.Event, services: Sequence[Service] = ()
    ) -> None:
        targets = [target for route in house.rules.routes.values() for target in route.targets]
        witness = Witness(house.tell, targets)
        house = replace(house, tell=witness)
        self._house = house
        self._stop = stop
        self._services = services
        self.flights = Flights()
        self.pulse = Pulse(wait_s=house.rules.wait_s, in_flight=lambda: len(self.flights))
        self._permits = Permits(
            house.rules.slots, house.rules.bytes_max, message_bytes=MESSAGE_BYTES
        )
        self._acks = Acks(house.tell)
        self._holds = Holds(house.tell)
        rules = house.rules
        self.gates = Gates(
            worker=rules.worker,
            slots=rules.slots,
            targets=targets,
            policies=rules.policies,
            pacing=rules.pacing,
            tell=house.tell,
            now=asyncio.get_running_loop().time(),
        )
        self.syncer = (
            Syncer(
                house.breakers,
                self.gates,
                worker=rules.worker,
                at=house.at,
                roll=house.roll,
                tell=house.tell,
                seen=witness.most,
            )
            if house.breakers
            else None
        )
        self._upstream = Upstream(self.gates, rules.routes.values(), alone=not house.breakers)
        settler = Settler(house, self._acks)
        self._degrader = Degrader(house, self.gates.paces, stop=stop)
        self._executor = Executor(
            house,
            flights=self.flights,
            claims=Claims(house, flights=self.flights, settler=settler, holds=self._holds),
            settler=settler,
            holds=self._holds,
            permits=self._permits,
            gates=self.gates,
            degrader=self._degrader,
        )
        self._scale_in = (
            ScaleIn(house, house.protection, self.flights) if house.protection else None
        )
        self._cut = 0

    @property
    def circuits(self) -> dict[str, State]:
        """How each circuit stands, as far as this process knows."""
        return self._upstream.states(asyncio.get_running_loop().time())

    @property
    def upstream_hold(self) -> int:
        """0 while some route can take work; 1 while none can; 2 when that has lasted long."""
        return self._upstream.hold(asyncio.get_running_loop().time())

    @property
    def sync_age_s(self) -> float:
        """Since the fleet's verdicts were last read, in seconds; 0 if there is no fleet."""
        return 0.0 if self.syncer is None else self.syncer.age_s

    @property
    def health(self) -> Health:
        """How this process is."""
        return self.pulse.health(asyncio.get_running_loop().time())

    @property
    def paces(self) -> dict[str, float]:
        """The pace of each quota bucket that has one, in calls per second."""
        return self.gates.paces.per_s(asyncio.get_running_loop().time())

    async def run(self) -> Drain:
        """Settle jobs until the stop, then let those in hand finish."""
        rules = self._house.rules
        self._house.tell(
            WorkerStarted(
                worker=rules.worker,
                version=rules.version,
                slots=rules.slots,
                lanes=tuple(lane.name for lane in self._house.lanes),
            )
        )
        services = [Heartbeat(self._house, self.flights).run, *self._services]
        if self.syncer is not None:
            await self.syncer.start()
            services.append(self.syncer.run)
        if self._scale_in is not None:
            services.append(self._scale_in.run)
        async with asyncio.TaskGroup() as outer:
            running = [outer.create_task(_serve(service)) for service in services]
            try:
                drain = await self._serve_lanes()
            finally:
                await self._degrader.close()
            for task in running:
                task.cancel()
        return drain

    async def _serve_lanes(self) -> Drain:
        loop, grace_s = asyncio.get_running_loop(), self._house.rules.grace_s
        firm_s = min(FIRM_S, grace_s * FIRM_SHARE)
        firm: asyncio.TimerHandle | None = None
        stopped_at = loop.time()
        try:
            async with asyncio.timeout(None) as fuse:
                async with asyncio.TaskGroup() as group:
                    self.pulse.start()
                    for lane in self._house.lanes:
                        group.create_task(self._intake(lane, group).run())
                    await self._stop.wait()
                    stopped_at = loop.time()
                    fuse.reschedule(stopped_at + grace_s - firm_s / 4)
                    firm = loop.call_at(stopped_at + grace_s - firm_s, self._cut_all)
                    self._quiet()
                    if self.syncer is not None:
                        await self.syncer.leave()
                    if self._scale_in is not None:
                        await self._scale_in.drop()
                await self._acks.flush()
        except TimeoutError:
            drain = Drain.FORCED
        else:
            drain = Drain.CLEAN
        finally:
            if firm is not None:
                firm.cancel()
        took_s = round(loop.time() - stopped_at, 3)
        self._house.tell(
            DrainEnded(
                worker=self._house.rules.worker,
                clean=drain is Drain.CLEAN,
                released=self._cut,
                took_s=took_s,
            )
        )
        return drain

    def _intake(self, lane: Lane, group: asyncio.TaskGroup) -> Intake:
        def start(flight: Flight) -> None:
            flight.task = group.create_task(self._fly(flight))

        return Intake(
            self._house,
            lane,
            permits=self._permits,
            flights=self.flights,
            acks=self._acks,
            holds=self._holds,
            gates=self.gates,
            stop=self._stop,
            start=start,
            pulse=self.pulse,
        )

    async def _fly(self, flight: Flight) -> None:
        try:
            await self._executor.run(flight)
        except Exception as error:  # noqa: BLE001 - a job may fail; the worker may not
            # Its lease lapses, and the next claim counts a run without an outcome.
            self._house.tell(
                FlightFailed(job=flight.job_id, error=type(error).__name__, where=_where(error))
            )
        finally:
            self.flights.land(flight)
            self._permits.give_back(slots=1, size_bytes=flight.size_bytes)
            self.pulse.landed(asyncio.get_running_loop().time())

    def _quiet(self) -> None:
        rules = self._house.rules
        self.pulse.leave()
        self._permits.close()
        self._executor.quiet()
        self._house.tell(
            DrainStarted(worker=rules.worker, in_flight=len(self.flights), grace_s=rules.grace_s)
        )

    def _cut_all(self) -> None:
        for flight in self.flights:
            if flight.phase is not Phase.SETTLING:
                self._cut += 1
                flight.cut_short("drain")


async def _serve(service: Service) -> None:
    await service()


def _where(error: BaseException) -> str:
    """File and line of the innermost frame: enough to find it, and no text of a job."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return ""
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
