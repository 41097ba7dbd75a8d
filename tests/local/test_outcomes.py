"""Every way in which a call to the stand-in can end, as an SDK sees it."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import aiohttp
import botocore.session
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    EventStreamError,
    HTTPClientError,
    ReadTimeoutError,
)

from tests.local.conftest import MODEL, USER, Local, code_of, on_stack
from worker.local.errors import MODELLED, UNMODELLED
from worker.local.moods import Mood, Throttle, outage
from worker.local.outcomes import (
    Answer,
    Close,
    Constant,
    Drip,
    EndEarly,
    Fail,
    Hang,
    Outcome,
    Page,
    Reset,
    StreamFault,
)

BROKEN = (EndpointConnectionError, HTTPClientError)
ASK = {"modelId": MODEL, "messages": USER}


def after(outcome: Outcome, test: Any, **config: Any) -> None:
    """Run `test(client, stats)` against a model whose every call ends in `outcome`."""

    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime", **config)
        local.stack.bedrock.set_mood(Mood(phases=(outage(0, None, outcome),)))
        await test(bedrock, local.stack.bedrock.stats)

    on_stack(main)


async def until(seen: Callable[[], bool]) -> None:
    """The stand-in learns of what a client does when it comes to it."""
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0.01)


async def events_of(client: Any) -> tuple[list[str], BaseException | None]:
    """The names of a stream's events, and what ended it if it did not end well."""
    names: list[str] = []
    with closing((await client.converse_stream(**ASK))["stream"]) as stream:
        try:
            async for event in stream:
                names.append(next(iter(event)))  # noqa: PERF401 - what came before a break counts
        except (EventStreamError, HTTPClientError, aiohttp.ClientError, TimeoutError) as broken:
            return names, broken
    return names, None


def test_every_error_that_the_service_models_can_be_provoked() -> None:
    model = botocore.session.get_session().get_service_model("bedrock-runtime")

    assert {shape.error_code for shape in model.error_shapes} == set(MODELLED)
    for shape in model.error_shapes:
        assert shape.metadata["error"]["httpStatusCode"] == MODELLED[shape.error_code].status


def test_an_error_has_its_class_its_status_and_its_details() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        local.stack.bedrock.set_mood(
            Mood(script=tuple(Fail(code, original_status=503) for code in MODELLED))
        )

        for code, known in MODELLED.items():
            with pytest.raises(getattr(bedrock.exceptions, code)) as refused:
                await bedrock.converse(**ASK)
            answer = refused.value.response
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == known.status
            assert answer["Error"]["Message"] == known.message
            if code == "ModelErrorException":
                assert answer["originalStatusCode"] == 503

    on_stack(main)


def test_errors_without_a_model_arrive_under_their_own_codes() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        other = Fail("SomethingNewException", status=418)
        local.stack.bedrock.set_mood(Mood(script=(*map(Fail, UNMODELLED), other)))

        seen = {}
        for _ in range(len(UNMODELLED) + 1):
            with pytest.raises(ClientError) as refused:
                await bedrock.converse(**ASK)
            status = refused.value.response["ResponseMetadata"]["HTTPStatusCode"]
            seen[code_of(refused.value)] = status

        expected = {code: known.status for code, known in UNMODELLED.items()}
        del expected["overloaded_error"]  # says its name where botocore does not look
        assert seen == expected | {"529": 529, "SomethingNewException": 418}

    on_stack(main)


@pytest.mark.parametrize("status", [413, 502, 503, 504])
def test_a_page_of_html_has_its_status_for_a_code(status: int) -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        with pytest.raises(ClientError) as refused:
            await bedrock.converse(**ASK)

        assert code_of(refused.value) == str(status)
        assert stats.by_outcome == {f"page_{status}": 1}

    after(Page(status), test)


def test_a_refusal_may_take_its_time_and_say_when_to_come_back() -> None:
    async def test(bedrock: Any, _: Any) -> None:
        began = asyncio.get_running_loop().time()

        with pytest.raises(bedrock.exceptions.ThrottlingException) as refused:
            await bedrock.converse(**ASK)

        assert asyncio.get_running_loop().time() - began >= 0.2
        headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-retry-after"] == "1500"

    after(Fail("ThrottlingException", after_s=0.2, retry_after_ms=1_500), test)


