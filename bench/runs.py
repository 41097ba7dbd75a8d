"""One run of one peer: its own stub, its own process, measured from outside.

CPU time and peak memory are the kernel's account of the ended process (what
`getrusage` tells of a child), so start-up, imports and the stop are in them.
Peak memory starts from what this small process held when it forked; every peer
is far above that.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from resource import struct_rusage
from types import MappingProxyType
from typing import IO, Any, Final

import orjson

from bench.scene import JOBS_QUEUE, MAX_TOKENS, MODEL, TABLE

RUN_MAX_S: Final = 300.0
STOP_MAX_S: Final = 60.0
SLOTS: Final = 100
_SQS: Final = frozenset(
    {
        "ReceiveMessage",
        "DeleteMessage",
        "DeleteMessageBatch",
        "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
        "SendMessage",
        "SendMessageBatch",
        "GetQueueUrl",
        "GetQueueAttributes",
    }
)


class RunFailed(Exception):
    """A run did not end as it should; the message holds the peer's last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run cost.

    Attributes:
        cpu_ms: CPU milliseconds per job, the whole process over all its jobs.
        start_cpu_s: CPU seconds of start-up, up to the first model call.
        rss_mib: Peak resident memory.
        sqs_calls: SQS calls per job, of every kind.
        wall_s: From the first model call to the last delete.
        stub_cpu_ms: What the other side cost per job; no part of `cpu_ms`.
        calls: Calls per job, by operation.
        log_bytes: What it wrote on stdout and stderr, `metric_bytes` of them metrics.
        clock: What a peer with a clock inside said of itself.
    """

    peer: str
    jobs: int
    cpu_ms: float
    start_cpu_s: float
    rss_mib: float
    sqs_calls: float
    wall_s: float
    stub_cpu_ms: float
    calls: Mapping[str, float]
    log_bytes: int = 0
    metric_bytes: int = 0
    clock: Mapping[str, float] = field(default_factory=dict)

    @property
    def jobs_per_s(self) -> float:
        """Indicative only: it depends on what else the machine does."""
        return self.jobs / self.wall_s


def measure(
    peer: str,
    *,
    jobs: int,
    latency_ms: float,
    slots: int = SLOTS,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """Let `peer` work off `jobs` jobs, with more settings in its environment if it has any.

    Raises:
        RunFailed: It did not come to an end in time, or ended badly.
    """
    stub_args = ["-m", "bench.stub", "--jobs", str(jobs), "--latency-ms", str(latency_ms)]
    with tempfile.TemporaryFile() as talk, _child(stub_args, {}, subprocess.PIPE) as stub:
        assert stub.stdout is not None
        lines = _Lines(stub.stdout)
        port = lines.next("port")["port"]
        command, needs = _command(peer, port, slots)
        with _child(command, {**needs, **environment}, talk) as process:
            try:
                lines.next("first", process)
                began, start_cpu_s = time.monotonic(), _cpu_so_far_s(process.pid)
                counts = lines.next("calls", process)
                wall_s = time.monotonic() - began
            except RunFailed as failed:
                msg = f"{peer}: {failed}\n{_tail(talk)}"
                raise RunFailed(msg) from failed
            used = _stop(process)
            if process.returncode not in (0, -signal.SIGTERM):
                msg = f"{peer} ended with {process.returncode}\n{_tail(talk)}"
                raise RunFailed(msg)
        stub_used = _stop(stub)
        log_bytes, metric_bytes, clock = _read(talk)
    calls = counts["calls"]
    return Run(
        peer=peer,
        jobs=jobs,
        cpu_ms=_cpu_s(used) * 1000 / jobs,
        start_cpu_s=start_cpu_s,
        rss_mib=used.ru_maxrss / 1024,
        sqs_calls=sum(n for name, n in calls.items() if name in _SQS) / jobs,
        wall_s=wall_s,
        stub_cpu_ms=_cpu_s(stub_used) * 1000 / jobs,
        calls={name: n / jobs for name, n in sorted(calls.items())},
        log_bytes=log_bytes,
        metric_bytes=metric_bytes,
        clock=clock,
    )


def _read(talk: IO[bytes]) -> tuple[int, int, Mapping[str, float]]:
    """The bytes of its lines, those of metrics among them, and what its clock said."""
    talk.seek(0)
    lines = talk.read().splitlines(keepends=True)
    clocks = [orjson.loads(line) for line in lines if line.startswith(b'{"bench":')]
    size = sum(len(line) for line in lines if not line.startswith(b'{"bench":'))
    return size, sum(len(line) for line in lines if b'"_aws"' in line), (clocks or [{}])[-1]


def _command(peer: str, port: int, slots: int) -> tuple[list[str], dict[str, str]]:
    at = f"http://127.0.0.1:{port}"
    queue = f"{at}/000000000000/{JOBS_QUEUE}"
    if peer not in _WORKERS:
        environment = {"AWS_ENDPOINT_URL": at, "BENCH_QUEUE_URL": queue, "BENCH_TABLE": TABLE}
        return ["-m", "bench.peers", peer, "--slots", str(slots)], environment
    return _WORKERS[peer], {
        "AWS_ENDPOINT_URL": at,
        "WORKER_QUEUE__URL": queue,
        "WORKER_LEDGER__TABLE": TABLE,
        "WORKER_MODEL__ID": MODEL,
        "WORKER_MODEL__MAX_TOKENS": str(MAX_TOKENS),
        "WORKER_SLOTS": str(slots),
    }


_WORKERS: Final = {"worker": ["-m", "worker", "run"], "timed": ["-m", "bench.timed"]}


class _Lines:
    """The JSON lines of the stub, waited for no longer than `RUN_MAX_S`."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe.fileno()
        self._unread = b""

    def next(self, field: str, peer: subprocess.Popen[bytes] | None = None) -> Any:
        """The next line, which tells `field`; `peer` is who has to live until then."""
        until = time.monotonic() + RUN_MAX_S
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._pipe], [], [], 0.5)
            read = os.read(self._pipe, 65_536) if ready else None
            if peer is not None and read is None and peer.poll() is not None:
                msg = f"it ended with {peer.returncode} before its work was done"
                raise RunFailed(msg)
            if read == b"" or time.monotonic() > until:
                msg = f"the stub told no {field!r} within {RUN_MAX_S:g} s"
                raise RunFailed(msg)
            self._unread += read or b""
        line, _, self._unread = self._unread.partition(b"\n")
        told = orjson.loads(line)
        assert field in told, f"expected {field!r}, got {line!r}"
        return told


@contextmanager
def _child(
    arguments: list[str], environment: Mapping[str, str], stdout: int | IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("AWS_", "INFERENCE_WORKER", "WORKER_"))
        and not name.upper().endswith("_PROXY")
    }
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, *arguments],
        env={**clean, **_CREDENTIALS, **environment},
        stdout=stdout,
        stderr=None if stdout == subprocess.PIPE else subprocess.STDOUT,
        cwd=Path(__file__).parents[1],
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def _stop(process: subprocess.Popen[bytes]) -> struct_rusage:
    """SIGTERM, and the kernel's account of the process once it has ended."""
    process.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOP_MAX_S
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used
        if time.monotonic() > until:
            msg = f"process still runs {STOP_MAX_S:g} s after SIGTERM"
            raise RunFailed(msg)
        time.sleep(0.02)


def _cpu_s(used: struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def _cpu_so_far_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tail(talk: IO[bytes]) -> str:
    talk.seek(0)
    return talk.read()[-4000:].decode(errors="replace")
