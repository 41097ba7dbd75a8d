"""The picture of the fleet's circuit, drawn from `MOVES`: `docs/breaker.svg`.

States, arrows and the names on them come from the table of moves. Where a box stands
and how an arrow runs is decided here, and so are the few words beside a name: an
arrow that has no path or no words yet is refused by name, and a test finds words that
have lost their arrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Final, Literal

from worker.core.moves import (
    MOVES,
    BeginRound,
    ClaimTicket,
    Conclude,
    Order,
    Report,
    StepDown,
    StepUp,
    Trip,
)
from worker.core.verdict import State

LEFT: Final = 130
TOP: Final = 32
WIDTH: Final = 880
HEIGHT: Final = 720
BOX_W: Final = 190
BOX_H: Final = 84
LINE_H: Final = 17

Pair = tuple[State, State]
Arrow = tuple[type[Order], State, State]

BOXES: Final[Mapping[State, tuple[int, int, str]]] = MappingProxyType(
    {
        State.CLOSED: (230, 56, "every call passes"),
        State.OPEN: (700, 56, "none passes: it rests"),
        State.HALF_OPEN: (700, 420, "probes pass, by ticket"),
        State.RAMP: (230, 420, "a share of the slots"),
    }
)


@dataclass(frozen=True, slots=True)
class Route:
    """How an arrow runs, and where its words stand: (x, y) of the first line."""

    path: str
    x: int
    y: int
    anchor: Literal["start", "middle", "end"]


ROUTES: Final[Mapping[Pair, Route]] = MappingProxyType(
    {
        (State.CLOSED, State.OPEN): Route("M 420 98 H 696", 558, 68, "middle"),
        (State.OPEN, State.HALF_OPEN): Route("M 850 140 V 416", 864, 268, "start"),
        (State.HALF_OPEN, State.OPEN): Route("M 780 420 V 144", 766, 308, "end"),
        (State.HALF_OPEN, State.RAMP): Route("M 700 462 H 424", 562, 432, "middle"),
        (State.RAMP, State.CLOSED): Route("M 280 420 V 144", 266, 268, "end"),
        (State.RAMP, State.OPEN): Route(
            "M 370 420 V 264 Q 370 250 384 250 H 716 Q 730 250 730 236 V 144", 550, 220, "middle"
        ),
        (State.RAMP, State.RAMP): Route(
            "M 285 504 C 285 552, 365 552, 365 508", 325, 562, "middle"
        ),
        (State.HALF_OPEN, State.HALF_OPEN): Route(
            "M 755 504 C 755 552, 835 552, 835 508", 795, 562, "middle"
        ),
    }
)

WORDS: Final[Mapping[Arrow, tuple[str, ...]]] = MappingProxyType(
    {
        (Trip, State.CLOSED, State.OPEN): ("the jury finds it bad",),
        (BeginRound, State.OPEN, State.HALF_OPEN): ("the rest is over", "and a job waits"),
        (ClaimTicket, State.HALF_OPEN, State.HALF_OPEN): ("one ticket less",),
        (Report, State.HALF_OPEN, State.HALF_OPEN): ("what came of a probe",),
        (Conclude, State.HALF_OPEN, State.RAMP): ("enough probes were good",),
        (Conclude, State.HALF_OPEN, State.OPEN): (
            "too many were bad,",
            "or the round is overdue:",
            "rest again",
        ),
        (StepUp, State.RAMP, State.RAMP): ("good: the next share",),
        (StepUp, State.RAMP, State.CLOSED): ("the last share", "is good"),
        (StepDown, State.RAMP, State.RAMP): ("bad: the share before",),
        (StepDown, State.RAMP, State.OPEN): ("even the first share is bad",),
    }
)

_STYLE: Final = """
  svg { --ink: #1f2328; --soft: #59636e; --line: #59636e; --edge: #818b98; --page: #ffffff;
        --closed: #dafbe1; --open: #ffebe9; --half: #fff8c5; --ramp: #ddf4ff; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #f0f6fc; --soft: #9198a1; --line: #9198a1; --edge: #656c76; --page: #0d1117;
          --closed: #12341f; --open: #4a1d1f; --half: #3c3110; --ramp: #12304f; }
  }
  text { font: 14px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif;
         fill: var(--soft); }
  .page { fill: var(--page); }
  .state { font-size: 18px; font-weight: 600; fill: var(--ink); }
  .does { fill: var(--ink); }
  .move { font-weight: 600; fill: var(--ink); }
  rect { stroke: var(--edge); stroke-width: 1.5; }
  .page, .band { stroke: none; }
  .band { fill: none; stroke: var(--edge); stroke-dasharray: 4 4; }
  #closed { fill: var(--closed); } #open { fill: var(--open); }
  #half_open { fill: var(--half); } #ramp { fill: var(--ramp); }
  path.arrow { fill: none; stroke: var(--line); stroke-width: 1.8; marker-end: url(#head); }
  #head path { fill: var(--line); }
"""


def everywhere() -> list[type[Order]]:
    """Orders that hold in every state: they are told in words, not drawn as arrows."""
    return [order for order, move in MOVES.items() if move.states == frozenset(State)]


def arrows() -> list[Arrow]:
    """Every other move, in the order of the table: from which state to which."""
    return [
        (order, old, new)
        for order, move in MOVES.items()
        if order not in everywhere()
        for old in State
        if old in move.states
        for new in State
        if new in move.leads_to
    ]


def title(state: State) -> str:
    """A state's name for people.

    >>> title(State.HALF_OPEN)
    'half-open'
    """
    return state.value.replace("_", "-")


def described() -> str:
    """The picture in sentences, for those who do not see it."""
    moves = "; ".join(
        f"{order.__name__} from {title(old)} to {title(new)}: {' '.join(WORDS[order, old, new])}"
        for order, old, new in arrows()
    )
    others = ", ".join(order.__name__ for order in everywhere())
    return f"{moves}. In every state: {others}."


def svg() -> str:
    """The whole picture.

    Raises:
        LookupError: A move has no path or no words yet; the message names it.
    """
    by_pair: dict[Pair, list[Arrow]] = {}
    for arrow in arrows():
        order, old, new = arrow
        if arrow not in WORDS or (old, new) not in ROUTES:
            msg = (
                f"{order.__name__} from {title(old)} to {title(new)} is not drawn yet: give it "
                "words in WORDS and a path in ROUTES of worker/cli/breaker_svg.py, and look at it"
            )
            raise LookupError(msg)
        by_pair.setdefault((arrow[1], arrow[2]), []).append(arrow)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{LEFT} {TOP} {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title desc">'
        ),
        "<!-- Drawn by `python -m worker.cli.docs docs` from MOVES; edit the code instead. -->",
        '<title id="title">The states of the fleet\'s circuit, and every move between them</title>',
        f'<desc id="desc">{escape(described())}</desc>',
        f"<style>{_STYLE}</style>",
        (
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M 0 0 L 10 5 L 0 10 z"/></marker></defs>'
        ),
        f'<rect class="page" x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}"/>',
        *(f'<path class="arrow" d="{ROUTES[pair].path}"/>' for pair in by_pair),
        *(_box(state) for state in State),
        *(_words(ROUTES[pair], found) for pair, found in by_pair.items()),
        _band(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(state: State) -> str:
    x, y, does = BOXES[state]
    middle = x + BOX_W // 2
    return (
        f'<rect id="{state.value}" x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="12"/>\n'
        + _text(middle, y + 37, "middle", title(state), "state")
        + "\n"
        + _text(middle, y + 60, "middle", does, "does")
    )


def _words(route: Route, found: list[Arrow]) -> str:
    lines: list[str] = []
    for arrow in found:
        words = WORDS[arrow]
        name = arrow[0].__name__
        if arrow[1] is arrow[2]:  # a loop: one line for each of its moves
            lines.append(_named(route.x, route.y + LINE_H * len(lines), name, words[0]))
            continue
        for says in (name, *words):
            kind = "move" if says == name else ""
            y = route.y + LINE_H * len(lines)
            lines.append(_text(route.x, y, route.anchor, says, kind))
    return "\n".join(lines)


def _named(x: int, y: int, name: str, says: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle"><tspan class="move">{escape(name)}</tspan> '
        f"{escape(says)}</text>"
    )


def _band() -> str:
    top, left = 624, LEFT + 20
    lines = [
        f'<rect class="band" x="{left}" y="{top}" width="{WIDTH - 40}" height="108" rx="12"/>',
        _text(left + 24, top + 29, "start", "In every state", "state"),
    ]
    for number, order in enumerate(everywhere()):
        move = MOVES[order]
        lines.append(
            f'<text x="{left + 24}" y="{top + 54 + (LINE_H + 2) * number}">'
            f'<tspan class="move">{order.__name__}</tspan> '
            f"{escape(f'{move.when}: {move.then}')}</text>"
        )
    return "\n".join(lines)


def _text(x: int, y: int, anchor: str, says: str, kind: str = "") -> str:
    role = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{role}>{escape(says)}</text>'