def test_an_answer_can_lack_any_part() -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        answer = await bedrock.converse(**ASK)
        names, _ = await events_of(bedrock)

        assert set(answer) == {"ResponseMetadata", "output", "metrics"}
        assert "messageStop" not in names
        assert stats.by_outcome == {"incomplete": 2}

    after(Answer(omit=frozenset({"stopReason", "usage"})), test)


def test_an_answer_can_be_an_empty_object() -> None:
    async def test(bedrock: Any, _: Any) -> None:
        answer = await bedrock.converse(**ASK)

        assert set(answer) == {"ResponseMetadata"}
        assert answer["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "2"

    after(Answer(omit=frozenset({"output", "stopReason", "usage", "metrics"})), test)


@pytest.mark.parametrize(
    "reason",
    [
        "guardrail_intervened",
        "content_filtered",
        "max_tokens",
        "malformed_model_output",
        "malformed_tool_use",
        "model_context_window_exceeded",
    ],
)
def test_an_answer_can_stop_for_any_reason(reason: str) -> None:
    async def test(bedrock: Any, _: Any) -> None:
        answer = await bedrock.converse(**ASK)

        assert answer["stopReason"] == reason

    after(Answer(stop_reason=reason), test)


def test_half_a_json_body_passes_for_a_200() -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        answer = await bedrock.converse(**ASK)

        assert set(answer) == {"ResponseMetadata"}
        assert stats.by_outcome == {"end_early": 1}

    after(EndEarly(), test)


def test_a_stream_can_end_cleanly_without_its_end() -> None:
    async def test(bedrock: Any, _: Any) -> None:
        names, broken = await events_of(bedrock)

        assert names == ["messageStart", "contentBlockDelta", "contentBlockDelta"]
        assert broken is None

    after(EndEarly(after_events=3), test)


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        ("modelStreamErrorException", "modelStreamErrorException"),
        ("throttlingException", "throttlingException"),
        ("serviceUnavailableException", "serviceUnavailableException"),
        ("modelTimeoutException", ""),
    ],
)
def test_an_exception_can_come_in_mid_stream(exception: str, code: str) -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        names, broken = await events_of(bedrock)

        assert names == ["messageStart", "contentBlockDelta"]
        assert isinstance(broken, EventStreamError)
        assert code_of(broken) == code
        assert stats.by_outcome == {exception: 1}

    after(StreamFault(exception), test)


def test_a_fault_of_streams_is_an_error_of_unary_calls() -> None:
    async def test(bedrock: Any, _: Any) -> None:
        with pytest.raises(bedrock.exceptions.ModelTimeoutException):
            await bedrock.converse(**ASK)

    after(StreamFault("modelTimeoutException"), test)


@pytest.mark.parametrize("cut", [Close(after_events=2), Reset(after_events=2)])
def test_a_stream_can_be_cut(cut: Close | Reset) -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        names, broken = await events_of(bedrock)

        assert names == ["messageStart", "contentBlockDelta"]
        assert isinstance(broken, aiohttp.ClientError | HTTPClientError)
        assert stats.by_outcome == {cut.kind: 1}

    after(cut, test)


@pytest.mark.parametrize("cut", [Close(after_events=0), Reset(after_events=0)])
def test_a_unary_body_can_be_cut(cut: Close | Reset) -> None:
    async def test(bedrock: Any, _: Any) -> None:
        with pytest.raises((HTTPClientError, aiohttp.ClientError)):
            await bedrock.converse(**ASK)

    after(cut, test)


def test_a_connection_can_be_reset_before_the_answer() -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        with pytest.raises(BROKEN) as broken:
            await bedrock.converse(**ASK)

        assert isinstance(root_of(broken.value), ConnectionResetError)
        assert stats.by_outcome == {"reset": 1}

    after(Reset(), test)


def test_a_connection_can_be_closed_before_the_answer() -> None:
    async def test(bedrock: Any, _: Any) -> None:
        with pytest.raises(ConnectionClosedError):
            await bedrock.converse(**ASK)

    after(Close(), test)


