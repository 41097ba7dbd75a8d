"""One random history of a few workers, told by its seed.

    python -m tests.runtime.histories SEED          replays one, and tells what happened
    python -m tests.runtime.histories SEED asked    the same, where state machines ask

Workers crash, leave, stall and come back as zombies; answers are lost, calls are
slow, messages come twice. Then the trouble ends, and what was promised must hold.
"""

import asyncio
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import orjson

from tests.runtime.promises import Witness, check, watched
from worker.core.callback import Failed
from worker.core.degrade import Context
from worker.core.events import FlightFailed
from worker.core.fault import Fault, Kind
from worker.core.job import Job
from worker.core.ledger import State
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.upgrade import upgrade_id, upgraded
from worker.ports import Delivery, Handler, Model
from worker.runtime.flights import Phase
from worker.sim.clock import in_virtual_time
from worker.sim.memory import Call, MemoryBreakers, Mishap, ModelCall, Reply, Wire, answer
from worker.sim.world import ROUTE, LivingWorker, World, until_quiet

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
REJECTED = Fault(kind=Kind.REJECTED, code="ValidationException", http=400)
THROTTLED = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429)
TROUBLE_S = 90.0
CRASHES = 3
HALF = 0.5
STALL_S = 35.0  # longer than a lease
TICK_S = 1e-6  # as on a real clock, whatever is done takes time
KINDS = ("ok", "ok", "bad", "twice", "reply", "broken", "later", "better")
UPGRADED = Route(
    name="upgraded",
    targets=(Target(name="model-b", model="test.model-b", attempt_s=60.0),),
    degraded=("sorry",),
    on_open="degrade",
    upgrade_later=True,
    retry=RetryPolicy(attempts=1),
)
OUTSIDE = ("crash", "drain", "stall", "again", "employ", "lost delete", "calm")


