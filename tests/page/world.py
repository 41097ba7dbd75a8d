"""A fleet in the middle of an outage, on the twins: what the page is shown in tests and pictures.

Near has been open for minutes and far is on the ramp, one worker sees far otherwise, an operator
watches the endpoint, jobs wait, and letters of four kinds have died.
"""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from tests.ops.dead_room import WHO, DeadRoom
from worker.core.jury import Seat, Vote
from worker.core.ledger import Record
from worker.core.route import Route
from worker.core.sightings import Sighting
from worker.core.target import Target
from worker.core.trail import Bar, Leg
from worker.core.verdict import Mode, Override, State, Transition, Verdict
from worker.ops.dead_desk import noted
from worker.ops.desk import Desk
from worker.ops.status import Sources
from worker.ops.waiting import Lane
from worker.page import Backing
from worker.ports import Depth
from worker.sim.clock import wall_clock
from worker.sim.memory import MemoryQueue, Wire

CANARY = "canary-7f3a-nobody-may-read-this"
NEAR, FAR, ENDPOINT = "near", "far", "endpoint:eu-west-1"
WORKERS = [f"ip-10-0-{n}-{17 + n}-{'abcdef'[n]}{n}f3" for n in range(5)]
_TARGETS = {
    NEAR: Target(name=NEAR, model="eu.anthropic.claude-sonnet-4-v1:0", region="eu-west-1"),
    FAR: Target(
        name=FAR, model="us.anthropic.claude-sonnet-4-v1:0", region="us-east-1", quality=0.9
    ),
}


