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
from tests.page.past import ENDPOINT, FAR, NEAR, WORKERS, rows_until
from worker.core.jury import Seat, Vote
from worker.core.ledger import Record
from worker.core.route import Route
from worker.core.sightings import Sighting
from worker.core.target import Target
from worker.core.trail import Bar, Leg
from worker.core.verdict import Mode, Override, State, Verdict
from worker.ops.dead_desk import noted
from worker.ops.desk import Desk
from worker.ops.status import Sources
from worker.ops.waiting import Lane
from worker.page import Backing
from worker.ports import Depth
from worker.sim.clock import wall_clock
from worker.sim.memory import MemoryQueue, Wire

CANARY = "canary-7f3a-nobody-may-read-this"
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
        self.room.breakers.rows = rows_until(wall_clock())
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
