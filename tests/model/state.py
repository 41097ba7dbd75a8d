"""One moment of the model: what the store holds, what each worker knows, what is on its way.

All of it is tuples of small integers, so that a moment can be looked up among the
ones that were seen before. What has no bearing on the protocol is left out (`why`,
`writer`, `nonce`, `at`); what only has an order is numbered anew at every moment:

    versions, stages   by rank among all that anybody still holds
    claims             by first appearance
    honest workers     sorted, for they are alike

A worker that is in step with the store has no view of its own (`IN_STEP`): it reads
before it acts. One that lags acts from the view it has, for as long as it lags.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple


class Record(NamedTuple):
    """A verdict. `core` is the number of all the rest of it in the `Book`."""

    core: int
    version: int
    stage: int
    claims: tuple[int, ...]


NO_RECORD: Final = Record(-1, -1, -1, ())  # its content can matter no more


class Order(NamedTuple):
    """An order: its kind, and what it is about. What does not apply is 0.

    `about` is a stage for those that name one, else an epoch, an override's number.
    `proof` of what the jury orders: whether its votes are worth it (see `promises.py`).
    """

    kind: str
    about: int = 0
    round: int = 0
    claim: int = -1
    flag: int = 0  # Report: good; Trip: long calm; Conclude: overdue
    proof: int = 0
    known: Record = NO_RECORD  # Restore


class Flight(NamedTuple):
    """A write on its way: the order, the record it replaces, the record it brings.

    Once `landed`, the record is in the store, and the worker has not heard of it.
    """

    order: Order
    old: Record
    new: Record
    landed: int


class Ticket(NamedTuple):
    """Leave for one probe. `result`: 1 good, 0 bad, 2 the probe is still out."""

    epoch: int
    round: int
    claim: int
    result: int


class Vote(NamedTuple):
    """What a worker published. `kind`: 1 good, 0 bad; -1 nothing; -2 its seat has lapsed."""

    stage: int
    kind: int


class Worker(NamedTuple):
    """One worker. `()` stands for none, and for a view that is in step."""

    view: tuple[()] | Record
    vote: Vote
    ticket: tuple[()] | Ticket
    flight: tuple[()] | Flight


class Round(NamedTuple):
    """A bystander's count of the last round that began."""

    epoch: int
    round: int
    admitted: int  # probes that were let out
    good: int  # probes of it that truly ended well


class State(NamedTuple):
    """One moment. The first worker is the liar.

    `faults`: how often the target may still turn, workers crash, the store be wiped.
    `asked`: the last order's number, as operators who are about to give one read it.
    `holds`: how many operators may still come.
    """

    store: Record
    workers: tuple[Worker, ...]
    ghosts: tuple[Flight, ...]  # writes that nobody waits for any more
    healthy: int
    turns: int
    crashes: int
    wipes: int
    seen: Round
    asked: tuple[int, ...]
    holds: int


IN_STEP: Final = ()
SILENT: Final = Vote(-1, -1)
LAPSED: Final = Vote(-1, -2)
NEW_WORKER: Final = Worker(IN_STEP, SILENT, (), ())
GAP_MAX: Final = 1_000_000
STAGED: Final = frozenset({"Trip", "BeginRound", "Conclude", "StepUp", "StepDown"})


def records(state: State) -> Iterator[Record]:
    """Every record that anybody holds, that of the store first."""
    yield state.store
    for worker in state.workers:
        if worker.view:
            yield worker.view
        if worker.flight:
            yield worker.flight.old
            yield worker.flight.new
            yield worker.flight.order.known
    for ghost in state.ghosts:
        yield ghost.old
        yield ghost.new
        yield ghost.order.known


def fresh_claim(state: State) -> int:
    """A nonce that nobody has."""
    top = -1
    for record in records(state):
        top = max(top, *record.claims) if record.claims else top
    for worker in state.workers:
        if worker.ticket:
            top = max(top, worker.ticket.claim)
        if worker.flight:
            top = max(top, worker.flight.order.claim)
    for ghost in state.ghosts:
        top = max(top, ghost.order.claim)
    return top + 1


