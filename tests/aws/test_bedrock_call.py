"""What goes out for one attempt, and what an answer is made of."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.aws.bedrock_stage import HELLO, MODEL, client_for, request, serving, stage, target
from worker.aws.bedrock import Bedrock
from worker.core.answer import Answer, Usage
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Request
from worker.core.target import STREAM_FROM_TOKENS, Api
from worker.local import eventstream
from worker.local.outcomes import Answer as Well

STREAM = Api.CONVERSE_STREAM
PIXEL = b"\x89PNG\r\n\x1a\n\xff"
PIXEL_64 = b64encode(PIXEL).decode()
SHORT = STREAM_FROM_TOKENS - 1
WELL = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
    "metrics": {"latencyMs": 5},
}
USED = {
    "usage": {
        "inputTokens": 3,
        "outputTokens": 9,
        "totalTokens": 12,
        "cacheReadInputTokens": 2,
        "cacheWriteInputTokens": 1,
    },
    "metrics": {"latencyMs": 7},
}


class Server:
    """Remembers each request, and the connection it came on; answers with `body`."""

    def __init__(self, body: bytes, content_type: str = "application/json") -> None:
        self.body, self.content_type, self.status = body, content_type, 200
        self.headers = {"x-amzn-requestid": "r-1"}
        self.seen: list[tuple[str, Any, dict[str, str]]] = []
        self.connections: set[int] = set()

    async def __call__(self, got: web.BaseRequest) -> web.StreamResponse:
        assert got.transport is not None
        self.connections.add(got.transport.get_extra_info("peername")[1])
        headers = {name.lower(): value for name, value in got.headers.items()}
        operation = got.path.rpartition("/")[2]
        self.seen.append((operation, orjson.loads(await got.read()), headers))
        return web.Response(
            status=self.status,
            body=self.body,
            headers=self.headers,
            content_type=self.content_type,
        )


@asynccontextmanager
async def calling(server: Server) -> Any:
    async with serving(server) as url, client_for(url) as client:
        yield Bedrock({"": client})


def _sent(
    body: bytes = orjson.dumps(WELL),
    *,
    asked: Request | None = None,
    api: Api = Api.CONVERSE,
    **to: Any,
) -> tuple[Answer | Fault, str, Any, dict[str, str]]:
    """One call, and the one request that it came to."""
    kind = "application/json" if api in (Api.CONVERSE, Api.INVOKE) else eventstream.CONTENT_TYPE
    server = Server(body, kind)

    async def main() -> Answer | Fault:
        async with calling(server) as bedrock:
            found: Answer | Fault = await bedrock.call(
                target(api, **to), asked or request(api), job="job 1/é", attempt=3, bound_s=5
            )
            return found

    found = asyncio.run(main())
    ((operation, sent, headers),) = server.seen
    return found, operation, sent, headers


def _frames(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(eventstream.event(name, orjson.dumps(said)) for name, said in events)


def _start(index: int, **start: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": start}


def _delta(index: int, **delta: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}


def _gathered(*events: tuple[str, dict[str, Any]], stop: str = "end_turn") -> Answer | Fault:
    frames = _frames(
        ("messageStart", {"role": "assistant"}),
        *events,
        ("messageStop", {"stopReason": stop}),
        ("metadata", USED),
    )
    return _sent(frames, api=STREAM)[0]


def _content(found: Answer | Fault) -> Sequence[Any]:
    assert isinstance(found, Answer), found
    assert orjson.loads(orjson.dumps(found.content)) == list(found.content), "storable as JSON"
    return found.content


def test_a_call_says_which_attempt_of_which_job_it_is() -> None:
    _, operation, sent, headers = _sent()

    assert operation == "converse"
    assert sent["requestMetadata"] == {"job": "job 1/_", "attempt": "3"}
    assert "inference-worker" in headers["user-agent"]


def test_all_that_a_job_asks_for_goes_out() -> None:
    tools = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
    asked = Request(
        messages=HELLO,
        system=({"text": "Be brief."},),
        inference={"temperature": 0.5, "stopSequences": ["x"]},
        tools=tools,
        additional={"top_k": 5},
    )

    _, _, sent, _ = _sent(asked=asked, max_tokens=77)

    assert sent["messages"] == list(HELLO)
    assert sent["system"] == [{"text": "Be brief."}]
    assert sent["inferenceConfig"] == {"temperature": 0.5, "stopSequences": ["x"], "maxTokens": 77}
    assert sent["toolConfig"] == tools
    assert sent["additionalModelRequestFields"] == {"top_k": 5}


@pytest.mark.parametrize(("asked", "sent"), [(None, 100), (40, 40), (400, 100)])
def test_the_lower_token_limit_holds(asked: int | None, sent: int) -> None:
    inference = {} if asked is None else {"maxTokens": asked}

    _, _, body, _ = _sent(asked=request(inference=inference), max_tokens=100)

    assert body["inferenceConfig"] == {"maxTokens": sent}


@pytest.mark.parametrize(
    ("job", "limit", "operation"),
    [
        (None, STREAM_FROM_TOKENS, "ConverseStream"),
        (None, SHORT, "Converse"),
        (SHORT, 4096, "Converse"),
        (4096, SHORT, "Converse"),
        (4096, 4096, "ConverseStream"),
    ],
)
def test_only_a_long_answer_is_streamed(job: int | None, limit: int, operation: str) -> None:
    async def main() -> list[str]:
        async with stage() as on:
            asked = request(inference={} if job is None else {"maxTokens": job})
            to = target(Api.AUTO, max_tokens=limit)
            found = await on.bedrock.call(to, asked, job="j", attempt=1, bound_s=5)
            assert isinstance(found, Answer), found
            assert (found.first_token_ms is None) == (operation == "Converse")
            return [seen.operation for seen in on.stand_in.stats.by_target]

    assert asyncio.run(main()) == [operation]


def test_a_tier_is_asked_for_where_the_sdk_knows_tiers_and_told_where_it_served() -> None:
    async def main() -> tuple[bool, list[Answer | Fault]]:
        async with stage() as on:
            shape = on.client.meta.service_model.operation_model("Converse").input_shape
            found = [await on.call(api, tier="flex") for api in (Api.CONVERSE, STREAM)]
            return "serviceTier" in shape.members, found

    known, found = asyncio.run(main())

    assert {answer.tier for answer in found if isinstance(answer, Answer)} == {"flex" * known}


def test_a_native_body_goes_out_as_it_is_and_comes_back_as_json() -> None:
    asked = request(additional={"prompt": "hi", "max_gen_len": 5})

    found, operation, sent, headers = _sent(b'{"generation": "ho"}', asked=asked, api=Api.INVOKE)

    assert (operation, sent) == ("invoke", {"prompt": "hi", "max_gen_len": 5})
    assert headers["content-type"] == "application/json"
    assert _content(found) == ({"json": {"generation": "ho"}},)


def test_a_native_answer_has_its_usage_from_the_headers_and_its_own_stop_reason() -> None:
    async def main() -> Answer | Fault:
        async with stage() as on:
            return await on.call(Api.INVOKE)

    found = asyncio.run(main())

    assert isinstance(found, Answer)
    assert (found.usage, found.stop_reason) == (Usage(input=1, output=16), "max_tokens")
    assert found.truncated


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"type": "error"}', b"\xff"])
def test_a_native_body_that_is_none_is_no_answer(body: bytes) -> None:
    found, *_ = _sent(body, api=Api.INVOKE)

    assert isinstance(found, Fault)
    assert (found.kind, found.code, found.http) == (Kind.UNAVAILABLE, "malformed_response", 200)


def test_a_blob_goes_out_as_the_job_had_it_and_not_encoded_twice() -> None:
    image = {"image": {"format": "png", "source": {"bytes": PIXEL_64}}}
    result = {"toolUseId": "t", "content": [image, {"json": {"bytes": "as it is"}}]}
    guard = {"guardContent": {"image": {"format": "png", "source": {"bytes": PIXEL_64}}}}
    use = {"toolUse": {"toolUseId": "t", "name": "n", "input": {"bytes": "as it is"}}}
    said = (
        {"role": "user", "content": [{"text": "look"}, image]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"toolResult": result}]},
    )

    _, _, sent, _ = _sent(asked=request(messages=said, system=(guard,)))

    assert sent["messages"] == list(said)
    assert sent["system"] == [guard]


def test_a_blob_of_an_answer_is_base64() -> None:
    block = {"reasoningContent": {"redactedContent": PIXEL_64}}
    body = orjson.dumps(WELL | {"output": {"message": {"content": [block, {"text": "so"}]}}})

    found, *_ = _sent(body)

    assert _content(found) == (block, {"text": "so"})


def test_an_answer_has_all_that_the_service_told() -> None:
    usage = USED["usage"]

    found, *_ = _sent(orjson.dumps(WELL | {"usage": usage}))

    assert found == Answer(
        content=({"text": "hello"},),
        stop_reason="end_turn",
        usage=Usage(input=3, output=9, cache_read=2, cache_write=1),
        model_ms=5,
        request_id="r-1",
    )


def test_a_stream_comes_to_the_blocks_that_a_unary_call_gives() -> None:
    found = _gathered(
        _delta(0, reasoningContent={"text": "let me "}),
        _delta(0, reasoningContent={"text": "think"}),
        _delta(0, reasoningContent={"signature": "sig"}),
        _delta(1, reasoningContent={"redactedContent": PIXEL_64}),
        _start(3, toolUse={"toolUseId": "t", "name": "add"}),
        _delta(2, text="hel"),
        _delta(3, toolUse={"input": '{"a": '}),
        _delta(2, text="lo"),
        _delta(3, toolUse={"input": "[1, 2]}"}),
        _start(4, toolUse={"toolUseId": "u", "name": "now"}),
        ("contentBlockStop", {"contentBlockIndex": 3}),
        stop="tool_use",
    )

    assert _content(found) == (
        {"reasoningContent": {"reasoningText": {"text": "let me think", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": PIXEL_64}},
        {"text": "hello"},
        {"toolUse": {"toolUseId": "t", "name": "add", "input": {"a": [1, 2]}}},
        {"toolUse": {"toolUseId": "u", "name": "now", "input": {}}},
    )
    assert isinstance(found, Answer)
    assert found.usage == Usage(input=3, output=9, cache_read=2, cache_write=1)
    assert (found.stop_reason, found.model_ms, found.request_id) == ("tool_use", 7, "r-1")
    assert found.first_token_ms is not None


def test_a_stream_keeps_its_citations() -> None:
    found = _gathered(_delta(0, text="so it is"), _delta(0, citation={"title": "a book"}))

    block = {"content": [{"text": "so it is"}], "citations": [{"title": "a book"}]}
    assert _content(found) == ({"citationsContent": block},)


def test_a_tool_input_that_is_no_json_is_poor_unless_the_token_limit_cut_it() -> None:
    begun = _start(0, toolUse={"toolUseId": "t", "name": "add"}), _delta(0, toolUse={"input": "[1"})

    poor, cut = _gathered(*begun, stop="tool_use"), _gathered(*begun, stop="max_tokens")

    assert isinstance(poor, Fault)
    assert (poor.kind, poor.code, poor.billed) == (Kind.POOR, "malformed_tool_use", Billed.YES)
    assert poor.spent == Usage(input=3, output=9, cache_read=2, cache_write=1)
    assert _content(cut) == ({"toolUse": {"toolUseId": "t", "name": "add", "input": "[1"}},)


@pytest.mark.parametrize("api", [Api.CONVERSE, STREAM])
def test_content_that_the_sdk_cannot_read_is_never_dropped_in_silence(api: Api) -> None:
    if api is STREAM:
        found = _gathered(_delta(0, hologram={"x": 1}))
    else:
        message = {"content": [{"text": "a"}, {"hologram": {"x": 1}}]}
        found, *_ = _sent(orjson.dumps(WELL | {"output": {"message": message}}))

    assert isinstance(found, Fault)
    assert (found.kind, found.code) == (Kind.POOR, "unknown_content")


@pytest.mark.parametrize("api", [Api.CONVERSE, STREAM])
@pytest.mark.parametrize(
    ("reason", "blocked", "truncated"),
    [
        ("end_turn", False, False),
        ("stop_sequence", False, False),
        ("tool_use", False, False),
        ("max_tokens", False, True),
        ("guardrail_intervened", True, False),
        ("content_filtered", True, False),
        ("something_new", False, False),
    ],
)
def test_a_stop_reason_that_is_no_fault_ends_an_answer(
    api: Api, reason: str, *, blocked: bool, truncated: bool
) -> None:
    async def main() -> Answer | Fault:
        async with stage() as on:
            on.script(Well(stop_reason=reason))
            return await on.call(api)

    found = asyncio.run(main())

    assert isinstance(found, Answer), found
    assert found.stop_reason == reason
    assert (found.blocked, found.truncated) == (blocked, truncated)


@pytest.mark.parametrize(
    ("body", "api", "code"),
    [
        (b'{"message": "Too many requests"}', STREAM, "ChecksumMismatch"),
        (b"", STREAM, "stream_truncated"),
        (b"\xff\xfe", Api.CONVERSE, "UnicodeDecodeError"),
        (b"<html>welcome to the hotel</html>", Api.CONVERSE, "malformed_response"),
        (b'{"message": "Too many requests"}', Api.CONVERSE, "malformed_response"),
    ],
)
def test_a_200_with_something_else_in_it_is_no_answer(body: bytes, api: Api, code: str) -> None:
    found, *_ = _sent(body, api=api)

    assert isinstance(found, Fault)
    assert (found.kind, found.code) == (Kind.UNAVAILABLE, code)


def test_a_stream_that_has_said_all_need_not_end() -> None:
    """The end is a courtesy; the answer was whole, and paid for, before it."""
    frames = _frames(
        _delta(0, text="hello"), ("messageStop", {"stopReason": "end_turn"}), ("metadata", USED)
    )

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": eventstream.CONTENT_TYPE})
        await response.prepare(_)
        await response.write(frames)
        await asyncio.Event().wait()
        return response

    async def main() -> Answer | Fault:
        async with serving(handler) as url, client_for(url) as client:
            bedrock = Bedrock({"": client})
            return await bedrock.call(target(STREAM), request(), job="j", attempt=1, bound_s=0.3)

    assert _content(asyncio.run(main())) == ({"text": "hello"},)


@pytest.mark.parametrize("api", [Api.CONVERSE, STREAM, Api.INVOKE])
def test_a_redirect_is_not_followed(api: Api) -> None:
    server = Server(b"")
    server.status, server.headers = 307, {"Location": "/model/elsewhere/converse"}

    async def main() -> Answer | Fault:
        async with calling(server) as bedrock:
            found: Answer | Fault = await bedrock.call(
                target(api), request(api), job="j", attempt=1, bound_s=5
            )
            return found

    found = asyncio.run(main())

    assert isinstance(found, Fault)
    assert (found.kind, found.http, len(server.seen)) == (Kind.MISCONFIGURED, 307, 1)


def test_calls_that_end_well_share_one_connection() -> None:
    frames = _frames(
        _delta(0, text="hello"), ("messageStop", {"stopReason": "end_turn"}), ("metadata", USED)
    )
    server = Server(frames, eventstream.CONTENT_TYPE)

    async def main() -> None:
        async with calling(server) as bedrock:
            for n in range(5):
                found = await bedrock.call(target(STREAM), request(), job="j", attempt=n, bound_s=5)
                assert isinstance(found, Answer), found

    asyncio.run(main())

    assert len(server.seen) == 5
    assert len(server.connections) == 1


def test_the_model_is_the_target_s() -> None:
    async def main() -> list[str]:
        async with stage() as on:
            await on.call()
            return [seen.model for seen in on.stand_in.stats.by_target]

    assert asyncio.run(main()) == [MODEL]
