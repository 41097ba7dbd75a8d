"""When a free slot may receive."""

import pytest

from worker.core.intake import Hold, Take, intake


@pytest.mark.parametrize(
    ("holds", "answer"),
    [
        ({}, Take()),
        ({"ledger": 9.0}, Take()),
        ({"ledger": 10.0}, Take()),
        ({"ledger": 12.5}, Hold(for_s=2.5, why="ledger")),
        ({"ledger": 12.5, "routes": 14.0, "old": 1.0}, Hold(for_s=4.0, why="routes")),
    ],
)
def test_a_slot_receives_when_nothing_holds_it(
    holds: dict[str, float], answer: Take | Hold
) -> None:
    assert intake(holds, now=10.0) == answer
