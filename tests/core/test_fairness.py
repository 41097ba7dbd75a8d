"""A fair share of the slots for every tenant, while others wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.fairness import over_share


@pytest.mark.parametrize(
    ("held", "free", "waiting", "goes_back"),
    [
        (8, 0, 1, True),
        (4, 0, 1, True),
        (3, 0, 1, False),
        (8, 1, 1, False),
        (8, 0, 0, False),
        (2, 0, 3, True),
        (1, 0, 3, False),
        (1, 0, 20, True),
        (0, 0, 20, False),
    ],
)
def test_a_tenant_keeps_its_share_when_slots_run_short(
    held: int,
    free: int,
    waiting: int,
    goes_back: bool,  # noqa: FBT001
) -> None:
    answer = over_share({"a": held}, "a", slots=8, free=free, waiting=waiting)

    assert answer is goes_back


def test_a_job_without_a_tenant_is_never_sent_back() -> None:
    answer = over_share({"": 8}, "", slots=8, free=0, waiting=5)

    assert not answer


@given(slots=st.integers(1, 64), waiting=st.integers(0, 100), free=st.integers(0, 64))
def test_a_tenant_without_a_slot_always_gets_one(slots: int, waiting: int, free: int) -> None:
    answer = over_share({"b": slots}, "a", slots=slots, free=free, waiting=waiting)

    assert not answer
