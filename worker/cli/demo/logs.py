"""What the workers wrote: searched for text that is none of their business."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from worker.cli.demo.children import Child
from worker.cli.demo.facts import Logs


def boot_id(worker: Child) -> str | None:
    """The name that a worker gives itself in the ledger; None until it has told it."""
    for line in _lines(worker.out):
        if line.get("event") == "worker.started":
            return str(line["worker"])
    return None


def failed_calls(workers: Iterable[Child]) -> Counter[str]:
    """Model calls that the workers told as failed, by job."""
    return Counter(str(line["job"]) for worker in workers for line in _failed(worker))


def failed_at(worker: Child, target: str) -> list[float]:
    """When a worker told of each of its failed calls to a target, seconds since 1970."""
    return [float(line["at"]) for line in _failed(worker) if line["target"] == target]


def read(workers: Sequence[Child], phrases: Iterable[str]) -> Logs:
    """Search all that the workers wrote, on stdout and on stderr.

    Args:
        workers: Whose logs to read.
        phrases: What must not be found in them.
    """
    wanted = [phrase.encode() for phrase in phrases]
    size, leaks = 0, []
    for path in (path for worker in workers for path in (worker.out, worker.err)):
        text = path.read_bytes()
        size += len(text)
        leaks += [f"{phrase.decode()!r} is in {path.name}" for phrase in wanted if phrase in text]
    metrics = {
        worker.name: sum("_aws" in line and "Service" in line for line in _lines(worker.out))
        for worker in workers
    }
    return Logs(size_bytes=size, leaks=tuple(leaks), metrics=metrics)


def _failed(worker: Child) -> list[Mapping[str, Any]]:
    made = (line for line in _lines(worker.out) if line.get("event") == "attempt.made")
    return [line for line in made if line["kind"] is not None]


def _lines(path: Path) -> list[Mapping[str, Any]]:
    """The whole lines that are JSON; a killed process may leave half a line."""
    found: list[Mapping[str, Any]] = []
    for line in path.read_bytes().splitlines():
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(told, dict):
            found.append(told)
    return found
