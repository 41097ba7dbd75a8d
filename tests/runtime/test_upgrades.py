"""A better answer later: promised once, kept once, and never at the cost of others."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.runtime.promises import watched
from worker.client.result import result_of
from worker.core.answer import Answer
from worker.core.degrade import Context
from worker.core.events import JobSettled
from worker.core.fault import Fault, Kind
from worker.core.job import Job, Request
from worker.core.ledger import State
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.upgrade import upgraded
from worker.core.verdict import State as Circuit
from worker.ports import Handler
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryBreakers, Mishap, ModelCall, Reply, Wire, answer
from worker.sim.world import LivingWorker, World, until_quiet

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
TARGET = Target(name="a", model="m", attempt_s=60.0, slow_s=15.0, quality=0.9)
ROUTE = Route(
    name="default",
    targets=(TARGET,),
    degraded=("sorry",),
    on_open="degrade",
    upgrade_later=True,
    retry=RetryPolicy(attempts=1),
)
POLICY = BreakerPolicy(stuck_s=15.0, probe_s=15.0)


class Apology:
    """A handler that has an answer for everybody."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id or context.job
        return DegradedAnswer(content=({"text": "Sorry."},), quality=0.4)


def world_of(mood: Callable[[ModelCall], Reply], route: Route = ROUTE, **more: Any) -> World:
    world = World(routes={"default": route}, **more)
    world.model.mood = mood
    return world


def employ(world: World, name: str = "w1", **rules: Any) -> LivingWorker:
    return LivingWorker(
        world,
        name,
        rules={"policies": {"a": POLICY}, **rules},
        house={"handlers": {"sorry": Handler(does=Apology())}},
    )


def down_for(seconds: float) -> Callable[[ModelCall], Reply]:
    return lambda call: Reply(DOWN, 0.1) if call.now < seconds else Reply(answer(), 1.0)


def no_such_luck(call: ModelCall) -> Reply:
    """Down for the job, and for its upgrade a refusal for good."""
    return Reply(DOWN if upgraded(call.job) is None else REJECTED, 0.1)


def play(world: World, *jobs: dict[str, Any]) -> list[JobSettled]:
    async def main() -> list[JobSettled]:
        witness = watched(world)
        for job in jobs:
            world.submit(prompt="Hello.", **job)
        worker = employ(world)
        await until_quiet(world, within_s=100_000.0)
        await worker.drain()
        assert not witness.wrong
        assert set(witness.finals.values()) == {1}
        assert all(record.told for record in world.ledger.records.values())
        return worker.told.of(JobSettled)

    return in_virtual_time(main(), limit_s=200_000)


def read(world: World, job: str) -> Any:
    record = world.ledger.records[job]
    return result_of(record, record.result)


def test_a_degraded_answer_is_followed_by_a_better_one() -> None:
    world = world_of(down_for(50.0))

    play(world, {"id": "a", "reply_to": "answers"})

    first, better = read(world, "a"), read(world, "a+upgrade")
    assert (first.status, first.will_upgrade, first.upgrades) == ("degraded", True, None)
    assert (better.status, better.will_upgrade, better.upgrades) == ("ok", False, "a")
    assert better.quality > first.quality
    told = [orjson.loads(reply.body) for reply in world.replies.peek()]
    assert [(one["job_id"], one["status"]) for one in told] == [
        ("a", "degraded"),
        ("a+upgrade", "ok"),
    ]
    assert [one["upgrades"] for one in told] == [None, "a"]


@pytest.mark.parametrize(
    ("job", "route"),
    [
        ({"upgrade_later": False}, ROUTE),
        ({"deadline_s": 40.0}, ROUTE),
        ({"min_quality": 0.95}, ROUTE),
    ],
)
def test_nothing_follows_where_nothing_was_promised(job: dict[str, Any], route: Route) -> None:
    world = world_of(down_for(50.0), route)

    play(world, {"id": "a", **job})

    assert set(world.ledger.records) == {"a"}
    assert not read(world, "a").will_upgrade


def test_an_upgrade_that_fails_leaves_the_answer_and_no_dead_letter() -> None:
    world = world_of(no_such_luck)

    play(world, {"id": "a", "reply_to": "answers"})

    assert (read(world, "a").status, read(world, "a+upgrade").status) == ("degraded", "failed")
    assert world.dead.peek() == []
    assert [orjson.loads(r.body)["status"] for r in world.replies.peek()] == ["degraded", "failed"]


def test_an_upgrade_is_given_up_when_its_time_is_over() -> None:
    world = world_of(down_for(1e9))

    events = play(world, {"id": "a"}, {"id": "b", "deadline_s": 600.0})

    assert {read(world, f"{job}+upgrade").status for job in "ab"} == {"expired"}
    parks = [e for e in events if e.settlement == "parked" and e.job == "a+upgrade"]
    assert len(parks) <= 86_400 / 600, "from then on it asks every 450 to 900 seconds"
    assert world.dead.peek() == []


