import pytest

from worker.core.answer import ANSWERED, BLOCKED, Answer, Usage


def stopped(reason: str) -> Answer:
    return Answer(content=({"text": "hello"},), stop_reason=reason, usage=Usage())


@pytest.mark.parametrize("reason", sorted(BLOCKED))
def test_what_a_guardrail_stopped_is_a_blocked_answer(reason: str) -> None:
    answer = stopped(reason)

    assert answer.blocked


@pytest.mark.parametrize("reason", sorted(ANSWERED))
def test_what_a_model_ended_itself_is_not_blocked(reason: str) -> None:
    answer = stopped(reason)

    assert not answer.blocked
    assert answer.truncated == (reason == "max_tokens")
