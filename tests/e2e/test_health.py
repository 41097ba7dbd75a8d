"""The health port of a worker process: a loop that stands still, and a drain."""

import http.client
import json
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, Worker, until
from worker.local.moods import Mood
from worker.local.outcomes import Constant


@pytest.fixture
def port() -> Iterator[int]:
    """A port of the test's own: bound and not listened at, so nobody else gets it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def asked(port: int, path: str) -> tuple[int, dict[str, Any]]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
        line.request("GET", path)
        answer = line.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        return answer.status, told


def health(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As a container's health check runs it."""
    return subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-m", "worker", "health", *arguments],
        env={"WORKER_HEALTH__PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


def started(stage: Stage, port: int, **variables: object) -> Worker:
    return stage.worker("one", health__port=port, slots=4, **variables)


def test_a_worker_whose_loop_stands_still_is_not_live(stage: Stage, port: int, note: Note) -> None:
    worker = started(stage, port)
    well = [health(port), health(port, "--ready")]

    worker.send(signal.SIGSTOP)
    stalled = health(port)
    worker.send(signal.SIGCONT)

    assert [one.returncode for one in well] == [0, 0], well
    assert stalled.returncode == 1
    assert "no answer within 2 s" in stalled.stderr
    until(lambda: health(port).returncode == 0, says="it is live again")
    took_ms = []
    for _ in range(10):
        began = time.perf_counter()
        assert health(port).returncode == 0
        took_ms.append((time.perf_counter() - began) * 1000)
    note(f"`health` takes {statistics.median(took_ms):.0f} ms, the whole process")


def test_a_worker_that_drains_is_live_and_not_ready(stage: Stage, port: int) -> None:
    stage.mood(Mood(latency=Constant(600.0)))
    worker = started(stage, port, grace_s=20)
    stage.send([{"id": "long", "prompt": "Why?"}])
    until(lambda: stage.in_flight() == 1, says="the job is in hand")

    worker.send(signal.SIGTERM)
    until(lambda: asked(port, "/readyz")[0] == 503, says="it is not ready")

    assert asked(port, "/readyz")[1] == {
        "live": True,
        "ready": False,
        "why": "it drains",
        "in_flight": 1,
    }
    assert asked(port, "/livez")[0] == 200
    assert health(port).returncode == 0
    assert health(port, "--ready").returncode == 1
    assert worker.ended() == 0
    assert health(port).returncode == 1


def test_hostile_clients_cost_no_job_and_no_answer(stage: Stage, port: int) -> None:
    worker = started(stage, port)
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for n, line in enumerate(lines):
        try:
            line.sendall((b"GET /livez HTTP", b"\x00" * 100_000, b"POST / HTTP/1.1\r\n\r\n")[n % 3])
        except OSError:
            continue  # one of those that were closed at once

    stage.send({"id": f"job-{n}", "prompt": "Why?"} for n in range(20))
    until(stage.settled, says="the jobs are settled all the same")
    until(lambda: health(port).returncode == 0, says="it answers")
    for line in lines:
        line.close()

    assert len(stage.records()) == 20
    assert worker.stop() == 0
    assert "Traceback" not in worker.log()


def test_a_worker_whose_port_is_taken_says_so_and_ends(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stage.variables["WORKER_HEALTH__PORT"] = str(port)

        told = stage.command("run")

    assert told.returncode == 1
    assert f"worker cannot start: 127.0.0.1:{port} cannot be bound" in told.stderr
    assert "Traceback" not in told.stderr
