"""The fleet's verdict among workers that lag, die, mishear and lose their store.

Three workers with gates of their own, an operator with a view of its own, and a store
that replaces a record only if version and nonce are those that were known. Writes
land and are heard, land unheard, land much later, or never; the store may be wiped.
`verdict_bystander` holds every write to the promises and `naive_jury` every tally.
Beyond that, at every step:

1. No worker's view goes back, and each is a record that once was written.
2. An override is in force on a worker until the first of its two clocks ends it.
3. A worker admits nothing that the verdict takes away (I-11).
4. From here, if the target is healthy and one worker lives, CLOSED is reached (I-14).

`test_the_model_reaches_what_matters` counts how often each situation came up.
"""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from tests.core.jury_votes import ILL, WELL
from tests.core.verdict_fleet import FATES, KINDS, POLICIES, SLOTS, WHO, WORKERS
from tests.core.verdict_steps import ORDERS, ROLLS, Steps
from worker.core.gate import PATIENCE_S
from worker.core.moves import (
    MOVES,
    BeginRound,
    ClaimTicket,
    Conclude,
    Order,
    Report,
    StepUp,
    moved,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, State, Verdict

CLAIM_FATES = st.sampled_from(["heard", "unheard", "unheard", "late"])


class VerdictModel(Steps):
    """Whole incidents, and what holds at every step of them."""

    # What follows are runs of like steps: an incident takes many of them.

    def everybody_reads(self) -> None:
        for who in range(WORKERS):
            self.read(who, "heard")

    @rule(who=WHO, roll=ROLLS)
    def all_find_it_bad(self, who: int, roll: float) -> None:
        self.healthy = False
        self.read(who, "heard")
        worker = self.workers[who]
        self.judge(worker, [replace(ILL, stage=worker.view.stage)] * 3, 3, roll, "heard")

    @rule(who=WHO, steps=st.integers(1, 4))
    def all_find_it_good(self, who: int, steps: int) -> None:
        self.healthy = True
        self.read(who, "heard")
        worker = self.workers[who]
        for _ in range(steps):
            self.judge(worker, [replace(WELL, stage=worker.view.stage)] * 3, 3, 0.5, "heard")

    def rest_ends(self) -> None:
        self.everybody_reads()
        self.now += max(w.view.cooldown_s for w in self.workers) + PATIENCE_S

    @precondition(lambda self: self.store.state is State.OPEN)
    @rule(
        healthy=st.booleans(),
        rounds=st.integers(1, 4),
        first=st.sampled_from(["heard", "unheard"]),
    )
    def whole_rounds(self, healthy: bool, rounds: int, first: str = "heard") -> None:  # noqa: FBT001
        """Everybody probes and reports, until the circuit is no longer barred."""
        self.healthy = healthy
        for _ in range(rounds):
            self.rest_ends()
            for who in range(WORKERS):
                self.a_job_waits(who, "heard" if who else first)
                self.now += 1.0
            while any(w.ticket for w in self.workers):
                self.a_probe_ends(0, "heard", other=True)
            self.everybody_reads()
            for worker in self.workers:
                self.conclude(worker, overdue=worker.gate.overdue(self.now), roll=0.5, fate="heard")

    @rule(
        probers=st.integers(1, WORKERS),
        good=st.lists(st.booleans(), max_size=2),
        then=st.sampled_from(["held", "released", "a prober dies", "left"]),
        fate=CLAIM_FATES,
    )
    def a_round_is_left_half_done(
        self, probers: int, good: list[bool], then: str, fate: str
    ) -> None:
        self.reach_the_rest()
        self.rest_ends()
        for who in range(probers):
            self.a_job_waits(WORKERS - 1 - who, fate if who else "heard")
            self.now += 1.0
        for healthy in good:
            self.a_result_is_reported_and_nobody_concludes(healthy=healthy)
        if then in ("held", "released"):
            self.an_operator_holds(Mode.OBSERVE, 30.0, 0, "heard")
        if then == "released":
            self.an_operator_releases(0, "heard")
        elif then == "a prober dies":
            self.crash(WORKERS - 1)

    @rule(
        good=st.sampled_from([[], [False], [True], [True, True], [False, True]]),
        kind=st.sampled_from(["one of three", "two of three"]),
    )
    def a_round_is_overdue(self, good: list[bool], kind: str) -> None:
        """All probe, some report, and nobody concludes in time."""
        self.all_follow_another_policy(kind, ramp=False)
        self.a_round_is_left_half_done(WORKERS, good, "left", "heard")
        self.everybody_reads()
        if self.workers[0].view.state is State.HALF_OPEN:
            self.a_worker_looks_at_the_round(0, 0.5, "heard", patient=True)

    def a_result_is_reported_and_nobody_concludes(self, *, healthy: bool) -> None:
        for worker in self.workers:
            ticket = worker.ticket
            if ticket and ticket.good is None:
                self.seen.truth[ticket.claim] = ticket.good = healthy
                order = Report(
                    epoch=ticket.epoch, round=ticket.round, claim=ticket.claim, good=healthy
                )
                self.give(worker, order)
                return

    def reach_the_rest(self) -> None:
        for _ in range(4):
            if self.store.state in (State.CLOSED, State.RAMP):
                self.all_find_it_bad(0, 0.25)

    def reach_the_ramp(self) -> None:
        if self.store.state is State.CLOSED:
            self.reach_the_rest()
        if self.store.state is State.OPEN:
            self.whole_rounds(healthy=True, rounds=1)

    def reach_the_calm(self) -> None:
        if self.store.state is not State.CLOSED:
            self.reach_the_ramp()
            self.all_find_it_good(0, 4)

    @rule(
        up=st.integers(1, 3),
        down=st.integers(1, 3),
        then=st.lists(st.booleans(), max_size=3),
        fate=FATES,
    )
    def the_ramp_goes_up_and_down(self, up: int, down: int, then: list[bool], fate: str) -> None:
        ups = up * [True] + down * [False] + then
        self.reach_the_ramp()
        worker = self.workers[0]
        self.read(0, "heard")
        for n, well in enumerate(ups):
            votes = [replace(WELL if well else ILL, stage=worker.view.stage)] * 3
            self.judge(worker, votes, 3, 0.5, fate if n + 1 == len(ups) else "heard")

    @rule(
        what=st.sampled_from(["trip", "step up", "step down", "step down"]),
        late=st.booleans(),
    )
    def two_count_the_same_votes(self, what: str, late: bool) -> None:  # noqa: FBT001
        """One of them acts on a view that the other has outdated, or writes late."""
        if what == "trip":
            self.reach_the_calm()
        else:
            self.reach_the_ramp()
        self.everybody_reads()
        vote = WELL if what == "step up" else ILL
        for who in (0, 1):
            worker = self.workers[who]
            votes = [replace(vote, stage=worker.view.stage)] * 3
            self.judge(worker, votes, 3, 0.5, "late" if late and who == 0 else "heard")
        while self.late:
            self.a_write_arrives(0, twice=True)

    @rule(
        mode=st.sampled_from(ORDERS),
        seen_after_s=st.sampled_from([0.0, 5.0]),
        after_s=st.sampled_from([10.0, 31.0, 80.0]),
        ends=st.sampled_from(["an operator", "two operators", "a worker", "a second order"]),
        calm=st.booleans(),
    )
    def an_override_comes_and_goes(
        self,
        *,
        mode: Mode,
        seen_after_s: float,
        after_s: float,
        ends: str,
        calm: bool,
    ) -> None:
        if calm:
            self.reach_the_calm()
        self.an_operator_holds(mode, 30.0, 0, "heard")
        self.now += seen_after_s
        self.everybody_reads()
        self.overrides_end_by_the_first_of_two_clocks()
        self.now += after_s
        self.overrides_end_by_the_first_of_two_clocks()
        if ends == "a worker":
            self.a_worker_ends_an_override(0, "heard")
        elif ends == "a second order":
            self.an_operator_holds(mode, 30.0, 1, "heard")
            self.an_operator_holds(mode, 2.0, 0, "heard")
            self.an_operator_releases(1, "heard")
        else:
            self.an_operator_releases(0, "heard")
            if ends == "two operators":
                self.an_operator_releases(1, "heard")

    @rule(who=WHO, late=st.booleans())
    def a_lone_write_comes_late(self, who: int, late: bool) -> None:  # noqa: FBT001
        self.read(who, "heard")
        worker = self.workers[who]
        votes = [replace(ILL, stage=worker.view.stage)] * 3
        self.judge(worker, votes, 3, 0.5, "late" if late else "unheard")
        if self.late:
            self.a_write_arrives(len(self.late) - 1, twice=True)
        self.read(who, "heard")

    @rule(kind=KINDS, ramp=st.booleans())
    def all_follow_another_policy(self, kind: str, ramp: bool) -> None:  # noqa: FBT001
        if ramp:
            self.reach_the_ramp()
        self.the_policy_changes(kind)
        self.everybody_reads()

    @rule(calm_s=st.sampled_from([10.0, 35.0, 70.0, 300.0]), rounds=st.integers(1, 3))
    def it_closes_stays_calm_and_trips_again(self, calm_s: float, rounds: int) -> None:
        if self.store.state is State.CLOSED:
            self.all_find_it_bad(0, 0.25)
        if self.store.state is State.OPEN:
            self.whole_rounds(healthy=False, rounds=rounds)
        if self.store.state is State.OPEN:
            self.whole_rounds(healthy=True, rounds=1)
        self.all_find_it_good(0, 4)
        self.now += calm_s
        self.all_find_it_bad(0, 0.999)

    @rule(who=st.sampled_from([1, 2]), first=st.sampled_from(["", "held", "tripped"]))
    def the_store_is_wiped_and_somebody_notices(self, who: int, first: str) -> None:
        self.read(who, "heard")
        self.wipe()
        if first == "held":
            self.an_operator_holds(Mode.HOLD_OPEN, 30.0, 0, "heard")
        elif first == "tripped":  # by one who has never seen the life before
            self.crash(0)
            self.all_find_it_bad(0, 0.5)
        self.read(who, "heard")

    # --- what holds at every step ------------------------------------------------------------

    @invariant()
    def every_view_was_written_once(self) -> None:
        for worker in self.workers:
            assert worker.view in self.seen.all_lives
        self.note(f"it was {self.store.state}")

    @invariant()
    def overrides_end_by_the_first_of_two_clocks(self) -> None:
        for worker in self.workers:
            override, mode = worker.view.override, worker.gate.mode(self.now)
            if override is None:
                assert mode is Mode.ENFORCE
                continue
            in_force = self.now < worker.override_ends
            assert mode is (override.mode if in_force else Mode.ENFORCE)
            self.note(f"{override.mode} {'in force' if in_force else 'over'}")
            assert not override.holds(at=worker.at(self.now), seen_for_s=override.for_s)
            assert not override.holds(at=override.until_at, seen_for_s=0.0)
            assert override.holds(at=override.until_at - 0.1, seen_for_s=override.for_s - 0.1)

    @invariant()
    def a_verdict_only_takes_away(self) -> None:
        for worker in self.workers:
            gate, view = worker.gate, worker.view
            room, mode = gate.room(self.now), gate.mode(self.now)
            if mode is not Mode.ENFORCE:
                assert room == (0 if mode is Mode.HOLD_OPEN else SLOTS)
                continue
            if view.state is State.OPEN:
                patience_s = 0.0 if worker.juror else PATIENCE_S
                rests = self.now - worker.saw_stage_at < view.cooldown_s + patience_s
                assert room == (0 if rests else 1)
            elif view.state is State.HALF_OPEN:
                assert room <= min(1, view.tickets - len(view.claims))
            elif view.state is State.RAMP:
                assert room <= int(SLOTS * view.share) + 1

    @invariant()
    def a_round_that_is_decided_can_be_concluded(self) -> None:
        if self.store.state is not State.HALF_OPEN:
            return
        one, policy = self.seen.rounds[self.store.epoch, self.store.round], POLICIES[self.kind]
        need = min(policy.probes_good, one.tickets)
        decided = one.good >= need or one.tickets - one.bad < need
        order = Conclude(stage=self.store.stage, overdue=False, roll=0.5)
        assert (moved(self.store, order, policy) is not None) == decided
        if decided:
            self.note("a round was decided, and nobody had concluded it")

    @invariant()
    def closed_is_within_reach(self) -> None:
        verdict, policy = self.store, POLICIES[self.kind]
        steps = 0
        while verdict.state is not State.CLOSED:
            verdict = next_good(verdict, policy, steps)
            steps += 1
            assert steps < 30, "I-14: it never closes"


def next_good(verdict: Verdict, policy: BreakerPolicy, step: int) -> Verdict:
    """One step of one honest worker, whose target is healthy."""
    stage, here = verdict.stage, {"epoch": verdict.epoch, "round": verdict.round}
    orders: list[Order] = [BeginRound(stage=stage), StepUp(stage=stage, why="")]
    orders += [Conclude(stage=stage, overdue=False, roll=0.5)]
    orders += [Report(**here, claim=claim, good=True) for claim in verdict.claims[-1:]]
    orders += [ClaimTicket(**here, claim=f"good{step}")]
    orders += [Conclude(stage=stage, overdue=True, roll=0.5)]
    for order in orders:
        new = moved(verdict, order, policy, writer="w", nonce=f"n{step}")
        if new is not None:
            return new
    raise AssertionError(f"I-14: nothing leads on from {verdict}")


VerdictTest = VerdictModel.TestCase
VerdictTest.settings = settings(
    deadline=None, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)

LEAST = 0.02  # the share of all runs that must come to each of these
MATTERS = (
    *(f"it was {state}" for state in State),
    "Trip: closed to open",
    "BeginRound: open to half_open",
    "ClaimTicket: half_open to half_open",
    "Report: half_open to half_open",
    "Conclude: half_open to ramp",
    "Conclude: half_open to open",
    "StepUp: ramp to ramp",
    "StepUp: ramp to closed",
    "StepDown: ramp to ramp",
    "StepDown: ramp to open",
    "Hold: closed to closed",
    "Hold: open to open",
    "Hold: half_open to half_open",
    "Release: closed to closed",
    "Release: half_open to half_open",
    "Restore: closed to open",
    "Restore: closed to ramp",
    "Restore: closed to closed",
    "Restore: open to open",
    *(
        f"an order did not hold: {order}"
        for order in ("Trip", "BeginRound", "ClaimTicket", "Report", "Conclude")
    ),
    "an order did not hold: StepUp",
    "an order did not hold: StepDown",
    "an operator came too late: Hold",
    "an operator came too late: Release",
    *(f"the jury found: {order}" for order in ("Trip", "StepUp", "StepDown")),
    *(f"the jury let it be, {state}" for state in State),
    *(f"the majority found it bad: {what}" for what in ("recent", "hanging", "all")),
    *(f"the pool found it bad: {what}" for what in ("recent", "hanging", "all")),
    "a race was lost",
    "an answer was lost",
    "a late write landed",
    "a late write was fenced off",
    "an old read changed nothing",
    "a claim was repeated",
    "a probe went out",
    "the last ticket was claimed",
    "a probe was reported",
    "a report came too late",
    "a prober died",
    "a round was decided, and nobody had concluded it",
    "a round of which nothing bad was heard was overdue",
    "a round with a bad probe was overdue",
    "a rest reached its longest",
    "a calm time forgave",
    *(f"the store was wiped while {state}" for state in State),
    "a worker found that the store had forgotten",
    "a worker of a lost life took over the next one",
    "a round was lost, and restored as a rest",
    "an operator was faster than the restore",
    *(f"{mode} {when}" for mode in ORDERS for when in ("in force", "over")),
    "an override ended by itself",
    *(f"a worker followed another policy, {state}" for state in (State.CLOSED, State.OPEN)),
)


def test_the_model_reaches_what_matters() -> None:
    class Counted(VerdictModel):
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


def test_every_order_is_among_them() -> None:
    told = {one.split(":")[0] for one in MATTERS if " to " in one}

    assert told >= {order.__name__ for order in MOVES}
