"""How a job fared, as its canonical line, its record and its result tell: quality, waits, cost."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from worker.core.accept import Accept
from worker.core.answer import Answer, Usage
from worker.core.degrade import Context, ModelFaultError, Terms
from worker.core.events import AttemptMade, HandlerAsked, JobSettled, JobUnparked
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Job
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer, Spent
from worker.core.target import Target
from worker.ports import Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Reply, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

A = Target(
    name="a", model="m", quality=0.9, max_tokens=100, price_input=1_000.0, price_output=10_000.0
)
B = replace(A, name="b", model="n", quality=0.7)
CHEAP = replace(A, name="cheap", model="s", quality=0.4)
ROUTE = Route(name="default", targets=(A,), retry=RetryPolicy(attempts=2))
HUNG = Fault(kind=Kind.TIMED_OUT, code="x", timer="attempt", billed=Billed.MAYBE)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
JSON_ONLY = Accept(matches=lambda value: isinstance(value, list))
PAID = 0.21  # 10 tokens in and 20 out, at A's prices
SPENT = Spent(usage=Usage(input=10, output=20), target=CHEAP)


class Says:
    """A handler that does as it is told: give an answer, raise, or hang."""

    def __init__(self, given: DegradedAnswer | Exception | None) -> None:
        self._given = given

    async def answer(self, _job: Job, _context: Context) -> DegradedAnswer:
        if self._given is None:
            await asyncio.Event().wait()
        if isinstance(self._given, Exception):
            raise self._given
        assert self._given is not None, "a hang is told by a time limit"
        return self._given


def play(route: Route, *replies: Answer | Fault, **house: Any) -> tuple[World, LivingWorker]:
    """One job, for which the models give these replies in turn, a second each."""
    world = World(routes={"default": route})
    world.model.mood = in_turn(*(Reply(reply, 1.0) for reply in replies))

    async def main() -> LivingWorker:
        world.submit(id="job", prompt="Hello.")
        worker = LivingWorker(world, "w", house=house)
        await until_quiet(world)
        await asyncio.sleep(5.0)  # practice, if there is any
        await worker.drain()
        return worker

    return world, in_virtual_time(main())


def ending(world: World, worker: LivingWorker) -> tuple[JobSettled, dict[str, Any]]:
    """The last canonical line, and the result."""
    result = world.ledger.records["job"].result
    assert result is not None
    return worker.told.of(JobSettled)[-1], orjson.loads(result)


def test_an_answer_of_the_second_target_tells_how_far_it_falls_short() -> None:
    route = replace(ROUTE, targets=(A, B))

    line, result = ending(*play(route, HUNG, answer()))

    assert (line.quality_requested, line.quality_served, line.handler) == (0.9, 0.7, "")
    assert (result["quality"]["requested"], result["quality"]["served"]) == (0.9, 0.7)
    assert line.cost_usd == pytest.approx(PAID)


def test_a_call_that_hung_wasted_nothing_for_sure_and_a_whole_answer_at_most() -> None:
    route = replace(ROUTE, targets=(A, B))

    world, worker = play(route, HUNG, answer())

    line, result = ending(world, worker)
    failed, good = worker.told.of(AttemptMade)
    assert (failed.route, failed.target, failed.wasted_usd) == ("default", "a", 0.0)
    assert 1.0 < failed.wasted_most_usd < 1.1  # 100 tokens of answer, and a short request
    assert (good.wasted_usd, good.wasted_most_usd) == (0.0, 0.0)
    assert (line.wasted_usd, line.wasted_most_usd) == (0.0, failed.wasted_most_usd)
    assert result["usage"]["wasted_most_usd"] == failed.wasted_most_usd
    assert result["usage"]["wasted_usd"] == 0.0


def test_an_answer_that_was_judged_away_is_wasted_to_the_cent() -> None:
    world, worker = play(replace(ROUTE, accept=JSON_ONLY), answer("No."), answer("[]"))

    line, result = ending(world, worker)
    assert [event.wasted_usd for event in worker.told.of(AttemptMade)] == [PAID, 0.0]
    assert (line.wasted_usd, line.wasted_most_usd, line.cost_usd) == (PAID, PAID, PAID)
    assert (result["usage"]["wasted_usd"], result["usage"]["wasted_calls"]) == (PAID, 1)


def test_what_was_wasted_before_a_park_is_still_known_at_the_end() -> None:
    route = replace(ROUTE, accept=JSON_ONLY)

    world, worker = play(route, answer("No."), answer("No."), answer("No."), answer("[]"))

    parked, done = worker.told.of(JobSettled)
    assert (parked.settlement, parked.wasted_usd) == ("parked", 2 * PAID)
    assert done.settlement == "answered"
    assert done.wasted_usd == pytest.approx(3 * PAID)
    assert world.ledger.records["job"].wasted_usd == pytest.approx(3 * PAID)


def test_the_time_parked_is_told_for_the_whole_life_and_not_for_the_last_park() -> None:
    route = replace(ROUTE, retry=RetryPolicy(attempts=1))

    world, worker = play(route, THROTTLED, THROTTLED, THROTTLED, answer())

    line, result = ending(world, worker)
    waits = [event.parked_ms for event in worker.told.of(JobUnparked)]
    assert len(waits) == line.parks == 3
    assert line.parked_ms == pytest.approx(sum(waits), abs=50)
    assert result["latency_ms"]["parked"] == line.parked_ms
    assert max(waits) < line.parked_ms < line.waited_ms
    record = world.ledger.records["job"]
    assert record.parked_s == pytest.approx(line.parked_ms / 1000, abs=0.001)


def test_a_job_that_never_waited_was_parked_for_no_time() -> None:
    line, result = ending(*play(ROUTE, answer()))

    assert (line.parked_ms, result["latency_ms"]["parked"]) == (0, 0)


@pytest.mark.parametrize(
    ("given", "outcome", "sure", "most"),
    [
        (DegradedAnswer(content=(), spent=SPENT), "declined", PAID, PAID),
        (DegradedAnswer.saying("Hi.", quality=0.1), "below_quality", 0.0, 0.0),
        (
            replace(DegradedAnswer.saying("Hi.", quality=0.1), spent=SPENT),
            "below_quality",
            PAID,
            PAID,
        ),
        (ModelFaultError(HUNG), "failed", 0.0, 1.02),
        (ModelFaultError(THROTTLED), "throttled", 0.0, 0.0),
        (ValueError("x"), "failed", 0.0, 0.0),
        (None, "late", 0.0, 1.02),
    ],
    ids=["no answer", "too bad", "too bad and paid for", "hung", "throttled", "broken", "late"],
)
def test_what_a_handler_spent_for_nothing_is_wasted(
    given: DegradedAnswer | Exception | None, outcome: str, sure: float, most: float
) -> None:
    route = replace(ROUTE, degraded=("short",), on_open="fail", min_quality=0.3)
    handlers = {"short": Handler(does=Says(given), terms=Terms(limit_s=1.0), target=CHEAP)}

    world, worker = play(route, THROTTLED, THROTTLED, THROTTLED, handlers=handlers)

    (asked,) = worker.told.of(HandlerAsked)
    assert (asked.outcome, asked.route, asked.target) == (outcome, "default", "cheap")
    assert (asked.wasted_usd, asked.cost_usd) == (sure, sure)
    assert asked.wasted_most_usd == pytest.approx(most, abs=0.05)
    line, _ = ending(world, worker)
    assert (line.settlement, line.wasted_usd) == ("dead", sure)
    assert line.wasted_most_usd == asked.wasted_most_usd


def test_a_summary_that_served_is_spent_and_not_wasted() -> None:
    route = replace(ROUTE, degraded=("short",))
    given = replace(DegradedAnswer.saying("Hi.", quality=0.4), spent=SPENT)
    handlers = {"short": Handler(does=Says(given), target=CHEAP)}

    world, worker = play(route, THROTTLED, THROTTLED, THROTTLED, handlers=handlers)

    line, result = ending(world, worker)
    assert (line.settlement, line.handler, line.reason) == ("degraded", "short", "throttled")
    assert (line.quality_requested, line.quality_served) == (0.9, 0.4)
    assert (line.target, line.cost_usd, line.wasted_most_usd) == ("cheap", PAID, 0.0)
    assert result["usage"]["cost_usd"] == PAID


@pytest.mark.parametrize("spent", [None, SPENT], ids=["a prepared text", "a summary"])
def test_a_handlers_own_text_is_not_held_to_the_rules_for_targets(spent: Spent | None) -> None:
    route = replace(ROUTE, degraded=("short",), accept=JSON_ONLY)
    given = replace(DegradedAnswer.saying("We are closed."), spent=spent)
    handlers = {"short": Handler(does=Says(given))}

    line, _ = ending(*play(route, THROTTLED, THROTTLED, THROTTLED, handlers=handlers))

    assert (line.settlement, line.handler) == ("degraded", "short")


def test_practice_costs_the_handler_and_no_job() -> None:
    route = replace(ROUTE, degraded=("short",))
    given = replace(DegradedAnswer.saying("Hi."), spent=SPENT)
    terms = Terms(canary_share=1.0)
    handlers = {"short": Handler(does=Says(given), terms=terms, target=CHEAP)}

    world, worker = play(route, answer(), handlers=handlers)

    (asked,) = worker.told.of(HandlerAsked)
    assert (asked.canary, asked.cost_usd, asked.wasted_most_usd) == (True, PAID, 0.0)
    line, _ = ending(world, worker)
    assert (line.target, line.cost_usd, line.wasted_most_usd) == ("a", PAID, 0.0)


def test_an_answer_that_no_record_can_hold_was_paid_for_nothing() -> None:
    world = World()
    world.routes = {"default": ROUTE}
    world.model.mood = in_turn(Reply(answer("x" * 400_000), 1.0))

    async def main() -> LivingWorker:
        world.submit(id="job", prompt="Hello.")
        worker = LivingWorker(world, "w", house={"payloads": None})
        await until_quiet(world)
        await worker.drain()
        return worker

    line, result = ending(world, in_virtual_time(main()))

    assert (line.reason, line.cost_usd, line.wasted_usd) == ("answer_too_large", 0.0, PAID)
    assert result["usage"]["wasted_usd"] == PAID
