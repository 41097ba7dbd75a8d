"""The page that people read says what the code does."""

from tests.aws.faults_page import PAGE, page
from worker.core.fault import Kind


def test_the_page_of_faults_is_in_step_with_the_tables() -> None:
    assert PAGE.read_text() == page(), "make it anew: python -m tests.aws.faults_page"


def test_every_kind_is_seen_somewhere() -> None:
    seen = page().partition("## What is seen")[2]

    assert not [kind for kind in Kind if f"| `{kind}` |" not in seen]
