"""The fleet's protocol as steps from one moment to the next. Start to read here.

A worker reads, falls behind, votes, counts the votes, gives orders (`writes.py`), lets
a probe go without a word, crashes. The target dies and recovers, operators come, the
store is wiped. Anything may happen at any moment: a rest or an override ends, a round
is overdue, a probe ends. Time decides when, never whether, so the model has no clock.

    state.py      one moment, and when two of them are alike
    rules.py      the real moves, votes and gate, and how a bug is planted in them
    writes.py     how one write goes: refused, slow, lost, late
    promises.py   what must hold: I-5 to I-12, I-15
    liveness.py   I-14
    checker.py    the search
    scenes.py     how far it looks
"""

from collections.abc import Iterator

from tests.model.rules import MODES, Book, Rules
from tests.model.state import (
    IN_STEP,
    LAPSED,
    NEW_WORKER,
    SILENT,
    Order,
    Record,
    Round,
    State,
    Vote,
    Worker,
    canonical,
    fresh_claim,
)
from tests.model.writes import Limits, Step, Writes, changed
from worker.core.verdict import State as Circuit
from worker.core.verdict import is_behind

LIAR = 0
QUORUM = 3


class Protocol:
    """All steps that may follow a moment."""

    def __init__(self, book: Book, limits: Limits) -> None:
        self.book = book
        self.limits = limits
        self._writes = Writes(book, limits)

    @property
    def start(self) -> State:
        """A fleet that has just been made, a healthy target, and an empty store."""
        most = self.limits
        return State(
            store=self.book.nothing,
            workers=(NEW_WORKER,) * most.workers,
            ghosts=(),
            healthy=1,
            turns=most.turns,
            crashes=most.crashes,
            wipes=most.wipes,
            seen=Round(0, 0, 0, 0),
            asked=(),
            holds=most.holds,
        )

    def canonical(self, state: State) -> State:
        """The same moment with small numbers."""
        wipes = self.limits.wipes > 0
        exact = self.book.rules.same is Rules().same
        return canonical(state, forgetful=wipes, hopeless=exact and not wipes)

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that may happen next."""
        for who in range(len(state.workers)):
            yield from self.steps_of(state, who)
        yield from self._world(state)

    # --- one worker --------------------------------------------------------------

    def steps_of(self, state: State, who: int) -> Iterator[Step]:
        """Everything that one worker may do next, or that may happen to it."""
        worker = state.workers[who]
        if worker.flight:
            yield from self._writes.wait(state, who, worker.flight)
        else:
            for order in self._orders(state, who):
                yield from self._writes.give(state, who, order)
            yield from self._look(state, who)
        if state.crashes and worker not in (NEW_WORKER, NEW_WORKER._replace(vote=LAPSED)):
            yield self._crash(state, who)

    def _view(self, state: State, who: int) -> Record:
        return state.workers[who].view or state.store

    def _orders(self, state: State, who: int) -> Iterator[Order]:
        """What the worker may want, by what it knows."""
        view, ticket = self._view(state, who), state.workers[who].ticket
        core = self.book.core(view)
        _, may_probe = self.book.admits(view)
        if core.override is not None:
            yield Order("Release", core.override.number)
        if ticket:
            good = ticket.result
            if good == 2:
                good = int(state.healthy and who != LIAR)
            yield Order("Report", ticket.epoch, ticket.round, ticket.claim, good)
        if core.state is Circuit.OPEN and may_probe:
            yield Order("BeginRound", view.stage)
        if core.state is Circuit.HALF_OPEN:
            yield Order("Conclude", view.stage, flag=1)
            if may_probe and not ticket:
                yield Order("ClaimTicket", core.epoch, core.round, fresh_claim(state))
        if core.state in (Circuit.CLOSED, Circuit.RAMP):
            yield from self._judge(state, who, view)
        if self._forgotten(state, view):
            yield Order("Restore", known=view)

    def _forgotten(self, state: State, view: Record) -> bool:
        return view != state.store and is_behind(
            self.book.verdict(state.store), self.book.verdict(view)
        )

    def _judge(self, state: State, who: int, view: Record) -> Iterator[Order]:
        """Count the votes; the bystander notes whether the evidence is worth the order."""
        if state.workers[who].vote == LAPSED:
            return
        votes = tuple(sorted(w.vote for w in state.workers[1:] if w.vote != LAPSED))
        live = 1 + len(votes)
        kind = self.book.found(view, votes, live)
        if not kind:
            return
        honest = votes.count(Vote(view.stage, 0))
        proof = int(honest >= min(QUORUM, live) - 1)
        if kind == "StepUp":
            proof = int(Vote(view.stage, 1) in votes)
        yield Order(kind, view.stage, proof=proof)
        if kind == "Trip" and self.book.core(view).level:
            yield Order(kind, view.stage, flag=1, proof=proof)

    def _look(self, state: State, who: int) -> Iterator[Step]:
        """Read, fall behind, see how calls go, or let a probe go without a word."""
        worker = state.workers[who]
        view = self._view(state, who)
        core = self.book.core(view)
        if worker.view and (view == state.store or self.book.adopts(view, state.store)):
            yield Step(who, "reads", changed(state, who, worker._replace(view=IN_STEP)))
        elif not worker.view and self._lagging(state) < self.limits.lags:
            yield Step(who, "lags", changed(state, who, worker._replace(view=state.store)))
        if who != LIAR and core.state in (Circuit.CLOSED, Circuit.RAMP):
            vote = Vote(view.stage, state.healthy)
            if core.state is Circuit.CLOSED and state.healthy:
                vote = SILENT  # the fewest good votes make a false trip easiest
            if vote != worker.vote and self.book.admits(view)[0]:
                said = {1: "good", 0: "bad", -1: "nothing"}[vote.kind]
                yield Step(who, f"votes {said}", changed(state, who, worker._replace(vote=vote)))
        if worker.ticket:
            yield Step(who, "ignores its probe", changed(state, who, worker._replace(ticket=())))

    def _lagging(self, state: State) -> int:
        return sum(worker.view != IN_STEP for worker in state.workers)

    def _crash(self, state: State, who: int) -> Step:
        flight = state.workers[who].flight
        ghosts = state.ghosts
        if flight and not flight.landed:
            ghosts = (*ghosts, flight)
        state = changed(state, who, Worker(IN_STEP, LAPSED, (), ()))
        return Step(who, "crashes", state._replace(ghosts=ghosts, crashes=state.crashes - 1))

    # --- the world ---------------------------------------------------------------

    def _world(self, state: State) -> Iterator[Step]:
        for ghost in state.ghosts:
            if self._writes.lands(state, ghost.old):
                what = f"a late write arrives: {ghost.order.kind}"
                landed = self._writes.land(state, -1, what, ghost.order, ghost.new)
                if landed is not None:
                    yield landed
        if state.turns:
            said = "dies" if state.healthy else "recovers"
            turned = state._replace(healthy=1 - state.healthy, turns=state.turns - 1)
            yield Step(-1, f"the target {said}", turned)
        if state.holds:
            orders = self.book.core(state.store).orders
            asked = tuple(sorted((*state.asked, orders)))
            yield Step(-1, "an operator looks", state._replace(asked=asked, holds=state.holds - 1))
        yield from self._operators(state)
        if state.wipes and state.store.version:
            yield Step(-1, "the store is wiped", self._wiped(state))

    def _operators(self, state: State) -> Iterator[Step]:
        for number in sorted(set(state.asked)):
            asked = list(state.asked)
            asked.remove(number)
            rest = state._replace(asked=tuple(asked))
            for mode in self.limits.modes:
                order = Order("Hold", number, flag=mode)
                new = self.book.became(state.store, order)
                if new is None:
                    yield Step(-1, "an operator is told that somebody was faster", rest)
                elif self._writes.lands(state, state.store):
                    what = f"an operator orders: {MODES[mode]}"
                    landed = self._writes.land(rest, -1, what, order, new)
                    if landed is not None:
                        yield landed

    def _wiped(self, state: State) -> State:
        """Who was in step knows what was there; who lagged knows less."""
        workers = tuple(
            worker if worker.view else worker._replace(view=state.store) for worker in state.workers
        )
        return state._replace(store=self.book.nothing, workers=workers, wipes=state.wipes - 1)
