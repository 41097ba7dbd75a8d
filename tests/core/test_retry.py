"""When to try again, and how often a fleet in trouble may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.retry import RetryBudget, RetryPolicy, backoff_s

ROLLS = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("name", ["cap_s", "longest_wait_s", "budget_per_success", "budget_max"])
@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_a_policy_out_of_range_names_its_field(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative, got {value}"):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["attempts", "attempts_max"])
def test_a_policy_makes_at_least_one_call(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        RetryPolicy(**{name: 0})


@given(
    attempt=st.integers(1, 10_000),
    roll=ROLLS,
    base_s=st.floats(0.001, 100),
    cap_s=st.floats(0.001, 1000),
)
def test_a_backoff_lies_between_nothing_and_its_ceiling(
    attempt: int, roll: float, base_s: float, cap_s: float
) -> None:
    wait_s = backoff_s(attempt, roll, base_s=base_s, cap_s=cap_s)

    assert 0 <= wait_s < cap_s
    assert wait_s <= base_s * 2.0 ** min(attempt - 1, 64)


@pytest.mark.parametrize(
    ("attempt", "ceiling_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (2000, 10.0)]
)
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, ceiling_s: float) -> None:
    wait_s = backoff_s(attempt, 0.5, base_s=1, cap_s=10)

    assert wait_s == ceiling_s / 2


def test_the_whole_wait_is_jitter() -> None:
    waits = [backoff_s(1, roll / 4, base_s=1, cap_s=10) for roll in range(4)]

    assert waits == [0.0, 0.25, 0.5, 0.75]


def test_attempts_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="attempts are counted from 1, got 0"):
        backoff_s(0, 0.5, base_s=1, cap_s=10)


@pytest.mark.parametrize("roll", [-0.1, 1.0])
def test_a_roll_is_below_one(roll: float) -> None:
    with pytest.raises(ValueError, match=r"a roll lies in \[0, 1\)"):
        backoff_s(1, roll, base_s=1, cap_s=10)


def test_a_new_worker_may_retry_at_once() -> None:
    budget = RetryBudget(RetryPolicy(budget_max=2))

    spent = [
        budget.spend(),
        budget.spend(0.5),
        budget.spend(),
        budget.spend(0.5),
        budget.spend(0.5),
    ]

    assert spent == [True, True, False, True, False]


def test_successes_earn_retries_up_to_a_limit() -> None:
    budget = RetryBudget(RetryPolicy(budget_max=3, budget_per_success=0.5))
    budget.spend(3)

    for _ in range(20):
        budget.earn()

    assert budget.tokens == 3


@given(
    calls=st.lists(st.booleans(), max_size=400),
    per_call=st.integers(1, 5),
    at_most=st.integers(0, 10),
)
def test_retries_stay_a_tenth_of_the_successes(
    calls: list[bool], per_call: int, at_most: int
) -> None:
    budget = RetryBudget(RetryPolicy(budget_max=at_most))
    retries = 0

    for good in calls:
        if good:
            budget.earn()
        else:
            retries += sum(budget.spend() for _ in range(per_call))

    assert retries <= at_most + 0.1 * sum(calls) + 1e-6


def test_a_full_outage_sends_hardly_more_than_one_call_per_job() -> None:
    budget = RetryBudget(RetryPolicy(attempts=3))
    calls = 0

    for _ in range(1000):
        calls += 1
        calls += sum(budget.spend() for _ in range(2))

    assert calls == 1010


def test_a_retry_that_was_not_made_costs_nothing() -> None:
    budget = RetryBudget(RetryPolicy())
    budget.spend(0.5)

    budget.give_back(0.5)
    budget.give_back(0.5)

    assert budget.tokens == 10.0, "and never more than there may be"


def test_after_the_outage_retries_are_earned_again() -> None:
    budget = RetryBudget(RetryPolicy())
    while budget.spend():
        pass

    for _ in range(101):
        budget.earn()

    assert budget.tokens == 10.0
