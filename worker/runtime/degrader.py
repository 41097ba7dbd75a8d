"""Asks degraded handlers, so that none of them can cost a job more than its own step.

A handler that hangs is no longer waited for, one that raises is passed over, and one
that does so again and again is not asked for a while: each has a breaker of its own,
for this process alone. Whatever goes wrong, the caller gets None, and the next step
of the route follows.

After a model's answer was recorded, handlers that learn are shown it, and a few jobs
are practised on. Both happen beside the jobs: bounded, dropped where there are too
many, and never while the worker leaves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from worker.core.answer import Answer, Usage
from worker.core.cost import NOTHING, Waste, cost_usd
from worker.core.degrade import Context, ModelFaultError, notice_of, sound
from worker.core.events import HandlerAsked, HandlerUntaught
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Job, Request
from worker.core.plan import Degrade
from worker.core.route import Route
from worker.core.settlement import Answered, Degraded, DegradedAnswer, Spent
from worker.core.upgrade import promised
from worker.core.window import Outcome
from worker.ports import Handler, Learner
from worker.runtime.handler_gates import HandlerGates
from worker.runtime.house import House
from worker.runtime.paces import Paces
from worker.runtime.trip import Trip

LEARNING_MAX: Final = 32
CANARIES_MAX: Final = 2
CLOSE_S: Final = 2.0  # for what runs beside the jobs to hear that the worker leaves
CANARY: Final = "canary"
OWN_SHARE: Final = 0.9  # of its limit: a handler that had as much is late by its own fault
OF_QUOTA: Final = frozenset({Kind.THROTTLED, Kind.EXHAUSTED})
# What a handler's own call comes to that is no longer waited for.
LATE: Final = Fault(kind=Kind.TIMED_OUT, code="late", billed=Billed.MAYBE)


class Degrader:
    """The degraded handlers of one process."""

    def __init__(self, house: House, paces: Paces, *, stop: asyncio.Event) -> None:
        self._house = house
        self._stop = stop
        self._gates = HandlerGates(house, paces)
        self._learning: set[asyncio.Task[None]] = set()
        self._canaries: set[asyncio.Task[None]] = set()

    async def step(
        self, trip: Trip, route: Route, step: Degrade, *, is_open: bool
    ) -> Degraded | None:
        """Do one degrading step of a job: an answer that is good enough, or None.

        Args:
            trip: The job's run.
            route: Its route.
            step: What `plan` said.
            is_open: Whether no target of the route admits anything now.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            answer = await self._ask(
                step.handler,
                trip,
                reason=step.why,
                is_open=is_open,
                left_s=trip.seen(self._house.at()).left_s,
            )
        finally:
            trip.handler_s += loop.time() - started
        if answer is None:
            return None
        assert trip.job is not None, "an unfit job was settled"
        return Degraded(
            answer=answer,
            handler=step.handler,
            why=step.why,
            code=trip.tried[-1][1].code if trip.tried else "",
            notice=route.notice or notice_of(answer.loses),
            will_upgrade=promised(
                route,
                trip.job,
                trip.seen(self._house.at()),
                why=step.why,
                served=answer.quality,
            ),
        )

    async def _ask(
        self,
        name: str,
        trip: Trip,
        *,
        reason: str,
        is_open: bool = False,
        left_s: float | None = None,
    ) -> DegradedAnswer | None:
        handler, loop = self._house.handlers[name], asyncio.get_running_loop()
        canary = reason == CANARY
        started = loop.time()
        given = await self._given(name, trip, reason=reason, is_open=is_open, left_s=left_s)
        waste = NOTHING if canary else given.waste
        trip.waste += waste
        target = given.spent.target if given.spent else handler.target
        self._house.tell(
            HandlerAsked(
                job=trip.record.job,
                handler=name,
                outcome=given.outcome,
                canary=canary,
                duration_ms=round((loop.time() - started) * 1000),
                route=trip.record.route,
                target=target.name if target else "",
                cost_usd=round(given.cost_usd, 9),
                wasted_usd=round(waste.sure_usd, 9),
                wasted_most_usd=round(waste.most_usd, 9),
                error=given.error,
            )
        )
        return given.answer

    async def _given(
        self, name: str, trip: Trip, *, reason: str, is_open: bool, left_s: float | None
    ) -> "_Given":
        assert trip.job is not None, "an unfit job was settled"
        assert trip.request is not None, "what is degraded was read"
        handler, loop = self._house.handlers[name], asyncio.get_running_loop()
        canary = reason == CANARY
        limit_s = handler.terms.limit_s
        bound_s = limit_s if left_s is None else min(limit_s, left_s)
        leave = _unfit(handler, trip, canary=canary) or await self._gates.enter(
            name, handler, within_s=0.0 if canary else bound_s / 2
        )
        if isinstance(leave, str):
            return _Given(outcome=leave)
        bound_s -= leave.waited_s
        context = Context(
            job=trip.record.job,
            request=trip.request,
            reason=reason,
            circuit_open=is_open,
            left_s=bound_s,
            canary=canary,
        )
        task = loop.create_task(_called(handler, trip.job, context))
        try:
            done, _ = await asyncio.wait({task}, timeout=bound_s)
        except asyncio.CancelledError:
            _abandon(task)
            self._gates.settle(leave, Outcome.IGNORED)
            raise
        if not done:
            _abandon(task)
            # That the job had less time than the limit, or waited for its turn, says nothing
            # about the handler.
            own = bound_s >= OWN_SHARE * limit_s
            self._gates.settle(leave, Outcome.HUNG if own else Outcome.IGNORED)
            return _Given(outcome="late", waste=_maybe_wasted(handler, trip.request, LATE))
        if (fault := _fault_of(task)) is not None and fault.kind in OF_QUOTA:
            self._gates.throttled(leave, fault)
            waste = _maybe_wasted(handler, trip.request, fault)
            return _Given(outcome="throttled", error=fault.code, waste=waste)
        try:
            given = _judged(task, handler, trip, trip.request)
        except Exception as error:  # noqa: BLE001 - what was given may have code of its own
            given = _Given(outcome="failed", error=type(error).__name__)
        failed = given.outcome == "failed"
        self._gates.settle(leave, Outcome.FAILURE if failed else Outcome.SUCCESS)
        return given

    def afterwards(self, trip: Trip, answered: Answered) -> None:
        """A model's answer was recorded: let handlers learn from it, and practise on a few jobs."""
        route, job, request = trip.route, trip.job, trip.request
        if route is None or job is None or request is None or self._stop.is_set():
            return
        if trip.payload_bytes:
            return  # its memory is given back with the job: it is kept for nothing else
        # The route of an upgrade has no handlers, and theirs may learn from its answer.
        for name in self._house.rules.routes[route.name].degraded:
            handler = self._house.handlers[name]
            steps: list[Callable[[], Awaitable[object]]] = []
            share = handler.terms.canary_share
            room = len(self._canaries) < CANARIES_MAX
            practises = room and share > 0 and self._house.roll() < share
            if practises:
                steps.append(partial(self._ask, name, trip, reason=CANARY))
            # After the practice: a handler is not to find what it was just shown.
            if isinstance(handler.does, Learner) and len(self._learning) < LEARNING_MAX:
                learn = handler.does.learn
                steps.append(partial(learn, job, request, answered.answer, answered.target))
            if steps:
                among = self._canaries if practises else self._learning
                self._spawn(among, name, steps, 2 * handler.terms.limit_s)

    async def close(self) -> None:
        """Drop whatever still runs beside the jobs; what does not hear is left behind."""
        left = [*self._learning, *self._canaries]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CLOSE_S)

    def _spawn(
        self,
        among: set[asyncio.Task[None]],
        name: str,
        steps: Sequence[Callable[[], Awaitable[object]]],
        limit_s: float,
    ) -> None:
        async def bounded() -> None:
            try:
                async with asyncio.timeout(limit_s):
                    for step in steps:
                        await step()
            except (asyncio.CancelledError, GeneratorExit):
                raise  # the worker leaves
            except BaseException as error:  # noqa: BLE001 - a handler may fail; the worker may not
                self._house.tell(HandlerUntaught(handler=name, error=type(error).__name__))

        task = asyncio.get_running_loop().create_task(bounded(), name=f"beside-{name}")
        among.add(task)
        task.add_done_callback(among.discard)


