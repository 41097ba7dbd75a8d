"""A large fleet in virtual time: the real gates and syncers, and calls instead of jobs.

Each member has what decides and what talks to the store (`Gates`, `Syncer`, `plan`,
`RetryBudget`), on a twin of the store that counts every operation. It has no queue
and no ledger: those would cost a thousand times more and decide nothing here. Work
never runs out: while its gates admit nothing a member waits, as a lane does that is
not polled.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from worker.core.answer import Answer
from worker.core.events import BreakerMoved, Event
from worker.core.fault import Billed, Fault, Kind, Vote, heard
from worker.core.plan import Call, Park, Seen, plan
from worker.core.policy import BreakerPolicy
from worker.core.retry import RetryBudget
from worker.core.route import Route
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.ports import BreakerStore, Tell
from worker.runtime.gates import Gates, Refused
from worker.runtime.syncer import Syncer
from worker.sim.clock import wall_clock
from worker.sim.memory import MemoryBreakers, Wire
from worker.sim.service import Phase, Service
from worker.sim.wire import Plan, no_mishaps

LOOK_S: Final = 0.5  # as the intake does while a lane is not polled
REFUSED_S: Final = 0.5
STORE_S: Final = 0.01
NAME: Final = "model-a"
SLOTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One experiment. All `_s` are seconds.

    Attributes:
        workers: How many there are.
        per_s: Jobs that each begins per second, while it may.
        lasts_s: How long the experiment lasts.
        phases: The story of the service.
        policy: The breaker's policy.
        fallback: Whether a healthy second target can take the jobs.
        latency_s: The median of a good call.
        plan: What goes wrong between a worker and the store, by its own wire.
    """

    workers: int
    phases: tuple[Phase, ...]
    lasts_s: float
    per_s: float = 0.8
    policy: BreakerPolicy = field(default_factory=BreakerPolicy)
    fallback: bool = False
    latency_s: float = 1.0
    sigma: float = 0.5
    attempt_s: float = 30.0
    seed: int = 1
    plan: Plan = no_mishaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of the fleet's verdict, with the time of the simulation."""

    now: float
    old: State
    new: State
    epoch: int
    why: str


@dataclass(slots=True, eq=False, kw_only=True)
class Member:
    """One worker of the fleet.

    Attributes:
        calls: Its calls of the first target: when each began, whether it was a probe.
        failed: When calls that were no probes failed.
        opened: When its own breaker opened, and why.
    """

    number: int
    place: float
    gates: Gates
    syncer: Syncer
    wire: Wire
    calls: list[tuple[float, bool]] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    opened: list[tuple[float, str]] = field(default_factory=list)
    in_hand: int = 0
    jobs: set[asyncio.Task[None]] = field(default_factory=set)

    def stopped_at(self, since: float, until: float) -> float:
        """When it began its last call that was no probe, between the two; `since` if none."""
        return max(
            (at for at, probe in self.calls if since <= at < until and not probe), default=since
        )

    def failures(self, since: float, until: float) -> int:
        """Calls that failed between the two, probes apart."""
        return sum(since <= at < until for at in self.failed)


def nothing_to_tell(_: Event, /) -> None:
    """For fleets that nobody listens to."""


