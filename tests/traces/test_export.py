"""Spans over the wire: to a receiver on loopback, to one that is down, and to one that hangs."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from tests.traces.collector import Collector
from worker import wiring
from worker.core.events import JobSettled
from worker.settings import load
from worker.sim.memory import Told
from worker.traces.export import WAITING_MAX, Courier, courier, otlp, resource
from worker.traces.spans import Spans

SETTLED = JobSettled(
    job="a",
    settlement="answered",
    reason="",
    route="default",
    tenant="",
    target="near",
    attempts=1,
    parks=0,
    interruptions=0,
    crashes=0,
    generation=0,
    waited_ms=5,
    worked_ms=20,
    model_ms=10,
    queue="jobs",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
)


@pytest.fixture(params=[False])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    server = Collector(hangs=request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.freed.set()
    server.shutdown()
    thread.join()
    server.server_close()


def spans_to(taker: Courier, told: Told) -> Spans:
    return Spans(
        told,
        taker,
        resource=resource(service="fleet", worker="w1", version="9"),
        version="9",
        targets={},
        at=lambda: 1000.5,
    )


def span() -> ReadableSpan:
    context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan("a span", context, resource=Resource({}), start_time=1, end_time=2)


def test_a_span_arrives_at_the_collector_as_it_was_made(collector: Collector) -> None:
    async def main() -> None:
        async with courier(otlp(collector.url)) as taker:
            spans_to(taker, Told())(SETTLED)

    asyncio.run(main())

    ((path, request),) = collector.requests
    (of,) = request.resource_spans
    (scope,) = of.scope_spans
    (run,) = scope.spans
    assert path == "/v1/traces"
    assert {a.key: a.value.string_value for a in of.resource.attributes}["service.name"] == "fleet"
    assert scope.scope.name == "inference-worker"
    assert (run.trace_id.hex(), run.span_id.hex()) == (SETTLED.trace_id, SETTLED.span_id)
    assert run.name == "process jobs"
    assert run.end_time_unix_nano - run.start_time_unix_nano == 20_000_000


def test_a_collector_that_is_down_costs_the_spans_and_is_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces"

        async def main() -> Courier:
            taker = Courier(otlp(url))
            spans_to(taker, Told())(SETTLED)
            await taker.close(within_s=0.1)  # it would try again for a while
            return taker

        taker = asyncio.run(main())

    assert (taker.lost, taker.why) == (1, "closed")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("collector", [True], indirect=True)
def test_a_collector_that_hangs_keeps_nobody(collector: Collector) -> None:
    async def main() -> Courier:
        taker = Courier(otlp(collector.url), every_s=0.01)
        taker.take(span())
        await asyncio.to_thread(collector.asked.wait)
        for _ in range(WAITING_MAX + 5):
            taker.take(span())
        assert (taker.lost, taker.why) == (5, "queue_full")
        await taker.close(within_s=0.05)
        return taker

    taker = asyncio.run(main())

    assert taker._thread.is_alive(), "it still waits, and nobody for it"
    assert taker._thread.daemon
    assert (taker.lost, taker.why) == (WAITING_MAX + 6, "closed")


def test_an_exporter_that_raises_does_not_stop_the_courier() -> None:
    class Broken:
        calls = 0

        def export(self, _: object) -> None:
            Broken.calls += 1
            raise ValueError

    async def main() -> Courier:
        taker = Courier(Broken(), every_s=0.001)  # type: ignore[arg-type]
        for n in range(3):
            taker.take(span())
            while Broken.calls <= n:
                await asyncio.sleep(0.001)
        await taker.close()
        return taker

    taker = asyncio.run(main())

    assert (taker.lost, taker.why) == (3, "ValueError")


def test_without_the_extra_the_worker_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "worker.traces.export", None)
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs",
        "WORKER_MODEL__ID": "some.model-v1:0",
        "WORKER_TRACES__EXPORTER": "otlp",
    }.items():
        monkeypatch.setenv(name, value)

    code = wiring.run(load())

    assert code == 1
    said = capsys.readouterr().err
    assert "worker.traces.export is not installed" in said
    assert "pip install 'inference-worker[otel]'" in said


def test_a_worker_without_traces_imports_nothing_for_them() -> None:
    look = "import sys, worker.wiring; print([m for m in sys.modules if 'opentelemetry' in m])"

    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
