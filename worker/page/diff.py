"""Two messages side by side: what an edit changes, line by line."""

import json
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Final

import orjson

from worker.core.strict_json import Malformed, loads
from worker.ops.dead_edit import DEPTH

CONTEXT: Final = 3


@dataclass(frozen=True, slots=True)
class Changed:
    """One line: ` ` as it was, `-` taken out, `+` put in, `@` where lines were left out."""

    mark: str
    text: str


def pretty(text: str) -> str:
    r"""A message with a line for each value, if that loses nothing; else as it is.

    >>> print(pretty('{"a": [1]}'))
    {
      "a": [
        1
      ]
    }
    >>> pretty('{"a": 1, "a": 2}'), pretty("no JSON")
    ('{"a": 1, "a": 2}', 'no JSON')
    >>> pretty('{"a": 12345678901234567890}'), pretty('{"a": 123456789012345678901}')
    ('{\n  "a": 12345678901234567890\n}', '{"a": 123456789012345678901}')
    """
    body = text.encode()
    tree = loads(body, body_bytes=len(body), depth=DEPTH)
    if isinstance(tree, Malformed):
        return text
    told = orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode()
    return told if _numbers_as_written(told) == _numbers_as_written(text) else text


def _numbers_as_written(text: str) -> Any:
    """A tree whose numbers are the text that they were: those of 64 bits are not all there are."""
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except RecursionError:
        return text


def diff(old: str, new: str) -> list[Changed]:
    """What differs between two messages, each written with a line for each value."""
    before, after = pretty(old).splitlines(), pretty(new).splitlines()
    rows = list(unified_diff(before, after, lineterm="", n=CONTEXT))[2:]
    told = [Changed(row[:1], row[1:] if row[:1] != "@" else "") for row in rows]
    return told[1:] if told and before[:1] == [told[1].text] else told
