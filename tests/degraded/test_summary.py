"""A short answer of a cheaper target: what is asked, what serves, and what it costs."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from worker.core.answer import Answer, Usage
from worker.core.degrade import HandlerSpec, Terms
from worker.core.events import HandlerAsked, JobSettled
from worker.core.fault import Fault, Kind
from worker.core.job import Request
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.degraded.registry import build
from worker.degraded.summary import BRIEF, shortened
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, Told, Wire
from worker.sim.world import LivingWorker, World, until_quiet

CHEAP = Target(name="cheap", model="small", max_tokens=200, quality=0.4, price_output=1.0)
ROUTE = Route(
    name="default",
    targets=(Target(name="a", model="m"),),
    degraded=("short",),
    on_open="fail",
    retry=RetryPolicy(attempts=1),
)
DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)


def short(reason: str = "end_turn", content: Any = ({"text": "Short."},)) -> Answer:
    return Answer(content=content, stop_reason=reason, usage=Usage(input=5, output=1000))


def play(
    cheap: Answer | Fault, helper: Target = CHEAP, route: Route = ROUTE, **job: Any
) -> tuple[dict[str, Any], LivingWorker, list[ModelCall]]:
    """One job, whose route's only target is down."""
    world, calls = World(routes={"default": route}), []

    def mood(call: ModelCall) -> Reply:
        calls.append(call)
        return Reply(cheap if call.target is helper else DOWN, 0.1)

    world.model.mood = mood
    spec = HandlerSpec(name="short", kind="summary", terms=Terms(loses=("length",)), target=helper)

    async def main() -> LivingWorker:
        model = world.model.seen_by(Wire())
        made = build([spec], given={}, model=model, tell=Told())
        world.submit(id="job-1", prompt="Why?", inference={"maxTokens": 900}, **job)
        worker = LivingWorker(world, "w1", house={"handlers": made})
        await until_quiet(world)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())
    record = world.ledger.records["job-1"]
    return orjson.loads(record.result or b"null"), worker, calls


@pytest.mark.parametrize("reason", ["end_turn", "max_tokens"])
def test_a_cheaper_target_gives_a_short_answer(reason: str) -> None:
    envelope, worker, calls = play(short(reason))

    assert (envelope["status"], envelope["quality"]["served"]) == ("degraded", 0.4)
    assert envelope["output"]["message"]["content"] == [{"text": "Short."}]
    assert envelope["degraded"]["loses"] == ["length"]
    last = calls[-1]
    assert (last.target, last.job) == (CHEAP, "job-1")
    assert last.request.inference["maxTokens"] == 200
    assert last.request.system == ({"text": BRIEF},)
    assert envelope["route"]["target"] == "cheap"
    assert envelope["usage"]["cost_usd"] == 0.001
    (event,) = worker.told.of(JobSettled)
    assert (event.target, event.output_tokens, event.cost_usd) == ("cheap", 1000, 0.001)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (DOWN, "failed"),
        (REJECTED, "declined"),
        (short("tool_use"), "declined"),
        (short("guardrail_intervened"), "declined"),
        (short(content=()), "declined"),
    ],
    ids=["down", "rejected", "tool", "blocked", "empty"],
)
def test_what_is_no_short_answer_does_not_serve(given: Answer | Fault, outcome: str) -> None:
    envelope, worker, _ = play(given)

    assert envelope["status"] == "failed"
    (asked,) = worker.told.of(HandlerAsked)
    assert asked.outcome == outcome
    paid = 0.001 if isinstance(given, Answer) else 0.0
    assert (asked.target, asked.cost_usd, asked.wasted_usd) == ("cheap", paid, paid)


IN_EU = replace(ROUTE, targets=(replace(ROUTE.targets[0], region="eu-west-1"),))
EU = frozenset({"eu"})


@pytest.mark.parametrize(
    ("route", "job"),
    [(replace(IN_EU, allow_geo=EU), {}), (IN_EU, {"allow_geo": ["eu"]})],
    ids=["of the route", "of the job"],
)
def test_a_summary_goes_no_further_than_the_job_may(route: Route, job: dict[str, Any]) -> None:
    inside, outside = (replace(CHEAP, region=region) for region in ("eu-west-3", "us-east-1"))

    envelope, worker, calls = play(short(), outside, route, **job)

    assert envelope["status"] == "failed"
    assert [event.outcome for event in worker.told.of(HandlerAsked)] == ["outside_geo"]
    assert outside not in [call.target for call in calls]
    assert play(short(), inside, route, **job)[0]["status"] == "degraded"


@pytest.mark.parametrize(("asked", "most"), [({}, 50), ({"maxTokens": 20}, 20), ({"x": 1}, 50)])
def test_a_job_that_asks_for_less_gets_less(asked: dict[str, int], most: int) -> None:
    request = Request(messages=(), system=({"text": "Be kind."},), inference=asked)

    given = shortened(request, 50)

    assert given.inference == {**asked, "maxTokens": most}
    assert given.system == ({"text": "Be kind."}, {"text": BRIEF})
