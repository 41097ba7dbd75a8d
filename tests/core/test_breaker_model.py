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
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from tests.core.breaker_steps import POLICIES, Steps
from worker.core.breaker import LEGAL, Permit
from worker.core.verdict import State
from worker.core.window import Outcome

LONGEST_S = 100.0  # beyond every rest, every probe and every lapse
BADLY = st.sampled_from([Outcome.FAILURE, Outcome.FAILURE, Outcome.HUNG])


class BreakerModel(Steps):
    """Trips and recoveries, and what holds at every step of them."""

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
        between=st.sampled_from([Outcome.SUCCESS, Outcome.SUCCESS, *Outcome]),
        often=st.integers(1, 2),
    )
    def something_lies_between_two_like_calls(
        self, kind: Outcome, between: Outcome, often: int
    ) -> None:
        if self.naive.limit < self.naive.slots:
            self.the_fleet_decides(8.0, ramping=False)
        self.calls_go_the_same_way(1 if kind is Outcome.DENIED else often, kind, 0.0)
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

    @rule(
        outcomes=st.permutations(list(Outcome)),
        limit=st.sampled_from([1.0, 8.0]),
        goes_on=st.booleans(),
    )
    def the_fleet_decides_with_calls_in_flight(
        self, outcomes: list[Outcome], limit: float, *, goes_on: bool
    ) -> None:
        self.ask(len(outcomes), 0.25)
        self.the_fleet_decides(limit, ramping=True, goes_on=goes_on)
        if self.out:
            self.old_news_comes(outcomes)

    @precondition(lambda self: self.naive.state is State.OPEN)
    @rule(
        nothing=st.lists(
            st.sampled_from([Outcome.IGNORED, Outcome.THROTTLED, Outcome.EXHAUSTED]),
            min_size=1,
            max_size=3,
        ),
        last=st.sampled_from(Outcome),
    )
    def probes_tell_nothing_until_one_does(self, nothing: list[Outcome], last: Outcome) -> None:
        for outcome in (*nothing, last):
            self.the_rest_ends(outcome, then="ends")

    @precondition(lambda self: self.naive.state is State.OPEN)
    @rule(
        outcome=st.sampled_from(Outcome),
        then=st.sampled_from(
            ["ends", "is lost", "is lost", "stays", "the fleet decides", "a new policy", "held"]
        ),
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
        elif then == "held":
            self.ask_and_go_out_anyway(2)
        elif then == "a new policy":
            self.the_policy_changes("patient")

    @rule(calls=st.integers(1, 3), outcome=st.sampled_from(Outcome))
    def it_is_held_closed_through_an_outage(self, calls: int, outcome: Outcome) -> None:
        for then in ("stays", "ends"):
            self.ask_and_go_out_anyway(calls)
            if self.naive.state is State.CLOSED:
                self.calls_go_the_same_way(12, Outcome.FAILURE, 0.0)
            if self.naive.state is State.OPEN:
                self.the_rest_ends(outcome, then=then)

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
        patient = deepcopy(self.breaker, {id(one): one for one in POLICIES.values()})
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
    "it went on with calls in flight",
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
            max_examples=200,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

    shares = {situation: Counted.reach[situation] / Counted.runs for situation in MATTERS}
    assert {s: share for s, share in shares.items() if share < LEAST} == {}


def test_every_legal_move_is_among_them() -> None:
    told = {tuple(one.split(":")[0].split(" to ")) for one in MATTERS if " to " in one}

    assert told >= {(str(old), str(new)) for old, new in LEGAL}
