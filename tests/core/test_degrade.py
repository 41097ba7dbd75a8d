"""What of a handler's answer counts, and what end users are told of it."""

from typing import Any

import pytest

from worker.core.degrade import (
    ANSWER_BYTES_MAX,
    HandlerSpec,
    Terms,
    ThrottledError,
    breaker_policy,
    notice_of,
    sound,
)
from worker.core.fault import Fault, Kind
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target

TERMS = Terms(quality=0.4, loses=("freshness",))


def answer(**given: Any) -> DegradedAnswer:
    return DegradedAnswer(**{"content": ({"text": "Hi."},), **given})


def test_an_answer_counts_on_the_handlers_terms() -> None:
    better = sound(answer(quality=0.9, loses=("length", "freshness")), TERMS)
    worse = sound(answer(quality=0.1), TERMS)

    assert better == answer(quality=0.4, loses=("freshness", "length"))
    assert worse == answer(quality=0.1, loses=("freshness",))


@pytest.mark.parametrize(("own", "best"), [(None, 0.4), (0.9, 0.4), (0.2, 0.2)])
def test_no_answer_is_better_than_the_terms_and_the_target_allow(
    own: float | None, best: float
) -> None:
    target = None if own is None else Target(name="t", model="m", quality=own)

    assert HandlerSpec(name="h", kind="summary", terms=TERMS, target=target).best == best


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ("Hi.", "no DegradedAnswer"),
        (answer(content="Hi."), "content is no list"),
        (answer(content=("Hi.",)), "a content block is no object with one key"),
        (
            answer(content=({"text": "a", "image": {}},)),
            "a content block is no object with one key",
        ),
        (answer(content=({"text": object()},)), "content is no JSON"),
        (answer(content=({1: "a"},)), "content is no JSON"),
        (answer(content=({"text": "\ud800"},)), "content is no JSON"),
        (answer(content=({"text": "x" * ANSWER_BYTES_MAX},)), "content is too large"),
        (answer(quality=1.1), "quality is not from 0 to 1"),
        (answer(quality=float("nan")), "quality is not from 0 to 1"),
        (answer(quality="high"), "quality is not from 0 to 1"),
        (answer(loses="length"), "loses is no list of words"),
        (answer(loses=(1,)), "loses is no list of words"),
        (answer(loses=None), "loses is no list of words"),
        (answer(spent=0.5), "spent is no Spent"),
    ],
)
def test_what_no_record_could_hold_is_told_in_a_word_of_ours(given: object, wrong: str) -> None:
    assert sound(given, Terms()) == wrong


def test_an_answer_shows_its_text_to_nobody_who_prints_it() -> None:
    assert "secret" not in repr(DegradedAnswer.saying("secret"))


def test_every_word_for_what_is_lost_makes_a_sentence() -> None:
    notice = notice_of(("freshness", "length", "detail", "specificity", "pictures"))

    assert notice.endswith(".")
    assert "may be out of date; it is shorter" in notice
    assert "it may lack pictures" in notice


@pytest.mark.parametrize("limit_s", [0.001, 2.0, 60.0])
def test_every_limit_makes_a_policy(limit_s: float) -> None:
    assert breaker_policy(limit_s).stuck_s >= limit_s


def test_a_throttle_tells_its_kind_and_nothing_of_the_job() -> None:
    fault = Fault(kind=Kind.THROTTLED, code="ThrottlingException", message="Too many requests.")

    error = ThrottledError(fault)

    assert (str(error), error.fault) == ("throttled", fault)
