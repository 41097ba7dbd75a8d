"""The twin of Bedrock Runtime: a model with a mood.

A mood is a function from the call to what comes of it. `always` and `in_turn` make
the simple ones; a test or a scenario writes its own, and may look at the time, the
target, the job, or at how many calls are under way.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.core.answer import Answer, Usage
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Request
from worker.core.target import Target
from worker.ports import Unavailable
from worker.sim.wire import Wire

Outcome = Answer | Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call as the model sees it.

    Attributes:
        now: The loop's time, in seconds.
        number: Counted from 1 over the calls for this job, those that crashed included.
        in_flight: Calls under way, this one included.
    """

    target: Target
    request: Request = field(repr=False)
    job: str
    attempt: int
    now: float
    number: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes of a call, and after how many seconds (`inf`: never)."""

    outcome: Outcome
    latency_s: float = 1.0


Mood = Callable[[ModelCall], Reply]


def answer(text: str = "An answer.", *, input_tokens: int = 10, output_tokens: int = 20) -> Answer:
    """A plain, whole answer."""
    return Answer(
        content=({"text": text},),
        stop_reason="end_turn",
        usage=Usage(input=input_tokens, output=output_tokens),
    )


def always(outcome: Outcome, latency_s: float = 1.0) -> Mood:
    """The same for every call."""
    reply = Reply(outcome, latency_s)
    return lambda _: reply


def in_turn(*replies: Reply) -> Mood:
    """Each job's first call gets the first reply, and so on; the last one repeats."""
    assert replies, "a script needs a line"
    return lambda call: replies[min(call.number, len(replies)) - 1]


@dataclass(slots=True, eq=False)
class ScriptedModel:
    """The service's side: what it is in the mood for, and what it was asked.

    Attributes:
        mood: May be replaced while calls are under way; those keep their reply.
        started: Calls that reached the model, by job.
        completed: Calls whose outcome reached the caller, by job.
        in_flight: Calls under way now; `in_flight_max` is the most there ever were.
        cancelled: Calls that were cancelled on the way.
        targets: Names of the targets, in the order in which they were called.
    """

    mood: Mood = field(default_factory=lambda: always(answer()))
    started: Counter[str] = field(default_factory=Counter)
    completed: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    in_flight_max: int = 0
    cancelled: int = 0
    targets: list[str] = field(default_factory=list)

    def seen_by(self, wire: Wire | None = None) -> "ModelHandle":
        """The model as one worker sees it."""
        return ModelHandle(self, wire or Wire())

    async def _serve(self, target: Target, request: Request, job: str, attempt: int) -> Outcome:
        self.started[job] += 1
        self.targets.append(target.name)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        call = ModelCall(
            target=target,
            request=request,
            job=job,
            attempt=attempt,
            now=asyncio.get_running_loop().time(),
            number=self.started[job],
            in_flight=self.in_flight,
        )
        try:
            reply = self.mood(call)
            await asyncio.sleep(reply.latency_s)
        finally:
            self.in_flight -= 1
        return reply.outcome


class ModelHandle:
    """Port `Model`: a `ScriptedModel` as one worker sees it."""

    def __init__(self, model: ScriptedModel, wire: Wire) -> None:
        self._model = model
        self._wire = wire

    async def call(
        self, target: Target, request: Request, *, job: str, attempt: int, bound_s: float
    ) -> Outcome:
        assert 0 < bound_s < math.inf, f"every call is bounded, not by {bound_s}"

        billed = Billed.NO

        async def do() -> Outcome:
            nonlocal billed
            billed = Billed.MAYBE
            return await self._model._serve(target, request, job, attempt)  # noqa: SLF001

        try:
            async with asyncio.timeout(bound_s):
                outcome = await self._wire.call("model", "call", do)
        except asyncio.CancelledError:
            self._model.cancelled += 1
            raise
        except TimeoutError:
            return Fault(kind=Kind.TIMED_OUT, code="TimeoutError", timer="attempt", billed=billed)
        except Unavailable as lost:
            if lost.network:
                return Fault(kind=Kind.UNREACHABLE, code="EndpointConnectionError")
            return Fault(kind=Kind.UNAVAILABLE, code="ConnectionClosedError", billed=billed)
        self._model.completed[job] += 1
        return outcome
