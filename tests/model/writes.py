"""How one write of one worker goes: `runtime/orders.py`, step by step.

An order is worked out from a record and replaces it only at the version that it had.
Who loses the race takes over what is there and asks the same order again. Who hears
nothing reads, and finds its write or asks again; or gives up, and the write may
arrive when nobody waits for it any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.promises import broken_by_write
from tests.model.rules import Book
from tests.model.state import (
    IN_STEP,
    NO_RECORD,
    Flight,
    Order,
    Record,
    Round,
    State,
    Ticket,
    Worker,
)
from worker.core.moves import RESTORE_STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may happen. Beyond it the model does not look.

    Attributes:
        workers: One of them is the liar.
        epochs, rounds: The highest numbers.
        flights: Writes that are on their way at once; all others arrive at once.
        lags: Workers that act from an old view at once.
        turns: How often the target dies or recovers.
        holds: Orders of operators, each with one of `modes`.
    """

    workers: int = 3
    epochs: int = 1
    rounds: int = 2
    flights: int = 0
    lags: int = 0
    turns: int = 2
    crashes: int = 0
    wipes: int = 0
    holds: int = 0
    modes: tuple[int, ...] = (1,)


class Step(NamedTuple):
    """One step: who did what, what came of it, and which promise it broke."""

    who: int  # -1 for the world
    what: str
    state: State
    broken: str | None = None


