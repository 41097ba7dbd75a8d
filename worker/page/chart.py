"""The timeline as shapes: for each breaker a band, as wide as the time that was asked for.

What a breaker did is told by height and colour, and in words beside it: a line while calls
pass, a block while none do, in between what is admitted of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.core.verdict import State
from worker.ops.timeline import Line, Spell, Stretch, Timeline

WIDTH: Final = 1000.0
HEIGHT: Final = 24.0
LEAST: Final = 3.0  # a short outage is to be seen
_HEIGHTS: Final = {State.CLOSED: 4.0, State.HALF_OPEN: 16.0, State.OPEN: 24.0, None: 2.0}
TICKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rectangle, and what it stands for."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    says: str = ""


def shapes(line: Line, shown: Timeline) -> list[Shape]:
    """The stretches of one breaker; those that let no call pass lie on top."""
    found = [_stretch(one, shown) for one in line.stretches]
    return sorted(found, key=lambda one: one.height)


def orders(line: Line, shown: Timeline) -> list[Shape]:
    """The orders of operators, to be drawn below."""
    return [_spell(one, shown) for one in line.spells]


def ticks(span_s: float) -> list[float]:
    """How long ago each mark is, the oldest first."""
    return [span_s * (TICKS - n) / TICKS for n in range(TICKS + 1)]


def shares(shown: Timeline) -> dict[str, Any]:
    """For the chart: points in time, and at each what every breaker admitted; None unknown."""
    at = sorted(
        {shown.since_at, shown.at}
        | {one.since_at for line in shown.lines for one in line.stretches}
    )
    return {
        "at": [round(one, 1) for one in at],
        "lines": [
            {"name": line.name, "share": _shares(line.stretches, at)} for line in shown.lines
        ],
    }


def _shares(stretches: Sequence[Stretch], points: Sequence[float]) -> list[float | None]:
    """What was admitted at each point in time; both are walked once, for they may be many."""
    found: list[float | None] = []
    n = -1
    for at in points:
        while n + 1 < len(stretches) and stretches[n + 1].since_at <= at:
            n += 1
        known = n >= 0 and stretches[n].state is not None
        found.append(round(100 * _admitted(stretches[n]), 1) if known else None)
    return found


def _admitted(one: Stretch) -> float:
    return one.share if one.state in (State.CLOSED, State.RAMP) else 0.0


def _stretch(one: Stretch, shown: Timeline) -> Shape:
    height = _HEIGHTS.get(one.state, HEIGHT * (1 - one.share) if one.state else 0.0)
    height = max(height, _HEIGHTS[State.CLOSED] if one.state else height)
    x, width = _placed(one.since_at, one.until_at, shown)
    return Shape(
        kind=one.state.value if one.state else "unknown",
        x=x,
        y=round((HEIGHT - height) / 2, 1),
        width=width,
        height=round(height, 1),
    )


def _spell(one: Spell, shown: Timeline) -> Shape:
    x, width = _placed(one.since_at, one.until_at, shown)
    return Shape(kind=one.mode.value, x=x, y=0.0, width=width, height=6.0)


def _placed(since: float, until: float, shown: Timeline) -> tuple[float, float]:
    scale = WIDTH / (shown.at - shown.since_at)
    width = max(LEAST, (until - since) * scale)
    return round(min((since - shown.since_at) * scale, WIDTH - width), 1), round(width, 1)
