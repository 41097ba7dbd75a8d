import math

import pytest

from worker.core.policy import LEVEL_MAX, BreakerPolicy


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"failure_rate": 1.5}, "failure_rate must be from 0.01 to 0.99, not 1.5"),
        ({"probes": 0}, "probes must be from 1 to 32, not 0"),
        ({"min_calls": 2.5}, "min_calls must be a whole number, not 2.5"),
        ({"recent_s": 20.0}, "recent_s (20) must not be above stuck_s (15)"),
        ({"cooldown_s": 9.0}, "cooldown_s (9) must not be above cooldown_max_s (4)"),
        ({"probes_good": 4}, "probes_good (4) must not be above probes (3)"),
        ({"ramp": (0.5, 0.2)}, "ramp must have steps that grow"),
        ({"ramp": ()}, "ramp must have steps that grow"),
        ({"ramp": (0.5, 1.0)}, "ramp must have steps that grow"),
        ({"nonsense": 1}, "a breaker's policy has no 'nonsense'; it has cooldown_growth"),
        ({"probes": "many"}, "a value of a breaker's policy is not a number"),
        ({"probes": None}, "a value of a breaker's policy is not a number"),
        ({"ramp": 3}, "a value of a breaker's policy is not a number"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(values: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match="^" + says.replace("(", r"\(").replace(")", r"\)")):
        BreakerPolicy().changed(values)


def test_some_values_may_be_replaced() -> None:
    changed = BreakerPolicy().changed({"ramp": [0.1, 0.9], "slow_rate": None, "probes": 5})

    assert (changed.ramp, changed.probes, changed.window_s) == ((0.1, 0.9), 5, 30.0)


def test_a_rest_grows_to_its_cap_with_jitter_around_it() -> None:
    policy = BreakerPolicy(cooldown_s=2.0, cooldown_growth=1.5, cooldown_max_s=6.0, jitter=0.2)

    assert [round(policy.rest_s(level, 0.5), 2) for level in range(5)] == [2.0, 3.0, 4.5, 6.0, 6.0]
    assert policy.rest_s(0, 0.0) == pytest.approx(1.6)
    assert policy.rest_s(LEVEL_MAX * 100, 0.999) == pytest.approx(7.2, abs=0.01)


def test_a_whole_number_is_one_however_it_was_written() -> None:
    policy = BreakerPolicy().changed({"probes": 3.0, "window_s": 20.0})

    assert repr(policy.probes) == "3", "as it is written into records"
    assert policy == BreakerPolicy(probes=3, window_s=20)


def test_a_step_of_the_ramp_is_a_number() -> None:
    with pytest.raises(ValueError, match="ramp must have steps"):
        BreakerPolicy(ramp=(math.nan,))
