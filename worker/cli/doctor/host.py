"""What can be known of the host and the task: clock, stop timeout, memory, files.

Pure, but for one question to the agent of ECS, which answers inside every task. It knows
no `stopTimeout`: that is in the task definition alone, so doctor says what to set there.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from worker.aws.clients import pools
from worker.cli.doctor.finding import Finding, green, red, yellow
from worker.settings import Settings
from worker.words.breaker import span

METADATA: Final = "ECS_CONTAINER_METADATA_URI_V4"
STOP_MARGIN_S: Final = 10.0  # after the grace: to give back, to flush, to end
FARGATE_STOP_MAX_S: Final = 120
ECS_STOP_S: Final = 30  # unless the task definition says otherwise
REFUSED_S: Final = 240.0  # AWS refuses a signature that is five minutes off
FILES_SPARE: Final = 64  # standard streams, the health port, what libraries hold
MIB: Final = 1_048_576
PROCESS_BYTES: Final = 128 * MIB  # of a worker with small jobs: docs/bench.md


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """When an answer of AWS came, and what its `Date` says, in seconds since 1970."""

    sent_at: float
    received_at: float
    date_at: float


def offset_of(answers: list[Answered]) -> tuple[float, float] | None:
    """How far our clock is ahead of AWS's, at least and at most; None without an answer.

    A `Date` has whole seconds, and an answer is on its way for a while: each answer leaves
    a range, and together they leave a smaller one.

    >>> offset_of([Answered(sent_at=100.5, received_at=100.75, date_at=100.0)])
    (-0.5, 0.75)
    """
    if not answers:
        return None
    low = max(one.sent_at - one.date_at - 1.0 for one in answers)
    high = min(one.received_at - one.date_at for one in answers)
    return (low, high) if low <= high else (high, low)  # a clock that was set meanwhile


def clock_findings(offset: tuple[float, float] | None, skew_s: float) -> Iterator[Finding]:
    """How far the clock is off. `skew_s` is how far two workers' may be apart."""
    if offset is None:
        yield yellow(
            "clock",
            "how far the clock is off is not known.",
            "No answer of AWS came.",
            "Ask again.",
        )
        return
    low, high = offset
    off_s = low if low > 0 else -high if high < 0 else 0.0
    how = "ahead of" if low > 0 else "behind"
    mend = ("Let the host follow a time server:", "timedatectl set-ntp true")
    if off_s >= REFUSED_S:
        yield red(
            "clock",
            f"the clock is {span(off_s)} {how} AWS's.",
            "At five minutes AWS refuses every request.",
            *mend,
        )
    elif off_s >= max(skew_s, 1.0):
        yield yellow(
            "clock",
            f"the clock is {span(off_s)} {how} AWS's, more than queue.clock_skew_s ({skew_s:g} s).",
            "A worker that is ahead takes over jobs whose lease still runs, and pays for a second "
            "call.",
            *mend,
        )
    else:
        yield green("clock", f"at most {max(abs(low), abs(high)):.1f} s off")


def stop_findings(
    grace_s: float, task: Mapping[str, Any] | None, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether whoever stops us waits long enough. `task` is what ECS tells of it."""
    needed_s = math.ceil(grace_s + STOP_MARGIN_S)
    causes = "Jobs in hand would be cut off, and wait until their lease lapses."
    if task is not None:
        fargate = task.get("LaunchType") == "FARGATE"
        family = f"{task.get('Family', '<family>')}:{task.get('Revision', '<revision>')}"
        if fargate and needed_s > FARGATE_STOP_MAX_S:
            most_s = FARGATE_STOP_MAX_S - STOP_MARGIN_S
            yield red(
                "stop timeout",
                f"a stop needs {needed_s} s, and Fargate allows {FARGATE_STOP_MAX_S}.",
                causes,
                "Set:",
                f"WORKER_GRACE_S={most_s:g}",
            )
            return
        yield yellow(
            "stop timeout",
            f"whether the task is given {needed_s} s to stop cannot be seen from inside.",
            f"ECS kills after {ECS_STOP_S} s unless the task definition says otherwise. {causes}",
            f'Let its container say "stopTimeout": {needed_s}. What it says now:',
            f"aws ecs describe-task-definition --task-definition {family} "
            "--query 'taskDefinition.containerDefinitions[].[name,stopTimeout]'",
        )
    elif "KUBERNETES_SERVICE_HOST" in environ:
        yield yellow(
            "stop timeout",
            f"whether the pod is given {needed_s} s to stop cannot be seen from inside.",
            f"A kubelet kills after 30 s unless the pod says otherwise. {causes}",
            "In the pod's spec:",
            f"terminationGracePeriodSeconds: {needed_s}",
        )
    else:
        yield green("stop timeout", f"no ECS here; whoever stops a worker should wait {needed_s} s")


def memory_findings(bytes_max: int, task: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Whether what jobs may hold fits into the task."""
    limits = (task or {}).get("Limits") or {}
    if not (mib := limits.get("Memory")):
        return
    needed = math.ceil((2 * bytes_max + PROCESS_BYTES) / MIB)  # a body, and what is made of it
    if mib < needed:
        yield yellow(
            "memory",
            f"the task has {mib:g} MiB, and {needed} may be needed (WORKER_BYTES_MAX is "
            f"{bytes_max}).",
            "A task that runs out is killed with all its jobs in hand.",
            f"Give the task at least {needed} MiB, or set:",
            f"WORKER_BYTES_MAX={max(11 * MIB, int(mib * MIB - PROCESS_BYTES) // 2)}",
        )
    else:
        yield green("memory", f"{mib:g} MiB, of which {needed} may be needed")


def pool_findings(settings: Settings, files_max: int) -> Iterator[Finding]:
    """Whether every connection may have its file. `files_max` is what this process may open."""
    lanes, regions = settings.all_lanes(), {t.region for t in settings.all_targets().values()}
    sizes = pools(pollers=len(lanes) * (settings.queue.pollers_max + 1), slots=settings.slots)
    most = sizes.connections(regions=len(regions), tasks=settings.task_tokens)
    if files_max < most + FILES_SPARE:
        yield red(
            "pools",
            f"{most} connections may be open at once, and this process may open {files_max} files.",
            "Beyond it every call fails for a reason of our own (local).",
            "Allow more files (on ECS: `ulimits` of the container), or lower WORKER_SLOTS:",
            f"ulimit -n {most + 2 * FILES_SPARE}",
        )
    elif settings.slots + 2 > sizes.dynamodb:
        yield yellow(
            "pools",
            f"{settings.slots} slots share {sizes.dynamodb} connections to DynamoDB.",
            "Where many jobs end at once, some wait for a connection.",
            "Run more tasks with fewer slots:",
            f"WORKER_SLOTS={sizes.dynamodb - 2}",
        )
    else:
        yield green("pools", f"{most} connections at most, and {files_max} files may be open")


async def task_of(environ: Mapping[str, str], *, limit_s: float) -> Mapping[str, Any] | None:
    """What the agent of ECS tells of our task; None where there is none."""
    uri = environ.get(METADATA)
    if not uri:
        return None
    timeout = aiohttp.ClientTimeout(total=limit_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as http,
            http.get(f"{uri.rstrip('/')}/task") as response,
        ):
            told = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
