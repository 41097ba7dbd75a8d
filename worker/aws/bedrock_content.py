"""Content blocks on their way to Bedrock and back: JSON on our side, bytes on the SDK's.

A job is JSON, so its images, documents and other blobs are base64, as they are in
the service's own HTTP API. The SDK wants bytes there, and would encode a string once
more. The other way round, an answer is stored as JSON, and holds no bytes.

`Gathering` puts the events of a stream together into the blocks that the unary
operation would have given.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

_BLOBS: Final = frozenset({"bytes", "redactedContent"})
_TREES: Final = frozenset({"input", "json"})  # anybody's JSON, not ours to change
_DROPPED: Final = "SDK_UNKNOWN_MEMBER"  # what botocore leaves of what it does not know
UNKNOWN: Final = "unknown_content"
NO_JSON: Final = "malformed_tool_use"


class NotBase64Error(Exception):
    """A blob of a job is no base64. Says which member, never what it holds."""


class UnreadableError(Exception):
    """The answer holds something that this SDK does not know, or that is no JSON.

    Its text is a code: `unknown_content` or `malformed_tool_use`.
    """


def messages_out(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Messages for the SDK.

    Raises:
        NotBase64Error: A blob is not base64.
    """
    if all("text" in block for message in messages for block in message["content"]):
        return messages
    return [{**message, "content": blocks_out(message["content"])} for message in messages]


def blocks_out(blocks: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Content blocks for the SDK.

    Raises:
        NotBase64Error: A blob is not base64.
    """
    return [block if "text" in block else _with_bytes(block) for block in blocks]


def blocks_in(blocks: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Content blocks of an answer, as JSON.

    Raises:
        UnreadableError: The SDK dropped what it does not know.
    """
    return tuple(block if "text" in block else _without_bytes(block) for block in blocks)


def _with_bytes(node: Any) -> Any:
    match node:
        case dict():
            return {k: v if k in _TREES else _blob(k, v) for k, v in node.items()}
        case list():
            return [_with_bytes(item) for item in node]
        case _:
            return node


def _blob(name: str, value: Any) -> Any:
    if name not in _BLOBS or not isinstance(value, str):
        return _with_bytes(value)
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise NotBase64Error(name) from None


def _without_bytes(node: Any) -> Any:
    match node:
        case bytes():
            return b64encode(node).decode()
        case dict() if _DROPPED in node:
            raise UnreadableError(UNKNOWN)
        case dict():
            return {k: v if k in _TREES else _without_bytes(v) for k, v in node.items()}
        case list():
            return [_without_bytes(item) for item in node]
        case _:
            return node


class Gathering:
    """The events of one ConverseStream, and what they come to.

    Attributes:
        stop_reason: "" until the message has stopped.
        metadata: The last event's usage, metrics and tier; None until it has come.
    """

    __slots__ = ("_blocks", "metadata", "stop_reason")

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self.stop_reason = ""
        self.metadata: Mapping[str, Any] | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing more is to come."""
        return self.metadata is not None and self.stop_reason != ""

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn one event."""
        if (delta := event.get("contentBlockDelta")) is not None:
            self._block(delta).add(delta.get("delta") or {})
        elif (start := event.get("contentBlockStart")) is not None:
            self._block(start).start = start.get("start") or {}
        elif (stop := event.get("messageStop")) is not None:
            self.stop_reason = stop.get("stopReason") or ""
        elif (metadata := event.get("metadata")) is not None:
            self.metadata = metadata

    def content(self) -> tuple[Mapping[str, Any], ...]:
        """The blocks in the Converse shape.

        Raises:
            UnreadableError: One of them holds what cannot be read.
        """
        cut = self.stop_reason == "max_tokens"
        return blocks_in([block.whole(cut=cut) for _, block in sorted(self._blocks.items())])

    def _block(self, event: Mapping[str, Any]) -> "_Block":
        index = event.get("contentBlockIndex", 0)
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block()
        return block


class _Block:
    """One content block: how it began, and its deltas by kind."""

    __slots__ = ("deltas", "start")

    def __init__(self) -> None:
        self.start: Mapping[str, Any] = {}
        self.deltas: dict[str, list[Any]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        for kind, value in delta.items():
            self.deltas.setdefault(kind, []).append(value)

    def whole(self, *, cut: bool) -> Mapping[str, Any]:
        """The block as the unary operation gives it; `cut` by the token limit."""
        deltas, start = self.deltas, self.start
        if _DROPPED in deltas or _DROPPED in start:
            raise UnreadableError(UNKNOWN)
        text = "".join(deltas.get("text", ()))
        if (use := start.get("toolUse")) is not None:
            return {"toolUse": {**use, "input": _tool_input(deltas.get("toolUse", ()), cut=cut)}}
        if (result := start.get("toolResult")) is not None:
            parts = [part for parts in deltas.get("toolResult", ()) for part in parts]
            return {"toolResult": {**result, "content": parts}}
        if (image := start.get("image")) is not None:
            return {"image": {**image, **_image(deltas.get("image", ()))}}
        if (reasoning := deltas.get("reasoningContent")) is not None:
            return {"reasoningContent": _reasoning(reasoning)}
        if (citations := deltas.get("citation")) is not None:
            return {"citationsContent": {"content": [{"text": text}], "citations": citations}}
        return {"text": text}


def _tool_input(deltas: Sequence[Mapping[str, Any]], *, cut: bool) -> Any:
    written = "".join(delta.get("input") or "" for delta in deltas)
    try:
        return orjson.loads(written or "{}")
    except orjson.JSONDecodeError as error:
        if cut:
            return written  # half an input is still what was paid for, and `max_tokens` says why
        raise UnreadableError(NO_JSON) from error


def _image(deltas: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    members = {name: value for delta in deltas for name, value in delta.items()}
    sources = [delta["source"] for delta in deltas if "source" in delta]
    if pieces := [source["bytes"] for source in sources if "bytes" in source]:
        members["source"] = {"bytes": b"".join(pieces)}
    return members


def _reasoning(deltas: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    if any(_DROPPED in delta for delta in deltas):
        raise UnreadableError(UNKNOWN)
    if redacted := [delta["redactedContent"] for delta in deltas if "redactedContent" in delta]:
        return {"redactedContent": b"".join(redacted)}
    text: dict[str, Any] = {"text": "".join(delta.get("text") or "" for delta in deltas)}
    if signature := "".join(delta.get("signature") or "" for delta in deltas):
        text["signature"] = signature
    return {"reasoningText": text}
