"""The gates of one process: a call goes out through two, its endpoint's and its target's.

Before them it waits for its turn, where its quota bucket is paced (`paces.py`).
Passing costs no I/O. The one exception is a probe: while the fleet lets nothing else
out, a call needs a ticket, and that is a write. Decisions are `core/gate.py`'s; here
they are put together, and what was heard of a call is told to both gates.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from worker.core.breaker import FULL_RETRY_S, Permit, Refusal
from worker.core.events import BreakerMoved, BreakerProbed
from worker.core.gate import ASK_AGAIN_S, Gate, NeedsTicket
from worker.core.pacer import Pace, PacePolicy, Pacer
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.trail import Bar
from worker.core.verdict import Mode, State
from worker.core.window import FAILED, OF_QUOTA, SUCCESS, TELLS_NOTHING, Outcome
from worker.ports import Tell
from worker.runtime.paces import Paces, bucket_of

ASK_LEAST_S: Final = 0.1
ALONE_WAIT_S: Final = 10.0  # what keeps this process alone from a target keeps no other
FULL_WAIT_S: Final = 5.0  # a job in hand holds a slot anyway: rather wait a little than park
LAPSE_MARGIN_S: Final = 60.0
_SOON_OVER: Final = frozenset({"full", Pace.PACED})  # with the next call that ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Leave for one probe of one round. `claim` is its nonce."""

    breaker: str
    epoch: int
    round: int
    claim: str


class Tickets(Protocol):
    """Where tickets come from, and where what came of them is told."""

    async def claim(self, gate: Gate, stage: int) -> Ticket | None:
        """A ticket of this stage, or of the round that begins with it; None if there is none."""
        ...

    def report(self, ticket: Ticket, *, good: bool) -> None:
        """Tell the fleet what came of a probe; carried out soon, never raises."""
        ...


@dataclass(slots=True, eq=False)
class Leave:
    """What one gate gave: a permit of this process, or a ticket of the fleet."""

    gate: Gate
    permit: Permit | None
    ticket: Ticket | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Passage:
    """Leave for one call. `Gates.settle` it when the call is over, however it ended.

    Attributes:
        probe_s: For a probe, how long it may take, in seconds; None for any other call.
        state: The state of the target's circuit, for the job's history.
        generation: The target's breaker's; a later one no longer counts this call.
        since: When it was given, on the loop's clock.
    """

    target: str
    leaves: tuple[Leave, Leave]
    probe_s: float | None
    state: State
    generation: int
    since: float


