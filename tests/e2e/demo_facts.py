"""Facts of a demo in which every promise was kept: what the judge's tests spoil."""

from dataclasses import replace
from typing import Final

from worker.cli.demo.act import Act, Polls, Waiting
from worker.cli.demo.circuit import Bout, Circuit, Count, Turn
from worker.cli.demo.facts import Calls, Facts, Kill, Leave, Letter, Logs, Row
from worker.cli.demo.mix import Order, Sort
from worker.cli.demo.plans import NOTICE

GOOD: Final = Order(sort=Sort.SHORT, tree={"id": "good"}, answer="blue")
TWICE: Final = Order(sort=Sort.TWICE, tree={"id": "twice"}, answer="blue, too")
LOST: Final = Order(sort=Sort.STREAMED, tree={"id": "lost"}, answer="blue as well")
BAD: Final = Order(sort=Sort.MALFORMED, body="{", dies="not_json")

DELAYED: Final = Order(sort=Sort.BROWNOUT, tree={"id": "delayed"}, answer="blue, later")
MOVED: Final = Order(sort=Sort.MOVED, tree={"id": "moved", "route": "chat"}, answer="blue there")
AT_ONCE: Final = Order(
    sort=Sort.MOVED, tree={"id": "at-once", "route": "batch"}, answer="blue there too"
)
STALE: Final = Order(sort=Sort.CHAT, tree={"id": "stale", "route": "chat"}, answer="blue there")
PARKED: Final = Order(
    sort=Sort.BATCH, tree={"id": "parked", "route": "batch"}, answer="blue at last"
)


def answered(job: str, text: str, *, calls: int = 1, by: str = "near") -> Row:
    return Row(
        job=job,
        state="answered",
        charged=calls,
        finished_at=1024.5,
        envelope=envelope(
            job,
            "ok",
            text,
            by=by,
            attempts=[attempt(n, "near", "unavailable", 503) for n in range(1, calls)]
            + [attempt(calls, by, "ok", 200)],
        ),
    )


def envelope(job: str, status: str, text: str, *, by: str, **more: object) -> dict[str, object]:
    region = {"near": "us-east-1", "far": "us-west-2", "": ""}[by]
    return {
        "job_id": job,
        "status": status,
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "degraded": None,
        "error": None,
        "route": {"name": "default", "target": by, "region": region},
        "usage": {"input": 1, "output": 1, "cost_usd": 0.0},
        "latency_ms": {"queue": 5, "total": 25},
        **more,
    }


def attempt(number: int, target: str, kind: str, http: int) -> dict[str, object]:
    return {"n": number, "target": target, "kind": kind, "http": http, "duration_ms": 1}


def degraded(job: str, text: str, **other: object) -> Row:
    told = {
        "reason": "circuit_open",
        "handler": "before",
        "loses": ["freshness"],
        "notice": NOTICE,
    }
    return Row(
        job=job,
        state="degraded",
        envelope=envelope(job, "degraded", text, by="", attempts=[], degraded={**told, **other}),
    )


def turn(version: int, old: str, new: str, at_s: float, **more: float) -> Turn:
    return Turn(
        breaker="near",
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


def near() -> Circuit:
    """An outage from 10 to 20; three probes in vain, and a good one."""
    return Circuit(
        target="near",
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
        outage=Bout(began_s=10.0, ended_s=20.0, calls=23, failed=23),
        probes=3,
        ramp=(0.2, 0.5),
        failed_by={"worker-1": 12, "worker-2": 11},
    )


def far() -> Circuit:
    """An outage from 15 to 20; two probes in vain, and then near is well first."""
    return Circuit(
        target="far",
        turns=tuple(
            replace(one, breaker="far")
            for one in (
                turn(1, "closed", "open", 17.5),
                turn(2, "open", "half_open", 19.2, round=1),
                turn(3, "half_open", "open", 19.6, round=1),
            )
        ),
        counts=(
            Count(0.0, 0, 0),
            Count(15.0, 10, 0),
            Count(17.6, 16, 6),
            Count(19.5, 18, 8),
            Count(30.0, 18, 8),
        ),
        outage=Bout(began_s=15.0, ended_s=20.0, calls=8, failed=8),
        probes=3,
        ramp=(0.2, 0.5),
        failed_by={"worker-1": 4, "worker-2": 2},
    )


def act(near: Circuit, far: Circuit) -> Act:
    """A brown-out until 5, then both outages. Both circuits are open for 3.1 s in all."""
    return Act(
        zero_at=1000.0,
        brownout=Bout(began_s=0.0, ended_s=5.0, calls=10, failed=3),
        turns=tuple(sorted((*near.turns, *far.turns), key=lambda one: one.at_s)),
        near=near,
        far=far,
        waiting=Waiting(parked=frozenset({"parked"}), doorbells=1, untouched=3),
        polls=(Polls(0.0, 0, 0), Polls(17.4, 40, 40), Polls(19.0, 41, 44), Polls(20.5, 41, 47)),
    )


def kept() -> Facts:
    """A good job with a retry, one sent twice, one hit by the kill, a bad one; five of act one."""
    return Facts(
        orders={
            "good": GOOD,
            "twice": TWICE,
            "lost": LOST,
            "bad": BAD,
            "delayed": DELAYED,
            "moved": MOVED,
            "at-once": AT_ONCE,
            "stale": STALE,
            "parked": PARKED,
        },
        rows={
            "good": answered("good", GOOD.answer, calls=2),
            "twice": answered("twice", TWICE.answer),
            "lost": answered("lost", LOST.answer),
            "bad": Row(job="bad", state="dead", reason="not_json"),
            "delayed": answered("delayed", DELAYED.answer, calls=2),
            "moved": answered("moved", MOVED.answer, calls=2, by="far"),
            "at-once": answered("at-once", AT_ONCE.answer, by="far"),
            "stale": degraded("stale", STALE.answer),
            "parked": replace(answered("parked", PARKED.answer, calls=3), parks=2),
        },
        looks=10,
        rewritten=frozenset(),
        letters=(Letter(job="bad", reason="not_json", fingerprint="f", detail="", body="{"),),
        left={"jobs queue": 0, "parked queue": 0},
        calls=Calls(
            total=13,
            by_ending={"answer": 7, "client_gone": 1, "ServiceUnavailableException": 5},
            by_job={
                "good": 2,
                "twice": 1,
                "lost": 2,
                "delayed": 2,
                "moved": 2,
                "at-once": 1,
                "parked": 3,
            },
        ),
        kill=Kill(worker="worker-1", in_hand=frozenset({"lost"}), calling=frozenset({"lost"})),
        drain=Leave(worker="worker-2", exit_code=0, took_s=1.0, in_hand=3),
        leaves=(Leave(worker="worker-3", exit_code=0, took_s=1.0),),
        grace_s=10.0,
        act=act(near(), far()),
        results={},
        logs=Logs(size_bytes=1, leaks=(), metrics={"worker-1": 1}),
        took_s=30.0,
    )
