"""The life of one delivery: claim the job, work on it, settle it.

    claim    `claims.py` makes the job ours, or says why not
    work     ask `plan`, do what it says, ask again; ends with a settlement
    settle   `settler.py` writes the ending and tells it

The executor decides nothing: what a fault means is in `core/fault.py`, where a
job goes next in `core/plan.py`, who may claim in `core/ledger.py`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from worker.core.answer import Answer
from worker.core.breaker import Refusal
from worker.core.cost import Waste
from worker.core.events import AttemptMade, CallRefused, FaultUnknown, RetryRefused
from worker.core.fault import Fault, Kind, Vote, fingerprint, heard
from worker.core.guards import MassDeathGuard
from worker.core.job import Request
from worker.core.pacer import REFUSED_FOR
from worker.core.plan import Call, Decision, Degrade, Discard, Park, Release, plan
from worker.core.retry import RetryBudget
from worker.core.route import Route
from worker.core.settlement import Answered, Dead, Parked, Released, Settlement
from worker.core.target import Target
from worker.core.trail import Bar
from worker.core.window import Outcome
from worker.runtime.claims import Claims
from worker.runtime.degrader import Degrader
from worker.runtime.flights import Flight, Flights, Phase
from worker.runtime.gates import Gates, Passage, Refused
from worker.runtime.holds import Holds
from worker.runtime.house import House
from worker.runtime.payload import Requests
from worker.runtime.permits import Permits
from worker.runtime.settler import Settler
from worker.runtime.standby import Standby
from worker.runtime.trip import Trip
from worker.runtime.upgrades import Upgrades

SUSPECT_FROM: Final = 2  # crashes in a row; one crash takes too many bystanders along
SUSPECT_DELAY_S: Final = 5.0
REFUSED_S: Final = 0.5  # the shortest time for which a target is not asked again


class Executor:
    """Runs deliveries, one `run` each. Holds what this process learns of its targets."""

    def __init__(
        self,
        house: House,
        *,
        flights: Flights,
        claims: Claims,
        settler: Settler,
        holds: Holds,
        permits: Permits,
        gates: Gates,
        degrader: Degrader,
    ) -> None:
        self._house = house
        self._claims = claims
        self._settler = settler
        self._holds = holds
        self._gates = gates
        self._degrader = degrader
        self._requests = Requests(house, holds=holds, permits=permits)
        self._standby = Standby(house, gates)
        self._upgrades = Upgrades(
            flights, gates, routes=house.rules.routes, slots=house.rules.slots
        )
        self._budgets: dict[str, RetryBudget] = {}
        self._mass_death = MassDeathGuard()
        self._suspect: Flight | None = None  # the one that runs in isolation

    def quiet(self) -> None:
        """The worker leaves: what only waits for its circuit is given back at once."""
        self._standby.close()

    async def run(self, flight: Flight) -> None:
        """Claim, work and settle; the slot is the caller's to free."""
        self._upgrades.look()
        trip = await self._claims.claim(flight)
        if trip is None:
            return
        try:
            settlement = await self._work_or_be_cut(flight, trip)
            flight.phase = Phase.SETTLING
            ended = await self._settler.settle(flight, trip, settlement)
            if ended and isinstance(settlement, Answered):
                self._degrader.afterwards(trip, settlement)
        finally:
            self._upgrades.look()
            if self._suspect is flight:
                self._suspect = None
            self._requests.give_back(trip)

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
        request = await self._requests.of(trip, trip.job)
        if not isinstance(request, Request):
            return request
        trip.request = request
        return await self._call_until_settled(flight, trip, trip.route, request)

    def _unfit(self, flight: Flight, trip: Trip) -> Dead | None:
        if trip.malformed is not None:
            return Dead(reason=trip.malformed.reason, detail=str(trip.malformed))
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
        if flight.tokens and self._house.callbacks is None:
            return Dead(
                reason="task_tokens_off", detail="task_token: this worker answers no task tokens"
            )
        return None

    def _isolate(self, flight: Flight, trip: Trip) -> Parked | None:
        """A job that was in hand at two crashes in a row runs with no other such job.

        If it brings the process down again, no second suspect is charged for it.
        """
        if trip.record.crashes < SUSPECT_FROM:
            return None
        if self._suspect is not None:
            return Parked(delay_s=SUSPECT_DELAY_S * (1 + self._house.roll()), why="suspect_waits")
        self._suspect = flight
        return None

    async def _call_until_settled(
        self, flight: Flight, trip: Trip, route: Route, request: Request
    ) -> Settlement:
        while True:
            budget = self._budget(route)
            now, refused = asyncio.get_running_loop().time(), self._refused(flight, trip, route)
            refusals = {name: one.until - now for name, one in refused.items()}
            decision = self._next_step(trip, route, budget, refused, refusals)
            trip.barred(self._bars(trip, route, refused, decision))
            match decision:
                case Call():
                    answer = await self._attempt(trip, decision, request, budget)
                    if answer is not None:
                        return Answered(answer=answer, target=decision.target)
                case Park(delay_s=delay_s, why=why):
                    waits = not trip.is_upgrade  # nobody waits for an upgrade
                    if waits and await self._standby.wait(flight, trip, route, refusals):
                        continue
                    return Parked(delay_s=delay_s, why=why)
                case Degrade():
                    is_open = all(target.name in refusals for target in route.targets)
                    degraded = await self._degrader.step(trip, route, decision, is_open=is_open)
                    if degraded is not None:
                        return degraded
                    trip.declined.add(decision.handler)
                case Discard(reason=reason):
                    return self._discard(trip, reason)
                case Release(why=why):
                    return Released(why=why, delay_s=self._holds.hold("local"))
                case _:
                    assert_never(decision)

    def _next_step(
        self,
        trip: Trip,
        route: Route,
        budget: RetryBudget,
        refused: Mapping[str, Refusal],
        refusals: Mapping[str, float],
    ) -> Decision:
        ask = partial(
            plan,
            route,
            trip.seen(self._house.at()),
            roll=self._house.roll(),
            refusals=refusals,
            quotas=_quotas(refused),
            suspects=self._gates.suspects(route),
        )
        decision = ask(budget=budget.tokens)
        failed = trip.tried and not trip.declined and not isinstance(decision, Call)
        if failed and isinstance(ask(), Call):  # with all the tokens in the world
            self._house.tell(RetryRefused(job=trip.record.job, route=route.name))
        return decision

    def _budget(self, route: Route) -> RetryBudget:
        budget = self._budgets.get(route.name)
        if budget is None:
            budget = self._budgets[route.name] = RetryBudget(route.retry)
        return budget

    def _refused(self, flight: Flight, trip: Trip, route: Route) -> dict[str, Refusal]:
        """The targets that admit nothing now, and those that just refused this very job."""
        now = asyncio.get_running_loop().time()
        just = {name: one for name, one in trip.refused.items() if one.until > now}
        refused = just | self._gates.refusals(route)
        if trip.is_upgrade:
            return self._upgrades.refused(flight, trip, route, refused)
        return refused

    def _bars(
        self, trip: Trip, route: Route, refused: Mapping[str, Refusal], decision: Decision
    ) -> list[Bar]:
        """What stood in the way of this decision: for a call, of the targets named before it."""
        if not refused:
            return []
        names = [target.name for target in route.targets]
        if isinstance(decision, Call):
            names = names[: names.index(decision.target.name)]
        names = [name for name in names if name in refused]
        bars = self._gates.bars(route, names)
        if trip.is_upgrade and not bars:
            return [Bar(name=name, why="stands_back") for name in names]
        return bars

    async def _attempt(
        self, trip: Trip, call: Call, request: Request, budget: RetryBudget
    ) -> Answer | None:
        """One call, if the gates give leave for it."""
        budget.spend(call.spends)  # at once: others ask for the same tokens
        loop, target = asyncio.get_running_loop(), call.target
        try:
            if call.wait_s:
                trip.backoff_s += call.wait_s
                await asyncio.sleep(call.wait_s)
            asked_at = loop.time()
            passage = await self._gates.enter(target, within_s=call.spare_s - target.least_s)
        except asyncio.CancelledError:
            budget.give_back(call.spends)  # a lost lease or a drain: no call was made
            raise
        except Refused as no:
            budget.give_back(call.spends)
            now = loop.time()
            until = max(no.refusal.until, now + REFUSED_S)
            trip.refused[target.name] = Refusal(no.refusal.why, until)
            trip.barred([bar := self._gates.bar_of(no)])
            self._house.tell(
                CallRefused(
                    job=trip.record.job,
                    breaker=no.breaker,
                    why=no.refusal.why,
                    retry_after_s=round(max(0.0, no.refusal.until - now), 3),
                    version=bar.version,
                )
            )
            return None
        left_s = trip.seen(self._house.at()).left_s
        if left_s is not None and left_s < target.least_s:  # as `plan` will say, too
            self._gates.settle(passage, Outcome.IGNORED, Outcome.IGNORED)
            budget.give_back(call.spends)
            return None
        spare_s = max(target.least_s, call.spare_s - (loop.time() - asked_at))
        call = replace(call, bound_s=min(call.bound_s, spare_s))
        answer = await self._call(trip, call, request, passage)
        if answer is not None:
            budget.earn()
            if target.name not in {name for name, _ in trip.tried}:
                budget.give_back(call.spends)  # it was worth it: the next job shall have it too
        return answer

    async def _call(
        self, trip: Trip, call: Call, request: Request, passage: Passage
    ) -> Answer | None:
        loop, target, at = asyncio.get_running_loop(), call.target, self._house.at()
        bound_s = call.bound_s if passage.probe_s is None else min(call.bound_s, passage.probe_s)
        started = loop.time()
        said = heard(Vote.IGNORE, slow=False, answered=False)  # unless we hear better
        retry_after_s: float | None = None
        sentence = ""
        try:
            outcome = await self._house.model.call(
                target,
                request,
                job=trip.record.job,
                attempt=trip.attempts + 1,
                bound_s=bound_s,
            )
            now = loop.time()
            slow = now - started > target.slow_s
            if isinstance(outcome, Fault):
                # In that light a rejection may be read as another kind: its words stay the job's.
                sentence = outcome.sentence
                outcome = self._in_the_light_of_others(trip, target, outcome, now)
                said = heard(outcome.reaction.vote, slow=slow, answered=outcome.http is not None)
                retry_after_s = outcome.retry_after_s
                if bound_s < call.bound_s and outcome.kind is Kind.TIMED_OUT:
                    # That a probe's short limit fired says nothing about the job.
                    outcome = replace(outcome, kind=Kind.UNAVAILABLE)
            else:
                said = heard(Vote.OK, slow=slow, answered=True)
                self._mass_death.served(target.name, now)
                self._holds.lift("local")
                outcome = trip.judge(outcome)
        except asyncio.CancelledError:
            trip.cut = target.name
            raise
        finally:
            self._gates.settle(passage, *said, retry_after_s=retry_after_s)
        row = trip.came_back(target, outcome, now - started, circuit=passage.state, at=at)
        waste = Waste.of_call(outcome, target, request)
        trip.waste += waste
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
                slow=slow,
                billed=row.billed,
                timer=row.timer,
                request_id=row.request_id,
                route=trip.record.route,
                wasted_usd=round(waste.sure_usd, 9),
                wasted_most_usd=round(waste.most_usd, 9),
                message=sentence,
            )
        )
        return outcome if isinstance(outcome, Answer) else None

    def _in_the_light_of_others(
        self, trip: Trip, target: Target, fault: Fault, now: float
    ) -> Fault:
        if fault.kind is Kind.UNKNOWN:
            self._house.tell(
                FaultUnknown(
                    target=target.name,
                    code=fault.code,
                    http=fault.http,
                    fingerprint=fingerprint(fault.kind, fault.code, fault.message),
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


def _quotas(refused: Mapping[str, Refusal]) -> dict[str, Kind]:
    """Those of the refused that nothing but their quota keeps back."""
    return {n: REFUSED_FOR[one.why] for n, one in refused.items() if one.why in REFUSED_FOR}
