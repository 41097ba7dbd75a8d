"""The breaker of one process against a bystander who keeps every call and every ending.

Calls come in bursts and end at once, late, after the breaker has moved, or never; the
fleet decides, the store goes out of reach, the policy changes in mid-flight, and time
passes with nobody looking. After each step both must say the same of everything that
can be seen. Beyond that, at every step:

1. News of a call from an earlier generation moves nothing.
2. While HALF_OPEN at most one probe is out, and nothing else goes out.
3. Whoever waits long enough gets a permit, whatever was lost.
4. What was throttled, denied or ignored is no call of any tally.

`test_the_model_reaches_what_matters` counts how often each situation came up. Times
are quarters of a second, so that sums are exact.
"""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar

import pytest
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
LONGEST_S = 100.0  # beyond every rest, every probe and every lapse
WAITS_S = (0.0, 0.25, 0.5, 1.0, 1.75, 3.0, 4.0, 10.0, 45.0)
BADLY = st.sampled_from([Outcome.FAILURE, Outcome.FAILURE, Outcome.HUNG])
WHYS = ("of the last", "calls failed", "were slow", "denied", "in time", "badly", "well", "fleet")


@dataclass(eq=False)
class Out:
    """A call that has not ended, as its caller holds it."""

    permit: Permit
    call: Call
    generation: int
    probe: bool = False


