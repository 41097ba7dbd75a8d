"""The bodies of answers: Converse's own, and those of InvokeModel by model family.

Every family has its native JSON. The ones written here are Anthropic's, Amazon
Nova's, Amazon Titan's, Meta's and Mistral's; a model of any other family answers
in Anthropic's shape. Sources: "Inference request parameters and response fields
for foundation models" in the Bedrock user guide; botocore's model for Converse.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from worker.local import eventstream
from worker.local.dialogue import Ask, Reply
from worker.local.outcomes import Part

LatencyMs = Callable[[], int]
Omit = frozenset[Part]


def converse_body(ask: Ask, reply: Reply, latency_ms: LatencyMs, omit: Omit) -> bytes:
    """The answer of Converse, without the parts in `omit`."""
    message = {"role": "assistant", "content": [{"text": reply.text}]}
    body: dict[str, Any] = {
        "output": {"message": message},
        "stopReason": reply.stop_reason,
        "usage": _usage(reply),
        "metrics": {"latencyMs": latency_ms()},
    }
    for part in omit:
        del body[part]
    if ask.service_tier and body:
        body["serviceTier"] = ask.service_tier
    return orjson.dumps(body)


def converse_frames(ask: Ask, reply: Reply, latency_ms: LatencyMs, omit: Omit) -> Iterator[bytes]:
    """The events of ConverseStream, without the parts in `omit`.

    Text has no `contentBlockStart`, and no union is ever empty: an SDK refuses
    an empty one, and the service sends none.
    """
    yield _frame("messageStart", {"role": "assistant"})
    if "output" not in omit:
        for piece in reply.pieces():
            yield _frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
        yield _frame("contentBlockStop", {"contentBlockIndex": 0})
    if "stopReason" not in omit:
        yield _frame("messageStop", {"stopReason": reply.stop_reason})
    metadata: dict[str, Any] = {}
    if "usage" not in omit:
        metadata["usage"] = _usage(reply)
    if "metrics" not in omit:
        metadata["metrics"] = {"latencyMs": latency_ms()}
    if ask.service_tier and metadata:
        metadata["serviceTier"] = ask.service_tier
    if metadata:
        yield _frame("metadata", metadata)


def invoke_body(model: str, reply: Reply, omit: Omit) -> bytes:
    """The answer of InvokeModel in the model family's own JSON."""
    body = _native(model, reply)
    for part, names in _PART_NAMES.items():
        if part in omit:
            for name in names:
                body.pop(name, None)
    return orjson.dumps(body)


def invoke_frames(model: str, reply: Reply, latency_ms: LatencyMs, omit: Omit) -> Iterator[bytes]:
    """The chunks of InvokeModelWithResponseStream; the last one carries the metrics."""
    metrics = {
        "inputTokenCount": reply.input_tokens,
        "outputTokenCount": reply.output_tokens,
    }
    if family(model) != "anthropic":
        pieces = [] if "output" in omit else reply.pieces()
        for piece in pieces:
            yield _chunk(_native(model, Reply(piece, "", reply.input_tokens, 0)))
        last = _native(model, Reply("", reply.stop_reason, reply.input_tokens, reply.output_tokens))
        timed = metrics | {"invocationLatency": latency_ms()}
        yield _chunk(last | {"amazon-bedrock-invocationMetrics": timed})
        return
    opening = _native(model, Reply("", "", reply.input_tokens, 1)) | {"content": []}
    yield _chunk({"type": "message_start", "message": opening | {"stop_reason": None}})
    if "output" not in omit:
        block = {"type": "text", "text": ""}
        yield _chunk({"type": "content_block_start", "index": 0, "content_block": block})
        for piece in reply.pieces():
            delta = {"type": "text_delta", "text": piece}
            yield _chunk({"type": "content_block_delta", "index": 0, "delta": delta})
        yield _chunk({"type": "content_block_stop", "index": 0})
    if "stopReason" not in omit:
        end = {"stop_reason": reply.stop_reason, "stop_sequence": None}
        usage = {"output_tokens": reply.output_tokens}
        yield _chunk({"type": "message_delta", "delta": end, "usage": usage})
        timed = metrics | {"invocationLatency": latency_ms()}
        yield _chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": timed})


def family(model: str) -> str:
    """Who made a model, from its id, profile id or ARN; `anthropic` when unknown."""
    for name in ("amazon.nova", "amazon.titan", "meta", "mistral"):
        if f"{name}." in model or f"{name}-" in model:
            return name
    return "anthropic"


_PART_NAMES: dict[Part, tuple[str, ...]] = {
    "output": ("content", "output", "results", "generation", "outputs"),
    "stopReason": ("stop_reason", "stopReason"),
    "usage": ("usage", "prompt_token_count", "generation_token_count", "inputTextTokenCount"),
    "metrics": (),
}


def _native(model: str, reply: Reply) -> dict[str, Any]:
    match family(model):
        case "amazon.nova":
            message = {"role": "assistant", "content": [{"text": reply.text}]}
            return {
                "output": {"message": message},
                "stopReason": reply.stop_reason,
                "usage": _usage(reply),
            }
        case "amazon.titan":
            result = {
                "tokenCount": reply.output_tokens,
                "outputText": reply.text,
                "completionReason": "LENGTH" if reply.stop_reason == "max_tokens" else "FINISH",
            }
            return {"inputTextTokenCount": reply.input_tokens, "results": [result]}
        case "meta":
            return {
                "generation": reply.text,
                "prompt_token_count": reply.input_tokens,
                "generation_token_count": reply.output_tokens,
                "stop_reason": "length" if reply.stop_reason == "max_tokens" else "stop",
            }
        case "mistral":
            return {"outputs": [{"text": reply.text, "stop_reason": reply.stop_reason}]}
        case _:
            return {
                "id": "msg_bdrk_local",
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [{"type": "text", "text": reply.text}],
                "stop_reason": reply.stop_reason,
                "stop_sequence": None,
                "usage": {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens},
            }


def _usage(reply: Reply) -> dict[str, int]:
    return {
        "inputTokens": reply.input_tokens,
        "outputTokens": reply.output_tokens,
        "totalTokens": reply.input_tokens + reply.output_tokens,
    }


def _frame(name: str, payload: dict[str, Any]) -> bytes:
    return eventstream.event(name, orjson.dumps(payload))


def _chunk(payload: dict[str, Any]) -> bytes:
    return _frame("chunk", {"bytes": b64encode(orjson.dumps(payload)).decode()})
