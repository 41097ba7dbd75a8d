"""Two workers under a quota that nobody tells them. The long form: `python -m tests.e2e.storm`."""

import pytest

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage
from tests.e2e.storm import Storm, played

# In so short a time the pace is still being found. Without a pacer it is 0.66.
THROTTLED_MAX = 0.3


@pytest.mark.timeout(120)
def test_no_circuit_hears_of_a_throttle_and_no_job_is_lost_or_charged_for_it(
    stage: Stage, note: Note
) -> None:
    found = played(Storm(offered_per_s=10.0, start_s=5.0, measured_s=10.0), stage)

    assert found.moves == 0, "a throttle is no word against anybody's health"
    assert found.answered == found.jobs
    assert found.dead == 0
    assert found.charged_max == 1
    assert found.calls > 0
    assert found.throttled <= THROTTLED_MAX
    note(f"{found.used:.0%} of the quota used, {found.throttled:.1%} of {found.calls} throttled")
