"""The chart's figures: what each breaker admitted, at each moment at which one of them moved."""

from worker.core.verdict import State
from worker.ops.timeline import Line, Stretch, Timeline
from worker.page import chart


def line(name: str, *moves: tuple[float, State | None, float]) -> Line:
    ends = [*(at for at, _, _ in moves[1:]), 100.0]
    stretches = tuple(
        Stretch(state=state, share=share, since_at=at, until_at=end)
        for (at, state, share), end in zip(moves, ends, strict=True)
    )
    return Line(name=name, stretches=stretches, spells=(), rows=(), open_s=0.0)


def test_every_breaker_has_a_figure_at_every_move_of_any() -> None:
    near = line("near", (0.0, None, 0.0), (20.0, State.OPEN, 0.0), (60.0, State.RAMP, 0.2))
    far = line("far", (0.0, State.CLOSED, 1.0), (40.0, State.HALF_OPEN, 0.5))

    told = chart.shares(Timeline(at=100.0, since_at=0.0, lines=(near, far)))

    assert told == {
        "at": [0.0, 20.0, 40.0, 60.0, 100.0],
        "lines": [
            {"name": "near", "share": [None, 0.0, 0.0, 20.0, 20.0]},
            {"name": "far", "share": [100.0, 100.0, 0.0, 0.0, 0.0]},
        ],
    }


def test_a_breaker_that_is_not_known_yet_has_no_figure() -> None:
    late = line("late", (50.0, State.CLOSED, 1.0))

    told = chart.shares(Timeline(at=100.0, since_at=0.0, lines=(late,)))

    assert told["lines"] == [{"name": "late", "share": [None, 100.0, 100.0]}]