class World:
    """Everything behind a page. `backing` is what it is given."""

    def __init__(self, text: str = CANARY) -> None:
        self.text = text
        self.room = DeadRoom()
        self.room.routes = {
            "chat": Route(
                name="chat",
                targets=(_TARGETS[NEAR], _TARGETS[FAR]),
                degraded=("cache", "summary"),
                on_open="degrade",
            ),
            "batch": Route(name="batch", targets=(_TARGETS[NEAR],), park_max_s=14_400.0),
        }
        self.wire = Wire(plan=self.room._plan)
        self.parked = MemoryQueue(name="parked")
        self.settings: list[tuple[str, Any, str]] = [
            ("WORKER_SERVICE", "assistant", "worker.toml"),
            ("WORKER_SLOTS", 10, "default"),
            ("WORKER_QUEUE__URL", "https://sqs.eu-west-1.amazonaws.com/123/jobs", "environment"),
            ("WORKER_QUEUE__LEASE_S", 90.0, "default"),
            ("WORKER_BREAKER__SHARED", True, "default"),
            ("WORKER_BREAKER__COOLDOWN_S", 5.0, "worker.toml"),
        ]
        self.shared = True
        self.breaker_names = (NEAR, FAR, ENDPOINT, "endpoint:us-east-1")

    @property
    def backing(self) -> Backing:
        desk = self.room.sit()
        assert desk.circuit is not None
        circuit = replace(
            desk.circuit, policies=dict.fromkeys(self.breaker_names, desk.circuit.policies[NEAR])
        )
        shared = circuit if self.shared else None
        desk = replace(desk, circuit=shared)
        return Backing(
            service="assistant",
            sources=self.sources(shared),
            letters=desk,
            circuit=shared,
            dead=desk,
            ledger_table="assistant-jobs",
            breakers_table="assistant-breakers",
            settings=self.settings,
            warnings=["WORKER_SLOTS is 10: a host with one core serves fewer."],
            author="alice",
        )

    def sources(self, circuit: Desk | None) -> Sources:
        queues = {"jobs": self.room.jobs, "parked": self.parked, "dead": self.room.dead}
        return Sources(
            desk=circuit,
            ledger=lambda: self.room.desk.ledger.load(["nobody"]),
            lanes=(
                Lane(
                    name="default",
                    routes=("chat", "batch"),
                    queues={role: partial(self._depth, queue) for role, queue in queues.items()},
                ),
            ),
            routes=tuple(self.room.routes.values()),
            endpoints={NEAR: ENDPOINT, FAR: "endpoint:us-east-1"},
            at=wall_clock,
        )

    async def _depth(self, queue: MemoryQueue) -> Depth:
        async def do() -> Depth:
            seen = queue.depth()
            return Depth(visible=seen.visible, in_flight=seen.in_flight, delayed=seen.delayed)

        return await self.wire.call(f"queue:{queue.name}", "depth", do)

    # --- what has happened ---------------------------------------------------------------

    async def begin(self) -> None:
        """An outage that goes on."""
        self.circuits()
        self.history()
        self.jury()
        self.waiting()
        await self.letters()

    def circuits(self) -> None:
        at = wall_clock()
        order = Override(
            mode=Mode.OBSERVE,
            for_s=3600.0,
            until_at=at + 2400.0,
            author="bob",
            reason="the network team works on the VPC endpoint",
        )
        for verdict in (
            Verdict(
                name=NEAR,
                state=State.OPEN,
                share=0.0,
                version=41,
                stage=17,
                epoch=6,
                round=9,
                level=3,
                cooldown_s=8.6,
                why="3 of 3 probes failed",
                writer=WORKERS[1],
                nonce="a",
                at=at - 3.0,
            ),
            Verdict(
                name=FAR,
                state=State.RAMP,
                share=0.4,
                version=23,
                stage=9,
                epoch=2,
                round=2,
                why="enough calls went well",
                writer=WORKERS[0],
                nonce="b",
                at=at - 24.0,
            ),
            Verdict(
                name=ENDPOINT,
                version=2,
                stage=0,
                writer="bob",
                nonce="c",
                at=at - 1200.0,
                override=order,
                orders=1,
            ),
        ):
            self.room.breakers.verdicts[verdict.name] = verdict

    def history(self) -> None:
        at = wall_clock()
        outages = (  # hours ago, minutes, target
            (150.0, 44.0, NEAR),
            (97.0, 9.0, NEAR),
            (52.0, 130.0, FAR),
            (18.2, 38.0, NEAR),
            (9.5, 6.0, NEAR),
            (4.1, 21.0, FAR),
        )
        for hours, minutes, name in outages:
            began = at - hours * 3600
            self._row(name, State.CLOSED, State.OPEN, 0.0, began, why=OPENED)
            for n in range(1, 4):
                then = began + n * minutes * 15
                self._row(name, State.OPEN, State.HALF_OPEN, 0.0, then, why="its rest is over")
                last = n == 3
                new, why = (
                    (State.RAMP, "3 of 3 probes good") if last else (State.OPEN, "probes bad")
                )
                self._row(name, State.HALF_OPEN, new, 0.2 if last else 0.0, then + 4, why=why)
            ended = began + minutes * 60
            self._row(name, State.RAMP, State.RAMP, 0.6, ended - 60, why="enough calls went well")
            self._row(name, State.RAMP, State.CLOSED, 1.0, ended, why="enough calls went well")
        self._row(NEAR, State.CLOSED, State.OPEN, 0.0, at - 1260.0, why=OPENED)
        self._row(NEAR, State.OPEN, State.HALF_OPEN, 0.0, at - 12.0, why="its rest is over")
        self._row(NEAR, State.HALF_OPEN, State.OPEN, 0.0, at - 3.0, why="3 of 3 probes failed")
        self._row(FAR, State.CLOSED, State.OPEN, 0.0, at - 240.0, why=OPENED)
        self._row(FAR, State.OPEN, State.HALF_OPEN, 0.0, at - 60.0, why="its rest is over")
        self._row(FAR, State.HALF_OPEN, State.RAMP, 0.2, at - 50.0, why="2 of 3 probes good")
        self._row(FAR, State.RAMP, State.RAMP, 0.4, at - 24.0, why="enough calls went well")
        how = {"mode": Mode.OBSERVE, "for_s": 3600.0, "by": "bob"}
        why = "the network team works on the VPC endpoint"
        self._row(ENDPOINT, State.CLOSED, State.CLOSED, 1.0, at - 1200.0, why=why, **how)
        how = {"mode": Mode.HOLD_OPEN, "for_s": 5400.0, "by": "alice"}
        self._row(FAR, State.CLOSED, State.CLOSED, 1.0, at - 46_000.0, why="incident 41", **how)
        for name, rows in self.room.breakers.rows.items():
            found = sorted(rows.values(), key=lambda row: row.at)
            numbered = {n: replace(row, version=n, stage=n) for n, row in enumerate(found, 1)}
            self.room.breakers.rows[name] = numbered

    def _row(
        self, name: str, old: State, new: State, share: float, at: float, *, why: str, **how: Any
    ) -> None:
        rows = self.room.breakers.rows.setdefault(name, {})
        version = len(rows) + 1
        given = {"mode": Mode.ENFORCE, "by": WORKERS[1], "for_s": 0.0, **how}
        rows[version] = Transition(
            name=name,
            version=version,
            stage=version,
            epoch=1,
            round=1,
            old=old,
            new=new,
            share=share,
            level=0,
            cooldown_s=5.0 if new is State.OPEN else 0.0,
            why=why,
            at=at,
            **given,
        )

    def jury(self) -> None:
        at = wall_clock()
        refused = Sighting(
            of=NEAR,
            region="eu-west-1",
            kind="unavailable",
            code="ServiceUnavailableException",
            http=503,
            says="Bedrock is unable to process your request.",
            count=31,
        )
        throttled = Sighting(
            of=FAR, region="us-east-1", kind="throttled", code="ThrottlingException", http=429
        )
        for number, worker in enumerate(WORKERS):
            odd = number == 3
            votes = {
                NEAR: Vote(stage=17, calls=12, failures=12, recent_calls=12, recent_failures=12),
                FAR: Vote(stage=8 if odd else 9, calls=180 + 3 * number, failures=7),
                ENDPOINT: Vote(stage=0, calls=190, failures=0),
            }
            if odd:
                votes[ENDPOINT] = Vote(stage=0, calls=24, failures=20, sick=True)
            self.room.breakers.seats[number] = Seat(
                number=number,
                holder=worker,
                lot=0.02 * (number + 1),
                beat=9,
                votes=votes,
                seen=(refused, throttled) if number < 3 else (),
                seen_at=at - 2.0 - number,
            )

    def waiting(self) -> None:
        for n in range(14):
            body = orjson.dumps({"id": f"chat-{n}", "prompt": self.text, "route": "chat"})
            self.room.jobs.put(body)
        for n in range(37):
            body = orjson.dumps({"id": f"batch-{n}", "prompt": self.text, "route": "batch"})
            self.parked.put(body)

    async def letters(self) -> None:
        """Letters of four kinds, and what somebody did to one of them."""
        kinds: tuple[tuple[str, int, dict[str, Any], str, str, str], ...] = (
            ("report", 24, {"route": "chat"}, "too_long", "ValidationException", TOO_LONG),
            ("chat", 9, {"route": "talk"}, "unknown_route", "", "route: no such route"),
            (
                "typo",
                2,
                {"route": "chat", "promt": "?"},
                "unknown_field",
                "",
                "promt: no such field in version 1",
            ),
            ("sum", 5, {"route": "batch"}, "attempts_exhausted", "ServiceUnavailableException", ""),
        )
        for kind, (name, count, more, reason, code, detail) in enumerate(kinds):
            for n in range(count):
                body = {"id": f"{name}-{n}", "prompt": self.text, "tenant": f"t-{n % 3}", **more}
                await self.room.die(
                    f"{name}-{n}",
                    orjson.dumps(body),
                    reason=reason,
                    route="" if reason == "unknown_field" else more.get("route", "chat"),
                    tenant=f"t-{n % 3}",
                    detail=detail,
                )
                self._aged(f"{name}-{n}", 60.0 * (7 * n + 3 * kind + 1), code)
        await noted(self.room.sit(), "show", **WHO, job="typo-0", what="its body")

    def _aged(self, job: str, age_s: float, code: str) -> None:
        """Let a job have died a while ago."""
        record = self.room.ledger.records[job]
        died_at = record.finished_at
        assert died_at is not None
        trail = (self._parked(died_at - age_s),) if code.startswith("Service") else ()
        history = tuple(
            replace(one, code=code, duration_ms=412, fence=record.fence + len(trail))
            for one in record.history
        )
        self.room.ledger.records[job] = replace(
            record,
            fingerprint=hashlib.sha256(record.reason.encode()).hexdigest()[:12],
            finished_at=died_at - age_s,
            sent_at=died_at - age_s - (400.0 if trail else 0.6),
            history=history if code else (),
            fence=record.fence + len(trail),
            trail=(*trail, self._last(record, died_at - age_s, record.fence + len(trail))),
            parks=len(trail),
        )

    @staticmethod
    def _parked(died_at: float) -> Leg:
        """A claim that found the circuit open."""
        return Leg(
            fence=1,
            owner=WORKERS[2],
            began_at=died_at - 390.0,
            ended="parked",
            ended_at=died_at - 389.9,
            why="circuit_open",
            until=died_at - 60.0,
            bars=(Bar(name=NEAR, why="open", version=30),),
        )

    @staticmethod
    def _last(record: Record, died_at: float, fence: int) -> Leg:
        return Leg(
            fence=fence,
            owner=WORKERS[1],
            began_at=died_at - 0.5,
            ended="dead",
            ended_at=died_at,
            why=record.reason,
        )


TOO_LONG = "Input is too long for requested model: 40021 tokens"
OPENED = "4 of 5 voters find it bad (recent): 31 x unavailable ServiceUnavailableException 503"
