"""Two messages side by side: what an edit changes, line by line."""

from dataclasses import dataclass
from difflib import unified_diff
from typing import Final

import orjson

from worker.core.strict_json import Malformed, loads

DEPTH: Final = 1_000
CONTEXT: Final = 3


@dataclass(frozen=True, slots=True)
class Changed:
    """One line: ` ` as it was, `-` taken out, `+` put in, `@` where lines were left out."""

    mark: str
    text: str


def pretty(text: str) -> str:
    """A message with a line for each value, if that loses nothing; else as it is.

    >>> print(pretty('{"a": [1]}'))
    {
      "a": [
        1
      ]
    }
    >>> pretty('{"a": 1, "a": 2}'), pretty("no JSON")
    ('{"a": 1, "a": 2}', 'no JSON')
    """
    body = text.encode()
    tree = loads(body, body_bytes=len(body), depth=DEPTH)
    if isinstance(tree, Malformed):
        return text
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode()


def diff(old: str, new: str) -> list[Changed]:
    """What differs between two messages, each written with a line for each value."""
    before, after = pretty(old).splitlines(), pretty(new).splitlines()
    rows = list(unified_diff(before, after, lineterm="", n=CONTEXT))[2:]
    told = [Changed(row[:1], row[1:] if row[:1] != "@" else "") for row in rows]
    return told[1:] if told and before[:1] == [told[1].text] else told
