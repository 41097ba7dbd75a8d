"""`inference-worker run` with a clock around all that is told; `bench/telemetry.py` starts it.

    python -m bench.timed     the settings come from the environment, as a worker's do

The clock counts CPU time of the one thread that tells: making the two events of a job,
telling every event, and every flush with its rendering and its writes. The last line on
stdout says what it came to, and what the process took meanwhile.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from worker.core.events import AttemptMade, DrainEnded, JobSettled, WorkerStarted
from worker.runtime.telemetry import Telemetry
from worker.settings import load_all
from worker.wiring import run

EMPTY: Final = 20_000  # calls of nothing, to know what looking at the clock takes


@dataclass(slots=True)
class Clock:
    """What was spent on telling, in nanoseconds of CPU, and how often."""

    spent_ns: int = 0
    calls: int = 0
    look_ns: float = 0.0
    began_s: float = 0.0
    took_s: float = 0.0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, counted."""

        def counted(*args: Any, **more: Any) -> Any:
            began = time.thread_time_ns()
            try:
                return call(*args, **more)
            finally:
                self.spent_ns += time.thread_time_ns() - began
                self.calls += 1

        return counted

    def calibrate(self) -> None:
        """Learn what it counts around a call that does nothing."""
        nothing = self.around(lambda: None)
        for _ in range(EMPTY):
            nothing()
        self.look_ns = self.spent_ns / self.calls

    def hears(self, event: object) -> None:
        """Start-up and the way out are no part of what a job costs."""
        if isinstance(event, WorkerStarted):
            self.began_s, self.spent_ns, self.calls = time.process_time(), 0, 0
        elif isinstance(event, DrainEnded):
            self.took_s = time.process_time() - self.began_s

    def said(self) -> dict[str, float | str]:
        """What it came to, in seconds, without its own looks."""
        spent_ns = self.spent_ns - self.calls * self.look_ns
        return {"bench": "telemetry", "cpu_s": spent_ns / 1e9, "of_s": self.took_s}


def main() -> int:
    """Run a worker, and say what its telling took."""
    clock = Clock()
    clock.calibrate()
    tell, flush = clock.around(Telemetry.__call__), clock.around(Telemetry.flush)

    def told(telemetry: Telemetry, event: Any) -> None:
        clock.hears(event)
        tell(telemetry, event)

    # The classes stay what they are: others match events by them.
    for one, name, counted in (
        (Telemetry, "__call__", told),
        (Telemetry, "flush", flush),
        (AttemptMade, "__init__", clock.around(AttemptMade.__init__)),
        (JobSettled, "__init__", clock.around(JobSettled.__init__)),
    ):
        setattr(one, name, counted)
    code = run(load_all(os.environ, None).settings)
    sys.stdout.write(orjson.dumps(clock.said()).decode() + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
