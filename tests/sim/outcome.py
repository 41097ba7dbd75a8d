"""The example of docs/outcome.md: what a route tells of a quarter of an hour that goes wrong.

Two targets in two Regions, a summary behind them, and jobs of three kinds. First all is
well, then the near Region hangs, then the far one fails too, then both are back. The
numbers are read as CloudWatch reads them: from what a worker flushes, by metric, in the
set [Service, Route]. Run it to write the page anew:

    python -m tests.sim.outcome
"""

import asyncio
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

from worker.cli import markdown
from worker.cli.breaker_page import filled
from worker.core.accept import Accept
from worker.core.degrade import HandlerSpec, Terms
from worker.core.events import Event, JobSettled
from worker.core.fault import Fault, Kind
from worker.core.measures import Names, measure
from worker.core.metric import By
from worker.core.route import Route
from worker.core.series import Metrics, Series
from worker.core.target import Target
from worker.degraded.registry import build
from worker.sim.clock import in_virtual_time
from worker.sim.memory import ModelCall, Reply, Wire, answer
from worker.sim.world import LivingWorker, World, until_quiet

PAGE: Final = Path(__file__).parents[2] / "docs" / "outcome.md"
SEED: Final = 7
PHASES: Final[Mapping[str, float]] = {  # and how long each lasts, in seconds
    "all is well": 300.0,
    "near hangs": 300.0,
    "far fails too": 300.0,
    "both are back": 120.0,
}
ENDS: Final = tuple(sum(list(PHASES.values())[: n + 1]) for n in range(len(PHASES)))
PROMPT: Final = "Please tell me about this. " * 150  # 4,050 characters, told as 1,000 tokens
NEAR: Final = Target(
    name="near",
    model="eu.large",
    region="eu-central-1",
    quality=0.9,
    max_tokens=600,
    attempt_s=10.0,
    slow_s=6.0,
    price_input=3.0,
    price_output=15.0,
)
FAR: Final = Target(
    name="far",
    model="us.large",
    region="us-east-1",
    quality=0.85,
    max_tokens=600,
    attempt_s=10.0,
    slow_s=6.0,
    price_input=3.0,
    price_output=15.0,
)
CHEAP: Final = Target(
    name="cheap",
    model="eu.small",
    region="eu-west-3",
    quality=0.4,
    max_tokens=100,
    price_input=0.1,
    price_output=0.4,
)
ROUTE: Final = Route(
    name="chat",
    targets=(NEAR, FAR),
    degraded=("short",),
    on_open="degrade",
    accept=Accept(chars_min=20),
)
SHORT: Final = HandlerSpec(
    name="short",
    kind="summary",
    terms=Terms(quality=0.4, loses=("length",), limit_s=5.0, canary_share=0.02),
    target=CHEAP,
)
NAMES: Final = Names(
    routes=frozenset({"chat"}),
    targets=frozenset({"near", "far", "cheap"}),
    handlers=frozenset({"short"}),
)
DOWN: Final = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
LEFT_OUT: Final = frozenset(
    {
        *("job", "tenant", "interruptions", "crashes", "generation", "fence", "queue", "region"),
        *("message_id", "model_id", "request_id", "trace_id", "span_id", "linked_to"),
    }
)


@dataclass(slots=True, eq=False)
class Story:
    """What was flushed at the end of each phase, and every canonical line."""

    dice: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311
    metrics: Metrics = field(default_factory=Metrics)
    flushed: list[tuple[Series, ...]] = field(default_factory=list)
    settled: list[JobSettled] = field(default_factory=list)

    def tell(self, event: Event, /) -> None:
        """Port `Tell`."""
        for one in measure(event, NAMES):
            self.metrics.add(one)
        if isinstance(event, JobSettled):
            self.settled.append(event)

    def mood(self, call: ModelCall) -> Reply:
        """What the models do at this moment."""
        phase = sum(call.now >= end for end in ENDS[:3])
        if call.target is NEAR and phase in (1, 2):
            return Reply(DOWN, float("inf"))
        if call.target is FAR and phase == 2:
            return Reply(DOWN, 0.2)
        if call.target is CHEAP:
            return Reply(answer("In short: yes.", input_tokens=1020, output_tokens=60), 0.7)
        poor = self.dice.random() < 0.02  # one in fifty is too short
        text, tokens = ("Yes.", 2) if poor else ("Yes, and this is why it is so.", 300)
        return Reply(
            answer(text, input_tokens=1000, output_tokens=tokens),
            self.dice.lognormvariate(0.6, 0.3),
        )

    async def feed(self, world: World) -> None:
        """A job a second: some wait for a good answer, and some of those not for long."""
        for n in range(round(ENDS[-1]) - 60):
            job: dict[str, Any] = {"id": f"job-{n}", "prompt": PROMPT, "route": "chat"}
            if n % 4 == 0:
                job["min_quality"] = 0.8
            if n % 40 == 0:
                job["deadline_s"] = 120
            world.submit(**job)
            await asyncio.sleep(1.0)

    async def live(self) -> None:
        """The whole of it."""
        world = World(routes={"chat": ROUTE})
        world.model.mood = self.mood
        handlers = build([SHORT], given={}, model=world.model.seen_by(Wire()), tell=self.tell)
        house = {"handlers": handlers, "tell": self.tell}
        worker = LivingWorker(world, "w", rules={"slots": 32}, house=house, seed=SEED)
        feeding = asyncio.get_running_loop().create_task(self.feed(world))
        for begin, end in pairwise((0.0, *ENDS)):
            await asyncio.sleep(end - begin)
            if end == ENDS[-1]:
                await feeding
                await until_quiet(world)
            self.flushed.append(self.metrics.take())
        await worker.drain()


