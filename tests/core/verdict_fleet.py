"""The workers, the store and the writes of the verdict's model; the rest of it drives them.

The store is the bystander's record: it is replaced by a write that knew its version and
nonce. A write is heard by its writer, lands unheard, is late, or never arrives.
"""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core.verdict_bystander import NAME, Bystander
from worker.core.gate import Gate
from worker.core.moves import Order, Restore, moved
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Override, Verdict, is_behind

WORKERS = 3
SLOTS = 10
EPOCH_AT = 1e6  # the wall clock when the story begins
POLICIES = {
    "one of three": BreakerPolicy(forgive_s=30.0, probe_s=5.0),
    "two of three": BreakerPolicy(
        failure_rate=0.3,
        probes_good=2,
        jitter=0.0,
        cooldown_growth=2.0,
        cooldown_max_s=9.0,
        ramp=(0.1, 0.4, 0.7),
        ramp_calls=3,
    ),
    "the only one": BreakerPolicy(probes=1, slow_rate=0.5, ramp=(0.5,), forgive_s=60.0),
}
KINDS = st.sampled_from([*POLICIES, "two of three"])  # most can go wrong where more is needed
FATES = st.sampled_from(["heard", "heard", "heard", "unheard", "late", "never"])
WHO = st.integers(0, WORKERS - 1)


@dataclass
class Ticket:
    epoch: int
    round: int
    claim: str
    good: bool | None = None  # how the probe ended


class Worker:
    """One process: its gate, its clocks, and the probe that it has out."""

    def __init__(self, name: str, kind: str, *, juror: bool, wrong_s: float, now: float) -> None:
        self.name = name
        self.kind = kind
        self.wrong_s = wrong_s
        self.juror = juror
        self.gate = Gate(NAME, POLICIES[kind], slots=SLOTS, worker=name, now=now)
        self.gate.seat(now, juror=juror)
        self.ticket: Ticket | None = None
        self.saw_stage_at = now
        self.override_ends = 0.0

    @property
    def view(self) -> Verdict:
        return self.gate.verdict

    def at(self, now: float) -> float:
        """Its wall clock, which may be wrong."""
        return EPOCH_AT + now + self.wrong_s


@dataclass
class Sent:
    """A write on its way; it may come at any time, or never."""

    order: Order
    old: Verdict
    new: Verdict
    policy: BreakerPolicy
    writer: str
    meant: Override | None = None  # the override that a release was given for


