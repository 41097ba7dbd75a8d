"""An operator before twins of everything that dead letters touch, and a worker to answer them."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from worker.core.dead import Letter, letter_of
from worker.core.envelope import parse
from worker.core.fault import Kind
from worker.core.job import Job, Limits
from worker.core.ledger import Attempt, Claim, Ending, Record, State
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import Mode
from worker.ops.dead_desk import DeadDesk, DeadLane
from worker.ops.desk import Desk
from worker.ops.overrides import hold
from worker.ports import DeadLetters, Delivery
from worker.sim.clock import wall_clock
from worker.sim.dead_letters import MemoryDeadLetters
from worker.sim.memory import (
    Call,
    MemoryBreakers,
    MemoryLedger,
    MemoryPayloads,
    MemoryQueue,
    Mishap,
    Wire,
)

Answers = Callable[[str], bool]
WHO: dict[str, Any] = {"author": "alice", "why": "incident 42"}
POLICY = BreakerPolicy()
CALL = Attempt(number=1, target="near", kind=Kind.UNAVAILABLE, code="503")


class StaleIndex:
    """An index as somebody saw it a while ago."""

    def __init__(self, index: DeadLetters, seen: list[Letter]) -> None:
        self._index = index
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    async def letters(self, **_: float) -> list[Letter]:
        return self._seen


class DeadRoom:
    """Queues, a ledger with its index, circuits; `desk` is the operator's, `wire` its line.

    With `silence` every call goes wrong that no mishap waits for.
    """

    def __init__(self, *, shared: bool = True) -> None:
        self.jobs, self.dead = MemoryQueue(name="jobs"), MemoryQueue(name="dead")
        self.ledger = MemoryLedger(skew_s=1.0)
        self.index = MemoryDeadLetters(ledger=self.ledger)
        self.breakers = MemoryBreakers()
        self.payloads = MemoryPayloads()
        self.mishaps: dict[tuple[str, str], list[Mishap | None]] = {}
        self.silence: Mishap | None = None
        self.calls: list[str] = []
        self.routes = {
            name: Route(name=name, targets=(Target(name=target, model="m"),))
            for name, target in (("default", "near"), ("chat", "far"))
        }
        self.shared = shared
        self.desk = self.sit()

    def sit(self) -> DeadDesk:
        wire = Wire(plan=self._plan)
        return DeadDesk(
            ledger=self.ledger.seen_by(wire),
            index=self.index.seen_by(wire),
            lanes=(
                DeadLane(
                    name="default",
                    jobs=self.jobs.seen_by(wire),
                    dead=self.dead.seen_by(wire),
                    routes=frozenset(self.routes),
                    parked="parked",
                ),
            ),
            circuit=self.circuit(wire) if self.shared else None,
            limits=Limits(),
            routes=self.routes,
            payloads=self.payloads.seen_by(wire),
            at=wall_clock,
        )

    def circuit(self, wire: Wire | None = None) -> Desk:
        return Desk(
            store=self.breakers.seen_by(wire),
            policies=dict.fromkeys(("near", "far", "endpoint:default"), POLICY),
            at=wall_clock,
        )

    def _plan(self, call: Call) -> Mishap | None:
        self.calls.append(f"{call.port}:{call.operation}")
        waiting = self.mishaps.get((call.port, call.operation))
        return waiting.pop(0) if waiting else self.silence

    async def shut(self, target: str) -> None:
        """Hold the circuit of a target open."""
        desk = self.circuit()
        await hold(desk, target, Mode.HOLD_OPEN, for_s=600.0, author="bob", reason="a test")

    # --- workers ------------------------------------------------------------------

    async def die(self, job: str, body: bytes | None = None, **how: Any) -> Letter:
        """A worker discards a job: its record, then its letter."""
        body = orjson.dumps({"id": job, "prompt": "Why?"}) if body is None else body
        record = await self._run(job, body, message=f"first-{job}", **how)
        letter = letter_of(record)
        assert letter is not None
        self.bury(record, body)
        return letter

    def bury(self, record: Record, body: bytes) -> str:
        """Its letter arrives in the dead-letter queue."""
        story = orjson.dumps({"v": 1, "generation": record.generation}).decode()
        attributes = {"iw-job": record.job, "iw-reason": record.reason, "iw-dead": story}
        return self.dead.put(body, attributes=attributes, group=record.tenant)

    async def _run(
        self,
        job: str,
        body: bytes,
        *,
        message: str,
        redrive: int = 0,
        state: State = State.DEAD,
        reason: str = "attempts_exhausted",
        route: str = "default",
        tenant: str = "acme",
        detail: str = "the model is 'not' well 17",
    ) -> Record:
        parsed = parse(body, Limits())
        ledger = self.ledger.seen_by()
        held = await ledger.claim(
            Claim(
                job=job,
                owner="worker",
                nonce=uuid.uuid4().hex,
                doorbell=message,
                lease_s=60.0,
                digest=parsed.digest if isinstance(parsed, Job) else "",
                sent_at=wall_clock(),
                route=route,
                tenant=tenant,
                redrive=redrive,
            )
        )
        if not isinstance(held, Record):
            return held.record
        ended = Ending(
            state=state,
            attempts=1,
            parks=0,
            interruptions=0,
            crashes=0,
            reason=reason if state is State.DEAD else "",
            fingerprint=f"{reason}0123"[:8] if state is State.DEAD else "",
            history=(replace(CALL, fence=held.fence),),
            result=orjson.dumps({"error": {"reason": reason, "code": "503", "detail": detail}}),
        )
        final = await ledger.finish(held, ended)
        assert isinstance(final, Record)
        return final

    async def work(self, answers: Answers = lambda _: True) -> list[Delivery]:
        """A worker takes what is visible in the jobs queue, once; what it took."""
        queue = self.jobs.seen_by()
        taken = await queue.receive(10, wait_s=0.0, lease_s=30.0)
        for delivery in taken:
            parsed = parse(delivery.body, Limits())
            job = (parsed.id if isinstance(parsed, Job) else None) or delivery.job
            well = answers(job)
            record = await self._run(
                job,
                delivery.body,
                message=delivery.message_id,
                redrive=delivery.redrive,
                state=State.ANSWERED if well else State.DEAD,
            )
            if record.state is State.DEAD and not well:
                self.bury(record, delivery.body)
        await queue.delete([delivery.receipt for delivery in taken])
        return taken

    # --- what is there ---------------------------------------------------------------

    def left(self) -> list[str]:
        """Jobs that have a message in the dead-letter queue, in order of their names."""
        return sorted(delivery.job for delivery in self.dead.peek())

    def sent(self) -> list[Delivery]:
        """What waits in the jobs queue."""
        return self.jobs.peek()

    async def listed(self) -> list[str]:
        found = await self.index.seen_by().letters(since=0.0, until=float("inf"))
        return sorted(letter.job for letter in found)

    def said(self) -> list[tuple[str, str, str]]:
        """The log: verb, job, what."""
        rows = sorted(self.index.log.values(), key=lambda row: row.at)
        return [(row.verb, row.job, row.what) for row in rows]