def test_a_job_without_id_has_its_upgrade_too() -> None:
    world = world_of(down_for(50.0))

    async def main() -> str:
        message = world.submit(prompt="Hello.")
        worker = employ(world)
        await until_quiet(world)
        await worker.drain()
        return message

    message = in_virtual_time(main())

    assert read(world, f"{message}+upgrade").status == "ok"


def test_two_doorbells_of_an_upgrade_are_one_upgrade() -> None:
    world = world_of(down_for(5.0))

    async def main() -> None:
        world.submit(id="a", prompt="Hello.")
        worker = employ(world)
        await asyncio.sleep(10)
        (rung,) = world.parked.peek()
        world.parked.put(rung.body, attributes={"iw-job": rung.job, "iw-doorbell": "1"})
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert world.model.started["a+upgrade"] == 1
    assert world.ledger.records["a+upgrade"].state is State.ANSWERED


@pytest.mark.parametrize("mark", [{}, {"iw-doorbell": "1"}])
def test_what_a_producer_calls_an_upgrade_is_a_job(mark: dict[str, str]) -> None:
    world = world_of(lambda _: Reply(REJECTED, 0.1))
    body = orjson.dumps({"id": "mine", "prompt": "Hello."})

    async def main() -> None:
        for content in (body, b"{"):
            world.jobs.put(content, attributes={"iw-job": "theirs+upgrade", **mark})
        worker = employ(world)
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert set(world.ledger.records) == {"mine", "theirs"}
    assert {letter.job for letter in world.dead.peek()} == {"mine", "theirs"}


def test_a_doorbell_that_rings_for_another_job_than_its_body_is_no_upgrade() -> None:
    world = world_of(down_for(0.0))
    body = orjson.dumps({"id": "mine", "prompt": "Hello."})

    async def main() -> None:
        world.parked.put(body, attributes={"iw-job": "theirs+upgrade", "iw-doorbell": "1"})
        worker = employ(world)
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main())

    assert set(world.ledger.records) == {"mine"}


def test_upgrades_let_jobs_without_answer_go_first() -> None:
    """An outage degrades 60 jobs; then as many come as the slots can just bear."""
    world = world_of(down_for(300.0), breakers=MemoryBreakers())
    busy_until = 2_400.0
    calls: list[tuple[float, str]] = []

    def mood(call: ModelCall) -> Reply:
        calls.append((call.now, call.job))
        return down_for(300.0)(call) if call.now < 300.0 else Reply(answer(), 10.0)

    world.model.mood = mood

    async def main() -> None:
        worker = employ(world, slots=4)
        for n in range(60):
            world.submit(id=f"first-{n}", prompt="Hello.")
        await asyncio.sleep(300.0)
        n = 0
        while asyncio.get_running_loop().time() < busy_until:
            for _ in range(4):
                world.submit(id=f"then-{n}", prompt="Hello.")
                n += 1
            await asyncio.sleep(10.0)
        await until_quiet(world, within_s=20_000.0)
        await worker.drain()

    in_virtual_time(main(), limit_s=100_000)

    statuses = {job: read(world, job).status for job in world.ledger.records}
    later = [at for at, job in calls if upgraded(job) is not None]
    assert {statuses[f"first-{n}+upgrade"] for n in range(60)} == {"ok"}
    assert later
    assert not [at for at in later if 360.0 < at < busy_until], "others need the slots"


def test_upgrades_alone_find_out_that_all_is_well_again() -> None:
    """No other job comes after the outage: nobody but an upgrade can be the probe."""
    world = world_of(down_for(300.0), breakers=MemoryBreakers())

    async def main() -> Circuit:
        workers = [employ(world, f"w{n}") for n in range(2)]
        for n in range(60):
            world.submit(id=f"job-{n}", prompt="Hello.")
        await asyncio.sleep(250.0)
        assert any(gate.verdict.state is not Circuit.CLOSED for gate in workers[0].supervisor.gates)
        await until_quiet(world, within_s=20_000.0)
        (state,) = {
            gate.verdict.state for gate in workers[0].supervisor.gates if gate.local.name == "a"
        }
        for worker in workers:
            await worker.drain()
        return state

    assert in_virtual_time(main(), limit_s=50_000) is Circuit.CLOSED
    upgrades = {job for job in world.ledger.records if upgraded(job) is not None}
    assert len(upgrades) == 60
    assert {read(world, job).status for job in upgrades} == {"ok"}


