"""A small world in memory: queues, ledger, payloads, a model, and workers that live there.

The workers are the real runtime; only the services are twins. Each worker has a
`Wire` of its own, so it can crash, stall or lose an answer while others go on.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from worker.core.job import Limits
from worker.core.route import Route
from worker.core.target import Target
from worker.runtime.house import House, Lane, Rules
from worker.runtime.supervisor import Drain, Supervisor
from worker.sim.clock import wall_clock
from worker.sim.memory import (
    MemoryBreakers,
    MemoryLedger,
    MemoryPayloads,
    MemoryQueue,
    MemoryTasks,
    ScriptedModel,
    Told,
    Wire,
)

ROUTE = Route(
    name="default",
    targets=(Target(name="model-a", model="test.model-a", attempt_s=60.0),),
)


@dataclass(slots=True, eq=False, kw_only=True)
class World:
    """The services, shared by all workers of one simulation.

    Without `breakers` every worker's breakers decide for that worker alone.
    """

    routes: dict[str, Route] = field(default_factory=lambda: {"default": ROUTE})
    dead: MemoryQueue = field(default_factory=lambda: MemoryQueue(name="dead"))
    replies: MemoryQueue = field(default_factory=lambda: MemoryQueue(name="replies"))
    jobs: MemoryQueue = field(init=False)
    parked: MemoryQueue = field(init=False)
    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger(skew_s=1.0))
    payloads: MemoryPayloads = field(default_factory=MemoryPayloads)
    tasks: MemoryTasks = field(default_factory=MemoryTasks)
    breakers: MemoryBreakers | None = None
    model: ScriptedModel = field(default_factory=ScriptedModel)

    def __post_init__(self) -> None:
        self.jobs = MemoryQueue(name="jobs", dead=self.dead)
        self.parked = MemoryQueue(name="parked", dead=self.dead)

    def submit(self, group: str = "", **job: Any) -> str:
        """Send a job as a producer does, and return its MessageId."""
        return self.jobs.put(orjson.dumps(job or {"prompt": "Hello."}), group=group)

    def statuses(self) -> Counter[str]:
        """How many records are in each state."""
        return Counter(record.state.value for record in self.ledger.records.values())

    def quiet(self) -> bool:
        """Whether no job waits anywhere."""
        return self.jobs.depth().total + self.parked.depth().total == 0


@dataclass(slots=True, eq=False)
class LivingWorker:
    """One worker process in a world, at work from the moment it is made.

    `rules` and `house` replace fields of `Rules` and `House`.
    """

    world: World
    name: str
    wire: Wire = field(default_factory=Wire)
    rules: dict[str, Any] = field(default_factory=dict)
    house: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    told: Told = field(default_factory=Told)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    supervisor: Supervisor = field(init=False)
    task: "asyncio.Task[Drain]" = field(init=False)

    def __post_init__(self) -> None:
        world, wire = self.world, self.wire
        rules = Rules(
            worker=self.name,
            version="test",
            routes=world.routes,
            limits=Limits(payload_buckets=frozenset({world.payloads.bucket})),
            **{"slots": 8, "lease_s": 20.0, "wait_s": 5.0, "grace_s": 30.0, **self.rules},
        )
        lane = Lane(
            name="default",
            jobs=world.jobs.seen_by(wire),
            parked=world.parked.seen_by(wire),
            dead=world.dead.seen_by(wire),
            routes=frozenset(world.routes),
        )
        house: dict[str, Any] = {
            "rules": rules,
            "lanes": (lane,),
            "ledger": world.ledger.seen_by(wire),
            "model": world.model.seen_by(wire),
            "payloads": world.payloads.seen_by(wire),
            "breakers": world.breakers.seen_by(wire) if world.breakers else None,
            "callbacks": world.tasks.seen_by(wire),
            "replies": {"answers": world.replies.seen_by(wire)},
            "tell": self.told,
            "at": wall_clock,
            "roll": random.Random(self.seed).random,  # noqa: S311 - dice for jitter only
            **self.house,
        }
        self.supervisor = Supervisor(House(**house), stop=self.stop)
        self.task = asyncio.get_running_loop().create_task(self.supervisor.run())

    async def drain(self) -> Drain:
        """Stop as on SIGTERM, and wait until it has left."""
        self.stop.set()
        return await self.task

    async def crash(self) -> None:
        """Die as on SIGKILL: nothing more reaches the world."""
        self.wire.cut()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until_quiet(world: World, *, within_s: float = 3600.0) -> None:
    """Wait until no job waits anywhere.

    Raises:
        TimeoutError: Some job still does after `within_s` seconds.
    """
    async with asyncio.timeout(within_s):
        while not world.quiet():  # noqa: ASYNC110 - the world has no event for peace
            await asyncio.sleep(1.0)