class Fleet:
    """So many workers, one service, one store.

    Args:
        setting: The experiment.
        told: Hears every event of every member.

    Attributes:
        moves: What the fleet decided, in order.
        probes: Tickets that were claimed, by epoch and round.
    """

    def __init__(self, setting: Setting, told: Tell = nothing_to_tell) -> None:
        self.setting = setting
        self.told = told
        self.dice = random.Random(setting.seed)  # noqa: S311 - a simulation's dice
        self.store = MemoryBreakers(watch=self._watch)
        self.service = Service(
            phases=setting.phases,
            roll=self.dice.random,
            latency=lambda: self.dice.lognormvariate(math.log(setting.latency_s), setting.sigma),
        )
        self.moves: list[Move] = []
        self.probes: Counter[tuple[int, int]] = Counter()
        self.members: list[Member] = []
        self.targets = [Target(name=NAME, model="m", attempt_s=setting.attempt_s)]
        if setting.fallback:
            self.targets.append(
                Target(name="model-b", model="n", region="eu-west-1", attempt_s=setting.attempt_s)
            )
        self.route = Route(name="default", targets=tuple(self.targets))

    async def run(self) -> None:
        """Let the whole story happen."""
        setting = self.setting
        tasks: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        for number in range(setting.workers):
            member = self._member(number)
            self.members.append(member)
            tasks.append(loop.create_task(_keep(member)))
            tasks.append(loop.create_task(self._work(member)))
        await asyncio.sleep(setting.lasts_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def operations(self) -> Counter[str]:
        """How often the store was asked, by operation, by all members together."""
        found: Counter[str] = Counter()
        for member in self.members:
            for (port, operation), times in member.wire.calls.items():
                assert port == "breakers", "members have no other port"
                found[operation] += times
        return found

    # --- one member ------------------------------------------------------------

    def _member(self, number: int) -> Member:
        setting = self.setting
        name = f"w-{setting.seed}-{number}"
        wire = Wire(latency_s=STORE_S, plan=setting.plan)
        opened: list[tuple[float, str]] = []
        loop = asyncio.get_running_loop()

        def tell(event: Event, /) -> None:
            self.told(event)
            if not isinstance(event, BreakerMoved) or event.scope != "process":
                return
            if event.new is State.OPEN and event.breaker == NAME:
                opened.append((loop.time(), event.why))

        gates = Gates(
            worker=name,
            slots=SLOTS,
            targets=self.targets,
            policies={target.name: setting.policy for target in self.targets},
            tell=tell,
            now=loop.time(),
        )
        store: BreakerStore = self.store.seen_by(wire)
        syncer = Syncer(
            store,
            gates,
            worker=name,
            at=wall_clock,
            roll=random.Random(f"{setting.seed}:{number}").random,  # noqa: S311
            tell=tell,
        )
        place = (number + 0.5) / setting.workers
        return Member(
            number=number, place=place, gates=gates, syncer=syncer, wire=wire, opened=opened
        )

    async def _work(self, member: Member) -> None:
        """Begin jobs at the setting's pace, while the gates admit any."""
        budget = RetryBudget(self.route.retry)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.dice.random() / self.setting.per_s)
        while True:
            if not self._has_room(member):
                await asyncio.sleep(LOOK_S)
                continue
            job = loop.create_task(self._job(member, budget))
            member.jobs.add(job)
            job.add_done_callback(member.jobs.discard)
            await asyncio.sleep(self.dice.expovariate(self.setting.per_s))

    def _has_room(self, member: Member) -> bool:
        """Whether a job would be received now, as the intake decides it."""
        routes = [self.route]
        capacity = member.gates.capacity(routes)
        if capacity < SLOTS:
            capacity += member.gates.overhang(routes)
        return member.in_hand < min(SLOTS, capacity)

    async def _job(self, member: Member, budget: RetryBudget) -> None:
        """One job, parked and taken again until it is answered."""
        parks = 0
        while True:
            member.in_hand += 1
            parked_s = await self._run(member, budget, parks)
            member.in_hand -= 1
            if parked_s is None:
                return
            parks += 1
            await asyncio.sleep(parked_s)
            while not self._has_room(member):  # noqa: ASYNC110 - as a lane looks
                await asyncio.sleep(LOOK_S)

    async def _run(self, member: Member, budget: RetryBudget, parks: int) -> float | None:
        """What the executor does, without claim and settlement; how long the job is parked."""
        loop = asyncio.get_running_loop()
        seen = Seen(parks=parks)
        refused: dict[str, float] = {}
        while True:
            now = loop.time()
            just = {name: until - now for name, until in refused.items() if until > now}
            held = {n: one.until - now for n, one in member.gates.refusals(self.route).items()}
            step = plan(
                self.route,
                seen,
                roll=self.dice.random(),
                budget=budget.tokens,
                refusals=just | held,
                suspects=member.gates.suspects(self.route),
            )
            if isinstance(step, Park):
                return step.delay_s
            assert isinstance(step, Call), f"these jobs have no other end than {step}"
            budget.spend(step.spends)
            await asyncio.sleep(step.wait_s)
            try:
                outcome = await self._call(member, step)
            except Refused as no:
                budget.give_back(step.spends)
                refused[step.target.name] = max(no.refusal.until, loop.time() + REFUSED_S)
                continue
            if isinstance(outcome, Answer):
                budget.earn()
                return None
            seen = replace(seen, tried=(*seen.tried, (step.target.name, outcome)))

    async def _call(self, member: Member, step: Call) -> Answer | Fault:
        loop, target = asyncio.get_running_loop(), step.target
        passage = await member.gates.enter(target)
        probe = passage.probe_s is not None
        bound_s = step.bound_s if passage.probe_s is None else min(step.bound_s, passage.probe_s)
        started, first = loop.time(), target.name == NAME
        said = heard(Vote.IGNORE, slow=False, answered=False)
        if first:
            member.calls.append((started, probe))
        try:
            reply = self.service.serve(started, place=member.place if first else 1.0)
            await asyncio.sleep(min(reply.latency_s, bound_s))
            outcome = reply.outcome
            if reply.latency_s > bound_s:
                outcome = Fault(
                    kind=Kind.TIMED_OUT, code="TimeoutError", timer="attempt", billed=Billed.MAYBE
                )
            slow = loop.time() - started > target.slow_s
            if isinstance(outcome, Fault):
                said = heard(outcome.reaction.vote, slow=slow, answered=outcome.http is not None)
                if first and not probe:
                    member.failed.append(loop.time())
            else:
                said = heard(Vote.OK, slow=slow, answered=True)
        finally:
            member.gates.settle(passage, *said)
        return outcome

    def _watch(self, old: Verdict, new: Verdict) -> None:
        if old.name != NAME:
            return
        if len(new.claims) > len(old.claims):
            self.probes[new.epoch, new.round] += 1
        if new.state is not old.state or new.share != old.share:
            now = asyncio.get_running_loop().time()
            self.moves.append(
                Move(now=now, old=old.state, new=new.state, epoch=new.epoch, why=new.why)
            )


async def _keep(member: Member) -> None:
    await member.syncer.start()
    await member.syncer.run()


def at_most(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
