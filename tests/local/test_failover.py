"""The matrix of docs/routes.md is what happens over the wire."""

import asyncio

import pytest

from tests.local.failover import FAULTS, PAGE, played, table
from worker.cli.breaker_page import filled
from worker.core.fault import Kind


@pytest.mark.timeout(60)
def test_what_a_fault_leads_to_is_what_the_page_says() -> None:
    page = PAGE.read_text(encoding="utf-8")

    now = filled(page, {"matrix": table(asyncio.run(played()))})

    assert now == page, "write it anew: python -m tests.local.failover"


def test_the_matrix_has_every_kind_that_an_answer_can_come_to() -> None:
    assert set(Kind) - set(FAULTS) == {Kind.UNKNOWN}
