"""From a 200 of Bedrock Runtime to an `Answer`, or to the `Fault` that it is in truth.

A 200 is no success before it holds an answer, a stop reason and the usage, and a
stream none before `messageStop` and `metadata`: botocore passes a torn body silently.

A stop reason that we do not know is an answer: it is whole and paid for, its own word
goes into the result for the consumer to judge, and asking again would pay again,
likely for the same.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson

from worker.aws.bedrock_content import Gathering, UnreadableError, blocks_in
from worker.core.answer import Answer, Usage
from worker.core.fault import Billed, Fault, Kind

# Stop reasons that are faults. All others end an answer.
BY_STOP_REASON: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "malformed_model_output": Kind.POOR,
        "malformed_tool_use": Kind.POOR,
        "model_context_window_exceeded": Kind.TOO_LONG,
    }
)
MALFORMED: Final = "malformed_response"
TRUNCATED: Final = "stream_truncated"

_COUNTS: Final = "x-amzn-bedrock-{}-token-count"
_NATIVE_STOPS: Final = ("stop_reason", "stopReason", "finish_reason", "completionReason")


def answer_of_converse(response: Mapping[str, Any]) -> Answer | Fault:
    """What Converse answered."""
    meta = response.get("ResponseMetadata", {})
    request_id = meta.get("RequestId", "")
    message = (response.get("output") or {}).get("message") or {}
    content, usage = message.get("content"), response.get("usage")
    if content is None or usage is None or not response.get("stopReason"):
        return no_answer(MALFORMED, request_id)
    return _judged(
        content,
        response["stopReason"],
        usage=_usage(usage),
        model_ms=(response.get("metrics") or {}).get("latencyMs", 0),
        tier=(response.get("serviceTier") or {}).get("type", ""),
        request_id=request_id,
    )


def answer_of_stream(
    stream: Gathering, request_id: str, first_token_ms: int | None
) -> Answer | Fault:
    """What a stream of ConverseStream came to, after its end."""
    metadata = stream.metadata
    if metadata is None or not stream.stop_reason:
        return no_answer(TRUNCATED, request_id)
    if (usage := metadata.get("usage")) is None:
        return no_answer(MALFORMED, request_id)
    try:
        content = stream.content()
    except UnreadableError as error:
        return _paid_for_nothing(Kind.POOR, str(error), request_id, _usage(usage))
    return _judged(
        content,
        stream.stop_reason,
        usage=_usage(usage),
        model_ms=(metadata.get("metrics") or {}).get("latencyMs", 0),
        tier=(metadata.get("serviceTier") or {}).get("type", ""),
        request_id=request_id,
        first_token_ms=first_token_ms,
    )


def answer_of_invoke(response: Mapping[str, Any], raw: bytes) -> Answer | Fault:
    """What InvokeModel answered: one block `{"json": ...}` with the model's own body.

    The stop reason is the body's own, where it has one of the common names, and
    `end_turn` where it has none; the usage is that of the headers.
    """
    meta = response.get("ResponseMetadata", {})
    headers, request_id = meta.get("HTTPHeaders", {}), meta.get("RequestId", "")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return no_answer(MALFORMED, request_id)
    if not isinstance(body, dict) or not body or body.get("type") == "error":
        return no_answer(MALFORMED, request_id)
    stops = (body.get(name) for name in _NATIVE_STOPS)
    return _judged(
        [{"json": body}],
        next((stop for stop in stops if isinstance(stop, str) and stop), "end_turn"),
        usage=Usage(
            input=_number(headers, _COUNTS.format("input")),
            output=_number(headers, _COUNTS.format("output")),
            cache_read=_number(headers, _COUNTS.format("cache-read-input")),
            cache_write=_number(headers, _COUNTS.format("cache-write-input")),
        ),
        model_ms=_number(headers, "x-amzn-bedrock-invocation-latency"),
        tier=headers.get("x-amzn-bedrock-service-tier", ""),
        request_id=request_id,
    )


def no_answer(code: str, request_id: str) -> Fault:
    """The fault of a 200 that is no answer."""
    return Fault(
        kind=Kind.UNAVAILABLE,
        code=code,
        http=HTTPStatus.OK,
        request_id=request_id,
        billed=Billed.MAYBE,
    )


def _judged(
    content: Sequence[Mapping[str, Any]],
    stop_reason: str,
    *,
    usage: Usage,
    model_ms: int,
    tier: str,
    request_id: str,
    first_token_ms: int | None = None,
) -> Answer | Fault:
    if (kind := BY_STOP_REASON.get(stop_reason)) is not None:
        return _paid_for_nothing(kind, stop_reason, request_id, usage)
    try:
        blocks = blocks_in(content)
    except UnreadableError as error:
        return _paid_for_nothing(Kind.POOR, str(error), request_id, usage)
    return Answer(
        content=blocks,
        stop_reason=stop_reason,
        usage=usage,
        model_ms=model_ms,
        first_token_ms=first_token_ms,
        request_id=request_id,
        tier=tier,
    )


def _paid_for_nothing(kind: Kind, code: str, request_id: str, usage: Usage) -> Fault:
    return Fault(
        kind=kind,
        code=code,
        http=HTTPStatus.OK,
        request_id=request_id,
        billed=Billed.YES,
        spent=usage,
    )


def _usage(said: Mapping[str, Any]) -> Usage:
    return Usage(
        input=said.get("inputTokens", 0),
        output=said.get("outputTokens", 0),
        cache_read=said.get("cacheReadInputTokens", 0),
        cache_write=said.get("cacheWriteInputTokens", 0),
    )


def _number(headers: Mapping[str, str], name: str) -> int:
    said = headers.get(name, "")
    return int(said) if said.isdecimal() else 0