def canonical(state: State, *, forgetful: bool, hopeless: bool) -> State:
    """The same moment with small numbers: two moments that behave alike become equal.

    Args:
        state: Any moment.
        forgetful: The store may be wiped, or was, and may grow before it is restored:
            then it matters by how many writes a worker is ahead, and numbers stay.
        hopeless: A write whose version has passed is refused for certain: the store
            compares versions, and cannot be wiped.
    """
    if hopeless:
        state = _without_hopeless(state)
    return _Numbering(state, GAP_MAX if forgetful else 1).applied(state)


def _without_hopeless(state: State) -> State:
    """Writes that the store will refuse for certain keep only their order."""
    ghosts = tuple(ghost for ghost in state.ghosts if ghost.old == state.store)
    workers = state.workers
    if any(worker.flight for worker in workers):
        workers = tuple(_disarmed(worker, state.store) for worker in workers)
    return state._replace(workers=workers, ghosts=ghosts)


def _disarmed(worker: Worker, store: Record) -> Worker:
    flight = worker.flight
    if not flight:
        return worker
    lost = flight.new != store if flight.landed else flight.old != store
    if not lost:
        return worker
    return worker._replace(flight=Flight(flight.order, NO_RECORD, NO_RECORD, flight.landed))


class _Numbering:
    """The new numbers of one moment."""

    __slots__ = ("_claims", "_stages", "_versions")

    def __init__(self, state: State, gap_max: int) -> None:
        versions, stages = set(), set()
        for record in records(state):
            versions.add(record.version)
            stages.add(record.stage)
        flights = [*state.ghosts, *[w.flight for w in state.workers if w.flight]]
        for flight in flights:
            if flight.old != NO_RECORD and flight.order.kind in STAGED:
                stages.add(flight.order.about)
        self._versions = _ranks(versions, gap_max)
        self._stages = _ranks(stages, gap_max)
        self._claims: dict[int, int] = {-1: -1}

    def applied(self, state: State) -> State:
        store = self._record(state.store)
        liar, *honest = state.workers
        if len(honest) > 1:
            honest.sort(key=self._likeness)
        workers = (self._worker(liar), *[self._worker(worker) for worker in honest])
        ghosts = state.ghosts and tuple(sorted({self._flight(ghost) for ghost in state.ghosts}))
        _, _, _, healthy, turns, crashes, wipes, seen, asked, holds = state
        return State(store, workers, ghosts, healthy, turns, crashes, wipes, seen, asked, holds)

    def _likeness(self, worker: Worker) -> Any:
        """By what honest workers are sorted: all but the names of claims nobody else knows."""
        view, vote, ticket, flight = worker
        return (
            view and (view.core, self._versions[view.version], self._stages[view.stage]),
            self._stages.get(vote.stage, -1),
            vote.kind,
            ticket
            and (ticket.epoch, ticket.round, self._claims.get(ticket.claim, 99), ticket.result),
            flight and (flight.order.kind, flight.old.version, flight.landed, flight.order.flag),
        )

    def _worker(self, worker: Worker) -> Worker:
        view, vote, ticket, flight = worker
        if view:
            view = self._record(view)
        if vote.stage != -1:
            vote = Vote(self._stages.get(vote.stage, -1), vote.kind)
        if ticket:
            ticket = Ticket(ticket.epoch, ticket.round, self._claim(ticket.claim), ticket.result)
        if flight:
            flight = self._flight(flight)
        return Worker(view, vote, ticket, flight)

    def _flight(self, flight: Flight) -> Flight:
        order, old, new, landed = flight
        kind, about, round_, claim, flag, proof, known = order
        if kind in STAGED:
            about = self._stages.get(about, -1)
        order = Order(kind, about, round_, self._claim(claim), flag, proof, self._record(known))
        return Flight(order, self._record(old), self._record(new), landed)

    def _record(self, record: Record) -> Record:
        core, version, stage, claims = record
        if claims:
            claims = tuple([self._claim(claim) for claim in claims])
        return Record(core, self._versions[version], self._stages[stage], claims)

    def _claim(self, claim: int) -> int:
        return self._claims.setdefault(claim, len(self._claims) - 1)


def _ranks(values: set[int], gap_max: int) -> dict[int, int]:
    """Small numbers in the same order. -1 and 0 stay: they stand for nothing written."""
    ranks = {-1: -1}
    last, rank = 0, 0
    for value in sorted(values):
        if value >= 0:
            rank += min(value - last, gap_max)
            last = value
            ranks[value] = rank
    return ranks