@pytest.mark.parametrize("hang", [Hang(), Hang(after_events=0)])
def test_a_unary_call_can_hang(hang: Hang) -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        with pytest.raises(ReadTimeoutError):
            await bedrock.converse(**ASK)
        await until(lambda: stats.in_flight == 0)

        assert stats.by_outcome == {"hang": 1}

    after(hang, test, read_timeout=0.3)


@pytest.mark.parametrize(
    ("after_events", "seen"), [(0, []), (2, ["messageStart", "contentBlockDelta"])]
)
def test_a_stream_can_hang_before_its_first_event_and_stall_inside(
    after_events: int, seen: list[str]
) -> None:
    async def test(bedrock: Any, _: Any) -> None:
        names, broken = await events_of(bedrock)

        assert names == seen
        assert broken is not None

    after(Hang(after_events), test, read_timeout=0.3)


def test_a_body_can_come_in_drips_and_still_be_whole() -> None:
    async def test(bedrock: Any, stats: Any) -> None:
        answer = await bedrock.converse(**ASK)
        names, broken = await events_of(bedrock)

        assert answer["stopReason"] == "end_turn"
        assert (names[-1], broken) == ("metadata", None)
        assert stats.by_outcome == {"answer": 2}

    after(Drip(chunk_bytes=100, gap_s=0.01), test)


def test_latency_is_spent_and_told() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        local.stack.bedrock.set_mood(Mood(latency=Constant(0.3), first_token_share=0.5))

        answer = await bedrock.converse(**ASK)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with closing((await bedrock.converse_stream(**ASK))["stream"]) as stream:
            arrivals = [loop.time() - began async for _ in stream]

        assert answer["metrics"]["latencyMs"] >= 300
        assert arrivals[0] >= 0.15
        assert arrivals[-1] >= 0.3
        assert arrivals[-1] > arrivals[0]

    on_stack(main)


def test_a_client_that_leaves_is_counted_as_gone() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        local.stack.bedrock.set_mood(Mood(latency=Constant(30.0)))
        stats = local.stack.bedrock.stats

        call = asyncio.ensure_future(bedrock.converse(**ASK, requestMetadata={"job": "a"}))
        await until(lambda: stats.in_flight == 1)
        call.cancel()
        await until(lambda: stats.in_flight == 0)

        assert stats.by_outcome == {"client_gone": 1}
        assert stats.calls_by_job == {"a": 1}
        assert stats.answers_by_job == {}

    on_stack(main)


def test_a_quota_throttles() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        local.stack.bedrock.set_mood(Mood(throttle=Throttle(requests_per_minute=2)))

        for _ in range(2):
            await bedrock.converse(**ASK)

        with pytest.raises(bedrock.exceptions.ThrottlingException, match="Too many requests"):
            await bedrock.converse(**ASK)

    on_stack(main)


def test_the_most_exact_mood_counts() -> None:
    async def main(local: Local) -> None:
        stand_in = local.stack.bedrock
        stand_in.set_mood(Mood(text="any"))
        stand_in.set_mood(Mood(text="region"), region="eu-west-1")
        stand_in.set_mood(Mood(text="model"), model="m")
        stand_in.set_mood(Mood(text="both"), model="m", region="eu-west-1")

        said = {}
        for region in ("us-east-1", "eu-west-1"):
            async with local.unmanaged("bedrock-runtime", region=region) as bedrock:
                for model in ("m", "n"):
                    answer = await bedrock.converse(modelId=model, messages=USER)
                    said[model, region] = answer["output"]["message"]["content"][0]["text"]

        assert said == {
            ("m", "us-east-1"): "model",
            ("n", "us-east-1"): "any",
            ("m", "eu-west-1"): "both",
            ("n", "eu-west-1"): "region",
        }

    on_stack(main)


def test_a_mood_can_be_changed_and_taken_away() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        stand_in = local.stack.bedrock
        stand_in.set_mood(Mood(phases=(outage(0, None),)), model=MODEL)
        with pytest.raises(bedrock.exceptions.ServiceUnavailableException):
            await bedrock.converse(**ASK)

        stand_in.set_mood(None, model=MODEL)

        await bedrock.converse(**ASK)
        assert stand_in.moods() == []

    on_stack(main)


def root_of(error: BaseException) -> BaseException:
    """The innermost cause of an exception."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