class BreakerModel(RuleBasedStateMachine):
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
        before = self.seen()
        self.breaker.settle(one.permit, outcome, self.now)
        self.naive.told(one.call, outcome, self.now)
        if stale:
            assert self.seen() == before, "news of an earlier generation"
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
        if self.out.pop(which % len(self.out)).probe:
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

    @rule(limit=st.sampled_from([0.5, 1.0, 2.5, 8.0]), ramping=st.booleans())
    def the_fleet_decides(self, limit: float, ramping: bool) -> None:  # noqa: FBT001
        self.note(f"the fleet decided while it was {self.naive.state}")
        if ramping:
            self.note("it ramped")
        self.breaker.start_over(self.now, limit=limit, ramping=ramping)
        self.naive.start_over(self.now, limit=limit, ramping=ramping)
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

    # What follows are runs of like steps: a trip takes several calls, and a recovery
    # as many again.

    @rule(
        calls=st.integers(1, 12),
        outcome=st.sampled_from(Outcome),
        every_s=st.sampled_from([0.0, 0.0, 0.25, 1.0]),
    )
    def calls_go_the_same_way(self, calls: int, outcome: Outcome, every_s: float) -> None:
        for _ in range(calls):
            self.now += every_s
            before = len(self.out)
            self.one_asks()
            if len(self.out) == before:
                return
            self.tell(-1, outcome)

    @rule(
        good=st.lists(st.integers(1, 12), max_size=3),
        bad=st.integers(8, 20),
        how=BADLY,
        gap_s=st.sampled_from([1.0, 2.25, 3.0, 5.0]),
    )
    def after_some_good_calls_all_fail(
        self, good: list[int], bad: int, how: Outcome, gap_s: float
    ) -> None:
        for calls in good:
            self.calls_go_the_same_way(calls, Outcome.SUCCESS, 0.0)
            self.now += gap_s
        self.calls_go_the_same_way(bad, how, 0.25)

    @rule(older=st.integers(4, 12), newer=st.integers(2, 6), how=BADLY)
    def the_newest_calls_fail_and_older_ones_hide_it(
        self, older: int, newer: int, how: Outcome
    ) -> None:
        self.the_policy_changes("quick")
        self.the_fleet_decides(8.0, ramping=False)
        for calls in (older, newer):
            self.calls_go_the_same_way(calls, Outcome.SUCCESS, 0.0)
            self.now += 2.25
        self.calls_go_the_same_way(14, how, 0.0)

    @rule(outcomes=st.lists(st.sampled_from(Outcome), min_size=3, max_size=9))
    def calls_go_all_ways(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.calls_go_the_same_way(1, outcome, 0.0)

    @precondition(lambda self: self.naive.state is State.CLOSED)
    @rule(
        kind=st.sampled_from([Outcome.DENIED, Outcome.FAILURE, Outcome.HUNG]),
        between=st.sampled_from(Outcome),
        often=st.integers(1, 2),
    )
    def something_lies_between_two_like_calls(
        self, kind: Outcome, between: Outcome, often: int
    ) -> None:
        if self.naive.limit < self.naive.slots:
            self.the_fleet_decides(8.0, ramping=False)
        self.calls_go_the_same_way(often, kind, 0.0)
        self.calls_go_the_same_way(1, between, 0.0)
        self.both_are_alike()
        self.calls_go_the_same_way(1, kind, 0.0)

    @rule(calls=st.integers(2, 10), look=st.booleans())
    def calls_hang(self, calls: int, look: bool) -> None:  # noqa: FBT001
        for _ in range(calls):
            self.one_asks()
        for _ in range(3):
            self.now += self.naive.policy.stuck_s / 2
            if look:
                self.look(0.5, votes=True)

    @precondition(lambda self: self.naive.state is State.CLOSED)
    @rule(
        calls=st.integers(1, 2),
        outcome=st.sampled_from(Outcome),
        later_s=st.sampled_from([12.0, 25.0, 62.0]),
    )
    def a_few_calls_outlive_the_window(self, calls: int, outcome: Outcome, later_s: float) -> None:
        self.ask(calls, 0.25)
        self.look(later_s, votes=True)
        for _ in range(min(calls, len(self.out))):
            self.tell(-1, outcome)

    @rule(outcomes=st.permutations(list(Outcome)), limit=st.sampled_from([1.0, 8.0]))
    def the_fleet_decides_with_calls_in_flight(self, outcomes: list[Outcome], limit: float) -> None:
        self.ask(len(outcomes), 0.25)
        self.the_fleet_decides(limit, ramping=True)
        if self.out:
            self.old_news_comes(outcomes)

    @precondition(lambda self: self.naive.state is State.OPEN)
    @rule(
        nothing=st.lists(
            st.sampled_from([Outcome.IGNORED, Outcome.THROTTLED]), min_size=1, max_size=3
        ),
        last=st.sampled_from(Outcome),
    )
    def probes_tell_nothing_until_one_does(self, nothing: list[Outcome], last: Outcome) -> None:
        for outcome in (*nothing, last):
            self.the_rest_ends(outcome, then="ends")

    @precondition(lambda self: self.naive.state is State.OPEN)
    @rule(
        outcome=st.sampled_from(Outcome),
        then=st.sampled_from(["ends", "is lost", "stays", "the fleet decides", "a new policy"]),
        odds=st.sampled_from([1.0, 0.3, 0.0]),
    )
    def the_rest_ends(self, outcome: Outcome, then: str, odds: float = 1.0) -> None:
        self.breaker.odds = odds
        self.now = max(self.now, -(-self.naive.rest.longest // 0.25) * 0.25)
        self.one_asks()
        self.one_asks()
        if self.naive.probe is None:
            return  # it rests again
        if then == "is lost":
            self.lose(-1)
            self.look(self.naive.policy.probe_s, votes=False)
        elif then == "ends":
            self.tell(-1, outcome)
        elif then == "the fleet decides":
            self.the_fleet_decides(2.5, ramping=True)
        elif then == "a new policy":
            self.the_policy_changes("patient")

    @precondition(lambda self: self.naive.state is State.OPEN)
    @rule(rounds=st.integers(2, 5))
    def probe_after_probe_comes_back_badly(self, rounds: int) -> None:
        for _ in range(rounds):
            self.the_rest_ends(Outcome.FAILURE, then="ends")
        if self.naive.bad_rounds > 4:
            self.note("a rest reached its longest")

    @rule(denials=st.integers(2, 5))
    def access_is_denied_again_and_again(self, denials: int) -> None:
        self.calls_go_the_same_way(2, Outcome.DENIED, 0.0)
        for _ in range(denials):
            if self.naive.state is State.OPEN:
                self.the_rest_ends(Outcome.DENIED, then="ends")
        if self.naive.denials > 2:
            self.note("a quarantine reached its longest")

    @rule(
        outcome=BADLY,
        rounds=st.integers(1, 4),
        good=st.sampled_from([Outcome.SUCCESS, Outcome.SLOW]),
        calm_s=st.sampled_from([10.0, 20.0, 50.0, 200.0]),
    )
    def it_recovers_and_fails_again_after_a_calm_time(
        self, outcome: Outcome, rounds: int, good: Outcome, calm_s: float
    ) -> None:
        if self.naive.state is State.CLOSED:
            self.calls_go_the_same_way(12, outcome, 0.25)
        if self.naive.state is State.OPEN:
            self.probe_after_probe_comes_back_badly(rounds)
            self.the_rest_ends(good, then="ends")
        self.calls_go_the_same_way(14, Outcome.SUCCESS, 1.0)
        if self.naive.state is not State.CLOSED:
            return
        if self.naive.limit == self.naive.slots:
            self.note("the limit grew back to all slots")
        self.now += calm_s
        had = self.naive.bad_rounds
        self.calls_go_the_same_way(12, outcome, 0.0)
        if self.naive.bad_rounds < had:
            self.note("a calm time forgave")
            if self.naive.bad_rounds:
                self.note("a calm time forgave a part")

    @rule(seconds=st.integers(2, 8), outcome=st.sampled_from(Outcome))
    def calls_of_several_seconds_end_together(self, seconds: int, outcome: Outcome) -> None:
        for _ in range(seconds):
            self.ask(1, 1.0)
        for _ in range(min(len(self.out), 2 * seconds)):
            self.tell(-1, outcome)

    # --- what both must agree on ---------------------------------------------------

    def seen(self) -> tuple[object, ...]:
        one = self.breaker
        return one.state, one.generation, one.limit, one.room(self.now), one.in_flight, one.why

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

    @invariant()
    def both_are_alike(self) -> None:
        one, naive = self.breaker, self.naive
        self.both_say_the_same()
        assert one.limit == pytest.approx(naive.limit)
        assert one.in_flight == naive.window.in_flight
        assert one.room(self.now) == naive.room(self.now)
        assert one.suspected == naive.suspected
        self.note(f"it was {one.state}")
        if one.suspected:
            self.note("no call was worth a second try")
        if naive.window.lapsed:
            self.note("a call lapsed")

    @invariant()
    def at_most_one_probe_is_out(self) -> None:
        waited_for = [one for one in self.out if self.breaker.is_probe(one.permit)]
        assert len(waited_for) <= 1
        assert not waited_for or self.breaker.state is State.HALF_OPEN

    @invariant()
    def nobody_is_locked_out_for_ever(self) -> None:
        patient = deepcopy(self.breaker)
        patient.odds = 1.0
        answers = [patient.admit(self.now + n * LONGEST_S) for n in range(1, 5)]
        assert any(isinstance(answer, Permit) for answer in answers), "it is wedged"


BreakerTest = BreakerModel.TestCase
BreakerTest.settings = settings(
    deadline=None, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)

LEAST = 0.02  # the share of all runs that must come to each of these
MATTERS = (
    *(f"it was {state}" for state in State if state is not State.RAMP),
    "closed to open: calls failed",
    "closed to open: of the last",
    "closed to open: were slow",
    "closed to open: denied",
    "closed to open: fleet",
    "open to half_open: the rest is over",
    "open to closed: fleet",
    "half_open to closed: well",
    "half_open to closed: fleet",
    "half_open to open: badly",
    "half_open to open: in time",
    "half_open to open: denied",
    *(f"a call was refused: {why}" for why in ("open", "resting", "probing", "full")),
    *(f"a call ended: {outcome}" for outcome in Outcome),
    *(f"a probe ended: {outcome}" for outcome in Outcome),
    *(f"news of an earlier generation: {outcome}" for outcome in Outcome),
    "news of a probe of an earlier generation",
    "a probe was lost",
    "a call lapsed",
    "a call ended that had lapsed",
    "a call ended that had left the window",
    "a call went out although the breaker was open",
    "a call went out although the breaker was half_open",
    "a call went out although the breaker was closed",
    "no call was worth a second try",
    "the limit grew back to all slots",
    "a rest reached its longest",
    "a quarantine reached its longest",
    "a calm time forgave",
    "a calm time forgave a part",
    "the policy changed with counts at hand, closed",
    "it rested because the fleet's circuit was open",
    "it ramped",
    "it voted by its window",
    "it voted with calls that hang",
    "it voted sick",
    "it voted in silence",
)


def test_the_model_reaches_what_matters() -> None:
    class Counted(BreakerModel):
        reach: ClassVar[Counter[str]] = Counter()
        runs: ClassVar[int] = 0

    run_state_machine_as_test(
        Counted,
        settings=settings(
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=300,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

    shares = {situation: Counted.reach[situation] / Counted.runs for situation in MATTERS}
    assert {s: share for s, share in shares.items() if share < LEAST} == {}


def test_every_legal_move_is_among_them() -> None:
    told = {tuple(one.split(":")[0].split(" to ")) for one in MATTERS if " to " in one}

    assert told >= {(str(old), str(new)) for old, new in LEGAL}
