"""The demo plays to its end, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.aws_emf.documents import check_line
from worker.cli.demo.mix import FIRST_ACT, JOBS_MIN, Sort, orders
from worker.core.metrics import CATALOGUE

PLAY: Final = "import sys; from worker.cli.demo import demo; sys.exit(demo({jobs}))"
# The logs are gone when all went well: what the workers wrote is copied as it is read.
COPY: Final = """
from pathlib import Path
from worker.cli.demo import logs
read = logs.read
def copied(workers, phrases):
    with Path({to!r}).open("wb") as copy:
        copy.writelines(worker.out.read_bytes() for worker in workers)
    return read(workers, phrases)
logs.read = copied
"""
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


def start(jobs: int, folder: Path, copy_to: Path | None = None) -> subprocess.Popen[str]:
    program = PLAY.format(jobs=jobs)
    if copy_to is not None:
        program = COPY.format(to=str(copy_to)) + program
    return subprocess.Popen(  # noqa: S603  (our own code, our own arguments)
        [sys.executable, "-c", program],
        env={**os.environ, **HOSTILE, "TMPDIR": str(folder), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(200)
def test_every_promise_is_kept(tmp_path: Path) -> None:
    folder, copy = tmp_path / "tmp", tmp_path / "copy"
    folder.mkdir()
    demo = start(120, folder, copy)

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
    assert list(folder.iterdir()) == [], "the logs are deleted when all went well"
    check_metrics(copy.read_bytes().splitlines())


def check_metrics(lines: list[bytes]) -> None:
    """What the workers wrote is what CloudWatch asks for, and what the catalogue lists."""
    whole = [line for line in lines if b'"_aws"' in line and line.endswith(b"}")]
    found: set[str] = set()
    for line in whole:
        document = check_line(line)
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            row = CATALOGUE[metric["Name"]]
            assert metric["Unit"] == row.unit.value
            assert tuple(map(tuple, directive["Dimensions"])) == row.dimensions
            found.add(row.name)
    assert {"JobsGood", "JobsDegraded", "BreakerTransitions", "Probes", "JobsUnparked"} <= found


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
