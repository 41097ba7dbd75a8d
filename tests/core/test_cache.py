"""Which requests are the same, and that nobody gets another tenant's answer."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.answer import ANSWERED, BLOCKED, Answer, Usage
from worker.core.cache import (
    REQUEST_BYTES_MAX,
    WHOLE,
    cache_key,
    can_be_cached,
    freshness,
    is_worth_keeping,
)
from worker.core.job import Job, PayloadRef, Request

HELLO: Any = {"role": "user", "content": [{"text": "Hello."}]}
REQUEST = Request(messages=(HELLO,))

texts = st.text(max_size=8)
blocks = st.fixed_dictionaries({"text": texts})
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": st.lists(blocks, min_size=1)}
)
objects: Any = st.dictionaries(texts, st.one_of(texts, st.integers(0, 9), st.booleans()))
requests = st.builds(
    Request,
    messages=st.lists(messages, min_size=1, max_size=2).map(tuple),
    system=st.lists(blocks, max_size=1).map(tuple),
    inference=objects,
    tools=st.none() | objects,
    additional=st.none() | objects,
)


@given(requests, texts, texts)
def test_two_tenants_never_share_a_key(request: Request, one: str, other: str) -> None:
    assert (cache_key(one, request) == cache_key(other, request)) == (one == other)


@given(texts, requests, texts, requests)
def test_two_keys_are_equal_just_for_the_same_request_of_the_same_tenant(
    one: str, first: Request, other: str, second: Request
) -> None:
    same = (one, as_json(first)) == (other, as_json(second))

    assert (cache_key(one, first) == cache_key(other, second)) == same


def as_json(request: Request) -> str:
    """By another road than the code's: `True` and 1 are equal to Python, and not here."""
    return json.dumps(asdict(request), sort_keys=True)


def test_the_order_of_names_is_no_difference() -> None:
    one = replace(REQUEST, inference={"maxTokens": 5, "temperature": 0})
    other = replace(REQUEST, inference={"temperature": 0, "maxTokens": 5})

    assert cache_key("", one) == cache_key("", other)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (HELLO, HELLO)},
        {"system": ({"text": "Be brief."},)},
        {"inference": {"maxTokens": 5}},
        {"tools": {"tools": []}},
        {"additional": {"top_k": 5}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_request_is_part_of_the_key(change: dict[str, Any]) -> None:
    assert cache_key("", replace(REQUEST, **change)) != cache_key("", REQUEST)


def answer(reason: str, content: Any = ({"text": "Hi."},)) -> Answer:
    return Answer(content=content, stop_reason=reason, usage=Usage())


def test_only_whole_answers_are_kept() -> None:
    kept = {reason for reason in ANSWERED | BLOCKED if is_worth_keeping(answer(reason))}

    assert kept == WHOLE == {"end_turn", "stop_sequence"}
    assert not is_worth_keeping(answer("end_turn", content=()))


@pytest.mark.parametrize(
    ("size", "possible"), [(REQUEST_BYTES_MAX, True), (REQUEST_BYTES_MAX + 1, False)]
)
def test_a_very_large_request_is_not_looked_for(
    size: int,
    possible: bool,  # noqa: FBT001
) -> None:
    ref = PayloadRef(bucket="b", key="k", sha256="0" * 64, size_bytes=size)

    assert can_be_cached(Job(request=ref)) is possible
    assert can_be_cached(Job(request=REQUEST))


@pytest.mark.parametrize(
    ("age_s", "is_open", "found"),
    [
        (0, False, "fresh"),
        (60, True, "fresh"),
        (61, False, "too_old"),
        (61, True, "stale"),
        (90, True, "stale"),
        (91, True, "too_old"),
    ],
)
def test_a_stale_answer_serves_while_the_circuit_is_open_and_not_for_ever(
    age_s: float,
    is_open: bool,  # noqa: FBT001
    found: str,
) -> None:
    assert freshness(age_s, ttl_s=60, stale_s=30, circuit_open=is_open) == found
