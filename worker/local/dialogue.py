"""What is asked of a model, and what it says: pure, and the same every time.

A reply is invented from a digest of the prompt, so that a repeated question gets
the same answer and a test can tell two answers apart. A token is a word of the
reply, and four characters of a prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Any, Final

from worker.local.moods import Mood
from worker.local.outcomes import Answer

_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "lagoon", "river")
_TOKENS_PER_EVENT: Final = 8
_CHARACTERS_PER_TOKEN: Final = 4
_MAX_TOKENS_UNSET: Final = 4_096  # what an answer without `maxTokens` holds of the quota


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: all of its text, and how many tokens the answer may have."""

    prompt: str
    max_tokens: int | None
    service_tier: Mapping[str, str] | None = None

    @property
    def input_tokens(self) -> int:
        """At least 1."""
        return max(1, ceil(len(self.prompt) / _CHARACTERS_PER_TOKEN))

    @property
    def reserved_tokens(self) -> int:
        """What the quota holds for it until it is answered."""
        return self.input_tokens + (self.max_tokens or _MAX_TOKENS_UNSET)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    text: str
    stop_reason: str
    input_tokens: int
    output_tokens: int

    def pieces(self) -> list[str]:
        """The text in the portions that a stream sends; at least one."""
        events = max(1, ceil(self.output_tokens / _TOKENS_PER_EVENT))
        width = max(1, ceil(len(self.text) / events))
        return [self.text[at : at + width] for at in range(0, len(self.text), width)] or [""]


def ask_of(body: Mapping[str, Any]) -> Ask:
    """Read a question in any of the request shapes that Bedrock models take.

    Converse and the native bodies name the same things differently; what is not
    named is taken as absent, so any JSON object is a question.
    """
    inference = body.get("inferenceConfig") or body.get("textGenerationConfig") or {}
    limits = (
        inference.get("maxTokens"),
        inference.get("max_new_tokens"),
        inference.get("maxTokenCount"),
        body.get("max_tokens"),
        body.get("max_gen_len"),
    )
    parts = (body.get("system"), body.get("messages"), body.get("prompt"), body.get("inputText"))
    return Ask(
        prompt="\n".join(text for part in parts for text in _texts(part)),
        max_tokens=next((int(limit) for limit in limits if limit is not None), None),
        service_tier=body.get("serviceTier"),
    )


def reply_to(ask: Ask, mood: Mood, answer: Answer) -> Reply:
    """What a model in `mood` says; `answer` may fix the text and the stop reason."""
    most = ask.max_tokens or _MAX_TOKENS_UNSET
    fixed = mood.text if answer.text is None else answer.text
    if fixed is None:
        tokens = min(mood.output_tokens, most)
        cut = tokens < mood.output_tokens
        text = _invent(ask.prompt, tokens)
    else:
        text = fixed[: most * _CHARACTERS_PER_TOKEN]
        cut = len(text) < len(fixed)
        tokens = max(1, ceil(len(text) / _CHARACTERS_PER_TOKEN))
    stop_reason = answer.stop_reason or ("max_tokens" if cut else "end_turn")
    return Reply(text, stop_reason, ask.input_tokens, tokens)


def complaint(body: Mapping[str, Any]) -> str | None:
    """Why the service would refuse this Converse request, in its words; None if it would not."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return (
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    expected = "user"
    for at, message in enumerate(messages):
        if message.get("role") != expected:
            if at == 0:
                return complaint({})
            return (
                f"A conversation must alternate between user and assistant roles. "
                f"Make sure the conversation alternates, and try again (messages.{at})."
            )
        expected = "assistant" if expected == "user" else "user"
        content = message.get("content")
        if not content:
            return f"The content field in the Message object at messages.{at} is empty."
        for position, block in enumerate(content):
            if "text" in block and not block["text"].strip():
                return (
                    f"The text field in the ContentBlock object at messages.{at}.content.{position}"
                    " is blank. Add text to the text field, and try again."
                )
    max_tokens = (body.get("inferenceConfig") or {}).get("maxTokens")
    if max_tokens is not None and max_tokens < 1:
        return f"Value {max_tokens} at 'inferenceConfig.maxTokens' must be at least 1."
    return None


def _invent(prompt: str, tokens: int) -> str:
    digest = blake2b(prompt.encode(), digest_size=6).digest()
    start = int.from_bytes(digest, "big")
    words = [_WORDS[(start + at * (1 + start % 7)) % len(_WORDS)] for at in range(tokens - 1)]
    return " ".join([digest.hex(), *words])


def _texts(part: object) -> list[str]:
    """Every piece of text in a message, a list of them, or a plain string."""
    match part:
        case str():
            return [part]
        case {"text": str(text)}:
            return [text]
        case {"content": content}:
            return _texts(content)
        case Sequence():
            return [text for item in part for text in _texts(item)]
        case _:
            return []
