import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import pytest

from worker.core.events import (
    AttemptMade,
    DeliverySkipped,
    DrainEnded,
    Event,
    FaultUnknown,
    IntakeHeld,
    JobSettled,
    LeaseLost,
    StoreFailed,
    WorkerStarted,
)
from worker.core.fault import Billed, Kind
from worker.core.measures import Names
from worker.core.metric import Way
from worker.core.metrics import CATALOGUE
from worker.core.series import Series
from worker.runtime.gauges import gauges
from worker.runtime.lag import LoopLag
from worker.runtime.telemetry import EVENTS, LEVELS, ORDER, Telemetry
from worker.sim.clock import in_virtual_time

SETTLED = JobSettled(
    job="j-1",
    settlement="answered",
    reason="",
    route="default",
    tenant="acme",
    target="sonnet",
    attempts=1,
    parks=0,
    interruptions=0,
    crashes=0,
    generation=0,
    waited_ms=1500,
    worked_ms=500,
    model_ms=400,
    input_tokens=10,
    output_tokens=20,
    cost_usd=0.25,
)
MADE = AttemptMade(
    job="j-1",
    target="sonnet",
    number=1,
    kind=Kind.THROTTLED,
    code="ThrottlingException",
    http=429,
    duration_ms=4,
    first_token_ms=None,
    slow=False,
    billed=Billed.NO,
    timer="",
    request_id="r-1",
)


class Flushed(list[tuple[float, dict[str, Any]]]):
    def __call__(self, series: Sequence[Series], at: float) -> None:
        self.append((at, {one.metric.name: one.values for one in series}))


def telemetry(**given: Any) -> tuple[Telemetry, io.BytesIO, Flushed]:
    file, flushed = io.BytesIO(), Flushed()
    names = Names(routes=frozenset({"default"}), targets=frozenset({"sonnet"}))
    defaults: dict[str, Any] = {"flush": flushed, "file": file, "at": lambda: 1795421586.8912}
    return Telemetry(service="chat", worker="w-1", names=names, **(defaults | given)), file, flushed