class Refused(Exception):
    """One of the gates gave no leave."""

    def __init__(self, breaker: str, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.breaker = breaker
        self.refusal = refusal


def endpoint_of(target: Target) -> str:
    """The name of the breaker of a target's endpoint."""
    return f"endpoint:{target.region or 'default'}"


class Gates:
    """All gates of one process.

    Args:
        worker: The process's name.
        slots: How many calls it makes at a time, at most.
        targets: Every target of every route.
        policies: By target; an endpoint has the mildest of its targets' policies.
        pacing: Of all quota buckets.
        tell: Who wants to know.
        now: The loop's time.
    """

    def __init__(
        self,
        *,
        worker: str,
        slots: int,
        targets: Iterable[Target],
        policies: Mapping[str, BreakerPolicy],
        pacing: PacePolicy | None = None,
        tell: Tell,
        now: float,
    ) -> None:
        self._slots = slots
        self._tell = tell
        self._gates: dict[str, Gate] = {}
        self._tickets: Tickets | None = None
        self._wake: Callable[[], None] | None = None
        self._claiming: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._out: set[Passage] = set()
        targets = tuple(targets)
        for target in targets:
            policy = policies.get(target.name) or BreakerPolicy()
            for name in (target.name, endpoint_of(target)):
                known = self._gates.get(name)
                if known is not None and known.policy.failure_rate >= policy.failure_rate:
                    continue
                self._gates[name] = Gate(
                    name,
                    policy,
                    slots=slots,
                    worker=worker,
                    lapse_s=target.attempt_s + LAPSE_MARGIN_S,
                    now=now,
                )
        self.paces = Paces(
            worker=worker,
            targets=targets,
            policy=pacing or PacePolicy(),
            breakers={target.name: self._gates[target.name].local for target in targets},
            tell=tell,
        )
        self._pacer_of = self.paces.of

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def share(self, tickets: Tickets, wake: Callable[[], None]) -> None:
        """From now on the fleet hands out tickets, and wants to hear of trouble at once."""
        self._tickets = tickets
        self._wake = wake

    # --- one call --------------------------------------------------------------

    async def enter(self, target: Target, *, within_s: float = inf) -> Passage:
        """Ask for leave to make one call, and wait for its turn where the bucket is paced.

        Where only the number of calls in flight stands against it, the breaker's limit or the
        pacer's, waits up to `FULL_WAIT_S` seconds for one of them to end.

        Args:
            target: Who is to be called.
            within_s: Leave that would come later is worth nothing.

        Raises:
            Refused: One of the two gates gave no leave, or the turn would come too late.
        """
        loop = asyncio.get_running_loop()
        pacer, began = self._pacer_of[target.name], loop.time()
        if pacer.paced:
            refusal = await self.paces.turn(pacer, within_s=within_s)
            if refusal is not None:
                raise Refused(pacer.bucket, refusal)
        patient_until = min(began + within_s, loop.time() + FULL_WAIT_S)
        while True:
            try:
                if pacer.paced:
                    self._join(pacer, loop.time())
                return await self._try(target)
            except Refused as refused:
                if refused.refusal.why not in _SOON_OVER or loop.time() >= patient_until:
                    raise
                await self._change(min(refused.refusal.until, patient_until))

    def _join(self, pacer: Pacer, now: float) -> None:
        if not self.paces.joins(pacer, now):
            raise Refused(pacer.bucket, Refusal(Pace.PACED, now + FULL_RETRY_S))

    async def _try(self, target: Target) -> Passage:
        endpoint, own = self._pair(target)
        if endpoint.probing:  # no ticket for a call that the other gate keeps back
            refusal = own.refusal(asyncio.get_running_loop().time())
            if refusal is not None:
                raise Refused(own.local.name, refusal)
        first = await self._pass(endpoint)
        try:
            second = await self._pass(own)
        except BaseException:
            self._settle(first, Outcome.IGNORED)
            raise
        probing = [leave for leave in (first, second) if self._is_probe(leave)]
        passage = Passage(
            target=target.name,
            leaves=(first, second),
            probe_s=min((leave.gate.policy.probe_s for leave in probing), default=None),
            state=State.HALF_OPEN if probing else own.verdict.state,
            generation=own.local.generation,
            since=asyncio.get_running_loop().time(),
        )
        self._out.add(passage)
        return passage

    async def _pass(self, gate: Gate) -> Leave:
        now = asyncio.get_running_loop().time()
        answer = gate.admit(now)
        self._tell_moves(gate, now)
        if isinstance(answer, NeedsTicket):
            ticket = await self._ticket(gate, answer.stage)
            if ticket is not None:
                return Leave(gate, None, ticket)
            now = asyncio.get_running_loop().time()
            if gate.mode(now) in (Mode.OBSERVE, Mode.HOLD_CLOSED):
                return Leave(gate, gate.local.admit_anyway(now))
            answer = gate.refusal(now) or Refusal("probing", now + ASK_AGAIN_S)
        if isinstance(answer, Refusal):
            raise Refused(gate.local.name, answer)
        return Leave(gate, answer)

    async def _ticket(self, gate: Gate, stage: int) -> Ticket | None:
        name = gate.local.name
        if self._tickets is None or name in self._claiming:
            return None
        self._claiming.add(name)
        try:
            return await self._tickets.claim(gate, stage)
        finally:
            self._claiming.discard(name)

    def _is_probe(self, leave: Leave) -> bool:
        if leave.permit is None:
            return True
        return leave.gate.local.is_probe(leave.permit)

    def settle(
        self,
        passage: Passage,
        target: Outcome,
        endpoint: Outcome,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        """Tell both gates how the call went, and the pacer if it was about the quota."""
        self._out.discard(passage)
        first, second = passage.leaves
        self._tell_probe(first, endpoint)
        self._tell_probe(second, target)
        self._settle(first, endpoint)
        self._settle(second, target)
        if target is not SUCCESS and target in OF_QUOTA:
            pacer = self.paces.of[passage.target]
            self.paces.heard(pacer, target, passage.since, retry_after_s)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def _settle(self, leave: Leave, outcome: Outcome) -> None:
        now = asyncio.get_running_loop().time()
        if leave.permit is not None:
            leave.gate.settle(leave.permit, outcome, now)
            self._tell_moves(leave.gate, now)
        elif outcome not in TELLS_NOTHING and self._tickets is not None:
            # What tells nothing leaves the ticket to the end of its round.
            assert leave.ticket is not None, "leave is a permit or a ticket"
            self._tickets.report(leave.ticket, good=outcome not in FAILED)
        if self._wake is not None and outcome in FAILED:
            self._wake()

    async def _change(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        freed = loop.create_future()
        self._waiting.append(freed)
        try:
            async with asyncio.timeout_at(until):
                await freed
        except TimeoutError:
            return
        finally:
            if freed in self._waiting:
                self._waiting.remove(freed)

    # --- before a call ---------------------------------------------------------

    def refusals(self, route: Route) -> dict[str, Refusal]:
        """The targets that admit nothing now: `paced` or `exhausted` if it is the quota alone."""
        now = asyncio.get_running_loop().time()
        found: dict[str, Refusal] = {}
        for target, refusal, gate in self._against(route, now):
            if gate is None:
                found[target.name] = refusal
                continue
            until = max(now + ASK_LEAST_S, refusal.until)
            if not gate.held_for_all(now):
                until = min(until, now + ALONE_WAIT_S)
            if (known := found.get(target.name)) is not None:
                until = max(until, known.until)
            found[target.name] = Refusal(refusal.why, until)
        return found

    def bars(self, route: Route, names: Collection[str]) -> list[Bar]:
        """What keeps calls from these targets of a route now: `refusals`, for a job's trail."""
        now = asyncio.get_running_loop().time()
        return [
            Bar(name=bucket_of(target), why=refusal.why)
            if gate is None
            else self._bar(gate, refusal.why, now)
            for target, refusal, gate in self._against(route, now)
            if target.name in names
        ]

    def _against(self, route: Route, now: float) -> Iterator[tuple[Target, Refusal, Gate | None]]:
        """Who keeps calls from each target: its bucket (None), then its gates but for full ones."""
        alone = len({bucket_of(target) for target in route.targets}) == 1
        for target in route.targets:
            if (waits := self.paces.refusal(target, now, alone=alone)) is not None:
                yield target, waits, None
            for gate in self._pair(target):
                refusal = gate.refusal(now)
                if refusal is not None and refusal.why != "full":
                    yield target, refusal, gate

    def bar_of(self, refused: Refused) -> Bar:
        """The same, for leave that was just refused."""
        now = asyncio.get_running_loop().time()
        gate = self._gates.get(refused.breaker)
        if gate is None:
            return Bar(name=refused.breaker, why=refused.refusal.why)
        return self._bar(gate, refused.refusal.why, now)

    def _bar(self, gate: Gate, why: str, now: float) -> Bar:
        version = gate.verdict.version if gate.held_for_all(now) else 0
        return Bar(name=gate.local.name, why=why, version=version)

    def spare(self, route: Route, *, contested: frozenset[str]) -> frozenset[str]:
        """The targets with calls to spare: no quota is short, and both circuits are closed.

        Args:
            route: The route.
            contested: Targets that others want as well. For any other an open circuit is
                no hindrance: somebody has to be the probe.
        """
        now = asyncio.get_running_loop().time()
        return frozenset(
            target.name
            for target in route.targets
            if not self.paces.is_short(target, now)
            and (target.name not in contested or self._is_closed(target))
        )

    def _is_closed(self, target: Target) -> bool:
        return all(
            gate.verdict.state is State.CLOSED and gate.local.state is State.CLOSED
            for gate in self._pair(target)
        )

    def capacity(self, routes: Iterable[Route]) -> int:
        """How many jobs of these routes are worth having in hand at once.

        As many as there are slots, if one of the routes does not wait for its circuit.
        """
        now = asyncio.get_running_loop().time()
        targets: dict[str, Target] = {}
        for route in routes:
            if route.on_open == "fail" or route.degraded:
                return self._slots
            targets |= {target.name: target for target in route.targets}
        rooms = {
            target.name: min(gate.room(now) + gate.local.in_flight for gate in self._pair(target))
            for target in targets.values()
        }
        return min(self._slots, self.paces.capacity(rooms, now))

    def overhang(self, routes: Iterable[Route]) -> int:
        """Calls for these routes that hang since before their circuit moved.

        Nobody counts on them any more, and they must not stand in the way of a probe.
        """
        now = asyncio.get_running_loop().time()
        names = {target.name for route in routes for target in route.targets}
        own = [(passage, passage.leaves[1].gate) for passage in self._out]
        return sum(
            gate.local.name in names
            and passage.generation != gate.local.generation
            and now - passage.since >= gate.policy.stuck_s
            for passage, gate in own
        )

    def held_for_all(self, route: Route) -> bool:
        """Whether no other process could serve this route either, as far as we know."""
        now = asyncio.get_running_loop().time()
        return all(
            any(gate.held_for_all(now) for gate in self._pair(target)) for target in route.targets
        )

    def suspects(self, route: Route) -> frozenset[str]:
        """The targets of which so many calls failed in a row that none is worth another try."""
        return frozenset(
            target.name
            for target in route.targets
            if any(gate.local.suspected for gate in self._pair(target))
        )

    def _pair(self, target: Target) -> tuple[Gate, Gate]:
        return self._gates[endpoint_of(target)], self._gates[target.name]

    # --- telling ---------------------------------------------------------------

    def look(self, now: float) -> None:
        """Let time speak: calls that hang, and probes that nobody settled."""
        for gate in self:
            gate.local.look(now)
            self._tell_moves(gate, now)

    def _tell_probe(self, leave: Leave, outcome: Outcome) -> None:
        if outcome is not Outcome.IGNORED and self._is_probe(leave):
            scope = "process" if leave.ticket is None else "fleet"
            self._tell(BreakerProbed(breaker=leave.gate.local.name, scope=scope, outcome=outcome))

    def _tell_moves(self, gate: Gate, now: float) -> None:
        for move in gate.local.take_moves():
            verdict = gate.verdict
            self._tell(
                BreakerMoved(
                    breaker=gate.local.name,
                    scope="process",
                    old=move.old,
                    new=move.new,
                    share=verdict.share,
                    epoch=verdict.epoch,
                    round=verdict.round,
                    version=verdict.version,
                    cooldown_s=round(max(0.0, gate.local.rests_until - now), 3),
                    why=move.why,
                )
            )
            if self._wake is not None:
                self._wake()