def _unfit(handler: Handler, trip: Trip, *, canary: bool) -> str:
    """Why the job is not for the handler, "" if it is."""
    if handler.terms.quality < trip.floor and not canary:
        return "below_quality"
    if handler.target is not None and not trip.allows(handler.target.places):
        return "outside_geo"
    return ""


class _ExitsError(Exception):
    """A handler raised what ends a process; here it ends the handler's step."""


async def _called(handler: Handler, job: Job, context: Context) -> object:
    try:
        return await handler.does.answer(job, context)
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio would let it out of the loop
        raise _ExitsError(type(error).__name__) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What came of asking a handler: `outcome` is that of `HandlerAsked`."""

    outcome: str
    answer: DegradedAnswer | None = None
    error: str = ""
    spent: Spent | None = None
    waste: Waste = NOTHING

    @property
    def cost_usd(self) -> float:
        return cost_usd(self.spent.usage, self.spent.target) if self.spent else 0.0


def _fault_of(task: asyncio.Task[object]) -> Fault | None:
    """The fault of the call that a handler made, if that is why it failed."""
    error = None if task.cancelled() else task.exception()
    return error.fault if isinstance(error, ModelFaultError) else None


def _judged(task: asyncio.Task[object], handler: Handler, trip: Trip, request: Request) -> _Given:
    """What the handler gave, and whether it serves, or what went wrong."""
    if task.cancelled():
        return _Given(outcome="failed", error="CancelledError")
    if (error := task.exception()) is not None:
        fault = error.fault if isinstance(error, ModelFaultError) else None
        waste = _maybe_wasted(handler, request, fault) if fault else NOTHING
        # Its text may hold a job's.
        name = str(error) if isinstance(error, _ExitsError) else type(error).__name__
        return _Given(outcome="failed", error=name, waste=waste)
    raw = task.result()
    answer = None if raw is None else sound(raw, handler.terms)
    if answer is None:
        return _Given(outcome="declined")
    if isinstance(answer, str):
        return _Given(outcome="failed", error=answer)
    outcome, why = _served(answer, trip)
    if outcome == "answered":
        return _Given(outcome=outcome, answer=answer, spent=answer.spent)
    waste = Waste.of_tokens(answer.spent.usage, answer.spent.target) if answer.spent else NOTHING
    return _Given(outcome=outcome, error=why, spent=answer.spent, waste=waste)


def _served(answer: DegradedAnswer, trip: Trip) -> tuple[str, str]:
    """Whether a sound answer serves the job, or why it does not: an outcome, and a rule."""
    if not answer.content:
        return "declined", ""
    if answer.quality < trip.floor:
        return "below_quality", ""
    if (origin := answer.origin) is None:
        return "answered", ""
    if not trip.allows(origin.places):
        return "outside_geo", ""
    as_given = Answer(content=answer.content, stop_reason=origin.stop_reason, usage=Usage())
    judged = trip.judge(as_given)
    return ("poor", judged.code) if isinstance(judged, Fault) else ("answered", "")


def _maybe_wasted(handler: Handler, request: Request, fault: Fault) -> Waste:
    return NOTHING if handler.target is None else Waste.of_call(fault, handler.target, request)


def _abandon(task: asyncio.Task[object]) -> None:
    """Cancel a handler and wait no longer: it may take its time, or ignore us."""
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    task.cancel()
