"""I-14: wherever the fleet stands, one honest worker alone leads it back to CLOSED.

From every moment that was reached: no more faults, a target that stays healthy, one
honest worker, and all others dead but for the liar's vote. It does what is first in
`NEXT`, and must see a closed circuit without an override. A moment that comes up
twice on the way is a wedge.
"""

from dataclasses import replace
from typing import Final

from tests.model.protocol import Protocol
from tests.model.state import NEW_WORKER, State, Worker
from tests.model.writes import Step
from worker.core.verdict import State as Circuit

NEXT: Final = (
    "is heard by the store",
    "reads",
    "asks again",
    "finds no use",
    "keeps what it knows",
    "gives Restore",
    "gives Release",
    "gives Report",
    "drops",
    "gives BeginRound",
    "gives ClaimTicket",
    "gives Conclude",
    "votes",
    "gives StepUp",
)
FAR: Final = 1_000_000
SURVIVOR: Final = 1


class Liveness:
    """Leads every moment home, and remembers those from which it went well."""

    def __init__(self, protocol: Protocol) -> None:
        limits = replace(protocol.limits, epochs=FAR, rounds=FAR, flights=0, lags=0)
        self._protocol = Protocol(protocol.book, limits)
        self._seen: set[tuple[object, Worker]] = set()
        self._home: set[State] = set()

    def wedged(self, state: State) -> str | None:
        """What keeps one of the honest workers from leading the fleet home; None if nothing."""
        for worker in state.workers[1:]:
            key = (state.store, worker)
            if key in self._seen:
                continue
            self._seen.add(key)
            if not self._goes_home(_alone(state, worker)):
                core = self._protocol.book.core(state.store)
                return f"I-14: wedged for good in {core.state} with {len(core.outcomes)} claims"
        return None

    def _goes_home(self, state: State) -> bool:
        way: set[State] = set()
        while not self._closed(state):
            state = self._protocol.canonical(state)
            if state in self._home:
                break
            if state in way:
                return False
            way.add(state)
            step = self._next(state)
            if step is None:
                return False
            state = step.state
        self._home |= way
        return True

    def _closed(self, state: State) -> bool:
        core = self._protocol.book.core(state.store)
        worker = state.workers[SURVIVOR]
        calm = not worker.flight and not worker.view
        return calm and core.state is Circuit.CLOSED and core.override is None

    def _next(self, state: State) -> Step | None:
        steps = list(self._protocol.steps_of(state, SURVIVOR))
        for beginning in NEXT:
            for step in steps:
                if step.what.startswith(beginning):
                    return step
        return None


def _alone(state: State, worker: Worker) -> State:
    return state._replace(
        workers=(NEW_WORKER, worker),  # the liar votes on, and does nothing else
        ghosts=(),
        healthy=1,
        turns=0,
        crashes=0,
        wipes=0,
        seen=state.seen._replace(epoch=0, round=0, admitted=0, good=0),
        asked=(),
        holds=0,
    )