@pytest.mark.parametrize("fault", [DOWN, THROTTLED], ids=["circuit", "quota"])
def test_upgrades_of_one_route_do_not_wait_for_the_jobs_of_another(fault: Fault) -> None:
    """Nobody but an upgrade wants target b, and there is always a job that wants a."""
    busy = replace(ROUTE, name="busy", upgrade_later=False)
    calm = replace(ROUTE, name="calm", targets=(replace(TARGET, name="b"),))

    def mood(call: ModelCall) -> Reply:
        down = call.target.name == "b" and call.now < 120.0
        return Reply(fault, 0.1) if down else Reply(answer(), 10.0)

    world = world_of(mood, breakers=MemoryBreakers())
    world.routes = {"busy": busy, "calm": calm}

    async def main() -> bool:
        worker = employ(world, policies={"a": POLICY, "b": POLICY})
        for n in range(20):
            world.submit(id=f"calm-{n}", prompt="Hello.", route="calm")
        for n in range(1_600):
            world.submit(id=f"busy-{n}", prompt="Hello.", route="busy")
            await asyncio.sleep(5.0)
        short = worker.supervisor.paces
        await worker.drain()
        return "b" in short

    short = in_virtual_time(main(), limit_s=20_000)

    assert {read(world, f"calm-{n}+upgrade").status for n in range(20)} == {"ok"}
    assert not short


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_worker_with_a_backlog_has_no_slot_for_upgrades(slots: int) -> None:
    world = world_of(down_for(60.0), breakers=MemoryBreakers())
    calls: list[tuple[float, str]] = []

    def mood(call: ModelCall) -> Reply:
        calls.append((call.now, call.job))
        return Reply(DOWN, 0.1) if call.now < 60.0 else Reply(answer(), 10.0)

    world.model.mood = mood

    async def main() -> None:
        worker = employ(world, slots=slots)
        for n in range(10):
            world.submit(id=f"first-{n}", prompt="Hello.")
        await asyncio.sleep(100.0)
        for n in range(300):
            world.submit(id=f"then-{n}", prompt="Hello.")
        await asyncio.sleep(600.0)
        await worker.drain()

    in_virtual_time(main(), limit_s=2_000)

    later = [job for at, job in calls if at > 130.0]
    assert len(later) > 40 * slots
    assert not [job for job in later if upgraded(job) is not None]


def test_upgrades_leave_a_short_quota_to_jobs_without_answer() -> None:
    """Two calls a second for a little more than two jobs: no first answer is the worse for it."""

    def degraded(*, upgrade_later: bool) -> tuple[int, int]:
        left, since = 2.0, 0.0

        def mood(call: ModelCall) -> Reply:
            nonlocal left, since
            left, since = min(4.0, left + (call.now - since) * 2.0), call.now
            if left < 1:
                return Reply(THROTTLED, 0.05)
            left -= 1
            return Reply(answer(), 2.0)

        world = world_of(
            mood, replace(ROUTE, upgrade_later=upgrade_later), breakers=MemoryBreakers()
        )

        async def main() -> None:
            workers = [employ(world, f"w{n}") for n in range(8)]
            for n in range(1_300):
                world.submit(id=f"job-{n}", prompt="Hello.")
                await asyncio.sleep(0.45)
            await asyncio.sleep(10)
            for worker in workers:
                await worker.drain()

        in_virtual_time(main(), limit_s=2_000)
        ended = Counter(read(world, f"job-{n}").status for n in range(1_300))
        return ended["degraded"], ended["ok"]

    without, _ = degraded(upgrade_later=False)
    with_them, ok = degraded(upgrade_later=True)

    assert ok > 600
    assert with_them <= 1.1 * without + 13


def test_a_reply_queue_that_is_out_of_order_keeps_no_upgrade_from_its_bell() -> None:
    world = world_of(down_for(5.0))
    wire = Wire(plan=lambda c: Mishap(when="before") if c.port == "queue:replies" else None)

    async def main() -> None:
        handlers = {"sorry": Handler(does=Apology())}
        rules = {"policies": {"a": POLICY}}
        worker = LivingWorker(world, "w1", wire=wire, rules=rules, house={"handlers": handlers})
        world.submit(id="a", prompt="Hello.", reply_to="answers")
        await asyncio.sleep(7_200.0)
        assert read(world, "a+upgrade").status == "ok"
        assert world.dead.peek() == []
        wire.plan = lambda _: None
        await until_quiet(world)
        await worker.drain()

    in_virtual_time(main(), limit_s=100_000)

    told = Counter(orjson.loads(reply.body)["job_id"] for reply in world.replies.peek())
    assert told == {"a": 1, "a+upgrade": 1}


def test_who_learns_learns_from_the_answers_of_upgrades() -> None:
    learned: list[str | None] = []

    class Learns(Apology):
        async def learn(self, job: Job, request: Request, answer: Answer, target: Target) -> None:
            assert (bool(request.messages), bool(answer.content), target.name) == (True, True, "a")
            learned.append(job.id)

    world = world_of(down_for(5.0))

    async def main() -> None:
        worker = LivingWorker(world, "w1", house={"handlers": {"sorry": Handler(does=Learns())}})
        world.submit(id="a", prompt="Hello.")
        await until_quiet(world)
        await asyncio.sleep(5.0)
        await worker.drain()

    in_virtual_time(main())

    assert learned == ["a"]
