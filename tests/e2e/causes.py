"""Scripted faults: each is made for real, and `status --why` has to name it.

    python -m tests.e2e.causes docs/status.md     writes the table of that page

A script breaks one thing on a stage of its own, sends jobs, and asks as an operator
does, by the command, until its cause is the first that is named, twice running, or the time
is over.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.stage import Stage
from worker.local.faults import Refuse, Rule
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Answer, Constant, Fail, Hang, Outcome, Page, Reset
from worker.ops.causes import CauseName

WITHIN_S: Final = 150.0
PAUSE_S: Final = 2.0
TWICE: Final = 2
AT_ONCE: Final = 5
JOBS: Final = 40
NOWHERE: Final = "http://bedrock.nowhere.invalid"
CLOSED: Final = "http://127.0.0.1:1"
MARK: Final = "causes"
EXAMPLE: Final = "service errors"

Setting = Callable[[Stage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One fault.

    Attributes:
        name: What is broken.
        how: How it is made.
        wants: The cause that must be named first.
        about: What must be among the things that it is about.
        set_up: Breaks it, and starts the workers.
    """

    name: str
    how: str
    wants: CauseName
    about: str
    set_up: Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one script."""

    script: Script
    named: bool
    first: str
    code: str
    after_s: float  # from the first job or the fault to the first of two right answers
    took_s: float  # the last question to the stores, by the command's own measure
    said: str


def jobs(stage: Stage, count: int = JOBS) -> None:
    stage.send({"id": f"job-{n}", "prompt": "Why?"} for n in range(count))


def settings(stage: Stage, **variables: object) -> None:
    """For workers and the command alike."""
    stage.variables |= {
        name if name.isupper() else f"WORKER_{name.upper()}": str(value)
        for name, value in variables.items()
    }


def model(outcome: Outcome, **variables: object) -> Setting:
    """Every call ends so."""

    def set_up(stage: Stage) -> None:
        settings(stage, **variables)
        stage.mood(Mood(latency=Constant(0.05), chances=(Chance(1.0, outcome),)))
        jobs(stage)
        stage.worker("one", slots=8)

    return set_up


def endpoint(url: str) -> Setting:
    """Models are looked for at this address."""

    def set_up(stage: Stage) -> None:
        jobs(stage)
        stage.worker("one", slots=8, AWS_ENDPOINT_URL_BEDROCK_RUNTIME=url)

    return set_up


def refused(operation: str, code: str, where: str = "") -> Setting:
    """A service refuses, from a moment when workers work."""

    def set_up(stage: Stage) -> None:
        stage.mood(Mood(latency=Constant(0.05)))
        worker = stage.worker("one", slots=4)
        jobs(stage, 4)
        worker.wait_for("job.settled", times=4)
        stage.faults(Rule(operation, Refuse(code), where=where))
        if not operation.startswith("sqs"):
            stage.send({"id": f"more-{n}", "prompt": "Why?"} for n in range(4))

    return set_up


def region_down(stage: Stage) -> None:
    settings(
        stage,
        targets__near__id="near",
        targets__near__region="eu-west-1",
        targets__next__id="next",
        targets__next__region="eu-west-1",
        targets__far__id="far",
        targets__far__region="us-west-2",
        routes__default__targets="near,next,far",
        retry__budget_max=100,
    )
    stage.variables.pop("WORKER_MODEL__ID", None)
    down = Mood(latency=Constant(0.05), chances=(Chance(1.0, Fail("ServiceUnavailableException")),))
    for name in ("near", "next"):
        stage.mood(down, name)
    jobs(stage, 200)
    stage.worker("one", slots=8)


def bad_host(stage: Stage) -> None:
    stage.mood(Mood(latency=Constant(0.3)))
    for name in ("one", "two", "three"):
        stage.worker(name, slots=2)
    stage.worker("bad", slots=2, AWS_ENDPOINT_URL_BEDROCK_RUNTIME=CLOSED)
    jobs(stage, 400)


def malformed(stage: Stage) -> None:
    stage.send(f"no json {n}" for n in range(10))
    stage.worker("one", slots=4)


def held_open(stage: Stage) -> None:
    why = ("--for", "10m", "--reason", "incident 42", "--author", "alice")
    told = stage.command("breaker", "hold-open", "default", *why)
    assert told.returncode == 0, told.stderr
    stage.worker("one", slots=4)
    jobs(stage)


def poison(stage: Stage) -> None:
    """Most jobs are well; some ask what the model refuses."""
    refuse = Fail("ValidationException", message="Malformed input request, please reformat")
    stage.mood(Mood(latency=Constant(0.05), chances=(Chance(0.3, refuse),)))
    jobs(stage, 100)
    stage.worker("one", slots=8)


def crashing(stage: Stage) -> None:
    """A worker that is killed with the same job in hand, again and again."""
    settings(stage, crashes_max=2, queue__lease_s=2)
    stage.mood(Mood(latency=Constant(600.0)))
    jobs(stage, 1)
    for n in range(2):
        worker = stage.worker(f"killed-{n}", slots=1)
        deadline = time.monotonic() + WITHIN_S
        while stage.in_flight() == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        worker.kill()
        time.sleep(2.5)  # its lease lapses
    stage.worker("last", slots=1)


STREAMED: Final = {"model__max_tokens": 2048, "model__slow_s": 1, "model__attempt_s": 20}
SCRIPTS: Final[tuple[Script, ...]] = (
    Script(
        name="throttle",
        how="every call: `ThrottlingException`",
        wants=CauseName.THROTTLED,
        about="default",
        set_up=model(Fail("ThrottlingException", message="Too many requests, please wait")),
    ),
    Script(
        name="daily quota",
        how='every call: `ThrottlingException`, "Too many tokens per day"',
        wants=CauseName.QUOTA_USED_UP,
        about="default",
        set_up=model(Fail("ThrottlingException", message="Too many tokens per day, please wait")),
    ),
    Script(
        name="service errors",
        how="every call: `ServiceUnavailableException`",
        wants=CauseName.SERVICE_ERRORS,
        about="default",
        set_up=model(Fail("ServiceUnavailableException")),
    ),
    Script(
        name="a gateway's page",
        how="every call: 502 with HTML",
        wants=CauseName.SERVICE_ERRORS,
        about="default",
        set_up=model(Page(502)),
    ),
    Script(
        name="connection reset",
        how="every call: a real RST",
        wants=CauseName.SERVICE_ERRORS,
        about="default",
        set_up=model(Reset()),
    ),
    Script(
        name="timeout",
        how="no answer comes; `attempt_s` is 1 s",
        wants=CauseName.TIMED_OUT,
        about="default",
        set_up=model(Hang(), model__attempt_s=1, model__slow_s=1, model__max_tokens=100),
    ),
    Script(
        name="no first token",
        how="a stream does not begin; `first_token_s` is 1 s",
        wants=CauseName.NO_FIRST_TOKEN,
        about="default",
        set_up=model(Hang(), model__first_token_s=1, **STREAMED),
    ),
    Script(
        name="stall",
        how="a stream stops after 3 events; `stall_s` is 1 s",
        wants=CauseName.STALLED,
        about="default",
        set_up=model(Hang(after_events=3), model__stall_s=1, **STREAMED),
    ),
    Script(
        name="access denied",
        how="every call: `AccessDeniedException`",
        wants=CauseName.ACCESS_DENIED,
        about="default",
        set_up=model(Fail("AccessDeniedException")),
    ),
    Script(
        name="bad model id",
        how='every call: "The provided model identifier is invalid."',
        wants=CauseName.MODEL_UNUSABLE,
        about="default",
        set_up=model(
            Fail("ValidationException", message="The provided model identifier is invalid.")
        ),
    ),
    Script(
        name="DNS",
        how="the endpoint's name does not exist",
        wants=CauseName.NAME_UNRESOLVED,
        about="default",
        set_up=endpoint(NOWHERE),
    ),
    Script(
        name="no route to the endpoint",
        how="nobody listens at its address",
        wants=CauseName.UNREACHABLE,
        about="default",
        set_up=endpoint(CLOSED),
    ),
    Script(
        name="Region down",
        how="both targets of one Region fail, the one of another does not",
        wants=CauseName.REGION_DOWN,
        about="eu-west-1",
        set_up=region_down,
    ),
    Script(
        name="clock skew",
        how="every call: `InvalidSignatureException`, as for a wrong clock",
        wants=CauseName.LOCAL_CLOCK,
        about="default",
        set_up=model(Fail("InvalidSignatureException", message="Signature expired", status=403)),
    ),
    Script(
        name="credentials over",
        how="every call: `ExpiredTokenException`",
        wants=CauseName.CREDENTIALS,
        about="default",
        set_up=model(Fail("ExpiredTokenException", message="expired", status=403)),
    ),
    Script(
        name="ledger down",
        how="every request to its table: `ResourceNotFoundException`",
        wants=CauseName.STORE_DOWN,
        about="ledger",
        set_up=refused("dynamodb:*", "ResourceNotFoundException", "inference-worker-jobs"),
    ),
    Script(
        name="breakers' table down",
        how="every request to it: `AccessDeniedException`",
        wants=CauseName.STORE_DOWN,
        about="breakers",
        set_up=refused("dynamodb:*", "AccessDeniedException", "inference-worker-breakers"),
    ),
    Script(
        name="queues down",
        how="every receive: `InternalError`",
        wants=CauseName.STORE_DOWN,
        about="queue",
        set_up=refused("sqs:ReceiveMessage", "InternalError"),
    ),
    Script(
        name="bad host",
        how="one worker of four reaches no model",
        wants=CauseName.ONE_WORKER,
        about="default",
        set_up=bad_host,
    ),
    Script(
        name="poison payload",
        how="3 of 10 jobs: `ValidationException`",
        wants=CauseName.BAD_REQUESTS,
        about="default",
        set_up=poison,
    ),
    Script(
        name="messages that are no jobs",
        how="10 bodies that are no JSON",
        wants=CauseName.MALFORMED_JOBS,
        about="jobs",
        set_up=malformed,
    ),
    Script(
        name="a job that kills workers",
        how="two workers are killed with it in hand",
        wants=CauseName.CRASHES,
        about="jobs",
        set_up=crashing,
    ),
    Script(
        name="answers without content",
        how="every call: 200, and nothing in it",
        wants=CauseName.SERVICE_ERRORS,
        about="default",
        set_up=model(Answer(omit=frozenset({"output", "stopReason", "usage", "metrics"}))),
    ),
    Script(
        name="no worker",
        how="jobs are sent, and none runs",
        wants=CauseName.NO_WORKER,
        about="default jobs",
        set_up=jobs,
    ),
    Script(
        name="held open",
        how="an operator's `breaker hold-open`",
        wants=CauseName.HELD_OPEN,
        about="default",
        set_up=held_open,
    ),
)


def play(script: Script) -> Played:
    """Break it, and ask until it is named twice running, or the time is over."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        script.set_up(stage)
        began = time.monotonic()
        in_a_row, after_s = 0, 0.0
        while True:
            found = asked(stage)
            first: dict[str, Any] = next(iter(found["causes"]), {"name": "-", "of": [], "code": ""})
            after_s = time.monotonic() - began if in_a_row == 0 else after_s
            named = first["name"] == script.wants and script.about in first["of"]
            in_a_row = in_a_row + 1 if named else 0
            if in_a_row == TWICE or time.monotonic() - began > WITHIN_S:
                said = stage.command("status", "--why").stdout
                return Played(
                    script=script,
                    named=in_a_row == TWICE,
                    first=str(first["name"]),
                    code=str(first["code"]),
                    after_s=round(after_s, 1),
                    took_s=float(found["took_s"]),
                    said=said if named else f"{said}\n{stage.tails()}",
                )
            time.sleep(PAUSE_S)


