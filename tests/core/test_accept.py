"""Which answers a route gives out, and what is told of the others."""

from dataclasses import replace
from typing import Any

import pytest

from worker.core.accept import Accept
from worker.core.answer import Answer, Usage
from worker.core.fault import Billed, Fault, Kind

SECRET = "xyzzy-secret"


def answer(text: str = SECRET, stop_reason: str = "end_turn", **more: Any) -> Answer:
    return Answer(
        content=({"text": text},),
        stop_reason=stop_reason,
        usage=Usage(),
        request_id="request-1",
        **more,
    )


def is_a_list(value: object) -> bool:
    return isinstance(value, list)


@pytest.mark.parametrize(
    ("accept", "given", "code"),
    [
        (Accept(), answer(""), ""),
        (Accept(chars_min=5), answer("hello"), ""),
        (Accept(chars_min=5), answer(" hell \n"), "too_short"),
        (Accept(chars_min=1), replace(answer(), content=({"toolUse": {}},)), "too_short"),
        (Accept(stop_reasons=frozenset({"end_turn"})), answer(), ""),
        (
            Accept(stop_reasons=frozenset({"end_turn"})),
            answer(stop_reason="max_tokens"),
            "wrong_stop_reason",
        ),
        (Accept(matches=is_a_list), answer(" [1]\n"), ""),
        (Accept(matches=is_a_list), answer('{"a": 1}'), "off_schema"),
        (Accept(matches=is_a_list), answer("Here it is: [1]"), "not_json"),
        (Accept(matches=is_a_list), answer("[" * 5000), "not_json"),
        (Accept(matches=is_a_list), replace(answer(), content=()), "not_json"),
        (
            Accept(matches=is_a_list),
            replace(answer(), content=({"text": "[1,"}, {"reasoningContent": {}}, {"text": "2]"})),
            "",
        ),
    ],
)
def test_an_answer_is_given_out_only_if_it_keeps_every_rule(
    accept: Accept, given: Answer, code: str
) -> None:
    judged = accept.judge(given)

    if code:
        assert isinstance(judged, Fault)
        assert (judged.kind, judged.code) == (Kind.POOR, code)
    else:
        assert judged is given


def test_a_rejected_answer_was_paid_for_and_leaves_no_word_behind() -> None:
    judged = Accept(chars_min=1000).judge(answer())

    assert isinstance(judged, Fault)
    assert (judged.billed, judged.http, judged.request_id) == (Billed.YES, 200, "request-1")
    assert SECRET not in repr(judged)


@pytest.mark.parametrize("reason", ["guardrail_intervened", "content_filtered"])
def test_what_a_guardrail_says_is_judged_by_nobody(reason: str) -> None:
    blocked = answer("No.", reason)

    assert Accept(matches=is_a_list, chars_min=99).judge(blocked) is blocked
