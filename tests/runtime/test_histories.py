"""Two thousand random histories, in virtual time: the same promises in each."""

import pytest

from tests.runtime.histories import replay

HISTORIES = 2000
SHARE = 250
ASKED = 250


@pytest.mark.parametrize("first", range(0, HISTORIES, SHARE))
def test_no_history_loses_a_job_or_ends_it_twice(first: int) -> None:
    for seed in range(first, first + SHARE):
        try:
            replay(seed)
        except BaseException as broken:
            broken.add_note(f"replay it with: python -m tests.runtime.histories {seed}")
            raise


@pytest.mark.parametrize("first", range(0, ASKED, SHARE))
def test_no_history_leaves_a_task_without_the_answer_of_its_job(first: int) -> None:
    told_twice = 0
    for seed in range(first, first + SHARE):
        try:
            told_twice += replay(seed, asked=True).befell["told a task twice"]
        except BaseException as broken:
            broken.add_note(f"replay it with: python -m tests.runtime.histories {seed} asked")
            raise

    assert told_twice, "crashes and lost answers hit the telling, too"


def test_the_histories_hold_what_they_are_meant_to() -> None:
    befell = {what for seed in range(200) for what in replay(seed).befell}

    assert {"crash", "drain", "stall", "delivered again", "a delete did nothing"} <= befell
    assert "upgraded" in befell
    assert {
        "lost after ledger.claim",
        "lost after ledger.finish",
        "lost after model.call",
        "lost after queue:dead.send",
        "slow ledger.renew",
    } <= befell
