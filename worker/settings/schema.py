"""JSON Schemas, from their text to a function that says whether a value is of that shape."""

from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

import jsonschema_rs


@cache
def matcher(text: str) -> Callable[[Any], bool]:
    """Whether a JSON value is valid under the schema in `text`.

    Nothing is fetched: a reference to another document is an error.

    Raises:
        ValueError: It is no JSON Schema of a draft from 4 to 2020-12.

    >>> matcher('{"type": "integer"}')(5), matcher('{"type": "integer"}')("5")
    (True, False)
    """
    validator = jsonschema_rs.validator_for(text, retriever=_nothing)

    def matches(value: Any) -> bool:
        try:
            return validator.is_valid(value)
        except ValueError:
            return False  # a pattern that cannot be decided within the library's limits

    return matches


def _nothing(_: str) -> NoReturn:
    msg = "a schema stands alone"
    raise ValueError(msg)
