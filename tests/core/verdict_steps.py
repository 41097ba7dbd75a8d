"""Single steps of the verdict's model: what the jury, a prober or an operator does once."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.core.jury_votes import ILL, JURIES, WELL
from tests.core.naive_jury import accusers, is_bad, is_good
from tests.core.verdict_fleet import EPOCH_AT, FATES, POLICIES, WHO, Fleet, Sent, Ticket, Worker
from worker.core.gate import NeedsTicket
from worker.core.jury import Tally, Vote, finding, tally
from worker.core.moves import (
    BeginRound,
    ClaimTicket,
    Conclude,
    Hold,
    Order,
    Release,
    Report,
    StepDown,
    StepUp,
    Trip,
    moved,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, Override, State, Verdict

ORDERS = (Mode.OBSERVE, Mode.HOLD_OPEN, Mode.HOLD_CLOSED)
ROLLS = st.sampled_from([0.0, 0.25, 0.999])


class Steps(Fleet):
    """The fleet, and whatever may be done in it."""

    # --- the jury ----------------------------------------------------------------------

    @rule(
        who=WHO,
        votes=JURIES,
        others=st.integers(0, 2),
        roll=ROLLS,
        fate=FATES,
    )
    def the_jury_sits(
        self, who: int, votes: list[Vote], others: int, roll: float, fate: str
    ) -> None:
        worker = self.workers[who]
        stage = worker.view.stage
        votes = [replace(vote, stage=stage + vote.stage) for vote in votes]
        self.judge(worker, votes, len(votes) + others, roll, fate)

    @rule(juries=st.lists(JURIES, min_size=1, max_size=8), kind=st.sampled_from(tuple(POLICIES)))
    def votes_are_counted(self, juries: list[list[Vote]], kind: str) -> None:
        for votes in juries:
            self.counted(votes, len(votes), POLICIES[kind])

    def counted(self, votes: list[Vote], live: int, policy: BreakerPolicy) -> Tally:
        found = tally(votes, live, policy)
        bad, good = is_bad(votes, live, policy), is_good(votes, live, policy)
        assert (found.bad, found.good) == (bad, good), f"a wrong tally of {votes}"
        assert len(found.why) <= 200
        assert not bad or accusers(votes) >= min(3, live), "I-9: a minority convicts"
        if bad:
            kind = "the pool" if "calls of" in found.why else "the majority"
            self.note(f"{kind} found it bad: {found.why.split('(')[1][:-1]}")
        return found

    @rule(
        who=WHO,
        ill=st.integers(0, 5),
        more=st.sampled_from([-5, -1, 0, 1, 1, 3]),
        about=st.sampled_from([0, 0, -1]),
        fate=FATES,
    )
    def voters_are_of_two_minds(self, who: int, ill: int, more: int, about: int, fate: str) -> None:
        worker, well = self.workers[who], max(0, ill + more)
        stage = worker.view.stage + about
        votes = [replace(one, stage=stage) for one in ill * [ILL] + well * [WELL]]
        self.judge(worker, votes, len(votes), 0.5, fate)

    def judge(self, worker: Worker, votes: list[Vote], live: int, roll: float, fate: str) -> None:
        policy, verdict = worker.gate.policy, worker.view
        calm_s = worker.gate.calm_s(self.now)
        order = finding(verdict, votes, live, policy, roll=roll, calm_s=calm_s)
        own = [vote for vote in votes if vote.stage == verdict.stage]
        found = self.counted(own, live, policy)
        expected: type[Order] | None = None
        if verdict.state is State.CLOSED and found.bad:
            expected = Trip
        elif verdict.state is State.RAMP and (found.bad or found.good):
            expected = StepDown if found.bad else StepUp
        assert type(order) is (expected or type(None))
        if order is None:
            self.note(f"the jury let it be, {verdict.state}")
            return
        assert (order.stage, order.why) == (verdict.stage, found.why)
        if isinstance(order, Trip):
            assert order.calm_s == calm_s
        self.note(f"the jury found: {type(order).__name__}")
        self.give(worker, order, fate)

    # --- probes --------------------------------------------------------------------------

    @rule(who=WHO, fate=FATES)
    def a_job_waits(self, who: int, fate: str) -> None:
        """It asks the gate; if that needs a ticket, the worker tries to get one."""
        worker = self.workers[who]
        answer = worker.gate.admit(self.now)
        if worker.ticket or not isinstance(answer, NeedsTicket):
            return
        assert worker.view.state in (State.OPEN, State.HALF_OPEN)
        if worker.view.state is State.OPEN:
            self.give(worker, BeginRound(stage=answer.stage))
        view, claim = worker.view, self.fresh("c")
        order = ClaimTicket(epoch=view.epoch, round=view.round, claim=claim)
        self.give(worker, order, fate)
        if fate == "unheard":
            self.note("a claim was repeated")
            self.give(worker, order)  # what was lost may be the order or the answer
        if claim in worker.view.claims:
            view = worker.view
            worker.ticket = Ticket(view.epoch, view.round, claim)
            self.seen.goes_out(view.epoch, view.round, claim)
            self.note("a probe went out")

    @precondition(lambda self: any(w.ticket for w in self.workers))
    @rule(which=WHO, fate=FATES, other=st.booleans())
    def a_probe_ends(self, which: int, fate: str, other: bool) -> None:  # noqa: FBT001
        probing = [w for w in self.workers if w.ticket]
        worker = probing[which % len(probing)]
        ticket = worker.ticket
        assert ticket is not None
        if ticket.good is None:
            ticket.good = self.healthy
            self.seen.truth[ticket.claim] = ticket.good
        order = Report(epoch=ticket.epoch, round=ticket.round, claim=ticket.claim, good=ticket.good)
        heard = self.give(worker, order, fate)
        if fate == "heard":
            worker.ticket = None
            self.note("a probe was reported" if heard else "a report came too late")
        if heard and other:
            again = replace(order, good=not order.good)
            assert self.written(worker, worker.view, again) is None, "I-7: it counted twice"
        if heard:
            self.conclude(worker, overdue=False, roll=0.25, fate=fate)

    def conclude(self, worker: Worker, *, overdue: bool, roll: float, fate: str) -> None:
        self.give(worker, Conclude(stage=worker.view.stage, overdue=overdue, roll=roll), fate)

    @precondition(lambda self: any(w.view.state is State.HALF_OPEN for w in self.workers))
    @rule(which=WHO, roll=ROLLS, fate=FATES, patient=st.booleans())
    def a_worker_looks_at_the_round(
        self,
        which: int,
        roll: float,
        fate: str,
        patient: bool,  # noqa: FBT001
    ) -> None:
        looking = [w for w in self.workers if w.view.state is State.HALF_OPEN]
        worker = looking[which % len(looking)]
        if patient:
            self.now += worker.gate.policy.probe_s + 5.0
        overdue = worker.gate.overdue(self.now)
        waited_s = self.now - worker.saw_stage_at
        assert overdue == (waited_s >= worker.gate.policy.probe_s + 5.0)
        self.conclude(worker, overdue=overdue, roll=roll, fate=fate)

    # --- operators -------------------------------------------------------------------------

    @rule(
        mode=st.sampled_from(ORDERS),
        for_s=st.sampled_from([2.0, 30.0, 100.0]),
        back=st.sampled_from([0, 0, 1, 3]),
        fate=FATES,
    )
    def an_operator_holds(self, mode: Mode, for_s: float, back: int, fate: str) -> None:
        seen = self.seen.past[-min(back + 1, len(self.seen.past))]
        override = Override(
            mode=mode,
            for_s=for_s,
            until_at=EPOCH_AT + self.now + for_s,
            author="ann",
            reason=self.fresh("drill"),
        )
        self.operate(Hold(override=override, number=seen.orders), seen, fate)

    @rule(back=st.sampled_from([0, 0, 1, 3]), fate=FATES)
    def an_operator_releases(self, back: int, fate: str) -> None:
        seen = self.seen.past[-min(back + 1, len(self.seen.past))]
        if seen.override is not None:
            self.operate(Release(number=seen.override.number), seen, fate)

    def operate(self, order: Hold | Release, old: Verdict, fate: str) -> None:
        """As the command line does: no gate, and no adoption."""
        meant = old.override if isinstance(order, Release) else None
        for _ in range(4):
            new = moved(old, order, POLICIES[self.kind], writer="ann", nonce=self.fresh("n"))
            if new is None:
                self.note(f"an operator came too late: {type(order).__name__}")
                return
            sent = Sent(order, old, new, POLICIES[self.kind], "ann", meant)
            if fate == "late":
                self.late.append(sent)
            if fate in ("late", "never"):
                return
            old = self.swap(sent)
            if old is new:
                return

    @precondition(lambda self: any(w.view.override for w in self.workers))
    @rule(which=WHO, fate=FATES)
    def a_worker_ends_an_override(self, which: int, fate: str) -> None:
        seeing = [w for w in self.workers if w.view.override]
        worker = seeing[which % len(seeing)]
        override = worker.view.override
        assert override is not None
        over = worker.at(self.now) >= override.until_at
        if over and worker.gate.mode(self.now) is Mode.ENFORCE:
            self.give(worker, Release(number=override.number), fate)
            self.note("an override ended by itself")
