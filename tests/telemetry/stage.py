"""Workers that write what they tell as in life: log lines and metrics, one JSON object a line.

The workers are the real runtime on twins; their telemetry, its gauges and the metric format
are the product's. What each wrote is kept, and `written` reads it back.
"""

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from opentelemetry.sdk.resources import Resource

from worker.aws.emf import flusher
from worker.core.degrade import HandlerSpec
from worker.core.measures import QUEUE, STORES, Names
from worker.core.metric import Profile
from worker.degraded.registry import build
from worker.ports import Handler
from worker.runtime.gauges import gauges
from worker.runtime.lag import LoopLag
from worker.runtime.names import names_of
from worker.runtime.supervisor import Supervisor
from worker.runtime.telemetry import Telemetry
from worker.sim.clock import wall_clock
from worker.sim.memory import MemoryCache, Wire
from worker.sim.world import LivingWorker, World
from worker.traces.spans import Courier, Spans

SERVICE = "inference-worker"
BOOT = "0123456789ab"


@dataclass(slots=True, eq=False)
class Speaking:
    """One worker at work, and its stdout.

    Args:
        world: Where it works.
        name: Its own.
        specs: Handlers as the settings describe them.
        plugins: Handlers as objects.
        courier: Takes spans of its runs, if they are to be traced.
        given: For `LivingWorker`, `house` and `rules` in part.
    """

    world: World
    name: str
    specs: Sequence[HandlerSpec] = ()
    plugins: Mapping[str, Handler] = field(default_factory=dict)
    profile: Profile = Profile.FULL
    level: str = "debug"
    courier: Courier | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    out: io.BytesIO = field(default_factory=io.BytesIO)
    worker: LivingWorker = field(init=False)
    names: Names = field(init=False)
    telemetry: Telemetry = field(init=False)
    _services: list[asyncio.Task[None]] = field(init=False)

    def __post_init__(self) -> None:
        handlers = {spec.name: spec.target for spec in self.specs}
        handlers |= {name: one.target for name, one in self.plugins.items()}
        self.names = names_of(self.world.routes, handlers, STORES | {QUEUE})
        in_hand: list[Supervisor] = []
        lag = LoopLag()
        self.telemetry = Telemetry(
            service=SERVICE,
            worker=f"{BOOT}{self.name}"[-12:],
            names=self.names,
            flush=flusher(
                self.out.write, namespace="InferenceWorker", service=SERVICE, worker=self.name
            ),
            level=self.level,
            gauges=gauges(in_hand, lag),
            profile=self.profile,
            file=self.out,
            at=wall_clock,
        )
        wire = self.given.get("wire") or Wire()
        made = build(
            self.specs,
            given={},
            model=self.world.model.seen_by(wire),
            store=MemoryCache().seen_by(wire),
            tell=self.telemetry,
            at=wall_clock,
        )
        services = [self.telemetry.run, lag.run]
        house = {"handlers": {**made, **self.plugins}, "tell": self.telemetry}
        if self.courier is not None:
            spans = Spans(
                self.telemetry,
                self.courier,
                resource=Resource({}),
                version="1",
                targets={t.name: t for r in self.world.routes.values() for t in r.targets},
                at=wall_clock,
            )
            services.insert(0, spans.run)
            house |= {"tell": spans, "traces": 1.0}
        given = {**self.given, "wire": wire}
        given["house"] = house | dict(given.get("house", {}))
        self.worker = LivingWorker(self.world, self.name, **given)
        in_hand.append(self.worker.supervisor)
        loop = asyncio.get_running_loop()
        self._services = [loop.create_task(run()) for run in services]

    async def drain(self) -> None:
        """Leave as on SIGTERM; the last flush is written."""
        await self.worker.drain()
        await self.quiet()

    async def quiet(self) -> None:
        """End what only listens and writes."""
        for task in self._services:
            task.cancel()
        await asyncio.wait(self._services)


@dataclass(frozen=True, slots=True)
class Written:
    """What some workers wrote: every line is a document of metrics, or an event."""

    documents: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]


def written(*speaking: Speaking) -> Written:
    """All their lines; each of them whole, and one JSON object."""
    lines = [line for one in speaking for line in one.out.getvalue().splitlines()]
    read = [orjson.loads(line) for line in lines]
    return Written(
        tuple(line for line in read if "_aws" in line),
        tuple(line for line in read if "event" in line),
    )


def values_of(document: Mapping[str, Any]) -> dict[str, list[float]]:
    """The values of each metric in a document."""
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    found = {metric["Name"]: document[metric["Name"]] for metric in directive["Metrics"]}
    return {name: one if isinstance(one, list) else [one] for name, one in found.items()}


def total(wrote: Written, metric: str, **labels: str) -> float:
    """The Sum of a metric, in every document that has these members."""
    return sum(
        sum(values_of(document).get(metric, ()))
        for document in wrote.documents
        if labels.items() <= document.items()
    )
