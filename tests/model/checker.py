"""The search: every moment that the protocol can reach, breadth first.

The first promise that breaks ends it, so its story is one of the shortest.
"""

import time
from dataclasses import dataclass, field

from tests.model.liveness import Liveness
from tests.model.protocol import Protocol
from tests.model.rules import FOREVER_S, Book
from tests.model.state import State
from tests.model.writes import Step
from worker.core.moves import Order as AnyOrder
from worker.core.verdict import Mode
from worker.core.verdict import State as Circuit


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search saw.

    Attributes:
        states, edges, depth: How much there was; states that are alike count once.
        circuits: States of the circuit that came up.
        moves: Orders that held somewhere.
        broken: The first promise that broke, None if all held.
        story: How it came to that, a line for each step.
        whole: Whether everything within the limits was seen.
    """

    states: int
    edges: int
    depth: int
    seconds: float
    circuits: frozenset[Circuit] = frozenset()
    moves: frozenset[type[AnyOrder]] = frozenset()
    broken: str | None = None
    story: tuple[str, ...] = field(default=())
    whole: bool = True

    def __str__(self) -> str:
        figures = f"{self.states:,} states, {self.edges:,} edges, depth {self.depth}"
        lines = [f"{figures}, {self.seconds:.1f} s: {self.broken or 'all promises held'}"]
        return "\n".join([*lines, *self.story])


def search(protocol: Protocol, *, states_max: int = 10_000_000, alive: bool = True) -> Found:
    """Look at everything, until a promise breaks or `states_max` moments were seen."""
    began = time.perf_counter()
    start = protocol.canonical(protocol.start)
    liveness = Liveness(protocol)
    parents: dict[State, State | None] = {start: None}
    layer, depth, edges = [start], 0, 0
    last: tuple[State, State, str] | None = None
    while layer and last is None and len(parents) < states_max:
        depth += 1
        fresh: list[State] = []
        for state in layer:
            for step in protocol.steps(state):
                edges += 1
                then = protocol.canonical(step.state)
                broken = step.broken
                if broken is None and then not in parents:
                    parents[then] = state
                    fresh.append(then)
                    broken = liveness.wedged(then) if alive else None
                if broken is not None:
                    last = (state, then, broken)
                    break
            if last is not None or len(parents) >= states_max:
                break
        layer = fresh
    return Found(
        states=len(parents),
        edges=edges,
        depth=depth,
        seconds=time.perf_counter() - began,
        circuits=frozenset(protocol.book.core(state.store).state for state in parents),
        moves=frozenset(protocol.book.used),
        broken=last[2] if last else None,
        story=_story(protocol, parents, last) if last else (),
        whole=last is None and len(parents) < states_max,
    )


def admissions(book: Book) -> str | None:
    """I-11: without an override no verdict lets out more than its share, or than none would."""
    for core in book.cores:
        held = core.override is not None and core.override.mode is Mode.HOLD_OPEN
        for now in (0.0, FOREVER_S) if held else (FOREVER_S,):
            let_out, allowed = book.calls_admitted(core, now)
            if let_out > allowed:
                return f"I-11: {let_out} calls where {allowed} are allowed: {core}"
    return None


# --- stories -------------------------------------------------------------------


def _story(
    protocol: Protocol, parents: dict[State, State | None], last: tuple[State, State, str]
) -> tuple[str, ...]:
    """The way to the last step, played again with true numbers and lasting names."""
    way = [last[1]]
    at: State | None = last[0]
    while at is not None:
        way.append(at)
        at = parents[at]
    way.reverse()
    state, lines = protocol.start, []
    for number, then in enumerate(way[1:], 1):
        ends = number == len(way) - 1
        broken = last[2] if ends else None
        step = _same_step(protocol, state, then, broken)
        if step is None:  # a number was shortened on the way: go on from the moment as it was kept
            step = _same_step(protocol, way[number - 1], then, broken)
        assert step is not None, "the search found this step"
        state = step.state
        lines.append(f"{number:3}. {_who(step)} {step.what:44} {_told(protocol.book, state)}")
    return tuple(lines)


def _same_step(protocol: Protocol, state: State, then: State, broken: str | None) -> Step | None:
    likely: list[Step] = []
    for step in protocol.steps(state):
        if protocol.canonical(step.state) == then:
            if step.broken == broken:
                return step
            likely.append(step)
    return likely[0] if likely else None


def _who(step: Step) -> str:
    return (
        "the world " if step.who < 0 else "the liar  " if not step.who else f"worker {step.who}  "
    )


def _told(book: Book, state: State) -> str:
    core, store = book.core(state.store), state.store
    text = (
        f"v{store.version} s{store.stage} e{core.epoch} r{core.round} {core.state} {core.share:g}"
    )
    if core.tickets:
        text += f" outcomes {core.outcomes} of {core.tickets}"
    return text if core.override is None else f"{text} {core.override.mode}"
