"""The demo plays to its end, and its judge believes no lie."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from worker.cli.demo.circuit import Bout, Circuit, Count, Turn
from worker.cli.demo.facts import Calls, Facts, Kill, Leave, Letter, Logs, Row
from worker.cli.demo.mix import JOBS_MIN, Order, Sort, orders
from worker.cli.demo.promises import judge

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
    assert "14 of 14 promises kept" in told
    assert "✗" not in told
    assert "opens the fleet's circuit for" in told
    assert "half-open, round 1" in told
    assert "closes the circuit" in told
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
        assert {order.sort for order in mix} == set(Sort) - {Sort.BROWNOUT, Sort.OUTAGE}
        assert all(bool(order.dies) != bool(order.answer) for order in mix)
        assert all("canary" in (order.body or str(order.tree)) for order in mix)


# --- the judge -----------------------------------------------------------------

GOOD: Final = Order(sort=Sort.SHORT, tree={"id": "good"}, answer="blue")
TWICE: Final = Order(sort=Sort.TWICE, tree={"id": "twice"}, answer="blue, too")
LOST: Final = Order(sort=Sort.STREAMED, tree={"id": "lost"}, answer="blue as well")
BAD: Final = Order(sort=Sort.MALFORMED, body="{", dies="not_json")

DELAYED: Final = Order(sort=Sort.BROWNOUT, tree={"id": "delayed"}, answer="blue, later")
PARKED: Final = Order(sort=Sort.OUTAGE, tree={"id": "parked"}, answer="blue at last")


def answered(job: str, text: str, *, calls: int = 1) -> Row:
    envelope = {
        "job_id": job,
        "status": "ok",
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "usage": {"input": 1, "output": 1, "cost_usd": 0.0},
        "attempts": [attempt(n, "unavailable", 503) for n in range(1, calls)]
        + [attempt(calls, "ok", 200)],
    }
    return Row(job=job, state="answered", charged=calls, envelope=envelope)


def attempt(number: int, kind: str, http: int) -> dict[str, object]:
    return {"n": number, "kind": kind, "http": http, "duration_ms": 1}


def turn(version: int, old: str, new: str, at_s: float, **more: float) -> Turn:
    return Turn(
        breaker="default",
        version=version,
        old=old,
        new=new,
        share=more.get("share", 0.0),
        round=int(more.get("round", 0)),
        rest_s=2.0,
        why="so it was",
        by="worker-1",
        at_s=at_s,
    )


def circuit() -> Circuit:
    """A brown-out until 5, an outage from 10 to 20; three probes in vain, and a good one."""
    return Circuit(
        turns=(
            turn(1, "closed", "open", 14),
            turn(2, "open", "half_open", 16, round=1),
            turn(9, "half_open", "open", 17, round=1),
            turn(10, "open", "half_open", 21, round=2),
            turn(13, "half_open", "ramp", 22, round=2, share=0.2),
            turn(14, "ramp", "ramp", 23, round=2, share=0.5),
            turn(15, "ramp", "closed", 24, round=2, share=1.0),
        ),
        counts=(
            Count(0.0, 0, 0),
            Count(9.0, 10, 3),
            Count(15.0, 30, 23),  # two more than at 14: they were under way
            Count(16.5, 33, 26),
            Count(20.0, 33, 26),
            Count(21.9, 34, 26),
            Count(30.0, 60, 26),
        ),
        brownout=Bout(began_s=0.0, ended_s=5.0, calls=10, failed=3),
        outage=Bout(began_s=10.0, ended_s=20.0, calls=23, failed=23),
        probes=3,
        ramp=(0.2, 0.5),
        failed_by={"worker-1": 12, "worker-2": 11},
        stopped_s={"worker-1": 14.2, "worker-2": 14.9},
    )


def kept() -> Facts:
    """A good job with a retry, one sent twice, one hit by the kill, a bad one; two of act one."""
    return Facts(
        orders={
            "good": GOOD,
            "twice": TWICE,
            "lost": LOST,
            "bad": BAD,
            "delayed": DELAYED,
            "parked": PARKED,
        },
        rows={
            "good": answered("good", GOOD.answer, calls=2),
            "twice": answered("twice", TWICE.answer),
            "lost": answered("lost", LOST.answer),
            "bad": Row(job="bad", state="dead", reason="not_json"),
            "delayed": answered("delayed", DELAYED.answer, calls=2),
            "parked": answered("parked", PARKED.answer, calls=3),
        },
        looks=10,
        rewritten=frozenset(),
        letters=(Letter(job="bad", reason="not_json", fingerprint="f", detail="", body="{"),),
        left={"jobs queue": 0, "parked queue": 0},
        calls=Calls(
            total=10,
            by_ending={"answer": 5, "client_gone": 1, "ServiceUnavailableException": 4},
            by_job={"good": 2, "twice": 1, "lost": 2, "delayed": 2, "parked": 3},
        ),
        kill=Kill(worker="worker-1", in_hand=frozenset({"lost"}), calling=frozenset({"lost"})),
        drain=Leave(worker="worker-2", exit_code=0, took_s=1.0, in_hand=3),
        leaves=(Leave(worker="worker-3", exit_code=0, took_s=1.0),),
        grace_s=10.0,
        circuit=circuit(),
        logs=Logs(size_bytes=1, leaks=(), metrics={"worker-1": 1}),
        took_s=30.0,
    )


def broken(facts: Facts) -> list[str]:
    return [promise.says for promise in judge(facts) if not promise.kept]


def test_kept_promises_are_told_as_kept() -> None:
    assert broken(kept()) == []


def row(job: str, **changes: object) -> Callable[[Facts], Facts]:
    def lie(facts: Facts) -> Facts:
        changed = replace(facts.rows[job], **changes)  # type: ignore[arg-type]
        return replace(facts, rows={**facts.rows, job: changed})

    return lie


def calls(by_job: dict[str, int], **by_ending: int) -> Callable[[Facts], Facts]:
    def lie(facts: Facts) -> Facts:
        seen = facts.calls
        return replace(
            facts,
            calls=replace(
                seen,
                by_job={**seen.by_job, **by_job},
                by_ending={**seen.by_ending, **by_ending},
            ),
        )

    return lie


def also(**changes: object) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, **changes)  # type: ignore[arg-type]


def without(job: str) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, rows={j: r for j, r in facts.rows.items() if j != job})


def fleet(**changes: object) -> Callable[[Facts], Facts]:
    return also(circuit=replace(circuit(), **changes))  # type: ignore[arg-type]


STEPS: Final = circuit().turns
COUNTS: Final = circuit().counts

LIES: Final[dict[str, tuple[Callable[[Facts], Facts], str]]] = {
    "a job has no record": (without("good"), "one final record"),
    "a job is still running": (row("good", state="running"), "one final record"),
    "a record of nobody's": (also(orders={"good": GOOD}), "one final record"),
    "a record was rewritten": (also(rewritten=frozenset({"good"})), "one final record"),
    "a good job was given up": (row("good", state="dead", reason="expired"), "Good jobs"),
    "a bad job was given up for another reason": (row("bad", reason="schema"), "Good jobs"),
    "an answer is somebody else's": (
        row("good", envelope=answered("good", "blue, too", calls=2).envelope),
        "belongs to its question",
    ),
    "a dead letter is missing": (also(letters=()), "dead-letter queue"),
    "a dead letter has another body": (
        also(letters=(Letter(job="bad", reason="not_json", fingerprint="", detail="", body="[]"),)),
        "dead-letter queue",
    ),
    "a dead letter came twice": (
        lambda facts: replace(facts, letters=facts.letters * 2),
        "dead-letter queue",
    ),
    "the kill repeated more than was cut off": (calls({"lost": 3}, answer=6), "killed worker"),
    "the kill hit nobody": (
        also(kill=Kill(worker="worker-1", in_hand=frozenset({"lost"}), calling=frozenset())),
        "killed worker",
    ),
    "a call was repeated that nothing cut off": (calls({"good": 3}), "asked to leave"),
    "the drain was forced": (
        also(drain=Leave(worker="worker-2", exit_code=3, took_s=9.0, in_hand=3)),
        "asked to leave",
    ),
    "the drain outlasted its grace": (
        also(drain=Leave(worker="worker-2", exit_code=0, took_s=10.5, in_hand=3)),
        "asked to leave",
    ),
    "the drained worker had nothing to do": (
        also(drain=Leave(worker="worker-2", exit_code=0, took_s=0.1)),
        "asked to leave",
    ),
    "a duplicate was paid for": (calls({"twice": 2}, answer=6), "sent twice"),
    "a message is left": (also(left={"jobs queue": 1}), "left behind"),
    "a log holds a prompt": (
        also(logs=Logs(size_bytes=1, leaks=("canary",), metrics={"worker-1": 1})),
        "in any log",
    ),
    "a worker wrote no metrics": (
        also(logs=Logs(size_bytes=1, leaks=(), metrics={"worker-1": 0})),
        "its metrics",
    ),
    "a brown-out opened the circuit": (
        fleet(turns=(turn(1, "closed", "open", 3), *STEPS[1:])),
        "In a brown-out",
    ),
    "a brown-out failed no call": (
        fleet(brownout=Bout(began_s=0.0, ended_s=5.0, calls=10, failed=0)),
        "In a brown-out",
    ),
    "a job of the brown-out is not answered": (without("delayed"), "In a brown-out"),
    "a round made more calls than it had probes": (
        fleet(counts=(*COUNTS[:4], Count(20.0, 34, 27), *COUNTS[5:])),
        "only probes",
    ),
    "somebody called in the second rest": (
        fleet(counts=(*COUNTS[:4], Count(18.0, 37, 30), Count(20.0, 37, 30), *COUNTS[5:])),
        "only probes",
    ),
    "the circuit never opened": (fleet(turns=()), "only probes"),
    "the circuit opened twice": (
        fleet(turns=(*STEPS, turn(16, "closed", "open", 26))),
        "only probes",
    ),
    "a worker met no failure": (fleet(failed_by={"worker-1": 9, "worker-2": 0}), "only probes"),
    "the circuit never closed": (fleet(turns=STEPS[:-1]), "by steps"),
    "the ramp was left out": (
        fleet(turns=(*STEPS[:4], turn(11, "half_open", "closed", 22, share=1.0))),
        "by steps",
    ),
    "a change does not follow from the one before": (
        fleet(turns=(*STEPS[:2], *STEPS[3:])),
        "by steps",
    ),
    "another circuit moved too": (
        fleet(turns=(replace(STEPS[0], breaker="another"), *STEPS[1:])),
        "by steps",
    ),
    "a job of the outage is lost": (without("parked"), "costs no job"),
    "a job of the outage died": (
        also(letters=(Letter(job="parked", reason="", fingerprint="", detail="", body=""),)),
        "costs no job",
    ),
    "a refusal was charged": (row("parked", charged=4), "costs no job"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_broken_promise_is_told_as_broken(lie: str) -> None:
    plant, promise = LIES[lie]

    found = broken(plant(kept()))

    assert any(promise in says for says in found), found


def test_a_broken_promise_is_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.cli.demo import play  # noqa: PLC0415

    async def tragedy(*_: object) -> Facts:
        return replace(kept(), left={"jobs queue": 1})

    monkeypatch.setattr(play, "_play", tragedy)
    monkeypatch.setattr(play, "mkdtemp", lambda **_: str(tmp_path))

    assert play.demo() == 1
    told = capsys.readouterr().out
    assert "✗ No message is left behind." in told
    assert "13 of 14 promises kept" in told
    assert str(tmp_path) in told.replace("\n", "")
