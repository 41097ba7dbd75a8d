"""An answer that breaks a rule of its route: asked for again, then elsewhere, and never told."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from worker.core.accept import Accept
from worker.core.events import AttemptMade, JobSettled
from worker.core.ledger import State
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Reply, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet

BAD = "xyzzy-secret is no JSON"
GOOD = '["fine"]'
A, B = (Target(name=name, model=name) for name in "ab")
ROUTE = Route(
    name="default",
    targets=(A, B),
    accept=Accept(matches=lambda value: isinstance(value, list)),
)


def play(route: Route, *texts: str) -> tuple[World, LivingWorker]:
    """One job, for which the models say these texts in turn."""
    world = World(routes={"default": route})
    world.model.mood = in_turn(*(Reply(answer(text), 1.0) for text in texts))

    async def main() -> LivingWorker:
        world.submit(id="job", prompt="Hello.", reply_to="answers")
        worker = LivingWorker(world, "w")
        await until_quiet(world)
        await worker.drain()
        return worker

    return world, in_virtual_time(main())


def everything(world: World, worker: LivingWorker) -> str:
    """All that anybody could read of the job afterwards."""
    letters = [*world.dead._messages.values(), *world.replies._messages.values()]
    return repr((world.ledger.records, worker.told.events, letters))


@pytest.mark.parametrize(
    ("texts", "targets"),
    [
        ([GOOD], ["a"]),
        ([BAD, GOOD], ["a", "a"]),
        ([BAD, BAD, GOOD], ["a", "a", "b"]),
    ],
)
def test_a_bad_answer_is_repaired_once_and_then_comes_from_the_next_target(
    texts: list[str], targets: list[str]
) -> None:
    world, worker = play(ROUTE, *texts)

    (event,) = worker.told.of(JobSettled)
    result = world.ledger.records["job"].result
    assert result is not None
    envelope: dict[str, Any] = orjson.loads(result)
    assert (event.settlement, world.model.targets) == ("answered", targets)
    assert envelope["output"]["message"]["content"] == [{"text": GOOD}]
    assert envelope["usage"]["wasted_calls"] == len(texts) - 1
    assert "xyzzy" not in everything(world, worker)


def test_a_job_that_gets_only_bad_answers_dies_without_one() -> None:
    route = replace(ROUTE, retry=RetryPolicy(attempts=3, attempts_max=6))

    world, worker = play(route, BAD)

    record = world.ledger.records["job"]
    assert (record.state, record.reason) == (State.DEAD, "attempts_exhausted")
    assert {row.code for row in worker.told.of(AttemptMade)} == {"not_json"}
    assert "xyzzy" not in everything(world, worker)
