"""The ledger among workers that crash, drag on, mishear and keep bad time.

One job, three processes, clocks up to `SKEW_S` apart, and messages that arrive
in any order and any number of times. The model is a bystander who knows true
time and forgets nothing. It asserts, at every step:

1. One life of a job (generation) has one final record, and nothing alters it.
2. Only the holder of the latest claim may write; every earlier one is stale.
3. The fence never falls, and each claim has its own.
4. Nobody is robbed of a lease that its own clock still calls good.
5. The four counters are what happened: attempts, parks, interruptions, crashes.
6. A finished job is claimed by a redrive only: never by a message it has seen,
   nor by one that a worker sent.
7. Whoever is told to wait gets the job if the holder never writes again.

`test_the_model_reaches_what_matters` counts how often each situation came up,
because a model that never gets there proves nothing.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from worker.core.ledger import (
    Claim,
    Conflict,
    Ending,
    Finished,
    Record,
    RunningElsewhere,
    Stale,
    State,
    claim,
    finish,
)

SKEW_S = 5.0
LEASE_S = 90.0
WORKERS = 3
FOR_GOOD = (State.ANSWERED, State.DEGRADED, State.DEAD)
FOR_NOW = (State.PARKED, State.INTERRUPTED)
ENDINGS = (*FOR_NOW, *FOR_NOW, *FOR_GOOD)  # after a final one little can happen


@dataclass(frozen=True)
class Message:
    """A doorbell; `own` was sent by a worker, `other` asks for something else."""

    name: str
    own: bool = False
    other: bool = False
    sent_at: float = 0.0


@dataclass
class Counts:
    """What happened to the job in this life, as a bystander counts it."""

    attempts: int = 0
    parks: int = 0
    interruptions: int = 0
    crashes: int = 0

    def of(self, record: Record) -> bool:
        return (self.attempts, self.parks, self.interruptions, self.crashes) == (
            record.attempts,
            record.parks,
            record.interruptions,
            record.crashes,
        )


class Worker:
    """One process. It runs the job once at a time, and knows what it was told."""

    def __init__(self, name: str, clock_off_s: float) -> None:
        self.name = name
        self.clock_off_s = clock_off_s
        self.held: Record | None = None
        self.unheard: Claim | None = None  # claimed, and the answer was lost
        self.unsure: Ending | None = None  # finished, and the answer was lost


class LedgerModel(RuleBasedStateMachine):
    reach: ClassVar[Counter[str]] = Counter()
    runs: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = 10_000.0
        self.record: Record | None = None
        self.workers: list[Worker] = []
        self.messages = [Message("m1"), Message("m2"), Message("x1", other=True)]
        self.rung: set[str] = set()  # messages by which a claim was granted
        self.claims: list[Record] = []  # every claim that was ever granted
        self.names = 0
        self.counts = Counts()
        self.finals: dict[int, Record] = {}
        self.reached: set[str] = set()

    def note(self, situation: str) -> None:
        event(situation)
        self.reached.add(situation)

    def teardown(self) -> None:
        type(self).reach.update(self.reached)
        type(self).runs += 1

    def fresh(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def write(self, new: Record) -> None:
        """The one conditional write, and what may never be seen to happen in it."""
        old = self.record
        if old is not None:
            assert new.fence >= old.fence, "the fence fell"
            if old.state.final and new != old:
                assert old.state is State.DEAD, f"an {old.state} record was altered"
                assert new.generation == old.generation + 1, "a final record was altered"
        if new.state.final:
            known = self.finals.setdefault(new.generation, new)
            assert known == new, "a second final record in one life"
        self.record = new

    @initialize(offs=st.tuples(*[st.sampled_from([0.0, 2.5, SKEW_S])] * WORKERS))
    def boot(self, offs: tuple[float, ...]) -> None:
        self.workers = [Worker(self.fresh("boot"), off_s) for off_s in offs]

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, LEASE_S - 1, LEASE_S + SKEW_S, 200.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        who=st.integers(0, WORKERS - 1),
        which=st.integers(0, 50),
        heard=st.sampled_from([True, True, True, False]),
    )
    def ring(self, who: int, which: int, heard: bool) -> None:  # noqa: FBT001
        """A message reaches a worker, and the worker asks for the job."""
        free = [w for w in self.workers if w.held is None]
        if not free:
            return  # whoever runs the job adopts the newer receipt, and asks nobody
        worker = free[who % len(free)]
        message = self.messages[which % len(self.messages)]
        ask = Claim(
            job="a",
            owner=worker.name,
            nonce=self.fresh("nonce"),
            doorbell=message.name,
            lease_s=LEASE_S,
            digest="other" if message.other else "same",
            sent_at=message.sent_at,
            own_doorbell=message.own,
        )
        self.ask(worker, ask, message, heard=heard)

    def ask(self, worker: Worker, ask: Claim, message: Message, *, heard: bool) -> None:
        old, at = self.record, self.now + worker.clock_off_s
        answer = claim(old, ask, at, skew_s=SKEW_S)
        match answer:
            case Record():
                self.granted(old, answer, ask, message)
                self.write(answer)
                worker.held = answer if heard else None
                worker.unheard = None if heard else ask
                if not heard:
                    self.note("a claim was granted and not heard")
            case Finished(record):
                assert record == old
                assert record.state.final
                self.note("a finished job was rung for")
                if message.own:
                    self.note("a parked doorbell came after the end")
                if record.generation and message.name in self.rung:
                    self.note("a message of an earlier life came after the end")
            case RunningElsewhere(record, lease_left_s):
                assert record == old
                assert record.state is State.RUNNING
                assert lease_left_s >= 0
                later = claim(old, ask, at + lease_left_s + 0.001, skew_s=SKEW_S)
                assert isinstance(later, Record), "who waits for the lease gets the job"
                self.note("a running job was left alone")
            case Conflict(record):
                assert record == old
                assert message.other != (record.digest == "other")
                self.note("an id was taken for something else")

    def granted(self, old: Record | None, new: Record, ask: Claim, message: Message) -> None:
        at = new.lease_until - LEASE_S
        assert new.state is State.RUNNING
        assert (new.owner, new.nonce, new.digest) == (ask.owner, ask.nonce, ask.digest)
        assert new.fence not in {held.fence for held in self.claims}, "a fence was given twice"
        if old is None:
            self.counts = Counts(attempts=1)
        elif old.state is State.DEAD:
            assert not message.own, "a parked doorbell redrove a job"
            assert message.name not in self.rung, "a late duplicate redrove a job"
            assert new.generation == old.generation + 1
            self.counts = Counts(attempts=1)
            self.note("a dead job was redriven")
            if new.generation > 1:
                self.note("a dead job was redriven twice")
        else:
            assert not old.state.final, f"an {old.state} job was claimed"
            assert new.generation == old.generation
            assert new.sent_at == old.sent_at, "a deadline moved"
            assert new.digest == old.digest, "an id was taken for something else"
            self.took_over(old, new, at)
        assert self.counts.of(new), f"{self.counts} is not {new}"
        self.rung.add(message.name)
        self.claims.append(new)

    def took_over(self, old: Record, new: Record, at: float) -> None:
        if old.state is not State.RUNNING:
            self.counts.attempts += 1
            self.note(f"a job was claimed that was {old.state}")
        else:
            holder = next((w for w in self.workers if w.name == old.owner), None)
            if holder is not None:
                theirs = self.now + holder.clock_off_s
                assert theirs > old.lease_until, "a good lease was taken away"
                self.note("a slow holder became a zombie" if holder.held else "a lease lapsed")
            assert at > old.lease_until
            self.counts.attempts += 1
            self.counts.crashes += 1
            self.note("a crash was counted")
            if new.crashes > 1:
                self.note("a job crashed twice in a row")

    @precondition(lambda self: any(w.unheard for w in self.workers))
    @rule(again=st.booleans())
    def a_claim_is_repeated(self, again: bool) -> None:  # noqa: FBT001
        """The client sends the same claim again, because it heard no answer."""
        worker = next(w for w in self.workers if w.unheard)
        ask = worker.unheard
        worker.unheard = None
        if ask is None or not again:
            return  # it gives up; the message comes again
        old = self.record
        assert old is not None
        if (old.state, old.nonce) == (State.RUNNING, ask.nonce):
            answer = claim(old, ask, self.now + worker.clock_off_s, skew_s=SKEW_S)
            assert answer == old, "a repeated claim is the same claim"
            worker.held = old
            self.note("a repeated claim was told again")
        else:
            message = next(m for m in self.messages if m.name == ask.doorbell)
            self.note("a repeated claim came too late")
            self.ask(worker, ask, message, heard=True)

    @precondition(lambda self: any(w.held and not w.unsure for w in self.workers))
    @rule(
        which=st.integers(0, WORKERS - 1),
        state=st.sampled_from(ENDINGS),
        charged=st.booleans(),
        heard=st.sampled_from([True, True, False]),
    )
    def a_run_ends(self, which: int, state: State, charged: bool, heard: bool) -> None:  # noqa: FBT001
        busy = [w for w in self.workers if w.held and not w.unsure]
        worker = busy[which % len(busy)]
        held = worker.held
        assert held is not None
        ending = Ending(
            state=state,
            attempts=held.attempts if charged else held.attempts - 1,
            parks=held.parks + (state is State.PARKED),
            interruptions=held.interruptions + (state is State.INTERRUPTED),
            crashes=0,
            result=f"by {held.nonce}".encode() if state.final else None,
        )
        self.end(worker, held, ending)
        worker.unsure = None if heard else ending
        worker.held = None if heard else held

    def is_zombie(self, worker: Worker) -> bool:
        held = worker.held
        return held is not None and worker.unsure is None and held != self.claims[-1]

    @precondition(lambda self: any(self.is_zombie(w) for w in self.workers))
    @rule(state=st.sampled_from(ENDINGS), heard=st.booleans())
    def a_zombie_wants_to_end_its_run(self, state: State, heard: bool) -> None:  # noqa: FBT001
        busy = [w for w in self.workers if w.held and not w.unsure]
        which = next(n for n, w in enumerate(busy) if self.is_zombie(w))
        self.a_run_ends(which, state, charged=True, heard=heard)

    def end(self, worker: Worker, held: Record, ending: Ending) -> None:
        old = self.record
        answer = finish(old, held, ending, self.now + worker.clock_off_s)
        if held != self.claims[-1]:
            assert isinstance(answer, Stale), "a zombie wrote"
            self.note("a zombie was refused")
            return
        assert isinstance(answer, Record), "the holder was refused"
        assert (answer.state, answer.fence) == (ending.state, held.fence)
        if old is not None and old.state is State.RUNNING:
            self.counts = Counts(
                ending.attempts, ending.parks, ending.interruptions, ending.crashes
            )
            self.note(f"a run ended as {ending.state}")
        assert self.counts.of(answer)
        self.write(answer)
        if answer.state is State.PARKED:
            self.messages.append(Message(self.fresh("parked"), own=True, sent_at=self.now))

    @precondition(lambda self: any(w.unsure for w in self.workers))
    @rule(which=st.integers(0, WORKERS - 1), changed=st.booleans())
    def an_ending_is_repeated(self, which: int, changed: bool) -> None:  # noqa: FBT001
        """The client sends the same ending again; or a wrong client sends another."""
        unsure = [w for w in self.workers if w.unsure]
        worker = unsure[which % len(unsure)]
        held, ending = worker.held, worker.unsure
        assert held is not None
        assert ending is not None
        if changed:
            state = State.DEAD if ending.state is not State.DEAD else State.ANSWERED
            answer = finish(self.record, held, replace(ending, state=state), self.now)
            assert isinstance(answer, Stale), "a holder changed its mind"
            self.note("a changed ending was refused")
        before = self.record
        self.end(worker, held, ending)
        assert self.record == before, "the same ending twice is one"
        worker.held = worker.unsure = None
        self.note("an ending was repeated")

    @rule(who=st.integers(0, WORKERS - 1))
    def crash(self, who: int) -> None:
        """The process dies and another takes its place, under another name."""
        self.workers[who] = Worker(self.fresh("boot"), self.workers[who].clock_off_s)

    @precondition(lambda self: self.record is not None and self.record.state is State.DEAD)
    @rule(edited=st.booleans())
    def redrive(self, edited: bool) -> None:  # noqa: FBT001
        """Somebody sends the dead letter back; it may ask for something else now."""
        self.messages.append(Message(self.fresh("redrive"), other=edited, sent_at=self.now))

    # What follows are runs of like steps. Single steps seldom make one, and what
    # matters most comes late in a life.

    @rule(who=st.integers(0, WORKERS - 1), states=st.lists(st.sampled_from(FOR_NOW), max_size=3))
    def some_whole_runs(self, who: int, states: list[State]) -> None:
        for state in states:
            before = len(self.claims)
            self.ring(who, 0, heard=True)
            if len(self.claims) == before:
                return
            self.end_latest(state, heard=True)

    def end_latest(self, state: State, *, heard: bool) -> None:
        busy = [w for w in self.workers if w.held and not w.unsure]
        holding = [n for n, w in enumerate(busy) if w.held == self.claims[-1]]
        if holding:
            self.a_run_ends(holding[0], state, charged=True, heard=heard)

    @precondition(lambda self: any(w.held and not w.unsure for w in self.workers))
    @rule(state=st.sampled_from(ENDINGS), changed=st.booleans())
    def a_run_ends_unheard_and_says_it_again(self, state: State, changed: bool) -> None:  # noqa: FBT001
        self.end_latest(state, heard=False)
        if any(w.unsure for w in self.workers):
            self.an_ending_is_repeated(0, changed)

    @rule(who=st.integers(0, WORKERS - 1), state=st.sampled_from(FOR_GOOD))
    def the_end_and_every_doorbell_after_it(self, who: int, state: State) -> None:
        if self.record is None or not self.record.state.final:
            self.ring(who, 0, heard=True)
            if self.claims:
                self.end_latest(state, heard=True)
        for which, message in enumerate(self.messages):
            if message.own or message.name in self.rung:
                self.ring(who, which, heard=True)

    @precondition(lambda self: self.record is None or not self.record.state.final)
    @rule(
        who=st.integers(0, WORKERS - 1),
        again=st.sampled_from([True, True, False]),
        late=st.booleans(),
    )
    def a_claim_goes_unheard(self, who: int, again: bool, late: bool) -> None:  # noqa: FBT001
        self.ring(who, 0, heard=False)
        if late:
            self.a_lease_lapses_and_another_takes_the_job(who + 1, first=True)
        if any(w.unheard for w in self.workers):
            self.a_claim_is_repeated(again)
        self.ring(who, 0, heard=True)

    @precondition(lambda self: self.record is not None and self.record.state is State.DEAD)
    @rule(who=st.integers(0, WORKERS - 1), dies=st.booleans(), times=st.integers(1, 2))
    def redrives_are_taken(self, who: int, dies: bool, times: int) -> None:  # noqa: FBT001
        for _ in range(times):
            self.redrive(edited=False)
            self.ring(who, len(self.messages) - 1, heard=True)
            if dies:
                self.end_latest(State.DEAD, heard=True)

    @precondition(lambda self: any(w.held for w in self.workers))
    @rule(who=st.integers(0, WORKERS - 1), first=st.booleans())
    def a_lease_lapses_and_another_takes_the_job(self, who: int, first: bool) -> None:  # noqa: FBT001
        self.now += LEASE_S + 2 * SKEW_S
        self.ring(who, 0 if first else 1, heard=True)

    @precondition(lambda self: any(w.held for w in self.workers))
    @rule()
    def all_ask_just_before_the_lease_ends(self) -> None:
        for worker in [w for w in self.workers if w.held == self.claims[-1]]:
            end = self.claims[-1].lease_until - worker.clock_off_s
            self.now = max(self.now, end - 1)
            for who in range(WORKERS):
                self.ring(who, 0, heard=True)

    @precondition(lambda self: any(w.held for w in self.workers))
    @rule(who=st.integers(0, WORKERS - 1))
    def a_process_dies_in_mid_run_and_the_next_one_too(self, who: int) -> None:
        for _ in range(2):
            for n, worker in enumerate(self.workers):
                if worker.held:
                    self.crash(n)
            self.a_lease_lapses_and_another_takes_the_job(who, first=True)

    @invariant()
    def only_the_latest_claim_may_write(self) -> None:
        for held in self.claims[:-1]:
            how = Ending(state=State.ANSWERED, attempts=1, parks=0, interruptions=0, crashes=0)
            assert isinstance(finish(self.record, held, how, self.now), Stale), "a zombie wrote"

    @invariant()
    def a_holder_that_ended_its_run_cannot_end_it_otherwise(self) -> None:
        if self.record is None or self.record.state is State.RUNNING:
            return
        for state in set(FOR_GOOD) - {self.record.state}:
            how = Ending(state=state, attempts=1, parks=0, interruptions=0, crashes=0)
            answer = finish(self.record, self.claims[-1], how, self.now)
            assert isinstance(answer, Stale), "a holder changed its mind"

    @invariant()
    def no_lease_is_taken_that_its_holder_calls_good(self) -> None:
        for holder in self.workers:
            held = holder.held
            if held is None or held != self.record or held.state is not State.RUNNING:
                continue
            good = self.now + holder.clock_off_s <= held.lease_until
            for rival in self.workers:
                ask = Claim(
                    job="a",
                    owner=f"{rival.name} or its neighbour",
                    nonce="any",
                    doorbell="m1",
                    lease_s=LEASE_S,
                    digest=held.digest,
                    sent_at=0.0,
                )
                answer = claim(held, ask, self.now + rival.clock_off_s, skew_s=SKEW_S)
                assert not (good and isinstance(answer, Record)), "a good lease was taken away"

    @invariant()
    def no_message_it_has_seen_wakes_a_finished_job(self) -> None:
        if self.record is None or not self.record.state.final:
            return
        for message in self.messages:
            if message.own or message.name in self.rung:
                ask = Claim(
                    job="a",
                    owner="anybody",
                    nonce="any",
                    doorbell=message.name,
                    lease_s=LEASE_S,
                    digest=self.record.digest,
                    sent_at=message.sent_at,
                    own_doorbell=message.own,
                )
                answer = claim(self.record, ask, self.now, skew_s=SKEW_S)
                assert answer == Finished(self.record), f"{message.name} woke it"


LedgerTest = LedgerModel.TestCase
LedgerTest.settings = settings(
    deadline=None, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)

LEAST = 0.02  # the share of all runs that must come to each of these
MATTERS = (
    "a claim was granted and not heard",
    "a repeated claim was told again",
    "a repeated claim came too late",
    "a job was claimed that was parked",
    "a job was claimed that was interrupted",
    "a run ended as answered",
    "a run ended as degraded",
    "a run ended as dead",
    "a run ended as parked",
    "a run ended as interrupted",
    "a crash was counted",
    "a job crashed twice in a row",
    "a slow holder became a zombie",
    "a zombie was refused",
    "an ending was repeated",
    "a changed ending was refused",
    "a running job was left alone",
    "a finished job was rung for",
    "a parked doorbell came after the end",
    "a dead job was redriven",
    "a dead job was redriven twice",
    "a message of an earlier life came after the end",
    "an id was taken for something else",
)


def test_the_model_reaches_what_matters() -> None:
    class Counted(LedgerModel):
        reach: ClassVar[Counter[str]] = Counter()
        runs: ClassVar[int] = 0

    run_state_machine_as_test(
        Counted,
        settings=settings(
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=400,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

    shares = {situation: Counted.reach[situation] / Counted.runs for situation in MATTERS}
    assert {s: share for s, share in shares.items() if share < LEAST} == {}