class Fleet(RuleBasedStateMachine):
    reach: ClassVar[Counter[str]] = Counter()
    runs: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.workers: list[Worker] = []
        self.late: list[Sent] = []
        self.healthy = True
        self.kind = "one of three"
        self.names = 0
        self.reached: set[str] = set()
        self.seen = Bystander(self.note)

    def note(self, situation: str) -> None:
        event(situation)
        self.reached.add(situation)

    def teardown(self) -> None:
        type(self).reach.update(self.reached)
        type(self).runs += 1

    def fresh(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    @property
    def store(self) -> Verdict:
        return self.seen.record

    @initialize(
        kind=KINDS,
        wrong_s=st.tuples(*[st.sampled_from([0.0, -40.0, 40.0])] * WORKERS),
    )
    def boot(self, kind: str, wrong_s: tuple[float, ...]) -> None:
        self.kind = kind
        for n, off_s in enumerate(wrong_s):
            self.workers.append(self.started(juror=n > 0, wrong_s=off_s))

    def started(self, *, juror: bool, wrong_s: float) -> Worker:
        name = self.fresh("w")
        return Worker(name, self.kind, juror=juror, wrong_s=wrong_s, now=self.now)

    # --- the store -----------------------------------------------------------------

    def swap(self, sent: Sent) -> Verdict:
        """What is there afterwards."""
        there = self.store
        if (there.version, there.nonce) == (sent.old.version, sent.old.nonce):
            assert there == sent.old, "two records under one version and nonce"
            if sent.meant and there.override:
                assert there.override.reason == sent.meant.reason, "another was released"
            self.seen.wrote(sent.new, sent.order, sent.policy, writer=sent.writer)
            return sent.new
        self.note("a race was lost")
        return there

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 20), twice=st.booleans())
    def a_write_arrives(self, which: int, twice: bool) -> None:  # noqa: FBT001
        sent = self.late.pop(which % len(self.late))
        before = self.store
        landed = self.swap(sent) is sent.new
        self.note("a late write landed" if landed else "a late write was fenced off")
        assert landed or self.store is before
        if twice:
            after = self.store
            self.swap(sent)
            assert self.store is after, "the same write twice is one"

    @rule()
    def wipe(self) -> None:
        if self.store.version:
            self.note(f"the store was wiped while {self.store.state}")
            self.seen.wipe()

    # --- what workers know -----------------------------------------------------------

    def adopt(self, worker: Worker, verdict: Verdict) -> None:
        known, now = worker.view, self.now
        newer = worker.gate.adopt(verdict, now, worker.at(now))
        assert worker.view is (verdict if newer else known)
        if not newer:
            assert verdict.version <= known.version or verdict.stage < known.stage
            return
        assert verdict.version > known.version, "a view went back"
        if (verdict.stage, verdict.state) != (known.stage, known.state):
            worker.saw_stage_at = now
        given = verdict.override
        if given is not None and (known.override is None or known.override.number != given.number):
            worker.override_ends = now + min(given.for_s, given.until_at - worker.at(now))

    @rule(who=WHO, fate=FATES)
    def read(self, who: int, fate: str) -> None:
        worker, there = self.workers[who], self.store
        if is_behind(there, worker.view):
            self.note("a worker found that the store had forgotten")
            self.restore(worker, there, fate)
            return
        if worker.view not in self.seen.past:
            self.note("a worker of a lost life took over the next one")
        self.adopt(worker, there)
        assert worker.view == there, "a worker read the store, and knows something else"
        if worker.kind != self.kind:
            worker.kind = self.kind
            worker.gate.follow(POLICIES[self.kind])
            self.note(f"a worker followed another policy, {worker.view.state}")

    @rule(who=WHO, back=st.integers(1, 5))
    def read_what_was_there_before(self, who: int, back: int) -> None:
        """An eventually consistent read."""
        worker = self.workers[who]
        older = self.seen.past[-min(back + 1, len(self.seen.past))]
        if not is_behind(older, worker.view):
            self.adopt(worker, older)
        else:
            known = worker.view
            assert not worker.gate.adopt(older, self.now, worker.at(self.now))
            assert worker.view is known
            self.note("an old read changed nothing")

    def restore(self, worker: Worker, there: Verdict, fate: str) -> None:
        order = Restore(known=worker.view)
        sent = self.written(worker, there, order)
        assert sent is not None, "the store knows less, and nothing is put back"
        if fate == "late":
            self.late.append(sent)
        elif fate != "never":
            written = self.swap(sent)
            if fate == "heard":
                self.adopt(worker, written)

    def written(self, worker: Worker, old: Verdict, order: Order) -> Sent | None:
        policy = worker.gate.policy
        nonce, at = self.fresh("n"), worker.at(self.now)
        new = moved(old, order, policy, writer=worker.name, nonce=nonce, at=at)
        if new is None:
            return None
        assert new.nonce == nonce
        return Sent(order, old, new, policy, worker.name)

    def give(self, worker: Worker, order: Order, fate: str = "heard") -> bool:
        """Carry out one order as the runtime does; whether the worker heard that it stands."""
        for _ in range(4):
            sent = self.written(worker, worker.view, order)
            if sent is None:
                self.note(f"an order did not hold: {type(order).__name__}")
                return False
            if fate == "late":
                self.late.append(sent)
            if fate in ("late", "never"):
                return False
            there = self.swap(sent)
            if fate == "unheard":
                self.note("an answer was lost")
                return False
            if there is sent.new:
                self.adopt(worker, there)
                return True
            if is_behind(there, worker.view):
                self.restore(worker, there, "heard")
            else:
                self.adopt(worker, there)
        return False

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        gone = self.workers[who]
        if gone.ticket:
            self.note("a prober died")
        self.workers[who] = self.started(juror=gone.juror, wrong_s=gone.wrong_s)

    @rule(kind=KINDS)
    def the_policy_changes(self, kind: str) -> None:
        self.kind = kind

    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0, 12.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_target_dies_or_recovers(self) -> None:
        self.healthy = not self.healthy
