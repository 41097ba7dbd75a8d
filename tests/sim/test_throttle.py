"""Workers under a quota that nobody tells them. The long form: `python -m worker.sim throttle`."""

import pytest

from worker.sim.throttle import ENOUGH, THROTTLED_MAX, Found, Storm, measured


def short(workers: int, slots: int) -> Found:
    return measured(Storm(workers=workers, slots=slots, lasts_s=150.0, after_s=80.0))


@pytest.mark.parametrize(("workers", "slots"), [(1, 128), (4, 32), (20, 8)])
def test_half_of_what_is_offered_is_allowed_and_used(workers: int, slots: int) -> None:
    found = short(workers, slots)

    assert found.used >= ENOUGH
    assert found.throttled <= THROTTLED_MAX
    assert found.opens == 0, "a throttle is no word against anybody's health"
    assert found.attempts_max == 1, "nor is a job charged for it"
    assert found.dead == 0
    assert found.found_s is not None
    assert found.found_s <= 75.0, "a raised quota is found within a minute or so"
    assert found.kept
    assert found == short(workers, slots), "one seed, one story"
