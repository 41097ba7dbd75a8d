"""What a request says, as plain text."""

from typing import Any

from worker.core.job import Request


def asked(request: Request, *, chars_max: int) -> str:
    r"""The text of the last user message, its blocks joined by line ends, cut to `chars_max`.

    >>> message = {"role": "user", "content": [{"text": "Hi."}, {"image": {}}, {"text": "You?"}]}
    >>> asked(Request(messages=(message,)), chars_max=6)
    'Hi.\nYo'
    """
    for message in reversed(request.messages):
        if message["role"] == "user":
            blocks: list[Any] = message["content"]
            texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
            return "\n".join(texts)[:chars_max]
    return ""
