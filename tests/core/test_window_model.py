"""The window against a bystander who keeps every call in a list.

Calls come in bursts and after idle gaps, end at once, late, after they have left the
window, after it was cleared, or never; and its reach changes in mid-flight. After each
step both must hold the same. Times are quarters of a second, so that sums are exact.
"""

from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.core.naive_window import Call, NaiveWindow
from worker.core.window import Outcome, Window

STUCK_S = 3.0
RECENT_S = 2.0
ENOUGH = 5
LAPSE_S = 40.0
WINDOWS_S = (4.0, 10.0, 20.0)
BEYOND_S = 25.0  # of each window, and not so long that a call lapses
COUNTS = (None, 10, 12)
WAITS_S = (0.0, 0.25, 0.5, 1.0, 1.75, 3.0, 4.0, 10.0, 45.0, 100_000.0)


class WindowModel(RuleBasedStateMachine):
    reach: ClassVar[Counter[str]] = Counter()
    runs: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.25
        self.window = Window(window_s=10.0, lapse_s=LAPSE_S, now=self.now)
        self.naive = NaiveWindow(10.0, None, LAPSE_S)
        self.calls: list[Call] = []  # all that have not ended, known to the window or not
        self.reached: set[str] = set()

    def note(self, situation: str) -> None:
        event(situation)
        self.reached.add(situation)

    def teardown(self) -> None:
        type(self).reach.update(self.reached)
        type(self).runs += 1

    @rule(seconds=st.sampled_from(WAITS_S))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(calls=st.integers(1, 6), after_s=st.sampled_from(WAITS_S))
    def ask(self, calls: int, after_s: float) -> None:
        """A burst; nobody has looked at the window since the last step."""
        self.now += after_s
        before = self.naive.in_flight
        for _ in range(calls):
            permit = self.window.admit(self.now)
            self.calls.append(self.naive.admit(permit, self.now))
        if after_s > self.naive.window_s and before:
            self.note("calls came after an idle gap")

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 100), outcome=st.sampled_from(Outcome))
    def tell(self, which: int, outcome: Outcome) -> None:
        call = self.calls.pop(which % len(self.calls))
        if call.kept and call.in_flight:
            self.note("a call ended that was kept")
        elif call.in_flight and not call.inside:
            self.note(f"a call ended after it left the window: {outcome}")
        if not call.known:
            self.note("a call ended that the window had given up")
        self.window.settle(call.permit, outcome)
        call.outcome = outcome

    @precondition(lambda self: self.calls)
    @rule(
        calls=st.integers(2, 6),
        outcome=st.sampled_from(Outcome),
        after_s=st.sampled_from([0.25, 2.0, 12.0]),
    )
    def several_calls_go_the_same_way(self, calls: int, outcome: Outcome, after_s: float) -> None:
        self.now += after_s
        for _ in range(min(calls, len(self.calls))):
            self.tell(0, outcome)

    # What seldom comes about by itself, in one step.
    @rule()
    def a_call_of_each_kind_ends_after_it_left_the_window(self) -> None:
        for _ in Outcome:
            self.ask(1, 0.0)
        self.wait(BEYOND_S)
        self.both_hold_the_same()
        for outcome in Outcome:
            self.tell(-1, outcome)

    @rule(outcome=st.sampled_from(Outcome), keep_s=st.sampled_from([STUCK_S, 1000.0]))
    def a_call_outlives_a_clearing(self, outcome: Outcome, keep_s: float) -> None:
        self.ask(1, 0.0)
        self.clear(lose=False, keep_s=keep_s)
        self.tell(-1, outcome)

    @rule(calls=st.integers(3, 6), seconds=st.integers(3, 6))
    def calls_come_steadily(self, calls: int, seconds: int) -> None:
        for _ in range(seconds):
            self.ask(calls, 1.0)
            self.tell(-1, Outcome.SUCCESS)

    @rule(window_s=st.sampled_from(WINDOWS_S), calls_max=st.sampled_from(COUNTS))
    def the_policy_changes(self, window_s: float, calls_max: int | None) -> None:
        if self.naive.in_flight and window_s != self.naive.window_s:
            grown = window_s > self.naive.window_s
            self.note(f"the window {'grew' if grown else 'shrank'} in mid-flight")
        self.window.reach(window_s=window_s, calls_max=calls_max)
        self.naive.window_s, self.naive.calls_max = window_s, calls_max

    @precondition(lambda self: self.calls)
    @rule(lose=st.booleans(), keep_s=st.sampled_from([0.0, STUCK_S, 1000.0]))
    def clear(self, lose: bool, keep_s: float) -> None:  # noqa: FBT001
        if self.naive.in_flight:
            kept = ", and they were kept" if keep_s else ""
            self.note(f"it was cleared with calls in flight{kept}")
        self.window.clear(self.now, keep_s=keep_s)
        self.naive.clear(self.now, keep_s=keep_s)
        if lose:
            self.calls = []

    @invariant()
    def both_have_the_same_calls_in_flight(self) -> None:
        # Before anybody looks: time alone changes nothing.
        assert self.window.in_flight == self.naive.in_flight

    @invariant()
    def both_hold_the_same(self) -> None:
        seen = self.window.tally(self.now, STUCK_S)
        calls, failures, slow, stuck = self.naive.tally(self.now, STUCK_S)

        assert (seen.calls, seen.failures, seen.slow, seen.stuck) == (calls, failures, slow, stuck)
        assert self.window.in_flight == self.naive.in_flight
        assert 0 <= seen.failures <= seen.calls
        if stuck:
            self.note("a call was stuck")
        if self.naive.dropped_by_count:
            self.note("old calls gave way to many new ones")
        if self.naive.lapsed:
            self.note("a call lapsed")

    @invariant()
    def both_saw_the_same_lately(self) -> None:
        recent = self.window.recent(self.now, RECENT_S)
        newest = self.window.recent(self.now, RECENT_S, ENOUGH)
        ripe = self.window.ripe(self.now, STUCK_S)

        assert newest == self.naive.recent(self.now, RECENT_S, ENOUGH)
        assert recent == self.naive.recent(self.now, RECENT_S)
        assert ripe == self.naive.ripe(self.now, STUCK_S)
        if ripe[0] > ripe[1] > 0:
            self.note("some calls hung and others ended")
        if newest > recent:
            self.note("older calls made up the number")

    @invariant()
    def what_nobody_used_is_empty(self) -> None:
        if not self.naive.in_flight and not any(call.inside for call in self.naive.calls):
            assert self.window.tally(self.now, STUCK_S).calls == 0
            self.note("it was empty")


WindowTest = WindowModel.TestCase
WindowTest.settings = settings(
    deadline=None, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)

LEAST = 0.02  # the share of all runs that must come to each of these
MATTERS = (
    "calls came after an idle gap",
    *(f"a call ended after it left the window: {outcome}" for outcome in Outcome),
    "a call ended that the window had given up",
    "a call was stuck",
    "some calls hung and others ended",
    "older calls made up the number",
    "a call lapsed",
    "old calls gave way to many new ones",
    "the window grew in mid-flight",
    "the window shrank in mid-flight",
    "it was cleared with calls in flight",
    "it was cleared with calls in flight, and they were kept",
    "a call ended that was kept",
    "it was empty",
)


def test_the_model_reaches_what_matters() -> None:
    class Counted(WindowModel):
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
