"""The demo's judge believes no lie, and its report shows what producers get."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.demo_facts import (
    AT_ONCE,
    GOOD,
    MOVED,
    PARKED,
    STALE,
    act,
    answered,
    degraded,
    envelope,
    far,
    kept,
    near,
    turn,
)
from worker.cli.demo.act import Polls, Waiting
from worker.cli.demo.circuit import Bout, Count
from worker.cli.demo.facts import Facts, Kill, Leave, Letter, Logs
from worker.cli.demo.plans import NOTICE
from worker.cli.demo.promises import judge
from worker.cli.demo.results import chosen, shortened


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


def of_near(**changes: object) -> Callable[[Facts], Facts]:
    return also(act=act(replace(near(), **changes), far()))  # type: ignore[arg-type]


def of_far(**changes: object) -> Callable[[Facts], Facts]:
    return also(act=act(near(), replace(far(), **changes)))  # type: ignore[arg-type]


def in_act(**changes: object) -> Callable[[Facts], Facts]:
    return also(act=replace(act(near(), far()), **changes))  # type: ignore[arg-type]


STEPS: Final = near().turns
COUNTS: Final = near().counts
FAR_STEPS: Final = far().turns

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
    "the kill repeated more than was cut off": (calls({"lost": 3}, answer=8), "killed worker"),
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
    "a duplicate was paid for": (calls({"twice": 2}, answer=8), "sent twice"),
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
        of_near(turns=(turn(1, "closed", "open", 3), *STEPS[1:])),
        "In a brown-out",
    ),
    "a brown-out failed no call": (
        in_act(brownout=Bout(began_s=0.0, ended_s=5.0, calls=10, failed=0)),
        "In a brown-out",
    ),
    "a job of the brown-out is not answered": (without("delayed"), "In a brown-out"),
    "a round made more calls than it had probes": (
        of_near(counts=(*COUNTS[:4], Count(20.0, 34, 27), *COUNTS[5:])),
        "only probes",
    ),
    "somebody called in the second rest": (
        of_near(counts=(*COUNTS[:4], Count(18.0, 37, 30), Count(20.0, 37, 30), *COUNTS[5:])),
        "only probes",
    ),
    "the circuit never opened": (of_near(turns=()), "only probes"),
    "the circuit opened twice": (
        of_near(turns=(*STEPS, turn(16, "closed", "open", 26))),
        "only probes",
    ),
    "a worker met no failure": (of_near(failed_by={"worker-1": 9, "worker-2": 0}), "only probes"),
    "the circuit never closed": (of_near(turns=STEPS[:-1]), "by steps"),
    "the ramp was left out": (
        of_near(turns=(*STEPS[:4], turn(11, "half_open", "closed", 22, share=1.0))),
        "by steps",
    ),
    "a change does not follow from the one before": (
        of_near(turns=(*STEPS[:2], *STEPS[3:])),
        "by steps",
    ),
    "another circuit moved too": (
        in_act(turns=(*STEPS, *FAR_STEPS, replace(STEPS[0], breaker="endpoint:us-east-1"))),
        "by steps",
    ),
    "far's circuit never opened": (of_far(turns=()), "only probes"),
    "far's round made more calls than it had probes": (
        of_far(counts=(*far().counts[:4], Count(20.0, 21, 11))),
        "only probes",
    ),
    "far's circuit went back without a ramp": (
        of_far(turns=(*FAR_STEPS[:2], turn(3, "half_open", "closed", 22, share=1.0))),
        "by steps",
    ),
    "a job was answered by the Region that fails": (
        row("moved", envelope=answered("moved", MOVED.answer, calls=2).envelope),
        "move to the other",
    ),
    "a job that should have moved is lost": (without("at-once"), "move to the other"),
    "a job that should have moved was degraded": (
        also(rows={**kept().rows, "moved": degraded("moved", MOVED.answer)}),
        "move to the other",
    ),
    "no job met the failure": (
        row("moved", envelope=answered("moved", MOVED.answer, by="far").envelope),
        "move to the other",
    ),
    "every job met the failure": (
        row("at-once", envelope=answered("at-once", AT_ONCE.answer, calls=2, by="far").envelope),
        "move to the other",
    ),
    "a chat job has no answer": (row("stale", state="parked"), "second-best answer"),
    "a degraded answer passes for a good one": (
        row("stale", envelope=envelope("stale", "ok", STALE.answer, by="", attempts=[])),
        "second-best answer",
    ),
    "a degraded answer has no notice": (
        row("stale", envelope=degraded("stale", STALE.answer, notice="").envelope),
        "second-best answer",
    ),
    "a degraded answer does not say what it lacks": (
        row("stale", envelope=degraded("stale", STALE.answer, loses=[]).envelope),
        "second-best answer",
    ),
    "a degraded answer is to another question": (
        row("stale", envelope=degraded("stale", "green").envelope),
        "belongs to its question",
    ),
    "no job was degraded without a call": (calls({"stale": 1}), "second-best answer"),
    "a job was degraded that had no handler": (
        also(rows={**kept().rows, "parked": degraded("parked", PARKED.answer)}),
        "Good jobs",
    ),
    "a parked job is lost": (without("parked"), "only wait is parked"),
    "no job was parked": (
        in_act(waiting=Waiting(parked=frozenset(), doorbells=0, untouched=9)),
        "only wait is parked",
    ),
    "the parked queue was polled all the while": (
        in_act(polls=(Polls(0.0, 0, 0), Polls(17.4, 40, 40), Polls(19.0, 44, 45))),
        "only wait is parked",
    ),
    "the polls were not counted": (in_act(polls=(Polls(0.0, 0, 0),)), "only wait is parked"),
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


def test_every_promise_has_a_lie_that_breaks_it() -> None:
    broken_by_some = {promise for _, promise in LIES.values()}

    unbroken = [p.says for p in judge(kept()) if not any(b in p.says for b in broken_by_some)]

    assert unbroken == []


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
    assert "16 of 17 promises kept" in told
    assert str(tmp_path) in told.replace("\n", "")


def test_one_job_of_each_kind_is_shown_as_its_producer_gets_it() -> None:
    facts = kept()

    shown = chosen(facts.orders, facts.rows)

    assert list(shown.values()) == ["moved", "stale", "parked"]
    moved, stale, parked = (shortened(facts.rows[job].envelope) for job in shown.values())
    assert '"target": "far", "region": "us-west-2"' in moved
    assert '"kind": "unavailable", "http": 503' in moved
    assert '"status": "degraded"' in stale
    assert NOTICE in stale
    assert '"attempts": []' in stale
    assert '"target": "near"' in parked


def test_a_job_that_was_never_parked_is_not_shown_as_released() -> None:
    facts = row("parked", parks=0)(kept())

    assert "parked" not in chosen(facts.orders, facts.rows).values()
