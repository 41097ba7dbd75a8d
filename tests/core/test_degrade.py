"""What of a handler's answer counts, and what end users are told of it."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from worker.core.answer import Usage
from worker.core.degrade import (
    ANSWER_BYTES_MAX,
    WORD_CHARS_MAX,
    WORDS_MAX,
    HandlerSpec,
    ModelFaultError,
    Terms,
    breaker_policy,
    notice_of,
    sound,
)
from worker.core.fault import Fault, Kind
from worker.core.job import Job, Limits, Request
from worker.core.result import Run, build
from worker.core.settlement import Degraded, DegradedAnswer, Origin, Spent
from worker.core.target import Target
from worker.runtime.settler import RECORD_BYTES_MAX

TARGET = Target(name="t", model="m")
TERMS = Terms(quality=0.4, loses=("freshness",))


def answer(**given: Any) -> DegradedAnswer:
    return DegradedAnswer(**{"content": ({"text": "Hi."},), **given})


def spending(**given: Any) -> DegradedAnswer:
    return answer(spent=Spent(**{"usage": Usage(), "target": TARGET, **given}))


def nested(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(depth):
        tree = {"json": tree}
    return tree


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
        (answer(content=(nested(250),)), "content is no JSON"),
        (answer(content=({"text": 5},)), "a text is no string"),
        (answer(content=({"image": {}}, {"text": None})), "a text is no string"),
        (answer(quality=1.1), "quality is not from 0 to 1"),
        (answer(quality=float("nan")), "quality is not from 0 to 1"),
        (answer(quality="high"), "quality is not from 0 to 1"),
        (answer(loses="length"), "loses is no list of words"),
        (answer(loses=(1,)), "loses is no list of words"),
        (answer(loses=None), "loses is no list of words"),
        (answer(loses=("\ud800",)), "loses is no list of words"),
        (answer(loses=("x" * (WORD_CHARS_MAX + 1),)), "loses is no list of words"),
        (answer(loses=("x",) * (WORDS_MAX + 1)), "loses is no list of words"),
        (answer(spent=0.5), "spent is no Spent"),
        (answer(spent=Spent(usage=None, target=TARGET)), "spent is no Spent"),  # type: ignore[arg-type]
        (answer(spent=Spent(usage=Usage(), target=None)), "spent is no Spent"),  # type: ignore[arg-type]
        (spending(usage=Usage(input="1")), "spent is no Spent"),  # type: ignore[arg-type]
        (spending(usage=Usage(output=-1)), "spent is no Spent"),
        (spending(usage=Usage(output=10**400)), "spent is no Spent"),
        (spending(target=replace(TARGET, name="\ud800")), "spent is no Spent"),
        (spending(target=replace(TARGET, model="m" * 400_000)), "spent is no Spent"),
        (spending(target=replace(TARGET, tier=None)), "spent is no Spent"),  # type: ignore[arg-type]
        (spending(target=replace(TARGET, price_input=float("nan"))), "spent is no Spent"),
        (spending(target=replace(TARGET, price_output="1")), "spent is no Spent"),  # type: ignore[arg-type]
        (answer(origin="eu"), "origin is no Origin"),
        (answer(origin=Origin(places=["eu"])), "origin is no Origin"),  # type: ignore[arg-type]
        (answer(origin=Origin(places=frozenset({1}))), "origin is no Origin"),  # type: ignore[arg-type]
        (answer(origin=Origin(stop_reason=None)), "origin is no Origin"),  # type: ignore[arg-type]
    ],
)
def test_what_no_record_could_hold_is_told_in_a_word_of_ours(given: object, wrong: str) -> None:
    assert sound(given, Terms()) == wrong


def test_the_largest_sound_answer_fits_a_record() -> None:
    words = tuple(f"{n:0{WORD_CHARS_MAX}}" for n in range(WORDS_MAX))
    words = tuple(word.replace("0", "\N{CJK UNIFIED IDEOGRAPH-4E00}") for word in words)
    largest = answer(
        content=({"text": "x" * (ANSWER_BYTES_MAX - 50)},),
        loses=words,
        spent=Spent(usage=Usage(input=2**53), target=TARGET),
    )

    given = sound(largest, TERMS)

    assert isinstance(given, DegradedAnswer)
    degraded = Degraded(
        answer=given, handler="h", why="circuit_open", notice=notice_of(given.loses)
    )
    job = Job(request=Request(messages=()), metadata={"m": "x" * (Limits().metadata_bytes - 10)})
    run = Run(
        job_id="j" * 128,
        worker="w",
        queue_ms=0,
        total_ms=0,
        backoff_ms=0,
        attempts=(),
        attempts_total=0,
        deadline_at=None,
    )
    assert len(orjson.dumps(build(degraded, job, run))) <= RECORD_BYTES_MAX


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


def test_a_target_that_failed_a_handler_is_told_by_the_kind_of_its_fault() -> None:
    fault = Fault(kind=Kind.TIMED_OUT, code="ReadTimeout", message="Some text")

    error = ModelFaultError(fault)

    assert (str(error), error.fault) == ("timed_out", fault)
