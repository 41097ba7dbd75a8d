"""Workers and state machines on one table, in virtual time.

The workers are the simulator's: their real gates, syncers and the real store, on ministack's
table. A state machine is ministack's interpreter in a thread of its own, which runs only while
the loop waits for it: one seed, one story. Every request of either takes its time on the way
there and back, so that they interleave, and some are lost.

    python -m tests.deploy.statemachine.mixed_fleet --seeds 50
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from botocore.exceptions import ClientError

from tests.deploy.statemachine.asl_orders import places
from tests.deploy.statemachine.interpreters import Ended, Failed, Item, Table, on_ministack
from tests.deploy.statemachine.verdict_watch import Broken, Watch
from worker.aws.breakers import DynamoBreakers
from worker.aws.breakers_item import read_verdict
from worker.core.answer import Answer
from worker.core.policy import BreakerPolicy
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.core.window import Outcome
from worker.runtime.gates import Gates, Passage
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.fleet import NAME, Fleet, Member, Setting
from worker.sim.service import HEALTHY, Phase
from worker.sim.wire import Wire

from inference_worker_asl.machine import POLICY, deployed, machine  # isort: skip

SERVICE = "svc"


class Client:
    """A DynamoDB client as `DynamoBreakers` has it."""

    def __init__(self, fleet: "MixedFleet") -> None:
        self._fleet = fleet

    async def put_item(self, **params: Any) -> Item:
        return await self._call("putItem", params)

    async def query(self, **params: Any) -> Item:
        return await self._call("query", params)

    async def _call(self, operation: str, params: Item) -> Item:
        try:
            return await self._fleet.asked(operation, params)
        except Failed as failed:
            code = failed.error.partition(".")[2]
            told: Any = {"Error": {"Code": code, "Message": ""}, **failed.told}
            raise ClientError(told, operation) from None


@dataclass
class Store:
    """In the place of the memory twin: each member gets the real store over the one table."""

    fleet: "MixedFleet"

    def seen_by(self, wire: Wire) -> DynamoBreakers:
        del wire
        return DynamoBreakers(Client(self.fleet), self.fleet.table.name, service=SERVICE)


@dataclass(frozen=True, kw_only=True)
class Story:
    """One experiment; times are seconds.

    Attributes:
        machines_per_s: Executions that begin each second.
        broken_machines: Whether the model fails whoever calls it from a state machine.
        losses: The share of requests to the table of which the request or the answer is lost.
        idle: Whether the workers have no job.
    """

    workers: int = 4
    machines_per_s: float = 2.0
    lasts_s: float = 60.0
    phases: tuple[Phase, ...] = (
        Phase(lasts_s=8.0),
        Phase(lasts_s=17.0, errors=1.0),
        HEALTHY,
    )
    broken_machines: bool = False
    losses: float = 0.02
    idle: bool = False
    policy: BreakerPolicy = POLICY


@dataclass
class Execution:
    """One execution's door: what it asks is carried out by the loop, in its turn."""

    fleet: "MixedFleet"
    answers: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    requests: SimpleQueue[tuple[str, Any]] = field(default_factory=SimpleQueue)
    ticket: tuple[int, int, str] | None = None
    looked: Verdict | None = None

    def ask(self, resource: str, params: Any) -> Any:
        self.requests.put((resource, params))
        answer = self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def wait(self, seconds: float) -> None:
        self.ask("wait", seconds)

    def entered(self) -> str:
        moment = dt.datetime.fromtimestamp(self.fleet.clock(), dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stopped(BaseException):
    """The story is over."""


class MixedFleet(Fleet):
    """A fleet of workers, and of executions of one state machine.

    Args:
        story: The experiment.
        seed: Of the dice.
        definition: The machine; the real one unless something is planted in it.
    """

    def __init__(
        self, story: Story, seed: int, definition: Mapping[str, Any] | None = None
    ) -> None:
        setting = Setting(
            workers=max(1, story.workers),
            phases=story.phases,
            lasts_s=story.lasts_s,
            policy=story.policy,
            per_s=0.001 if story.idle else 0.8,
            seed=seed,
        )
        super().__init__(setting)
        if not story.workers:
            self.setting = replace(setting, workers=0)
        self.story = story
        self.table = Table(f"mixed-{seed}")
        self.store = Store(self)  # type: ignore[assignment]
        self.definition = deployed(
            dict(definition or machine(story.policy)), places(self.table.name, Target=NAME)
        )
        self.watch = Watch(NAME, story.policy, Verdict(name=NAME))
        self.table.watch = self._written
        self.broken: list[Broken] = []
        self.ended: Counter[str] = Counter()
        self.names: set[str] = set()
        self.running: set[asyncio.Task[None]] = set()
        self.service_calls = 0
        self.luck = random.Random(seed * 7919)  # noqa: S311 - a simulation's dice
        self.now = 0.0

    def clock(self) -> float:
        """The wall clock; executions ask it from threads."""
        return self.now

    async def run(self) -> None:
        """The whole story.

        Raises:
            Broken: A promise was not kept.
        """
        arrivals = asyncio.create_task(self._arrivals())
        story = asyncio.create_task(super().run())
        try:
            while not story.done() and not self.broken:
                await asyncio.wait({story}, timeout=1.0)
        finally:
            for task in (arrivals, story, *self.running):
                task.cancel()
            await asyncio.gather(arrivals, story, *self.running, return_exceptions=True)
            self.table.drop()
        if self.broken:
            raise self.broken[0]

    # --- the table -------------------------------------------------------------------

    async def asked(self, operation: str, params: Item) -> Item:
        """One request: on its way, done, and on its way back. Raises `Failed`."""
        await asyncio.sleep(self.luck.uniform(0.002, 0.03))
        lost = self.luck.random()
        if lost < self.story.losses / 2:
            raise Failed("DynamoDB.InternalServerError")
        answer: Item | Failed
        try:
            answer = self.table(operation, params)
        except Failed as failed:
            answer = failed
        await asyncio.sleep(self.luck.uniform(0.002, 0.03))
        if lost < self.story.losses:
            raise Failed("DynamoDB.InternalServerError")
        if isinstance(answer, Failed):
            raise answer
        return answer

    def _written(self, old: Item, new: Item) -> None:
        if new.get("sk") != {"S": f"v#{NAME}"}:
            return
        before = read_verdict(old) if old else Verdict(name=NAME)
        try:
            self.watch.wrote(before, read_verdict(new), asyncio.get_running_loop().time())
        except Broken as broken:
            self.broken.append(broken)
            self.watch.record = read_verdict(new)

    # --- state machines ----------------------------------------------------------------

    async def _arrivals(self) -> None:
        number = 0
        while self.story.machines_per_s:
            await asyncio.sleep(self.luck.expovariate(self.story.machines_per_s))
            number += 1
            self._start(f"job-{number}", {"prompt": "Hello."})

    def _start(self, name: str, given: Item) -> None:
        if name in self.names:
            raise Failed("StepFunctions.ExecutionAlreadyExists")
        self.names.add(name)
        task = asyncio.create_task(self._execution(name, given))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _execution(self, name: str, given: Item) -> None:
        one, done = Execution(self), SimpleQueue[Ended | None]()

        def runs() -> None:
            ended = None
            with contextlib.suppress(Stopped):
                ended = on_ministack(self.definition, given, one, name=name)
            done.put(ended)
            one.requests.put(("end", None))

        self.now = wall_clock()
        threading.Thread(target=runs, daemon=True).start()
        answer: Any = None
        while True:
            resource, params = one.requests.get()
            if resource == "end":
                break
            try:
                answer = await self._served(one, resource, params)
            except Failed as failed:
                answer = failed
            except asyncio.CancelledError:
                one.answers.put(Stopped())
                raise
            self.now = wall_clock()
            one.answers.put(answer)
        ended = done.get()
        assert ended is not None, "nobody stopped it"
        if ended.error:
            self.ended[ended.error] += 1
            if ended.error != "InferenceWorker.unserved":
                self.broken.append(Broken(f"{name} ended with {ended}"))
        else:
            served = ended.output.get("served_by") or ended.output.get("handler", "")
            self.ended[f"{ended.output['status']} {served}"] += 1

    async def _served(self, one: Execution, resource: str, params: Any) -> Any:
        if resource == "wait":
            await asyncio.sleep(params)
            return None
        if resource == "states:startExecution":
            given = params.get("Input", {})
            self._start(params["Name"], json.loads(given) if isinstance(given, str) else given)
            return {}
        if resource.endswith("converse"):
            return await self._model(one, params)
        operation = resource.rpartition(":")[2]
        answer = await self.asked(operation, params)
        self._noticed(one, operation, params, answer)
        return answer

    def _noticed(self, one: Execution, operation: str, params: Item, answer: Item) -> None:
        """What the execution has learned of the verdict."""
        item = params.get("Item") or params.get("Key") or {}
        if item.get("sk") != {"S": f"v#{NAME}"}:
            return
        if operation == "getItem":
            # What it wrote may stand although the answer was lost: it looks it up.
            found = answer.get("Item")
            one.looked = read_verdict(found) if found else Verdict(name=NAME)
        else:
            one.looked = read_verdict(item)
        if operation == "putItem" and one.looked.claims and one.looked.outcomes[-1] is None:
            one.ticket = (one.looked.epoch, one.looked.round, one.looked.claims[-1])

    async def _model(self, one: Execution, params: Item) -> Item:
        answer = {
            "Output": {"Message": {"Role": "assistant", "Content": [{"Text": "Yes."}]}},
            "StopReason": "end_turn",
            "Usage": {"OutputTokens": 2},
        }
        if params["ModelId"] != "model-a":
            await asyncio.sleep(0.5)
            return answer
        self.service_calls += 1
        ticket, one.ticket = one.ticket, None
        if ticket is not None:
            self.goes_out(*ticket)
        elif one.looked is not None and one.looked.state in (State.OPEN, State.HALF_OPEN):
            self.broken.append(Broken(f"I-11: a call without a ticket while {one.looked.state}"))
        now = asyncio.get_running_loop().time()
        reply = self.service.serve(now, place=0.5)
        await asyncio.sleep(min(reply.latency_s, 20.0))
        good = isinstance(reply.outcome, Answer) and not self.story.broken_machines
        if ticket is not None:
            self.watch.truth[ticket[2]] = good
        if not good:
            raise Failed("BedrockRuntime.InternalServerException")
        return answer

    # --- workers -----------------------------------------------------------------------

    def _member(self, number: int) -> Member:
        """As ever; a probe is noted as it goes out, and how it ends."""
        member = super()._member(number)
        member.gates = _Noted(member.gates, self)  # type: ignore[assignment]
        return member

    def goes_out(self, epoch: int, number: int, claim: str) -> None:
        """A probe, of a worker or of a state machine."""
        try:
            self.watch.probe_goes_out(epoch, number, claim)
        except Broken as broken:
            self.broken.append(broken)


class _Noted:
    """A member's gates, with somebody who listens."""

    def __init__(self, gates: Gates, fleet: MixedFleet) -> None:
        self._gates = gates
        self._fleet = fleet

    async def enter(self, target: Target, **how: Any) -> Passage:
        passage = await self._gates.enter(target, **how)
        ticket = passage.leaves[1].ticket
        if ticket is not None:
            self._fleet.goes_out(ticket.epoch, ticket.round, ticket.claim)
        return passage

    def settle(self, passage: Passage, target: Outcome, endpoint: Outcome) -> None:
        ticket = passage.leaves[1].ticket
        if ticket is not None:
            self._fleet.watch.truth[ticket.claim] = target in (Outcome.SUCCESS, Outcome.SLOW)
        self._gates.settle(passage, target, endpoint)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gates, name)


def told(story: Story, seed: int, definition: Mapping[str, Any] | None = None) -> MixedFleet:
    """One story, to its end.

    Raises:
        Broken: A promise was not kept.
    """

    async def main() -> MixedFleet:
        fleet = MixedFleet(story, seed, definition)
        await fleet.run()
        return fleet

    random.seed(seed)  # of ministack's `States.MathRandom`
    return in_virtual_time(main(), tick_s=1e-6)


def main() -> None:
    """Many seeds; what came up in them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seen: Counter[str] = Counter()
    seeds = parser.parse_args().seeds
    for seed in range(seeds):
        seen += told(Story(), seed).watch.seen
    for what, times in sorted(seen.items()):
        print(f"{times:7,} {what}")  # noqa: T201 - a command's result
    print(f"{seeds} stories, no promise broken")  # noqa: T201


if __name__ == "__main__":
    main()
