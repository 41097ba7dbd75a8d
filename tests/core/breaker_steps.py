"""Single steps of the breaker's model: the breaker and its bystander take each together."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar

import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core.naive_breaker import NaiveBreaker, No
from tests.core.naive_window import Call
from worker.core.breaker import LEGAL, Breaker, Permit, Refusal
from worker.core.jury import Vote
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State
from worker.core.window import Outcome

LAPSE_S = 40.0
QUICK = BreakerPolicy(
    window_s=10,
    min_calls=4,
    failure_rate=0.5,
    recent_s=2.0,
    stuck_s=3.0,
    jitter=0.0,
    forgive_s=30.0,
    probe_s=5.0,
    quarantine_s=20.0,
    quarantine_max_s=60.0,
)
SLOW_TOO = BreakerPolicy(
    window_s=20,
    window_calls=16,
    min_calls=6,
    slow_rate=0.4,
    recent_s=4.0,
    stuck_s=6.0,
    forgive_s=60.0,
    probe_s=3.0,
    quarantine_s=10.0,
    quarantine_max_s=40.0,
)
PATIENT = BreakerPolicy(
    window_s=20,
    min_calls=10,
    failure_rate=0.8,
    stuck_s=8.0,
    jitter=0.5,
    cooldown_s=4.0,
    cooldown_max_s=30.0,
    cooldown_growth=2.0,
    probe_s=5.0,
    quarantine_s=40.0,
    quarantine_max_s=40.0,
)
POLICIES = {"quick": QUICK, "slow too": SLOW_TOO, "patient": PATIENT}
WAITS_S = (0.0, 0.25, 0.5, 1.0, 1.75, 3.0, 4.0, 10.0, 45.0)
WHYS = ("of the last", "calls failed", "were slow", "denied", "in time", "badly", "well", "fleet")


@dataclass(eq=False)
class Out:
    """A call that has not ended, as its caller holds it."""

    permit: Permit
    call: Call
    generation: int
    probe: bool = False


class Steps(RuleBasedStateMachine):
    """One breaker, its bystander, and the calls that have not ended."""

    reach: ClassVar[Counter[str]] = Counter()
    runs: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.25
        self.out: list[Out] = []
        self.reached: set[str] = set()

    def note(self, situation: str) -> None:
        event(situation)
        self.reached.add(situation)

    def teardown(self) -> None:
        type(self).reach.update(self.reached)
        type(self).runs += 1

    @initialize(kind=st.sampled_from(tuple(POLICIES)), slots=st.sampled_from([1, 4, 8]))
    def boot(self, kind: str, slots: int) -> None:
        policy = POLICIES[kind]
        self.breaker = Breaker("a", policy, slots=slots, salt="w", lapse_s=LAPSE_S, now=self.now)
        self.naive = NaiveBreaker(policy, slots=slots, lapse_s=LAPSE_S, now=self.now)

    # --- single steps ------------------------------------------------------------

    @rule(seconds=st.sampled_from(WAITS_S))
    def wait(self, seconds: float) -> None:
        """Nobody looks."""
        self.now += seconds

    @rule(seconds=st.sampled_from(WAITS_S), votes=st.booleans())
    def look(self, seconds: float, votes: bool) -> None:  # noqa: FBT001
        self.now += seconds
        self.breaker.look(self.now)
        self.naive.look(self.now)
        self.both_say_the_same()
        if votes:
            self.the_jury_asks(7)

    @rule(calls=st.integers(1, 4), after_s=st.sampled_from(WAITS_S))
    def ask(self, calls: int, after_s: float) -> None:
        self.now += after_s
        for _ in range(calls):
            self.one_asks()

    def one_asks(self) -> None:
        naive, before = self.naive, self.naive.state
        rested = before is State.OPEN and self.now >= naive.rest.shortest
        answer = self.breaker.admit(self.now)
        resting = rested and isinstance(answer, Refusal)
        expected = naive.ask(self.now, rests_again=resting)
        if resting:
            assert self.breaker.odds < 1, "it rests again where nobody else would probe"
        elif rested:
            assert self.breaker.odds > 0, "it probes, and was told to leave that to others"
        if isinstance(answer, Refusal):
            assert isinstance(expected, No), f"it refuses a call: {answer}"
            self.note(f"a call was refused: {answer.why}")
            assert answer.until > self.now
            self.both_say_the_same()  # and so the rest is known to the moment
            if naive.state is State.OPEN:
                expected = No(expected.why, naive.rest.shortest)
            assert answer.why == expected.why
            assert answer.until == pytest.approx(expected.until)
            return
        assert expected is None, f"it lets a call out that is to be refused: {expected}"
        self.let_out(answer)

    def let_out(self, permit: Permit) -> None:
        probe = self.breaker.is_probe(permit)
        assert probe == (self.naive.state is State.HALF_OPEN and self.naive.probe is None)
        if probe:
            call = self.naive.let_out_probe(permit, self.now)
            self.note("a probe went out")
        else:
            call = self.naive.let_out(permit, self.now)
        self.out.append(Out(permit, call, self.breaker.generation, probe))
        self.both_say_the_same()

    @rule(calls=st.integers(1, 3))
    def ask_and_go_out_anyway(self, calls: int) -> None:
        """The operator lets every call pass."""
        for _ in range(calls):
            trial = deepcopy(self.breaker).admit(self.now)
            resting = isinstance(trial, Refusal) and trial.why == "resting"
            permit = self.breaker.admit_anyway(self.now)
            if self.naive.ask(self.now, rests_again=resting) is not None:
                self.note(f"a call went out although the breaker was {self.naive.state}")
                call = self.naive.let_out(permit, self.now)
                self.out.append(Out(permit, call, self.breaker.generation))
                self.both_say_the_same()
            else:
                self.let_out(permit)

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 100), outcome=st.sampled_from(Outcome))
    def tell(self, which: int, outcome: Outcome) -> None:
        one = self.out.pop(which % len(self.out))
        stale = self.stale(one)
        lapsed = not (one.call.inside or one.call.known)
        before, out = self.seen(), self.breaker.in_flight
        kept = one.call.kept and one.call.known
        self.breaker.settle(one.permit, outcome, self.now)
        self.naive.told(one.call, outcome, self.now)
        if stale:
            assert self.seen() == before, "news of an earlier generation"
            assert self.breaker.in_flight == out - kept
            self.note(f"news of an earlier generation: {outcome}")
            if one.probe:
                self.note("news of a probe of an earlier generation")
        elif one.probe:
            self.note(f"a probe ended: {outcome}")
        elif lapsed:
            self.note("a call ended that had lapsed")
        elif not one.call.inside and self.naive.state is State.CLOSED:
            self.note("a call ended that had left the window")
        else:
            self.note(f"a call ended: {outcome}")
        self.both_say_the_same()

    @precondition(lambda self: any(self.stale(one) for one in self.out))
    @rule(outcomes=st.permutations(list(Outcome)))
    def old_news_comes(self, outcomes: list[Outcome]) -> None:
        old = [one for one in self.out if self.stale(one)]
        for one, outcome in zip(old, cycle(outcomes), strict=False):
            self.tell(self.out.index(one), outcome)

    def stale(self, one: Out) -> bool:
        return one.generation != self.breaker.generation

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 100))
    def lose(self, which: int) -> None:
        """The task died: nobody will ever settle this permit."""
        probes = [one for one in self.out if one.probe and not self.stale(one)]
        lost = (probes or self.out)[which % len(probes or self.out)]
        self.out.remove(lost)
        if lost.probe:
            self.note("a probe was lost")

    @rule(kind=st.sampled_from(tuple(POLICIES)))
    def the_policy_changes(self, kind: str) -> None:
        policy = POLICIES[kind]
        before = self.breaker.in_flight, self.breaker.limit, self.breaker.state
        if self.naive.window.calls and policy != self.naive.policy:
            self.note(f"the policy changed with counts at hand, {self.naive.state}")
        self.breaker.follow(policy)
        self.naive.follow(policy)
        assert before == (self.breaker.in_flight, self.breaker.limit, self.breaker.state)

    @rule(limit=st.sampled_from([0.5, 1.0, 2.5, 8.0]), ramping=st.booleans(), goes_on=st.booleans())
    def the_fleet_decides(self, limit: float, *, ramping: bool, goes_on: bool = False) -> None:
        self.note(f"the fleet decided while it was {self.naive.state}")
        if ramping:
            self.note("it ramped")
        if goes_on and self.naive.state is State.CLOSED and self.naive.window.in_flight:
            self.note("it went on with calls in flight")
        self.breaker.start_over(self.now, limit=limit, ramping=ramping, goes_on=goes_on)
        self.naive.start_over(self.now, limit=limit, ramping=ramping, goes_on=goes_on)
        self.both_say_the_same()

    @rule(rest_s=st.sampled_from([1.0, 5.0]))
    def the_store_is_lost(self, rest_s: float) -> None:
        if self.naive.state is State.CLOSED:
            self.note("it rested because the fleet's circuit was open")
        self.breaker.rest(self.now, rest_s, why="the fleet's circuit is open")
        self.naive.rest_from_outside(self.now, rest_s, "the fleet's circuit is open")
        self.both_say_the_same()

    @rule(stage=st.integers(0, 9))
    def the_jury_asks(self, stage: int) -> None:
        vote = self.breaker.vote(stage, self.now)
        naive, policy = self.naive, self.naive.policy
        if naive.state is not State.CLOSED:
            calls, failures, slow = naive.evidence
            assert vote == Vote(
                stage=stage, calls=calls, failures=failures, slow=slow, sick=calls > 0
            )
            self.note(f"it voted {'sick' if vote.sick else 'in silence'}")
            return
        calls, failures, slow, stuck = naive.window.tally(self.now, policy.stuck_s)
        assert (vote.calls, vote.failures, vote.slow) == (calls, failures, slow)
        assert (vote.recent_calls, vote.recent_failures) == naive.window.recent(
            self.now, policy.recent_s
        )
        assert (vote.ripe_calls, vote.ripe_stuck) == naive.window.ripe(self.now, policy.stuck_s)
        if naive.ramping:
            assert vote.successes == naive.good_calls, "a step of the ramp is earned by these"
        assert (vote.stage, vote.sick) == (stage, False)
        self.note("it voted by its window")
        if stuck:
            self.note("it voted with calls that hang")

    # --- what both must agree on ---------------------------------------------------

    def seen(self) -> tuple[object, ...]:
        one = self.breaker
        return one.state, one.generation, one.limit, one.vote(0, self.now), one.why

    def both_say_the_same(self) -> None:
        one, naive = self.breaker, self.naive
        moves = [(move.old, move.new, move.generation, move.why) for move in one.take_moves()]
        assert moves == naive.moves
        for old, new, _, why in moves:
            assert (old, new) in LEGAL
            self.note(f"{old} to {new}: {next((w for w in WHYS if w in why), why)}")
        naive.moves = []
        assert (one.state, one.generation) == (naive.state, naive.generation)
        if naive.state is State.OPEN:
            rest = naive.rest
            assert rest.shortest - 1e-6 <= one.rests_until <= rest.longest + 1e-6, "a wrong rest"
            rest.shortest = rest.longest = one.rests_until
        else:
            assert one.rests_until < 0