def asked(stage: Stage) -> dict[str, Any]:
    told = stage.command("status", "--why", "--json")
    assert told.returncode in (0, 1), told.stdout + told.stderr
    assert "Traceback" not in told.stderr, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def play_all(scripts: Sequence[Script] = SCRIPTS) -> list[Played]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(play, scripts))


def table(played: Sequence[Played]) -> str:
    """For docs/status.md."""
    rows = [
        f"| {one.script.name} | {one.script.how} | `{one.script.wants}` | "
        f"{'named' if one.named else f'**missed**: `{one.first}`'} | {one.code or '-'} |"
        for one in played
    ]
    named = sum(one.named for one in played)
    return "\n".join(
        [
            f"{named} of {len(played)} named first.",
            "",
            "| Fault | How it is made | Cause | Named first | Its evidence |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def rows_of(page: str) -> list[list[str]]:
    """The rows of the table in the page."""
    part = page.partition(f"<!-- {MARK} -->")[2].partition(f"<!-- /{MARK} -->")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def filled(page: str, name: str, written: str) -> str:
    """The page with this between the marks of that name."""
    part = f"<!-- {name} -->\n\n{written}\n\n<!-- /{name} -->"
    marks = rf"<!-- {name} -->.*?<!-- /{name} -->"
    page, count = re.subn(marks, lambda _: part, page, flags=re.DOTALL)
    assert count == 1, f"the page has one place for {name}"
    return page


def main(page: Path) -> None:
    played = play_all()
    example = next(one.said for one in played if one.script.name == EXAMPLE)
    text = filled(page.read_text(encoding="utf-8"), MARK, table(played))
    shown = f"```console\n$ inference-worker status --why\n{example.strip()}\n```"
    page.write_text(filled(text, "example", shown), encoding="utf-8")
    for one in played:
        sys.stdout.write(
            f"=== {one.script.name}: {one.named} ({one.first}, after {one.after_s} s, "
            f"{one.took_s} s)\n{one.said}\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