class Writes:
    """All that may come of orders."""

    def __init__(self, book: Book, limits: Limits) -> None:
        self._book = book
        self._limits = limits
        self._kept: dict[object, str | None] = {}

    def give(self, state: State, who: int, order: Order) -> Iterator[Step]:
        """The write of one order arrives and is answered at once; or it is on its way."""
        base = state.store
        if order.kind != "Restore":
            base = state.workers[who].view or base
        new = self._book.became(base, order)
        if order.kind == "Report":
            state = self._probe_ended(state, who, order)
        if new is None:
            if order.kind == "Report":  # the round is over: nobody wants to know
                yield Step(who, "drops its late result", self._unheld(state, who, order).state)
            return
        if self.lands(state, base):
            landed = self.land(state, who, f"gives {order.kind}", order, new)
            if landed is not None:
                yield self._heard(landed, who, order)
        if self._in_flight(state) < self._limits.flights:
            flight = Flight(order, base, new, 0)
            worker = state.workers[who]._replace(flight=flight)
            yield Step(who, f"sends {order.kind}", changed(state, who, worker))

    def _in_flight(self, state: State) -> int:
        return len(state.ghosts) + sum(worker.flight != () for worker in state.workers)

    def lands(self, state: State, old: Record) -> bool:
        """Whether the store takes a write that expects `old`."""
        return self._book.rules.same(state.store, old)

    def land(self, state: State, who: int, what: str, order: Order, new: Record) -> Step | None:
        """The store takes the write; None if that is beyond the limits."""
        core = self._book.core(new)
        epoch, round_ = core.epoch % RESTORE_STEP, core.round % RESTORE_STEP
        if epoch > self._limits.epochs or round_ > self._limits.rounds:
            return None
        old, seen = state.store, state.seen
        if not old.version and order.kind != "Restore":
            seen = Round(0, 0, 0, 0)  # a wiped store begins another life, and counts anew
        key = (old, order, new, seen)
        if key not in self._kept:
            self._kept[key] = broken_by_write(self._book, old, order, new, seen)
        broken = self._kept[key]
        if order.kind == "Restore" and broken is None:
            views = [worker.view.version for worker in state.workers if worker.view]
            if new.version <= max(old.version, *views, 0):
                broken = "I-8: a restored record does not lead all that is known"
            elif core.tickets:
                broken = "I-5: a restored round gives out tickets that are out already"
        if order.kind == "BeginRound":
            seen = Round(core.epoch, core.round, 0, 0)
        return Step(who, what, state._replace(store=new, seen=seen), broken)

    def _probe_ended(self, state: State, who: int, order: Order) -> State:
        """The bystander hears how a probe truly ended, once."""
        worker = state.workers[who]
        assert worker.ticket, "only who has a ticket reports"
        if worker.ticket.result != 2:
            return state
        ticket = worker.ticket._replace(result=order.flag)
        state = changed(state, who, worker._replace(ticket=ticket))
        seen = state.seen
        same = (seen.epoch, seen.round) == (order.about, order.round)
        if order.flag and same and order.claim in state.store.claims:
            state = state._replace(seen=seen._replace(good=seen.good + 1))
        return state

    def _heard(self, landed: Step, who: int, order: Order) -> Step:
        """The worker hears that its order stands."""
        state = landed.state
        worker = state.workers[who]._replace(view=IN_STEP, flight=())
        if order.kind == "Report":
            worker = worker._replace(ticket=())
        if order.kind == "ClaimTicket":
            return self._admitted(landed._replace(state=changed(state, who, worker)), who, order)
        return landed._replace(state=changed(state, who, worker))

    def _admitted(self, step: Step, who: int, order: Order) -> Step:
        """The worker believes that it has a ticket: its probe goes out."""
        state, seen = step.state, step.state.seen
        ticket = Ticket(order.about, order.round, order.claim, 2)
        broken = step.broken
        if (seen.epoch, seen.round) == (order.about, order.round):
            seen = seen._replace(admitted=seen.admitted + 1)
            if seen.admitted > self._book.policy.probes:
                broken = broken or f"I-5: {seen.admitted} probes in one round"
        state = changed(state, who, state.workers[who]._replace(ticket=ticket))
        return step._replace(state=state._replace(seen=seen), broken=broken)

    def _unheld(self, state: State, who: int, order: Order) -> Step:
        """The order does not hold any more; a claim may be there all the same."""
        worker = state.workers[who]._replace(flight=())
        if order.kind == "Report":
            worker = worker._replace(ticket=())
        step = Step(who, f"finds no use for its {order.kind}", changed(state, who, worker))
        if order.kind == "ClaimTicket" and order.claim in state.store.claims:
            core = self._book.core(state.store)
            held = order._replace(about=core.epoch, round=core.round)
            return self._admitted(step, who, held)
        return step

    # --- one write on its way ----------------------------------------------------

    def wait(self, state: State, who: int, flight: Flight) -> Iterator[Step]:
        """The write arrives and is answered, or is not; the worker reads, or gives up."""
        order, worker = flight.order, state.workers[who]
        if flight.landed:
            if flight.new == state.store:
                step = Step(who, f"reads, and finds its {order.kind}", state)
                yield self._heard(step, who, order)
            else:
                yield self._ask_again(state, who, order)
            yield Step(who, "gives up", changed(state, who, worker._replace(flight=())))
            return
        if flight.old != NO_RECORD and self.lands(state, flight.old):
            what = f"is heard by the store: {order.kind}"
            landed = self.land(state, who, what, order, flight.new)
            if landed is not None:
                yield self._heard(landed, who, order)
                unheard = worker._replace(flight=flight._replace(landed=1))
                what = f"is heard by the store, but the answer is lost: {order.kind}"
                yield landed._replace(what=what, state=changed(landed.state, who, unheard))
        else:
            yield self._ask_again(state, who, order)
        ghosts = (*state.ghosts, flight) if flight.old != NO_RECORD else state.ghosts
        given_up = changed(state, who, worker._replace(flight=()))._replace(ghosts=ghosts)
        yield Step(who, "gives up", given_up)
        if flight.old != NO_RECORD and self._in_flight(state) < self._limits.flights:
            again = self._ask_again(state, who, order)
            yield again._replace(state=again.state._replace(ghosts=ghosts))

    def _ask_again(self, state: State, who: int, order: Order) -> Step:
        """Take over what is there, and ask the same order about it."""
        worker = state.workers[who]
        known = worker.view or state.store
        if known != state.store and not self._book.adopts(known, state.store):
            return Step(who, "keeps what it knows", changed(state, who, worker._replace(flight=())))
        state = changed(state, who, worker._replace(view=IN_STEP, flight=()))
        new = None if order.kind == "Restore" else self._book.became(state.store, order)
        if new is None:
            return self._unheld(state, who, order)
        flight = Flight(order, state.store, new, 0)
        worker = state.workers[who]._replace(flight=flight)
        return Step(who, f"asks again: {order.kind}", changed(state, who, worker))


def changed(state: State, who: int, worker: Worker) -> State:
    """The same moment with another worker in this place."""
    workers = state.workers
    return state._replace(workers=(*workers[:who], worker, *workers[who + 1 :]))
