"""`why JOB` tells the whole path of every job: what bystanders saw happen is in it, in order."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.runtime.histories import TICK_S, History
from tests.runtime.promises import Witness
from worker.core.job import Limits
from worker.core.ledger import Record
from worker.ops.dead_desk import DeadDesk, DeadLane
from worker.ops.desk import Desk
from worker.ops.path import Path, What, path
from worker.ports import Model
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.dead_letters import MemoryDeadLetters
from worker.sim.memory import MemoryBreakers, Wire
from worker.sim.world import LivingWorker, World, until_quiet

HISTORIES = 300
SHARE = 100
ENDS = {What.PARKED, What.INTERRUPTED, What.ANSWERED, What.DEGRADED, What.DEAD}


@dataclass
class Bystander:
    """Sees every write of the ledger, and every call on its way to the model."""

    claims: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    ends: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    calls: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def wrote(self, old: Record | None, new: Record) -> None:
        if old is None or new.fence != old.fence:
            self.claims.setdefault(new.job, []).append((new.fence, new.owner))
        elif new.state is not old.state:
            self.ends.setdefault(new.job, []).append((new.fence, new.state.value))

    def called(self, job: str, worker: str, target: str) -> None:
        fence = max(fence for fence, owner in self.claims[job] if owner == worker)
        self.calls.setdefault((job, fence), []).append(target)


@dataclass
class Overheard:
    """Port `Model`: tells the bystander who calls whom."""

    model: Model
    worker: str
    seen: Bystander

    async def call(self, target: Any, request: Any, *, job: str, **how: Any) -> Any:
        self.seen.called(job, self.worker, target.name)
        return await self.model.call(target, request, job=job, **how)


@dataclass
class Asked(History):
    """A history after which the path of every job is asked for."""

    seen: Bystander = field(default_factory=Bystander)
    paths: dict[str, Path] = field(default_factory=dict)

    def model_of(self, worker: str, wire: Wire) -> Model:
        return Overheard(super().model_of(worker, wire), worker, self.seen)

    def witness(self) -> Witness:
        witness = super().witness()

        def both(old: Record | None, new: Record) -> None:
            witness(old, new)
            self.seen.wrote(old, new)

        self.world.ledger.watch = both
        return witness

    async def play(self) -> None:
        await super().play()
        desk = desk_of(self.world)
        for job in self.world.ledger.records:
            self.paths[job] = await path(desk, job)


def desk_of(world: World) -> DeadDesk:
    breakers = world.breakers or MemoryBreakers()
    return DeadDesk(
        ledger=world.ledger.seen_by(),
        index=MemoryDeadLetters(ledger=world.ledger).seen_by(),
        lanes=(
            DeadLane(
                name="default",
                jobs=world.jobs.seen_by(),
                dead=world.dead.seen_by(),
                routes=frozenset(world.routes),
                parked="parked",
            ),
        ),
        circuit=Desk(store=breakers.seen_by(), policies={}, at=wall_clock),
        limits=Limits(),
        routes=world.routes,
        payloads=world.payloads.seen_by(),
        at=wall_clock,
    )


def told(history: Asked, job: str) -> Counter[str]:
    """Compare what was seen of a job with its path; how much of each there was."""
    steps, seen, counts = history.paths[job].steps, history.seen, Counter(jobs=1)
    fences = [step.fence for step in steps if step.fence]
    assert fences == sorted(fences), "claim after claim"
    assert steps[0].what is What.SENT
    assert steps[0].at == history.world.ledger.records[job].sent_at

    gaps = [step for step in steps if step.what is What.UNKNOWN]
    assert not gaps, "no trail was too long here"
    claims = [(step.fence, step.worker) for step in steps if step.what is What.CLAIMED]
    assert claims == seen.claims[job]
    counts["claims"] += len(claims)
    assert all(step.at for step in steps if step.what is What.CLAIMED and step.fence == fences[-1])

    ends = [(step.fence, step.what.value) for step in steps if step.what in ENDS]
    assert ends == seen.ends[job]
    counts["ends"] += len(ends)
    counts["parks"] += sum(step.what is What.PARKED for step in steps)
    for step in steps:
        if step.what is What.PARKED:
            assert step.why
            assert step.until
        if step.what is What.PARKED and step.why == "circuit_open":
            assert any(one.fence == step.fence and one.bars for one in steps), "by what?"
        for bar in step.bars:
            counts["bars"] += 1
            assert bar.known or bar.alone, f"nobody knows who opened {bar.name}"
    lapsed = {step.fence for step in steps if step.what is What.LAPSED}
    assert {fence for fence, _ in claims} == {fence for fence, _ in ends} | lapsed
    counts["lapsed"] += len(lapsed)

    for fence, _ in claims:
        calls = [step.call.target for step in steps if step.call and step.fence == fence]
        made = seen.calls.get((job, fence), [])
        if fence in lapsed:
            assert not calls
            counts["calls that a crash took along"] += len(made)
        else:
            assert calls == made, f"{job}, claim {fence}"
            counts["calls"] += len(made)
    return counts


@pytest.mark.parametrize("first", range(0, HISTORIES, SHARE))
def test_every_path_has_what_was_seen_to_happen(first: int) -> None:
    total: Counter[str] = Counter()
    for seed in range(first, first + SHARE):
        history = Asked(seed)
        in_virtual_time(history.play(), limit_s=20_000, tick_s=TICK_S)
        for job in history.paths:
            try:
                total += told(history, job)
            except AssertionError as wrong:
                wrong.add_note(f"seed {seed}, {job}: {history.paths[job].steps}")
                raise
        called = sum(map(len, history.seen.calls.values()))
        assert called >= history.world.model.started.total()

    assert min(total[name] for name in ("jobs", "claims", "parks", "bars", "lapsed", "calls")) > 50


def test_a_healthy_job_costs_no_byte_more() -> None:
    async def main() -> World:
        world = World()
        worker = LivingWorker(world, "w1")
        for n in range(20):
            world.submit(id=f"a-{n}", prompt="Why?")
        await until_quiet(world)
        await worker.drain()
        return world

    records = in_virtual_time(main()).ledger.records.values()

    assert len(records) == 20
    assert {(record.trail, record.past, record.history) for record in records} == {((), (), ())}
