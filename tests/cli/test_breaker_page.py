"""The picture and the tables of docs/breaker.md, held against the moves themselves."""

import xml.etree.ElementTree as ET
from dataclasses import fields
from pathlib import Path

import pytest

from worker.cli import breaker_page, breaker_svg
from worker.cli.breaker_svg import ROUTES, WORDS, arrows, everywhere, svg, title
from worker.cli.docs import parts
from worker.core.moves import (
    MOVES,
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

DOCS = Path(__file__).parent.parent.parent / "docs"
SVG = "{http://www.w3.org/2000/svg}"
POLICY = BreakerPolicy()
OVERRIDE = Override(mode=Mode.OBSERVE, for_s=60, until_at=60, author="ann", reason="a drill")


@pytest.mark.parametrize("name", sorted(parts()))
def test_the_written_parts_of_a_page_are_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")

    assert page == breaker_page.filled(page, parts()[name]), "run: python -m worker.cli.docs docs"


def test_a_page_without_a_place_for_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="needs one <!-- moves -->"):
        breaker_page.filled("<!-- moves --> and no end", {"moves": "a table"})


def test_every_state_and_every_move_is_in_the_picture() -> None:
    drawn = ET.fromstring(svg())  # noqa: S314 - we wrote it ourselves
    names = [
        "".join(text.itertext()).partition(" ")[0]
        for text in drawn.iter(f"{SVG}text")
        if text.get("class") == "move" or text.find(f"{SVG}tspan") is not None
    ]
    boxes = {box.get("id") for box in drawn.iter(f"{SVG}rect")} - {None}
    paths = [path for path in drawn.iter(f"{SVG}path") if path.get("class") == "arrow"]

    assert boxes == set(State)
    assert sorted(names) == sorted(
        [order.__name__ for order, _, _ in arrows()] + [order.__name__ for order in everywhere()]
    )
    assert set(names) == {order.__name__ for order in MOVES}
    assert len(paths) == len({(old, new) for _, old, new in arrows()})


def test_every_arrow_has_its_path_and_its_words_and_none_is_left_over() -> None:
    assert set(WORDS) == set(arrows())
    assert set(ROUTES) == {(old, new) for _, old, new in arrows()}


def test_a_move_that_is_not_drawn_yet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {arrow: words for arrow, words in WORDS.items() if arrow[0] is not Trip}
    monkeypatch.setattr(breaker_svg, "WORDS", drawn)

    with pytest.raises(LookupError, match=r"^Trip from closed to open is not drawn yet"):
        svg()


def test_who_does_not_see_the_picture_is_told_every_move() -> None:
    drawn = ET.fromstring(svg())  # noqa: S314 - we wrote it ourselves
    told = drawn.findtext(f"{SVG}desc") or ""

    assert (drawn.findtext(f"{SVG}title") or "").strip()
    assert drawn.get("aria-labelledby") == "title desc"
    for order, old, new in arrows():
        assert f"{order.__name__} from {title(old)} to {title(new)}" in told
    assert all(order.__name__ in told for order in everywhere())


def test_no_words_stand_on_others_or_over_the_edge() -> None:
    drawn = ET.fromstring(svg())  # noqa: S314 - we wrote it ourselves
    boxes = [_room(text) for text in drawn.iter(f"{SVG}text")]

    for n, (left, top, right, bottom) in enumerate(boxes):
        assert left >= breaker_svg.LEFT
        assert right <= breaker_svg.LEFT + breaker_svg.WIDTH
        assert top >= breaker_svg.TOP
        assert bottom <= breaker_svg.TOP + breaker_svg.HEIGHT
        for other in boxes[:n]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart


def _room(text: ET.Element) -> tuple[float, float, float, float]:
    """About the room that a line takes: a letter is 0.54 of its height wide, on average."""
    size = 18 if text.get("class") == "state" else 14
    wide = len("".join(text.itertext())) * size * 0.54
    x, y = float(text.get("x", "")), float(text.get("y", ""))
    left = x - {"middle": wide / 2, "end": wide}.get(text.get("text-anchor", ""), 0.0)
    return left, y - size * 0.8, left + wide, y + size * 0.2


def test_the_arrows_are_the_ways_that_a_verdict_takes() -> None:
    """Every order is given to every verdict that makes a difference to it."""
    step = POLICY.ramp
    verdicts = [
        Verdict(name="a", stage=7, epoch=3, round=5, version=9),
        Verdict(name="a", stage=7, epoch=3, round=5, version=9, state=State.OPEN, share=0.0),
        *(
            Verdict(
                name="a",
                stage=7,
                epoch=3,
                round=5,
                version=9,
                state=State.HALF_OPEN,
                share=0.0,
                tickets=3,
                claims=("x", "y", "z")[: len(outcomes)],
                outcomes=outcomes,
            )
            for outcomes in ((), (None,), (True,), (False, False, False))
        ),
        *(
            Verdict(name="a", stage=7, epoch=3, round=5, version=9, state=State.RAMP, share=share)
            for share in step
        ),
    ]
    orders: list[Order] = [
        Trip(stage=7, why="bad", roll=0.5),
        BeginRound(stage=7),
        ClaimTicket(epoch=3, round=5, claim="new"),
        Report(epoch=3, round=5, claim="x", good=True),
        Conclude(stage=7, overdue=False, roll=0.5),
        Conclude(stage=7, overdue=True, roll=0.5),
        StepUp(stage=7, why="good"),
        StepDown(stage=7, why="bad", roll=0.5),
    ]
    ways = {
        (type(order), verdict.state, new.state)
        for order in orders
        for verdict in verdicts
        if (new := moved(verdict, order, POLICY)) is not None
    }

    assert ways == set(arrows())


@pytest.mark.parametrize("state", State)
def test_an_operators_order_leaves_the_state_as_it_is(state: State) -> None:
    held = moved(Verdict(name="a", state=state), Hold(override=OVERRIDE, number=0), POLICY)
    assert held is not None
    released = moved(held, Release(number=1), POLICY)

    assert held.state is state
    assert released is not None
    assert released.state is state


def test_every_move_says_who_gives_it_and_every_knob_why_it_is_so() -> None:
    assert set(breaker_page.WHO) == set(MOVES)
    assert set(breaker_page.KNOBS) == {field.name for field in fields(BreakerPolicy)}
    rows = breaker_page.knobs_table().splitlines()[2:]
    assert len(rows) == len(breaker_page.KNOBS)
    assert all(cell.strip() for row in rows for cell in row.strip("|").split(" | "))
