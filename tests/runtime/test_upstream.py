"""Whether more workers would be of any use: how circuits and quotas stand, told as one figure."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from worker.core.degrade import Context
from worker.core.events import BreakerProbed, RetryRefused
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import Mode, Override, State, Verdict
from worker.core.window import Outcome
from worker.ports import Handler
from worker.runtime.gates import Gates
from worker.runtime.upstream import SHRINK_S, Upstream
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, ModelCall, Reply, Told, always, answer
from worker.sim.world import LivingWorker, World, until_quiet

NEAR = Target(name="near", model="m", region="eu-west-1")
FAR = Target(name="far", model="m", region="us-east-1")
DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
WAITS = Route(name="default", targets=(NEAR, FAR))
POLICY = BreakerPolicy(min_calls=5, cooldown_s=2.0)


def gates_of(*routes: Route) -> Gates:
    targets = [target for route in routes for target in route.targets]
    return Gates(worker="w", slots=8, targets=targets, policies={}, tell=Told(), now=0.0)


def put(gates: Gates, name: str, state: State, now: float = 0.0, **more: object) -> None:
    """The fleet, or its operator, decides."""
    gate = next(gate for gate in gates if gate.local.name == name)
    known = gate.verdict
    verdict = Verdict(
        name=name,
        state=state,
        version=known.version + 1,
        stage=known.stage + 1,
        **more,  # type: ignore[arg-type]
    )
    assert gate.adopt(verdict, now, at=now)


def test_as_long_as_one_target_of_one_route_serves_nothing_is_held() -> None:
    gates = gates_of(WAITS)
    upstream = Upstream(gates, [WAITS], alone=False)

    put(gates, "near", State.OPEN)

    assert upstream.hold(1.0) == 0
    put(gates, "endpoint:us-east-1", State.OPEN)
    assert upstream.hold(2.0) == 1


def test_a_probe_is_no_service_and_the_first_step_of_the_recovery_is_one() -> None:
    gates = gates_of(replace(WAITS, targets=(NEAR,)))
    upstream = Upstream(gates, [replace(WAITS, targets=(NEAR,))], alone=False)
    held = []

    for now, state in ((0, State.OPEN), (600, State.HALF_OPEN), (899, State.OPEN)):
        put(gates, "near", state)
        held.append(upstream.hold(now))
    held.append(upstream.hold(SHRINK_S))
    put(gates, "near", State.RAMP, share=0.1)
    held.append(upstream.hold(SHRINK_S + 1))
    put(gates, "near", State.OPEN)
    held.append(upstream.hold(SHRINK_S + 2))

    assert held == [1, 1, 1, 2, 0, 1]


@pytest.mark.parametrize("route", [replace(WAITS, on_open="fail"), replace(WAITS, degraded=("a",))])
def test_a_route_whose_jobs_do_not_wait_for_a_model_takes_work(route: Route) -> None:
    gates = gates_of(route)
    upstream = Upstream(gates, [route], alone=False)

    for name in ("near", "far"):
        put(gates, name, State.OPEN)

    assert upstream.hold(1.0) == 0


@pytest.mark.parametrize(
    ("mode", "state", "standing"),
    [
        (Mode.HOLD_OPEN, State.CLOSED, State.OPEN),
        (Mode.HOLD_CLOSED, State.OPEN, State.CLOSED),
        (Mode.OBSERVE, State.OPEN, State.CLOSED),
    ],
)
def test_what_an_operator_orders_is_what_calls_meet(
    mode: Mode, state: State, standing: State
) -> None:
    gates = gates_of(WAITS)
    upstream = Upstream(gates, [WAITS], alone=False)
    override = Override(mode=mode, for_s=60.0, until_at=60.0, author="ann", reason="a drill")

    put(gates, "near", state, override=override)

    assert upstream.states(1.0)["near"] is standing
    assert upstream.states(61.0)["near"] is state


def test_a_worker_without_a_fleet_tells_of_its_own_breakers() -> None:
    gates = gates_of(WAITS)

    for gate in gates:
        gate.local.rest(0.0, 100.0, why="a test")

    assert set(Upstream(gates, [WAITS], alone=True).states(1.0).values()) == {State.OPEN}
    assert Upstream(gates, [WAITS], alone=True).hold(1.0) == 1
    assert set(Upstream(gates, [WAITS], alone=False).states(1.0).values()) == {State.CLOSED}


def test_a_worker_that_cannot_reach_the_fleets_table_tells_of_its_own_breakers() -> None:
    gates = gates_of(WAITS)
    near = next(gate for gate in gates if gate.local.name == "near")
    near.go_blind(0.0, fleet_size=1.0)

    near.local.rest(0.0, 100.0, why="a test")

    assert Upstream(gates, [WAITS], alone=False).states(1.0)["near"] is State.OPEN


def test_a_quota_that_is_used_up_for_long_serves_nothing() -> None:
    route = replace(WAITS, targets=(NEAR,))
    gates = gates_of(route)

    async def main() -> int:
        pacer = gates.paces.of["near"]
        gates.paces.heard(pacer, Outcome.EXHAUSTED, 0.0, None)
        return Upstream(gates, [route], alone=False).hold(1.0)

    assert in_virtual_time(main()) == 1


# --- told by whole workers -----------------------------------------------------


def played(world: World, jobs: int, **rules: object) -> LivingWorker:
    async def main() -> LivingWorker:
        for n in range(jobs):
            world.submit(id=f"job-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w", rules={"policies": {"near": POLICY}, **rules})
        await until_quiet(world)
        await worker.drain()
        return worker

    return in_virtual_time(main())


def until(seconds: float, fault: Fault) -> Callable[[ModelCall], Reply]:
    return lambda call: Reply(fault if call.now < seconds else answer(), 0.2)


@pytest.mark.parametrize("shared", [True, False])
def test_every_probe_is_told_with_what_came_of_it(shared: bool) -> None:  # noqa: FBT001
    world = World(
        routes={"default": replace(WAITS, targets=(NEAR,))},
        breakers=MemoryBreakers() if shared else None,
    )
    world.model.mood = until(60.0, DOWN)

    worker = played(world, 40)

    probes = worker.told.of(BreakerProbed)
    assert {one.breaker for one in probes} == {"near"}
    assert ({one.scope for one in probes} == {"fleet"}) is shared
    assert {one.outcome for one in probes} == {Outcome.FAILURE, Outcome.SUCCESS}
    outcomes = [one.outcome for one in probes]
    assert outcomes == sorted(outcomes), "first the failures, and then it is well"


def test_a_retry_that_the_budget_has_no_means_for_is_told_once_for_each_run() -> None:
    retry = RetryPolicy(attempts=3, budget_max=0.0, budget_per_success=0.0)
    world = World(routes={"default": replace(WAITS, targets=(NEAR,), retry=retry)})
    world.model.mood = until(1.0, DOWN)

    worker = played(world, 1)

    assert [one.job for one in worker.told.of(RetryRefused)] == ["job-0"]


def test_a_retry_that_the_budget_refused_is_told_once_though_handlers_decline() -> None:
    class Declines:
        async def answer(self, _: Job, __: Context) -> None:
            return None

    retry = RetryPolicy(attempts=3, budget_max=0.0, budget_per_success=0.0)
    route = replace(WAITS, targets=(NEAR,), retry=retry, degraded=("a", "b"), on_open="degrade")
    world = World(routes={"default": route})
    world.model.mood = until(1.0, DOWN)
    handlers = {name: Handler(does=Declines()) for name in ("a", "b")}

    async def main() -> list[RetryRefused]:
        world.submit(id="job-0", prompt="Hello.")
        worker = LivingWorker(world, "w", house={"handlers": handlers})
        await until_quiet(world)
        await worker.drain()
        return worker.told.of(RetryRefused)

    assert [one.job for one in in_virtual_time(main())] == ["job-0"]


def test_a_retry_that_nothing_but_the_budget_stood_against_is_no_other_refusal() -> None:
    rejected = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
    retry = RetryPolicy(attempts=3, budget_max=0.0, budget_per_success=0.0)
    world = World(routes={"default": replace(WAITS, targets=(NEAR,), retry=retry)})
    world.model.mood = always(rejected, 0.2)

    worker = played(world, 3)

    assert worker.told.of(RetryRefused) == []


def test_a_drain_in_the_middle_of_it_leaves_no_probe_told_that_was_cut_short() -> None:
    world = World(routes={"default": replace(WAITS, targets=(NEAR,))}, breakers=MemoryBreakers())
    world.model.mood = until(1e9, DOWN)

    async def main() -> LivingWorker:
        for n in range(20):
            world.submit(id=f"job-{n}", prompt="Hello.")
        worker = LivingWorker(world, "w", rules={"policies": {"near": POLICY}, "grace_s": 2.0})
        while not worker.told.of(BreakerProbed):
            await asyncio.sleep(0.1)
        world.model.mood = always(answer(), 1000.0)
        await asyncio.sleep(20.0)
        before = len(worker.told.of(BreakerProbed))
        await worker.drain()
        assert len(worker.told.of(BreakerProbed)) == before
        return worker

    in_virtual_time(main())
    assert world.model.cancelled
