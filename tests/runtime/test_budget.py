"""The retry budget of a route: what was not spent on a call is there for the next job."""

import asyncio

from tests.telemetry.scenes import taken_by_a_rival
from worker.core.events import LeaseLost
from worker.core.fault import Fault, Kind
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, answer
from worker.sim.world import LivingWorker, World

DOWN = Fault(
    kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503, retry_after_s=60.0
)


def test_a_job_that_is_cut_short_in_its_backoff_leaves_its_token_to_the_next() -> None:
    retry = RetryPolicy(attempts=2, longest_wait_s=100.0, budget_max=1.0)
    route = Route(name="default", targets=(Target(name="near", model="m"),), retry=retry)

    def once(call: ModelCall) -> Reply:
        return Reply(DOWN if call.number == 1 else answer("Yes."), 0.1)

    async def main() -> float:
        world = World(routes={"default": route})
        world.model.mood = once
        worker = LivingWorker(world, "w")
        message_id = world.submit(id="cut", prompt="Hello.")
        await asyncio.sleep(5.0)
        budget = worker.supervisor._executor._budgets["default"]
        assert budget.tokens == 0.0, "it waits for its second call, and has paid for it"
        await taken_by_a_rival(world, "cut", message_id)
        await asyncio.sleep(30.0)  # of 60 s that the service asked it to wait
        assert [one.job for one in worker.told.of(LeaseLost)] == ["cut"]
        left = budget.tokens
        await worker.drain()
        return left

    assert in_virtual_time(main()) == 1.0
