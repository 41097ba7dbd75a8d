"""The demo plays to its end, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from worker.cli.demo.mix import FIRST_ACT, JOBS_MIN, Sort, orders

PLAY: Final = "import sys; from worker.cli.demo import demo; sys.exit(demo({jobs}))"
# What a shell may hold, and must not reach the workers: each of these would spoil the demo.
HOSTILE: Final = {
    "AWS_PROFILE": "nobody",
    "AWS_ENDPOINT_URL": "http://192.0.2.1:9",
    "AWS_REGION": "mars-north-1",
    "HTTP_PROXY": "http://192.0.2.1:9",
    "WORKER_SLOTS": "no number",
    "WORKER_UNKNOWN": "1",
    "ECS_AGENT_URI": "http://192.0.2.1:9",
}


def start(jobs: int, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  (our own code, our own arguments)
        [sys.executable, "-c", PLAY.format(jobs=jobs)],
        env={**os.environ, **HOSTILE, "TMPDIR": str(folder), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(200)
def test_every_promise_is_kept(tmp_path: Path) -> None:
    demo = start(120, tmp_path)

    told, _ = demo.communicate(timeout=180)

    assert demo.returncode == 0, told
    assert "17 of 17 promises kept" in told
    assert "✗" not in told
    assert "opens the circuit of near for" in told
    assert "opens the circuit of far for" in told
    assert "half-open, round 1" in told
    assert "closes the circuit of near" in told
    assert '"target": "far", "region": "us-west-2"' in told
    assert '"handler": "before"' in told
    assert "parked, then released" in told
    assert "SIGKILL" in told
    assert "SIGTERM" in told
    assert list(tmp_path.iterdir()) == [], "the logs are deleted when all went well"


@pytest.mark.timeout(90)
def test_ctrl_c_ends_every_process_that_was_started(tmp_path: Path) -> None:
    demo = start(120, tmp_path)
    assert demo.stdout is not None
    seen: list[int] = []
    while len(seen) < 2 and (line := demo.stdout.readline()):
        seen += [int(pid) for pid in re.findall(r"pid (\d+)", line)]
    assert all(is_there(pid) for pid in seen)

    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert not any(is_there(pid) for pid in seen)
    assert list(tmp_path.iterdir()) == []


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_mix_has_every_sort_and_every_job_a_fate() -> None:
    for jobs in (JOBS_MIN, 300):
        mix = orders(jobs, "canary")

        assert len(mix) == jobs
        assert {order.sort for order in mix} == set(Sort) - FIRST_ACT
        assert all(bool(order.dies) != bool(order.answer) for order in mix)
        assert all("canary" in (order.body or str(order.tree)) for order in mix)