def lines(file: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_an_event_is_one_line_that_begins_with_when_and_what() -> None:
    tell, file, _ = telemetry()

    tell(SETTLED)

    (line,) = lines(file)
    assert list(line)[:5] == ["at", "level", "event", "service", "worker"]
    assert list(line.values())[:5] == [1795421586.891, "info", "job.settled", "chat", "w-1"]
    assert {name: line[name] for name in ("job", "settlement", "cost_usd")} == {
        "job": "j-1",
        "settlement": "answered",
        "cost_usd": 0.25,
    }


def test_a_line_holds_every_field_of_its_event() -> None:
    tell, file, _ = telemetry(level="debug")

    tell(SETTLED)
    tell(MADE)

    settled, made = lines(file)
    assert {field.name for field in fields(JobSettled)} <= set(settled)
    assert {field.name for field in fields(AttemptMade)} <= set(made)
    assert (made["kind"], made["billed"], made["level"]) == ("throttled", "no", "debug")


def test_attempts_are_not_written_by_default_but_always_measured() -> None:
    tell, file, flushed = telemetry()

    tell(MADE)
    tell.flush()

    assert lines(file) == []
    assert flushed[0][1]["ModelErrors"] == (1,)


@pytest.mark.parametrize("level", ORDER)
def test_lines_below_the_level_are_not_written(level: str) -> None:
    tell, file, _ = telemetry(level=level)

    for event in (MADE, SETTLED, LeaseLost(job="j-1", why="claimed_elsewhere")):
        tell(event)

    written = [ORDER.index(line["level"]) for line in lines(file)]
    assert all(n >= ORDER.index(level) for n in written)
    assert len(written) == {"debug": 3, "info": 2, "warning": 1, "error": 0}[level]


def test_a_gauge_may_have_one_number_for_each_label() -> None:
    labels: list[tuple[str, tuple[str, ...], tuple[float, ...]]] = []

    def flush(series: Sequence[Series], _: float) -> None:
        labels.extend((one.metric.name, one.labels, one.values) for one in series)

    tell, _, _ = telemetry(flush=flush, gauges={"Pace": lambda: {"a": 2.5, "b": 0.0}})

    tell.flush()

    assert [one for one in labels if one[0] == "Pace"] == [
        ("Pace", ("a",), (2.5,)),
        ("Pace", ("b",), (0.0,)),
    ]


def test_every_level_belongs_to_an_event_and_is_one() -> None:
    assert set(LEVELS) <= set(EVENTS)
    assert set(LEVELS.values()) <= set(ORDER)


def test_no_event_has_room_for_texts_or_receipts() -> None:
    names = {field.name for kind in EVENTS for field in fields(kind)}

    assert not names & {"body", "prompt", "messages", "text", "content", "output", "receipt"}


@pytest.mark.parametrize(
    "event",
    [
        FaultUnknown(target="sonnet", code="Odd", http=500, fingerprint="0123456789ab"),
        DeliverySkipped(job="j-1", why="finished"),
        IntakeHeld(why="ledger", for_s=1.0),
        StoreFailed(store="ledger", operation="claim", why="timeout"),
        WorkerStarted(worker="w-2", version="1", slots=1, lanes=("default",)),
        DrainEnded(worker="w-2", clean=True, released=0, took_s=1.0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_other_events_are_told_too(event: Event) -> None:
    tell, file, _ = telemetry(level="debug")

    tell(event)

    assert lines(file)[0]["event"] == event.name
    assert tell.lost == 0


def test_a_flush_tells_what_happened_since_the_last_one() -> None:
    tell, _, flushed = telemetry()

    tell(SETTLED)
    tell.flush()
    tell.flush()

    assert flushed[0][1]["JobsTerminal"] == (1,)
    assert flushed[1][1] == {"Heartbeat": (1,)}


def test_gauges_are_read_at_the_flush() -> None:
    tell, _, flushed = telemetry(gauges={"InFlight": lambda: 7, "EventLoopLag": lambda: 0.5})

    tell.flush()

    assert flushed[0][1] == {"Heartbeat": (1,), "InFlight": (7,), "EventLoopLag": (0.5,)}


def test_a_gauge_that_cannot_be_read_keeps_nothing_else_back() -> None:
    def broken() -> float:
        raise KeyError

    tell, _, flushed = telemetry(gauges={"InFlight": broken, "EventLoopLag": lambda: 0.5})

    tell(SETTLED)
    tell.flush()
    tell.flush()

    (_, first), (_, second) = flushed
    assert "JobsTerminal" in first
    assert (first["EventLoopLag"], first["TelemetryLost"]) == ((0.5,), (1,))
    assert (second["Heartbeat"], second["TelemetryLost"]) == ((1,), (1,))


def test_somebody_knows_every_gauge_of_the_catalogue() -> None:
    wanted = {metric.name for metric in CATALOGUE.values() if metric.way is Way.GAUGE}

    assert set(gauges([], LoopLag())) == wanted


def test_a_pipe_that_broke_costs_a_line_and_never_a_job() -> None:
    class Broken(io.BytesIO):
        def write(self, _: Any) -> int:
            raise BrokenPipeError

    tell, _, flushed = telemetry(file=Broken())

    tell(SETTLED)
    tell.flush()

    assert flushed[0][1]["TelemetryLost"] == (1,)
    assert tell.lost == 0


def test_a_flush_that_fails_is_told_by_the_next() -> None:
    flushed = Flushed()
    broken = True

    def flush(series: Sequence[Series], at: float) -> None:
        if broken:
            raise BrokenPipeError
        flushed(series, at)

    tell, _, _ = telemetry(flush=flush)
    tell.flush()
    broken = False
    tell.flush()

    assert flushed[0][1]["TelemetryLost"] == (1,)


def test_metrics_are_flushed_every_few_seconds_and_once_more_at_the_end() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        tell, _, flushed = telemetry(at=loop.time, flush_s=10.0)
        service = asyncio.create_task(tell.run())
        await asyncio.sleep(25)
        service.cancel()
        await asyncio.wait([service])
        return [at for at, _ in flushed]

    assert in_virtual_time(main()) == [10.0, 20.0, 25.0]


def test_a_kill_loses_no_line_that_was_told() -> None:
    program = """
import os, signal
from worker.core.events import LeaseLost
from worker.core.measures import Names
from worker.runtime.telemetry import Telemetry
tell = Telemetry(service="s", worker="w", names=Names(), flush=lambda series, at: None)
for n in range(100):
    tell(LeaseLost(job=str(n), why="x"))
os.kill(os.getpid(), signal.SIGKILL)
"""

    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ran = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", program], capture_output=True, check=False, env=env
    )

    assert ran.returncode == -signal.SIGKILL
    assert [json.loads(line)["job"] for line in ran.stdout.splitlines()] == [
        str(n) for n in range(100)
    ]


def test_telling_is_cheap() -> None:
    tell, _, _ = telemetry()

    def one_us(run: Callable[[], None]) -> float:
        best = float("inf")
        for _ in range(5):
            started = time.thread_time()
            for _ in range(500):
                run()
            best = min(best, (time.thread_time() - started) / 500 * 1e6)
        return best

    # 9 µs where it was written; the bound leaves room for slow and busy machines.
    assert one_us(lambda: tell(SETTLED)) < 75
