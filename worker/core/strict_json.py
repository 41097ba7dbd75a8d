"""JSON as strictly as a queue open to strangers needs it.

`orjson` refuses what is not JSON (NaN, bad UTF-8, lone surrogates). On top we
refuse what it lets pass: a body that is no object, nesting that costs the next
reader a stack, and a key given twice, of which each reader may pick another.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a body is no job. Holds names and limits, never values of the body.

    Attributes:
        reason: A stable code: `not_json`, `too_large`, `too_deep`, `duplicate_key`,
            `schema`, `unknown_field`, `missing_field`, `invalid_field`,
            `payload_forbidden`, `payload_mismatch`.
        field: The path of the field, "" for the body as a whole.
        detail: What is wrong, for a person.
    """

    reason: str
    field: str
    detail: str

    def __str__(self) -> str:
        """Where it is wrong, and what.

        >>> str(Malformed("invalid_field", "id", "must be a string"))
        'id: must be a string'
        """
        return f"{self.field}: {self.detail}" if self.field else self.detail


def loads(body: bytes, *, body_bytes: int, depth: int) -> dict[str, Any] | Malformed:
    """Read one JSON object of at most `body_bytes` bytes and `depth` levels."""
    if len(body) > body_bytes:
        return Malformed("too_large", "", f"{len(body)} bytes, the limit is {body_bytes}")
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The message tells position and expectation, and never the text itself.
        says = str(error).partition(": line")[0]
        if says.startswith(("depth limit", "Recursion limit")):  # orjson's own, of 1,024 levels
            return _too_deep(depth)
        return Malformed("not_json", "", says)
    if not isinstance(tree, dict):
        return Malformed("not_json", "", "the body must be a JSON object")
    keys = _keys(tree, depth)
    if keys is None:
        return _too_deep(depth)
    # Each key has a colon: as many colons as keys, and none was given twice.
    try:
        twice = _given_twice(body) if body.count(b":") != keys else None
    except RecursionError:
        return _too_deep(depth)  # the depth lies in a value that a second one replaced
    if twice is not None:
        shown = "".join(c if c.isprintable() else "?" for c in twice[:64])
        return Malformed("duplicate_key", shown, "the key is given twice in one object")
    return tree


def _too_deep(depth: int) -> Malformed:
    return Malformed("too_deep", "", f"nested deeper than {depth} levels")


def _keys(tree: Any, depth: int) -> int | None:
    """How many keys the tree has; None if it is deeper than `depth`."""
    count = 0
    level: list[Any] = [tree]
    for _ in range(depth):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                count += len(node)
                below.extend(v for v in node.values() if isinstance(v, dict | list))
            else:
                below.extend(v for v in node if isinstance(v, dict | list))
        if not below:
            return count
        level = below
    return None


class _KeyTwiceError(Exception):
    """Carries the key out of the parser."""


def _given_twice(body: bytes) -> str | None:
    def pairs(items: Iterable[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in items:
            if key in seen:
                raise _KeyTwiceError(key)
            seen.add(key)

    try:
        # Numbers do not matter here, and Python refuses to read very long ones.
        json.loads(body, object_pairs_hook=pairs, parse_int=len, parse_float=len)
    except _KeyTwiceError as twice:
        return str(twice)
    return None
