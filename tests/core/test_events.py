import dataclasses
import re
from typing import get_args

import pytest

from worker.core.events import Event

EVENTS = get_args(Event)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_an_event_is_a_frozen_fact_named_in_the_past(event: type) -> None:
    parameters = event.__dataclass_params__  # type: ignore[attr-defined]

    assert parameters.frozen
    assert re.fullmatch(r"[a-z]+\.[a-z]+", event.name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_an_event_has_no_place_for_job_text_or_receipts(event: type) -> None:
    fields = {field.name for field in dataclasses.fields(event)}

    assert not fields & {"body", "prompt", "messages", "content", "output", "receipt", "metadata"}


def test_no_two_events_share_a_name() -> None:
    names = [event.name for event in EVENTS]

    assert len(names) == len(set(names))
