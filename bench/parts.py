"""What the worker's own steps cost for one job, in microseconds of CPU.

Together they are what a job costs beyond the SDK's calls and the event loop:
the rest of a job's CPU time is aiobotocore's, at about half a millisecond per call.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from bench.scene import ANSWER, MODEL, PROMPT
from worker.aws.emf import flusher
from worker.aws.ledger_item import decode, encode
from worker.core.answer import Answer, Usage
from worker.core.envelope import parse
from worker.core.events import AttemptMade, JobSettled
from worker.core.fault import Billed
from worker.core.job import Job, Limits
from worker.core.ledger import Attempt, Record, State
from worker.core.measures import Names
from worker.core.plan import Seen, plan
from worker.core.result import Run, build
from worker.core.route import Route
from worker.core.settlement import Answered
from worker.core.target import Target
from worker.runtime.telemetry import Telemetry

TIMES: Final = 2000
REPEATS: Final = 7

TARGET: Final = Target(name="default", model=MODEL)
ATTEMPT: Final = Attempt(number=1, target="default", duration_ms=21, request_id="0" * 36)
SETTLED: Final = JobSettled(
    job="0" * 36,
    settlement="answered",
    reason="",
    route="default",
    tenant="",
    target="default",
    attempts=1,
    parks=0,
    interruptions=0,
    crashes=0,
    generation=0,
    waited_ms=12,
    worked_ms=25,
    model_ms=20,
    input_tokens=420,
    output_tokens=160,
)
MADE: Final = AttemptMade(
    job="0" * 36,
    target="default",
    number=1,
    kind=None,
    code="",
    http=None,
    duration_ms=21,
    first_token_ms=None,
    slow=False,
    billed=Billed.YES,
    timer="",
    request_id="0" * 36,
)


def measure() -> Iterator[dict[str, Any]]:
    """One line for each part: the fastest of several rounds, and the sum of all."""
    total = 0.0
    for name, step in _steps():
        took_us = _fastest_us(step)
        total += took_us
        yield {"result": "part", "part": name, "us_per_job": took_us}
    yield {"result": "part", "part": "all", "us_per_job": total}


def _fastest_us(step: Callable[[], object]) -> float:
    fastest = float("inf")
    for _ in range(REPEATS):
        began = time.process_time_ns()
        for _ in range(TIMES):
            step()
        fastest = min(fastest, time.process_time_ns() - began)
    return fastest / TIMES / 1000


def _steps() -> Iterator[tuple[str, Callable[[], object]]]:
    body = orjson.dumps({"prompt": PROMPT})
    job = parse(body, Limits())
    assert isinstance(job, Job)
    yield "parse the envelope", lambda: parse(body, Limits())

    route, seen = Route(name="default", targets=(TARGET,)), Seen()
    yield "plan", lambda: plan(route, seen, roll=0.5)

    usage = Usage(input=420, output=160)
    answer = Answer(content=({"text": ANSWER},), stop_reason="end_turn", usage=usage, model_ms=20)
    ended, run = Answered(answer=answer, target=TARGET), _run()
    result = orjson.dumps(build(ended, job, run))
    yield "build the result envelope", lambda: orjson.dumps(build(ended, job, run))

    running = _record()
    answered = replace(
        running, state=State.ANSWERED, history=(ATTEMPT,), result=result, finished_at=1.0
    )
    claimed, finished = encode(running, keep_s=60), encode(answered, keep_s=60)
    yield "write the ledger item at the finish", lambda: encode(answered, keep_s=60)
    yield "read the ledger item, claim and finish", lambda: (decode(claimed), decode(finished))

    with Path("/dev/null").open("wb", buffering=0) as nowhere:
        flush = flusher(nowhere.write, namespace="bench", service="bench", worker="bench")
        names = Names(routes=frozenset({"default"}), targets=frozenset({"default"}))
        telemetry = Telemetry(
            service="bench", worker="bench", names=names, flush=flush, file=nowhere
        )
        yield "tell its two events, and its share of a flush", _told(telemetry)


def _told(telemetry: Telemetry) -> Callable[[], None]:
    """Tells one job; every so often, as a busy worker does every ten seconds, flushes."""
    jobs = 0

    def step() -> None:
        nonlocal jobs
        telemetry(MADE)
        telemetry(SETTLED)
        jobs += 1
        if jobs == TIMES:
            telemetry.flush()
            jobs = 0

    return step


def _run() -> Run:
    return Run(
        job_id="0" * 36,
        worker="0" * 16,
        queue_ms=12,
        total_ms=40,
        backoff_ms=0,
        attempts=(ATTEMPT,),
        attempts_total=1,
        deadline_at=None,
    )


def _record() -> Record:
    return Record(
        job="0" * 36,
        state=State.RUNNING,
        fence=1,
        owner="0" * 16,
        nonce="0" * 32,
        lease_until=1.5,
        attempts=1,
        doorbells=frozenset({"0" * 36}),
        digest="0" * 16,
        sent_at=1.5,
        route="default",
    )