class Apology:
    """A handler that has an answer for everybody."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        assert job.id == context.job
        return DegradedAnswer.saying("Sorry.", quality=0.4)


@dataclass
class History:
    """One world, its seed, and what befell it.

    `asked` lets a task of a state machine wait for each message.
    """

    seed: int
    asked: bool = False
    world: World = field(
        default_factory=lambda: World(
            routes={"default": ROUTE, "upgraded": UPGRADED}, breakers=MemoryBreakers()
        )
    )
    repeats: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    befell: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    workers: list[LivingWorker] = field(default_factory=list)
    over: bool = False
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - a seed is to be replayed
        self.mishap_rate = self.dice.choice([0.0, 0.02, 0.1])
        self.slow_rate = self.dice.choice([0.0, 0.05])

    def tell(self, what: str, who: str = "") -> None:
        self.befell[what] += 1
        self.story.append(f"{asyncio.get_running_loop().time():8.2f} s  {who:4} {what}")

    def mood(self, call: ModelCall) -> Reply:
        latency_s = self.dice.choice([0.05, 1.0, 4.0, 15.0, 45.0])
        if call.job.startswith("bad"):
            return Reply(REJECTED, latency_s)
        if call.job.startswith("better") and upgraded(call.job) is None:
            return Reply(DOWN, 0.1)
        if call.job.startswith("later") and call.number <= 3:
            return Reply(THROTTLED, 0.1)
        return Reply(answer("word " * self.dice.choice([1, 5000])), latency_s)

    def employ(self) -> None:
        name, wire = f"w{len(self.workers) + 1}", Wire()
        worker = LivingWorker(
            self.world,
            name,
            wire=wire,
            seed=self.dice.randrange(2**32),
            house={
                "handlers": {"sorry": Handler(does=Apology())},
                "model": self.model_of(name, wire),
            },
        )
        worker.wire.latency_s = 0.01
        worker.wire.plan = lambda call: self.plan(worker, call)
        self.workers.append(worker)

    def model_of(self, worker: str, wire: Wire) -> Model:
        """The model as this worker sees it."""
        assert worker, "every worker has a name"
        return self.world.model.seen_by(wire)

    def witness(self) -> Witness:
        """Who watches the ledger."""
        return watched(self.world)

    def plan(self, worker: LivingWorker, call: Call) -> Mishap | None:
        """Now and then a call's request or answer is lost, or late."""
        if self.over:
            return None
        roll = self.dice.random()
        if roll < self.mishap_rate:
            when: Literal["before", "after"] = "before" if self.dice.random() < HALF else "after"
            self.tell(f"lost {when} {call.port}.{call.operation}", worker.name)
            if call.port == "model":
                self._note_repeats(worker)
            if when == "after" and (call.port, call.operation) == ("ledger", "claim"):
                # Nobody may learn that the claim holds: a run without any outcome, as a crash is.
                self._note_lost_claims(worker)
            return Mishap(when=when)
        if roll < self.mishap_rate + self.slow_rate and call.port != "model":
            self.tell(f"slow {call.port}.{call.operation}", worker.name)
            self._note_repeats(worker, crashes=True)
            return Mishap(when="after", late_s=self.dice.choice([1.0, 8.0, 40.0]))
        return None

    def _note_repeats(self, worker: LivingWorker, *, crashes: bool = False) -> None:
        for flight in worker.supervisor.flights:
            job = flight.job_id or _named(flight.delivery)
            self.repeats[job] += 1
            self.crashed[job] += crashes

    def _note_lost_claims(self, worker: LivingWorker) -> None:
        for flight in worker.supervisor.flights:
            if flight.phase is Phase.CLAIMING:
                self.crashed[flight.job_id or _named(flight.delivery)] += 1

    async def stall(self, worker: LivingWorker) -> None:
        """For a while every call that starts is under way for longer than a lease."""
        self.tell("stall", worker.name)
        self._note_repeats(worker, crashes=True)
        worker.wire.latency_s = STALL_S
        await asyncio.sleep(self.dice.choice([2.0, 25.0]))
        self._note_repeats(worker, crashes=True)
        worker.wire.latency_s = 0.01

    def send(self, **job: str) -> None:
        token = f"token-{len(self.tokens)}"
        task = {"task_token": self.world.tasks.wait(token)} if self.asked else {}
        self.tokens |= dict.fromkeys(task.values(), job["id"])
        self.world.submit(**job, prompt="Hello.", **task)

    async def submit(self) -> set[str]:
        jobs = set()
        for n in range(self.dice.randint(1, 12)):
            kind = self.dice.choice(KINDS)
            name = f"{kind}-{n}"
            match kind:
                case "twice":
                    self.send(id=name)
                    self.send(id=name)
                case "reply":
                    self.send(id=name, reply_to="answers")
                case "better":
                    self.send(id=name, route="upgraded")
                case "broken":
                    name = self.world.jobs.put(b"{")
                case _:
                    self.send(id=name)
            jobs.add(name)
            await asyncio.sleep(self.dice.choice([0.0, 0.1, 3.0, 15.0]))
        return jobs

    async def trouble(self) -> None:
        """Things that befall workers and messages from outside."""
        while asyncio.get_running_loop().time() < TROUBLE_S:
            await asyncio.sleep(self.dice.choice([0.3, 2.0, 9.0]))
            living = [w for w in self.workers if not w.task.done()]
            worker = self.dice.choice(living) if living else None
            match self.dice.choice(OUTSIDE):
                case "crash" if worker:
                    self.tell("crash", worker.name)
                    self._note_repeats(worker, crashes=True)
                    await worker.crash()
                    self.employ()
                case "stall" if worker:
                    await self.stall(worker)
                case "drain" if worker:
                    self.tell("drain", worker.name)
                    self._note_repeats(worker)
                    worker.stop.set()
                    self.employ()
                case "again":
                    in_flight = [m.message_id for m in self.world.jobs.peek()]
                    if in_flight:
                        self.tell("delivered again")
                        self.world.jobs.deliver_again(self.dice.choice(in_flight))
                case "lost delete":
                    self.tell("a delete did nothing")
                    self.world.jobs.lose_deletes(1)
                case "employ" if len(living) < 3:
                    self.tell("employ")
                    self.employ()

    async def play(self) -> None:
        self.world.model.mood = self.mood
        witness = self.witness()
        self.employ()
        self.employ()
        trouble = asyncio.create_task(self.trouble())
        jobs = await self.submit()
        await trouble
        self.over = True
        for worker in self.workers:
            if not worker.task.done():
                self._note_repeats(worker)
                worker.stop.set()
        await asyncio.gather(*(w.task for w in self.workers), return_exceptions=True)
        self.tell("the trouble is over")
        self.employ()
        await until_quiet(self.world, within_s=4000.0)
        await self.workers[-1].drain()
        self.judge(witness, jobs)

    def judge(self, witness: Witness, jobs: set[str]) -> None:
        dead = {j for j, r in self.world.ledger.records.items() if r.state is State.DEAD}
        # Whom three crashes hit by chance may be taken for their cause; nobody else may.
        unjust = {j for j in dead if not j.startswith(("bad", "m-")) and self.crashed[j] < CRASHES}
        assert not unjust, f"dead without a fault of their own: {unjust}"
        failed = [event for worker in self.workers for event in worker.told.of(FlightFailed)]
        assert not failed
        assert (
            self.world.jobs.cancelled_receives == 0 or self.befell["crash"] + self.befell["stall"]
        )
        degraded = {j for j, r in self.world.ledger.records.items() if r.state is State.DEGRADED}
        if degraded:
            self.tell("upgraded")
        jobs |= {upgrade_id(job) for job in degraded}
        for job, record in self.world.ledger.records.items():
            self.repeats[job] += record.parks  # a call whose fault is known, and no repetition
        for job in jobs:
            self.repeats[job] += 3 * job.startswith("later") * (1 + self.repeats[job])
        check(self.world, witness, jobs, self.repeats)
        self.judge_tasks()

    def judge_tasks(self) -> None:
        """Every task was told how its job ended, and by nothing but the record."""
        tasks = self.world.tasks
        assert not tasks.waiting, f"nobody told {tasks.waiting}"
        assert tasks.answers.keys() == self.tokens.keys()
        for token, job in self.tokens.items():
            told, record = tasks.answers[token], self.world.ledger.records[job]
            said = told.error if isinstance(told, Failed) else orjson.loads(told.output)["job_id"]
            dead = record.state is State.DEAD
            assert said == (f"InferenceWorker.{record.reason}" if dead else job)
        if tasks.late:
            self.tell("told a task twice")


def _named(delivery: Delivery) -> str:
    """The job of a flight that has not come so far as to know it."""
    named = re.search(rb'"id":"([^"]+)"', delivery.body)
    return named[1].decode() if named else delivery.message_id


def replay(seed: int, *, asked: bool = False) -> History:
    """Play one history; an `AssertionError` names the promise that was broken."""
    history = History(seed, asked)
    in_virtual_time(history.play(), limit_s=20_000, tick_s=TICK_S)
    return history


if __name__ == "__main__":
    for told in replay(int(sys.argv[1]), asked="asked" in sys.argv).story:
        print(told)  # noqa: T201 - it is what the command is for
