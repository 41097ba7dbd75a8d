"""Runs as traces, in virtual time: what the spans say, and where they lead."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from worker.core.degrade import Context
from worker.core.events import (
    CallRefused,
    DeliverySkipped,
    Event,
    FlightFailed,
    JobSettled,
    LeaseLost,
    SpansLost,
)
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.upgrade import upgraded
from worker.ports import Handler
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.memory import ModelCall, Reply, Told, always, answer, in_turn
from worker.sim.world import LivingWorker, World, until_quiet
from worker.traces.spans import PARTS_MAX, Spans

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503, request_id="r-9")
REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
SLOW_DOWN = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
ROUTE = Route(
    name="default",
    targets=(Target(name="near", model="eu.test.model-1", region="eu-west-1", attempt_s=60.0),),
    retry=RetryPolicy(attempts=1),
)
UPGRADED = Route(
    name="default",
    targets=ROUTE.targets,
    degraded=("sorry",),
    on_open="degrade",
    upgrade_later=True,
    retry=RetryPolicy(attempts=1),
)
SENDER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Apology:
    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert context.job == (job.id or context.job)
        return DegradedAnswer.saying("Sorry.", quality=0.4)


class Kept:
    """A courier that keeps what it takes; one that is `broken` raises."""

    lost = 0
    why = ""

    def __init__(self, *, broken: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        self._broken = broken

    def take(self, span: ReadableSpan) -> None:
        if self._broken:
            raise OSError
        self.exporter.export([span])

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


class Scene:
    """A world with one worker whose runs are traced."""

    def __init__(
        self, route: Route = ROUTE, *, share: float = 1.0, kept: Kept | None = None
    ) -> None:
        self.world = World(routes={"default": route})
        self.kept, self.told = kept or Kept(), Told()
        self.spans = Spans(
            self.told,
            self.kept,
            resource=Resource({"service.name": "test"}),
            version="1",
            targets={target.name: target for target in route.targets},
            at=wall_clock,
        )
        house = {
            "tell": self.spans,
            "traces": share,
            "handlers": {"sorry": Handler(does=Apology())},
        }
        self.worker = LivingWorker(self.world, "w1", house=house)

    def runs(self) -> list[ReadableSpan]:
        return [span for span in self.kept.spans if span.kind is SpanKind.CONSUMER]

    def parts(self, run: ReadableSpan) -> list[ReadableSpan]:
        return [s for s in self.kept.spans if s.parent and s.parent.span_id == run.context.span_id]


def played(play: Callable[[Scene], Any], **how: Any) -> Scene:
    async def main() -> Scene:
        scene = Scene(**how)
        await play(scene)
        await until_quiet(scene.world, within_s=4000.0)
        await scene.worker.drain()
        return scene

    return in_virtual_time(main(), limit_s=20_000)


def told(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def test_an_answered_job_is_a_trace_with_its_call_linked_to_whoever_sent_it() -> None:
    async def play(scene: Scene) -> None:
        scene.world.model.mood = always(answer(), 2.0)
        scene.world.jobs.put(b'{"id":"a","prompt":"Why?"}', attributes={"traceparent": SENDER})

    scene = played(play)

    (run,) = scene.runs()
    (call,) = scene.parts(run)
    assert (run.name, run.parent) == ("process jobs", None)
    assert links(run) == [(int(SENDER[3:35], 16), int(SENDER[36:52], 16))]
    assert told(run)["messaging.system"] == "aws_sqs"
    assert told(run)["inference_worker.job"] == "a"
    assert told(run)["inference_worker.settlement"] == "answered"
    assert run.status.status_code is StatusCode.UNSET
    assert (call.name, call.kind) == ("chat eu.test.model-1", SpanKind.CLIENT)
    assert told(call)["gen_ai.provider.name"] == "aws.bedrock"
    assert told(call)["gen_ai.request.model"] == "eu.test.model-1"
    assert told(call)["cloud.region"] == "eu-west-1"
    assert (told(call)["gen_ai.usage.input_tokens"], told(call)["gen_ai.usage.output_tokens"]) == (
        10,
        20,
    )
    assert call.context.trace_id == run.context.trace_id
    assert call.end_time is not None
    assert call.start_time is not None
    assert call.end_time - call.start_time == 2_000_000_000
    (settled,) = scene.told.of(JobSettled)
    assert int(settled.trace_id, 16) == run.context.trace_id
    assert settled.linked_to == SENDER[3:52]


def test_a_parked_job_is_two_traces_the_second_linked_to_the_first() -> None:
    async def play(scene: Scene) -> None:
        scene.world.model.mood = in_turn(Reply(SLOW_DOWN, 0.1), Reply(answer(), 1.0))
        scene.world.submit(id="a", prompt="Why?")

    scene = played(play)

    first, *others = scene.runs()
    last = others[-1]
    assert told(first)["inference_worker.settlement"] == "parked"
    assert told(first)["messaging.destination.name"] == "jobs"
    assert told(last)["messaging.destination.name"] == "parked"
    for before, after in zip(scene.runs(), others, strict=False):
        assert links(after) == [(before.context.trace_id, before.context.span_id)]
        assert after.context.trace_id != before.context.trace_id
    (failed,) = scene.parts(first)
    assert told(failed)["error.type"] == "throttled"
    assert told(failed)["http.response.status_code"] == 429
    assert failed.status.status_code is StatusCode.ERROR


def test_an_upgrade_is_linked_to_the_run_that_gave_the_degraded_answer() -> None:
    def mood(call: ModelCall) -> Reply:
        return Reply(DOWN if upgraded(call.job) is None else answer(), 0.5)

    async def play(scene: Scene) -> None:
        scene.world.model.mood = mood
        scene.world.submit(id="a", prompt="Why?")

    scene = played(play, route=UPGRADED)

    degraded, *_, better = scene.runs()
    assert told(degraded)["inference_worker.settlement"] == "degraded"
    assert [part.name for part in scene.parts(degraded)] == [
        "chat eu.test.model-1",
        "degraded sorry",
    ]
    assert told(better)["inference_worker.job"] == "a+upgrade"
    first = scene.runs()[1]
    assert links(first) == [(degraded.context.trace_id, degraded.context.span_id)]


def test_a_job_that_died_is_an_error() -> None:
    async def play(scene: Scene) -> None:
        scene.world.model.mood = always(REJECTED, 0.1)
        scene.world.submit(id="a", prompt="Why?")

    scene = played(play)

    (run,) = scene.runs()
    assert run.status.status_code is StatusCode.ERROR
    assert told(run)["error.type"] == "rejected"


def test_what_kept_a_call_back_is_an_event_of_the_run() -> None:
    async def play(scene: Scene) -> None:
        scene.world.model.mood = in_turn(Reply(SLOW_DOWN, 0.1), Reply(answer(), 0.1))
        for n in range(20):
            scene.world.submit(id=f"a-{n}", prompt="Why?")

    scene = played(play)

    events = [event for run in scene.runs() for event in run.events]
    assert {event.name for event in events} == {"call.refused"}
    assert {dict(e.attributes or {})["inference_worker.breaker.state"] for e in events} == {"paced"}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_share_of_the_runs_is_traced_and_the_others_say_so(share: float) -> None:
    async def play(scene: Scene) -> None:
        scene.world.model.mood = in_turn(Reply(SLOW_DOWN, 0.1), Reply(answer(), 0.1))
        for n in range(40):
            scene.world.submit(id=f"a-{n}", prompt="Why?", reply_to="answers")

    scene = played(play, share=share)

    settled = scene.told.of(JobSettled)
    chosen = {one.trace_id for one in settled if one.trace_id}
    assert {f"{run.context.trace_id:032x}" for run in scene.runs()} == chosen
    assert (len(chosen) == 0) if share == 0 else (0 < len(chosen) < len(settled))
    flags = {reply.attributes["traceparent"][-2:] for reply in scene.world.replies.peek()}
    assert flags == ({"00"} if share == 0 else {"00", "01"})


def test_without_traces_no_message_carries_a_context() -> None:
    async def main() -> set[str]:
        world = World(routes={"default": ROUTE})
        worker = LivingWorker(world, "w1")
        world.submit(id="a", prompt="Why?", reply_to="answers")
        await until_quiet(world)
        await worker.drain()
        assert {one.trace_id for one in worker.told.of(JobSettled)} == {""}
        return {name for reply in world.replies.peek() for name in reply.attributes}

    assert in_virtual_time(main()) == {"iw-job", "iw-status", "iw-quality"}


def test_a_run_that_died_leaves_its_calls_to_no_other() -> None:
    async def main() -> Scene:
        scene = Scene()
        scene.world.model.mood = in_turn(Reply(DOWN, 0.1), Reply(answer(), 0.1))
        scene.world.submit(id="a", prompt="Why?")
        scene.worker.wire.latency_s = 35.0  # every call takes longer than a lease
        await asyncio.sleep(200)
        scene.worker.wire.latency_s = 0.01
        await until_quiet(scene.world, within_s=4000.0)
        await scene.worker.drain()
        return scene

    scene = in_virtual_time(main(), limit_s=20_000)

    for run in scene.runs():
        one = int(told(run)["inference_worker.fence"])
        assert len(scene.parts(run)) <= 2, f"claim {one} has its own calls only"
        for part in scene.parts(run):
            assert part.start_time is not None
            assert run.start_time is not None
            assert part.start_time >= run.start_time


def refused(job: str) -> CallRefused:
    return CallRefused(job=job, breaker="near", why="open", retry_after_s=0.5, version=1)


@pytest.mark.parametrize(
    "last",
    [
        LeaseLost(job="a", why="refused"),
        FlightFailed(job="a", error="KeyError", where="x.py:1"),
        DeliverySkipped(job="a", why="stale"),
    ],
)
def test_a_run_whose_end_nobody_tells_leaves_nothing_to_the_next(last: Event) -> None:
    async def play(scene: Scene) -> None:
        scene.spans(refused("a"))
        scene.spans(last)
        scene.spans(DeliverySkipped(job="a", why="running_here"))
        scene.world.submit(id="a", prompt="Why?")

    [run] = played(play).runs()

    assert not run.events


def test_a_run_that_is_refused_all_day_is_told_with_its_first_refusals() -> None:
    async def play(scene: Scene) -> None:
        for _ in range(PARTS_MAX * 2):
            scene.spans(refused("a"))
        scene.world.submit(id="a", prompt="Why?")

    [run] = played(play).runs()

    assert len(run.events) == PARTS_MAX


def test_a_courier_that_breaks_costs_spans_and_no_job() -> None:
    async def play(scene: Scene) -> None:
        services = asyncio.create_task(scene.spans.run())
        scene.world.submit(id="a", prompt="Why?")
        await asyncio.sleep(30)
        services.cancel()

    scene = played(play, kept=Kept(broken=True))

    assert scene.world.statuses() == {"answered": 1}
    assert [lost.why for lost in scene.told.of(SpansLost)] == ["unmakeable"]


def test_no_span_holds_text_of_a_job_or_an_answer() -> None:
    async def play(scene: Scene) -> None:
        scene.world.model.mood = in_turn(Reply(SLOW_DOWN, 0.1), Reply(answer("CANARY"), 1.0))
        scene.world.submit(id="a", prompt="CANARY", metadata={"x": "CANARY"})
        scene.world.jobs.put(b'{"prompt":"CANARY"', attributes={"traceparent": "CANARY"})

    scene = played(play)

    assert len(scene.runs()) >= 3
    assert "CANARY" not in "".join(span.to_json() for span in scene.kept.spans)
