"""A throttle storm over the wire: worker processes under a quota that nobody tells them.

The bucket of the Bedrock stand-in allows half of what is offered. The calls are counted
where they arrive: by the stand-in, not by the workers. When the storm is over nothing
more is sent, the quota is lifted, and every job must be answered. Run it to write the
table of docs/pacing.md anew; that takes about twelve minutes:

    python -m tests.e2e.storm
"""

import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.e2e.stage import Stage, until
from worker.cli import markdown
from worker.cli.breaker_page import filled
from worker.core.ledger import State
from worker.local.moods import Mood, Throttle
from worker.local.outcomes import LogNormal

PAGE: Final = Path(__file__).parents[2] / "docs" / "pacing.md"
SENT_EVERY_S: Final = 0.2
LATENCY: Final = LogNormal(1.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """One storm. All `_s` are seconds.

    Attributes:
        workers: How many processes, with so many `slots` each.
        offered_per_s: Jobs per second that are sent; half as many calls are allowed.
        start_s: So long the workers may take to find their pace; not measured.
        measured_s: What is measured after it.
    """

    workers: int = 2
    slots: int = 32
    offered_per_s: float
    start_s: float = 30.0
    measured_s: float = 60.0
    seed: int = 1

    @property
    def per_s(self) -> float:
        """Calls per second that the quota allows."""
        return self.offered_per_s / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of it.

    Attributes:
        used: Calls that were answered while it was measured, as a share of those allowed.
        throttled: The share of all calls that were throttled meanwhile.
        calls: All calls that ended meanwhile.
        moves: How often a breaker moved, of a process or of the fleet.
        jobs: How many were sent, over the whole storm.
        answered: How many records say so at the end.
        charged_max: The most attempts that a job was charged.
        dead: Dead letters.
        after_s: From the lifting of the quota until every job was settled.
    """

    storm: Storm
    used: float
    throttled: float
    calls: int
    moves: int
    jobs: int
    answered: int
    charged_max: int
    dead: int
    after_s: float


STORMS: Final = (
    Storm(offered_per_s=5.0),
    *(Storm(offered_per_s=20.0, seed=seed) for seed in (1, 2, 3)),
    Storm(workers=4, slots=16, offered_per_s=20.0),
    Storm(slots=64, offered_per_s=60.0),
)


def played(storm: Storm, stage: Stage) -> Found:
    """Let it happen on a stage of its own."""
    quota = Throttle(requests_per_minute=60.0 * storm.per_s, burst_s=1.0)
    stage.mood(Mood(latency=LATENCY, throttle=quota, seed=storm.seed))
    workers = [
        stage.worker(f"w-{number}", slots=storm.slots, log_level="debug")
        for number in range(storm.workers)
    ]
    sender = _Sender(stage, storm)
    sender.send_for(storm.start_s)
    (good, bad), began = _calls(stage), time.monotonic()
    sender.send_for(storm.measured_s)
    (good_then, bad_then), ended = _calls(stage), time.monotonic()
    stage.mood(Mood(latency=LATENCY))
    until(stage.settled, says="every job is settled", within_s=300)
    after_s = time.monotonic() - ended
    records = stage.records().values()
    served, throttled = good_then - good, bad_then - bad
    return Found(
        storm=storm,
        used=round(served / (storm.per_s * (ended - began)), 3),
        throttled=round(throttled / (served + throttled), 4),
        calls=served + throttled,
        moves=sum(len(worker.lines("breaker.moved")) for worker in workers),
        jobs=sender.sent,
        answered=sum(record.state is State.ANSWERED for record in records),
        charged_max=max(record.attempts for record in records),
        dead=stage.depth(stage.dead_url).total,
        after_s=round(after_s, 1),
    )


class _Sender:
    """Sends jobs at even times, a few at once; who is late catches up."""

    def __init__(self, stage: Stage, storm: Storm) -> None:
        self.sent = 0
        self._stage = stage
        self._dice = random.Random(f"storm:{storm.seed}")  # noqa: S311 - a test's dice
        self._per_s = storm.offered_per_s
        self._next = self._dice.expovariate(self._per_s)
        self._for_s = 0.0

    def send_for(self, for_s: float) -> None:
        began = time.monotonic() - self._for_s
        end_s = self._for_s + for_s
        while self._for_s < end_s:
            self._for_s = min(end_s, time.monotonic() - began)
            due: list[dict[str, str]] = []
            while self._next <= self._for_s:
                due.append({"id": f"job-{self.sent + len(due)}", "prompt": "Hello."})
                self._next += self._dice.expovariate(self._per_s)
            self._stage.send(due)
            self.sent += len(due)
            time.sleep(SENT_EVERY_S)


def _calls(stage: Stage) -> tuple[int, int]:
    """Calls that were answered, and calls that were throttled, so far."""
    ended = dict(stage.stats()["bedrock"]["by_outcome"])
    good, bad = ended.pop("answer", 0), ended.pop("ThrottlingException", 0)
    assert not ended, f"the stand-in had nothing else in mind: {ended}"
    return good, bad


def table(results: Iterable[Found]) -> str:
    """The storms as a table."""
    return markdown.table(
        (
            "Workers x slots",
            "Allowed, calls/s",
            "Offered, jobs/s",
            "Calls measured",
            "Used",
            "Throttled",
            "Moves of breakers",
            "Jobs sent, answered",
            "Dead letters",
            "Attempts, at most",
        ),
        (
            (
                f"{found.storm.workers} x {found.storm.slots}",
                f"{found.storm.per_s:g}",
                f"{found.storm.offered_per_s:g}",
                f"{found.calls}",
                f"{found.used:g}",
                f"{found.throttled:g}",
                f"{found.moves}",
                f"{found.jobs}, {found.answered}",
                f"{found.dead}",
                f"{found.charged_max}",
            )
            for found in results
        ),
    )


def _alone(storm: Storm) -> Found:
    with TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        found = played(storm, stage)
    sys.stderr.write(f"{found}\n")
    return found


if __name__ == "__main__":
    text = table(_alone(storm) for storm in STORMS)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(page, {"wire": text}), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
