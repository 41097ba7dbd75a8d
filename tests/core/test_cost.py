import pytest

from worker.core.answer import Answer, Usage
from worker.core.cost import BYTES_PER_TOKEN, NOTHING, Waste, cost_usd
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Request
from worker.core.target import Target

TARGET = Target(name="a", model="m", max_tokens=100, price_input=3.0, price_output=15.0)
REQUEST = Request(messages=({"role": "user", "content": [{"text": "x" * 30_000}]},))
TOLD = Usage(input=1000, output=500)
HUNG = Fault(kind=Kind.TIMED_OUT, code="x", billed=Billed.MAYBE)
POOR = Fault(kind=Kind.POOR, code="x", billed=Billed.YES, spent=TOLD)


def test_an_answer_that_was_judged_away_wasted_just_what_its_tokens_cost() -> None:
    waste = Waste.of_call(POOR, TARGET, REQUEST)

    assert waste == Waste(0.0105, 0.0105)
    assert waste == Waste.of_tokens(TOLD, TARGET)


def test_a_call_that_hung_may_have_wasted_anything_up_to_a_whole_answer() -> None:
    waste = Waste.of_call(HUNG, TARGET, REQUEST)

    whole_answer = 100 * 15.0 / 1e6
    text = 30_000 / BYTES_PER_TOKEN * 3.0 / 1e6
    assert waste.sure_usd == 0.0
    assert text + whole_answer <= waste.most_usd < 1.01 * text + whole_answer


@pytest.mark.parametrize(
    ("most", "tokens"), [(40, 40), (4000, 100), (-1, 0), ("all", 100), (None, 100)]
)
def test_the_most_that_an_answer_costs_is_capped_by_the_job_and_by_the_target(
    most: object, tokens: int
) -> None:
    request = Request(messages=(), inference={"maxTokens": most})
    target = Target(name="a", model="m", max_tokens=100, price_output=1e6)

    assert Waste.of_call(HUNG, target, request) == Waste(0.0, tokens)


def test_no_request_costs_more_than_the_models_window_holds() -> None:
    target = Target(name="a", model="m", max_tokens=0, price_input=1e6, context_tokens=2000)

    assert Waste.of_call(HUNG, target, REQUEST) == Waste(0.0, 2000)


@pytest.mark.parametrize(
    "outcome",
    [
        Answer(content=(), stop_reason="end_turn", usage=TOLD),
        Fault(kind=Kind.THROTTLED, code="x"),
        Fault(kind=Kind.THROTTLED, code="x", spent=TOLD),
    ],
    ids=["answered", "not billed", "told and not billed"],
)
def test_what_was_answered_or_surely_not_billed_wasted_nothing(outcome: Answer | Fault) -> None:
    assert Waste.of_call(outcome, TARGET, REQUEST) == NOTHING


def test_without_prices_or_without_a_request_there_is_nothing_to_tell() -> None:
    free = Target(name="a", model="m")

    assert Waste.of_call(HUNG, free, REQUEST) == NOTHING
    assert Waste.of_call(POOR, free, REQUEST) == NOTHING
    assert Waste.of_call(HUNG, TARGET, None) == NOTHING
    assert cost_usd(TOLD, free) == 0.0


def test_waste_adds_up() -> None:
    assert Waste(1.0, 2.0) + Waste(0.5, 0.5) == Waste(1.5, 2.5)
