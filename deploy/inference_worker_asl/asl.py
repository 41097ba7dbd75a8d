"""The words of the Amazon States Language that the machine is written in.

JSONPath, and of that only what every interpreter reads alike: definite paths, no filters, and no
text that would need an escape. Braces and objects that functions need are data: `$.k`, see `K`.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

State = dict[str, Any]
States = dict[str, State]

LOST: Final = "DynamoDB.ConditionalCheckFailedException"
EVERY: Final = "States.ALL"
K: Final[dict[str, Any]] = {
    "open": "{",
    "close": "}",
    "words": '{}:," ',  # what stands between the keys and values of a flat object
    "pairs": "{}, ",
    "service": "${Service}",
}
"""What an execution has at `$.k` from its beginning; others add to it."""


def call(name: str, *of: object) -> str:
    """An intrinsic function.

    >>> call("MathAdd", "$.a", 1)
    'States.MathAdd($.a, 1)'
    """
    return f"States.{name}({', '.join(map(str, of))})"


def text(value: str) -> str:
    """A text as an argument. Braces would be escaped in AWS, and nowhere else: see `K`."""
    assert not set("'\\{}") & set(value), "a text that would need escapes"
    return f"'{value}'"


def put(template: str, *of: object) -> str:
    """A text with values put in, each where the template has `{}`."""
    assert not set("'\\{}") & set(template.replace("{}", "")), "a text that would need escapes"
    return call("Format", f"'{template}'", *of)


def table(values: Sequence[Any]) -> str:
    """A list as an argument: what cannot be computed is looked up."""
    return call("StringToJson", text(json.dumps(values, separators=(",", ":"))))


def at(values: str, index: object) -> str:
    """One of a list."""
    return call("ArrayGetItem", values, index)


def plus(*parts: object) -> str:
    """A sum of whole numbers."""
    first, *others = parts
    return call("MathAdd", first, plus(*others)) if others else str(first)


def minus(path: str) -> str:
    """The negative of a whole number that is not below 0."""
    return number(put("-{}", path))


def number(path: str) -> str:
    """A number out of a text."""
    return call("StringToJson", path)


def merged(*objects: str) -> str:
    """Objects laid over one another, the last one on top."""
    first, *others = objects
    return call("JsonMerge", first, merged(*others), "false") if others else first


def n(value: object) -> State:
    """A number as DynamoDB has it: a path to a number or a sum, or the number itself."""
    if isinstance(value, str):
        return {"N.$": put("{}", value)}
    return {"N": str(value)}


def s(value: str) -> State:
    """A text as DynamoDB has it: a path or a function, or the text itself."""
    return {"S.$": value} if value.startswith(("$", "States.")) else {"S": value}


# --- states ------------------------------------------------------------------


def lay(where: str, what: State, then: str) -> State:
    """Put an object at `$.<where>`."""
    return {"Type": "Pass", "Parameters": what, "ResultPath": f"$.{where}", "Next": then}


def choose(*rules: tuple[State, str], otherwise: str) -> State:
    """The first rule that holds says where to go."""
    return {
        "Type": "Choice",
        "Choices": [{**rule, "Next": then} for rule, then in rules],
        "Default": otherwise,
    }


def both(*rules: State) -> State:
    """All of them."""
    return {"And": list(rules)}


def either(*rules: State) -> State:
    """One of them."""
    return {"Or": list(rules)}


def there(path: str) -> State:
    """Something is at the path."""
    return {"Variable": path, "IsPresent": True}


def is_(path: str, value: str | bool) -> State:  # noqa: FBT001 - what a path must hold
    """It is this text, or this truth."""
    return {"Variable": path, "BooleanEquals" if isinstance(value, bool) else "StringEquals": value}


def alike(path: str, pattern: str) -> State:
    """It is a text of this form."""
    return {"Variable": path, "StringMatches": pattern}


def compare(path: str, how: str, value: object) -> State:
    """A comparison (`<`, `<=`, `=`, `>=`, `>`) of a number with a figure, or with another path's.

    >>> compare("$.a", "<", "$.b")
    {'Variable': '$.a', 'NumericLessThanPath': '$.b'}
    """
    word = {
        "<": "LessThan",
        "<=": "LessThanEquals",
        "=": "Equals",
        ">=": "GreaterThanEquals",
        ">": "GreaterThan",
    }[how]
    return {"Variable": path, f"Numeric{word}{'Path' * isinstance(value, str)}": value}


def task(
    resource: str,
    parameters: State,
    then: str,
    *,
    to: str | None,
    catch: Sequence[tuple[str, str]] = (),
    timeout_s: int = 10,
    tries: int = 2,
    **more: Any,
) -> State:
    """A call of a service, tried again with growing pauses, evenly drawn.

    Args:
        resource: After `arn:aws:states:::`.
        parameters: The request.
        then: Where it goes on.
        to: Where the answer is put: "" for the place of all that is there; None throws it away.
        catch: Errors, and where they lead. A lost race is never tried again.
        timeout_s: For how long one try may last, in seconds.
        tries: How often it is tried again.
        more: Further fields.
    """
    state: State = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}",
        "Parameters": parameters,
        "ResultPath": f"$.{to}".rstrip(".") if to is not None else None,
        "TimeoutSeconds": timeout_s,
        **more,
    }
    if tries:
        state["Retry"] = [
            {"ErrorEquals": [LOST], "MaxAttempts": 0},
            {
                "ErrorEquals": [EVERY],
                "IntervalSeconds": 1,
                "BackoffRate": 2,
                "MaxAttempts": tries,
                "MaxDelaySeconds": 10,
                "JitterStrategy": "FULL",
            },
        ]
    if catch:
        state["Catch"] = [
            {"ErrorEquals": [error], "ResultPath": "$.error", "Next": where}
            for error, where in catch
        ]
    return state | {"Next": then}
