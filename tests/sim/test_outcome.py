"""The page about how a route fared is what a route tells."""

import pytest

from tests.sim.outcome import PAGE, PHASES, ROWS, Story, Told, lived, page


@pytest.fixture(scope="module")
def story() -> Story:
    return lived()


def test_the_example_is_what_the_page_says() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "write it anew: python -m tests.sim.outcome"


def test_every_number_is_read_from_metrics_that_are_told_by_route(story: Story) -> None:
    assert len(story.flushed) == len(PHASES)
    for series in story.flushed:
        assert all(read(Told(series)) for _, _, read in ROWS)


def test_the_metrics_and_the_canonical_lines_tell_the_same(story: Story) -> None:
    told = Told([one for series in story.flushed for one in series])
    ended = [one for one in story.settled if one.settlement in ("answered", "degraded", "dead")]
    good = [one for one in ended if one.settlement != "dead"]

    assert told.sum("JobsTerminal") == len(ended)
    assert told.sum("JobsGood") == len(good)
    assert told.sum("JobsDegraded") == sum(one.handler == "short" for one in good)
    assert told.sum("QualityServed") == pytest.approx(sum(one.quality_served for one in good))
    assert told.sum("CostUsd") == pytest.approx(sum(one.cost_usd for one in good))
    assert told.sum("WastedUsd") == pytest.approx(sum(one.wasted_usd for one in ended))
    assert told.sum("WastedMostUsd") == pytest.approx(sum(one.wasted_most_usd for one in ended))
    parked_s = sum(one.parked_ms for one in ended) / 1000
    assert told.sum("JobParkTime") == pytest.approx(parked_s)


def test_each_phase_shows_in_the_numbers(story: Story) -> None:
    well, hangs, down, back = (Told(series) for series in story.flushed)

    assert well.mean("QualityServed") > 0.89
    assert well.sum("JobsGood") == well.sum("JobsTerminal")
    assert hangs.mean("QualityServed") < 0.9
    assert hangs.sum("WastedMostUsd") > 10 * hangs.sum("WastedUsd")
    assert down.mean("QualityServed") < 0.5
    assert down.sum("JobsDegraded") > 0.9 * down.sum("JobsGood")
    assert back.sum("JobsGoodParked") > 0
    assert back.sum("JobsDegraded") < 0.05 * back.sum("JobsGood")
