"""The Bedrock stand-in when it answers, and when it refuses what the service would."""

import json
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import MODEL, USER, Local, code_of, on_stack
from worker.local.calls import JOB_HEADER
from worker.local.moods import Mood
from worker.local.stats import Target

PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-v1:0"


async def streamed(client: Any, **request: Any) -> list[dict[str, Any]]:
    """All events of a ConverseStream."""
    answer = await client.converse_stream(**({"modelId": MODEL, "messages": USER} | request))
    with closing(answer["stream"]) as stream:
        return [event async for event in stream]


def text_of(events: list[dict[str, Any]]) -> str:
    deltas = (event["contentBlockDelta"] for event in events if "contentBlockDelta" in event)
    return "".join(delta["delta"]["text"] for delta in deltas)


def test_converse_answers_with_all_its_parts() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")

        answer = await bedrock.converse(
            modelId=MODEL,
            messages=USER,
            inferenceConfig={"maxTokens": 9},
            serviceTier={"type": "flex"},
        )

        assert answer["output"]["message"]["role"] == "assistant"
        assert len(answer["output"]["message"]["content"][0]["text"].split()) == 9
        assert answer["stopReason"] == "max_tokens"
        assert answer["usage"] == {"inputTokens": 3, "outputTokens": 9, "totalTokens": 12}
        assert answer["metrics"]["latencyMs"] >= 0
        assert answer["serviceTier"] == {"type": "flex"}

    on_stack(main)


def test_the_same_question_gets_the_same_answer_unary_and_streamed() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")

        once = await bedrock.converse(modelId=MODEL, messages=USER)
        events = await streamed(bedrock)
        other = await streamed(bedrock, messages=[{"role": "user", "content": [{"text": "?"}]}])

        assert text_of(events) == once["output"]["message"]["content"][0]["text"]
        assert text_of(other) != text_of(events)

    on_stack(main)


def test_a_stream_has_the_events_of_the_service_in_order() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")

        events = await streamed(bedrock, inferenceConfig={"maxTokens": 16})

        assert [next(iter(event)) for event in events] == [
            "messageStart",
            "contentBlockDelta",
            "contentBlockDelta",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ]
        assert events[-2]["messageStop"]["stopReason"] == "max_tokens"
        assert events[-1]["metadata"]["usage"]["outputTokens"] == 16

    on_stack(main)


def test_a_profile_arn_is_a_model_and_the_region_is_the_one_signed_for() -> None:
    async def main(local: Local) -> None:
        async with local.unmanaged("bedrock-runtime", region="eu-west-1") as bedrock:
            await bedrock.converse(modelId=PROFILE, messages=USER)

        (target,) = local.stack.bedrock.stats.by_target
        assert target == Target(PROFILE, "eu-west-1", "Converse")

    on_stack(main)


@pytest.mark.parametrize(
    ("model", "request_body", "text_at"),
    [
        (MODEL, {"max_tokens": 5, "messages": USER}, ["content", 0, "text"]),
        ("amazon.nova-lite-v1:0", {"messages": USER}, ["output", "message", "content", 0, "text"]),
        ("amazon.titan-text-v1", {"inputText": "Hi"}, ["results", 0, "outputText"]),
        ("us.meta.llama3-v1:0", {"prompt": "Hi", "max_gen_len": 5}, ["generation"]),
        ("mistral.large-v1", {"prompt": "Hi", "max_tokens": 5}, ["outputs", 0, "text"]),
    ],
)
def test_invoke_model_speaks_the_language_of_the_family(
    model: str, request_body: dict[str, Any], text_at: list[str | int]
) -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        request = {"modelId": model, "body": json.dumps(request_body)}

        answer = await bedrock.invoke_model(**request)
        said = json.loads(await answer["body"].read())
        chunks = []
        stream = (await bedrock.invoke_model_with_response_stream(**request))["body"]
        with closing(stream):
            chunks = [json.loads(event["chunk"]["bytes"]) async for event in stream]

        for step in text_at:
            said = said[step]
        assert len(said.split()) >= 5
        assert "amazon-bedrock-invocationMetrics" in chunks[-1]
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert int(headers["x-amzn-bedrock-output-token-count"]) >= 5

    on_stack(main)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "must start with a user message"),
        ([{"role": "assistant", "content": [{"text": "x"}]}], "must start with a user message"),
        ([*USER, *USER], "must alternate"),
        ([{"role": "user", "content": []}], "messages.0 is empty"),
        ([{"role": "user", "content": [{"text": " "}]}], "messages.0.content.0 is blank"),
    ],
)
def test_a_request_that_the_service_would_refuse_is_refused(
    messages: list[Any], complaint: str
) -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")

        with pytest.raises(bedrock.exceptions.ValidationException, match=complaint):
            await bedrock.converse(modelId=MODEL, messages=messages)

        assert local.stack.bedrock.stats.by_outcome == {"ValidationException": 1}

    on_stack(main)


def test_a_model_that_is_not_known_is_refused() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        local.stack.bedrock.known_models = frozenset({MODEL})

        await bedrock.converse(modelId=MODEL, messages=USER)

        with pytest.raises(ClientError, match="The provided model identifier is invalid"):
            await bedrock.converse(modelId="nonsense", messages=USER)

    on_stack(main)


def test_an_operation_that_is_not_served_is_unknown() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")

        with pytest.raises(ClientError) as unknown:
            await bedrock.count_tokens(modelId=MODEL, input={"converse": {"messages": USER}})

        assert code_of(unknown.value) == "UnknownOperationException"

    on_stack(main)


def test_a_body_that_is_no_json_cannot_be_read() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")

        with pytest.raises(ClientError) as unreadable:
            await bedrock.invoke_model(modelId=MODEL, body=b"{no json")

        assert code_of(unreadable.value) == "SerializationException"

    on_stack(main)


def test_every_request_is_counted_by_job() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        stats = local.stack.bedrock.stats

        for attempt in ("1", "2"):
            await bedrock.converse(
                modelId=MODEL, messages=USER, requestMetadata={"job": "a", "attempt": attempt}
            )
        await streamed(bedrock, requestMetadata={"job": "b"})
        bedrock.meta.events.register("before-sign", name_job)
        await bedrock.invoke_model(modelId=MODEL, body=b'{"prompt": "Hi"}')

        assert stats.calls_by_job == {"a": 2, "b": 1, "c": 1}
        assert stats.answers_by_job == {"a": 2, "b": 1, "c": 1}
        assert (stats.total, stats.in_flight, stats.in_flight_max) == (4, 0, 1)
        stats.reset()
        assert stats.as_json()["calls_by_job"] == {}

    on_stack(main)


def name_job(request: Any, **_: Any) -> None:
    request.headers[JOB_HEADER] = "c"


def test_a_fixed_text_is_said_as_far_as_the_tokens_reach() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        local.stack.bedrock.set_mood(Mood(text='{"city": "Oslo"}'))

        whole = await streamed(bedrock)
        cut = await streamed(bedrock, inferenceConfig={"maxTokens": 2})

        assert json.loads(text_of(whole)) == {"city": "Oslo"}
        assert text_of(cut) == '{"city":'
        assert cut[-2]["messageStop"]["stopReason"] == "max_tokens"

    on_stack(main)