@dataclass(frozen=True, slots=True)
class Told:
    """The metrics of one phase, as the set [Service, Route] has them for the one route."""

    series: Sequence[Series]

    def values(self, metric: str) -> list[float]:
        """Every value, or every sum."""
        found = [one for one in self.series if one.metric.name == metric]
        assert all(By.ROUTE in one.metric.by and "chat" in one.labels for one in found), metric
        return [value for one in found for value in one.values]

    def sum(self, metric: str) -> float:
        """Statistic Sum."""
        return sum(self.values(metric))

    def mean(self, metric: str) -> float:
        """Statistic Average."""
        return self.sum(metric) / len(self.values(metric))

    def p95(self, metric: str) -> float:
        """Statistic p95."""
        values = sorted(self.values(metric))
        return values[int(0.95 * (len(values) - 1))] if values else 0.0


def _waited(told: Told) -> str:
    longest_s = max(told.values("JobParkTime"), default=0.0)
    share = told.sum("JobsGoodParked") / told.sum("JobsGood")
    return f"{share:.1%}, {longest_s:.0f} s" if longest_s else "none"


def _wasted(told: Told) -> str:
    return f"{told.sum('WastedUsd'):.2f} to {told.sum('WastedMostUsd'):.2f}"


# What is asked of the metrics, how, and what to read off it.
ROWS: Final[tuple[tuple[str, str, Callable[[Told], str]], ...]] = (
    (
        "Served",
        "Sum of `JobsGood` / Sum of `JobsTerminal`",
        lambda told: f"{told.sum('JobsGood') / told.sum('JobsTerminal'):.1%}",
    ),
    (
        "Quality served, and short of the best",
        "Average of `QualityServed`; Sum of `QualityShortfall` / Sum of `JobsGood`",
        lambda told: (
            f"{told.mean('QualityServed'):.2f}, "
            f"{told.sum('QualityShortfall') / told.sum('JobsGood'):.2f}"
        ),
    ),
    (
        "Second-best answers",
        "Sum of `JobsDegraded` / Sum of `JobsGood`; by `Handler`: which",
        lambda told: f"{told.sum('JobsDegraded') / told.sum('JobsGood'):.1%}",
    ),
    (
        "Waited parked, and the longest",
        "Sum of `JobsGoodParked` / Sum of `JobsGood`; Maximum of `JobParkTime`",
        _waited,
    ),
    (
        "19 of 20 done within",
        "p95 of `JobLatency`",
        lambda told: f"{told.p95('JobLatency'):.0f} s",
    ),
    (
        "Cost of an answer, USD per 1,000",
        "1000 * Sum of `CostUsd` / Sum of `JobsGood`",
        lambda told: f"{1000 * told.sum('CostUsd') / told.sum('JobsGood'):.2f}",
    ),
    (
        "Wasted, USD, surely and at most",
        "Sum of `WastedUsd`; Sum of `WastedMostUsd`",
        _wasted,
    ),
)


def lived() -> Story:
    """The story, told once."""
    story = Story()
    in_virtual_time(story.live())
    return story


def parts(story: Story) -> dict[str, str]:
    """The parts of the page that this writes."""
    told = [Told(series) for series in story.flushed]
    degraded = next(one for one in story.settled if one.settlement == "degraded")
    waited = max(story.settled, key=lambda one: (one.settlement == "answered", one.parked_ms))
    return {
        "formulas": markdown.table(
            ("Number", "From the metrics, in the set [Service, Route]"),
            ((name, formula) for name, formula, _ in ROWS),
        ),
        "example": markdown.table(
            ("Number", *PHASES), ((name, *(read(one) for one in told)) for name, _, read in ROWS)
        ),
        "lines": "\n\n".join(f"```json\n{_line(one)}\n```" for one in (degraded, waited)),
    }


def _line(settled: JobSettled) -> str:
    """A canonical line, as the log has it but for a few names."""
    names = [one.name for one in fields(settled) if one.name not in LEFT_OUT]
    return orjson.dumps({name: getattr(settled, name) for name in names}).decode()


def page() -> str:
    """The page, with its parts written anew."""
    return filled(PAGE.read_text(encoding="utf-8"), parts(lived()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
