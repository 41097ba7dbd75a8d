"""As much of the AWS command line as the doctor's fixes need: a command becomes one request.

Names and types come from botocore's own models, so that an option or a member that does
not exist is refused here as it would be there.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.validate import ParamValidator

SESSION = botocore.session.Session()
SERVICES = {"s3api": "s3"}
# What the command line calls otherwise: `--endpoint-url` would begin like it.
RENAMED = {("sns", "Subscribe", "endpoint"): "notification-endpoint"}


def parsed(command: str) -> tuple[str, str, dict[str, Any]]:
    """The service, the operation and the arguments; an AssertionError where it is none."""
    word, service, name, *rest = shlex.split(command)
    assert word == "aws", command
    service = SERVICES.get(service, service)
    model = SESSION.get_service_model(service)
    operations = {xform_name(one, "-"): one for one in model.operation_names}
    assert name in operations, f"{service} has no {name}"
    operation = model.operation_model(operations[name])
    shape: Any = operation.input_shape
    members = {
        RENAMED.get((service, operations[name], option), option): one
        for one in (shape.members if shape else {})
        for option in [xform_name(one, "-")]
    }
    given = dict[str, Any]()
    for option, values in _options(rest):
        if option == "region":
            assert len(values) == 1, command
        elif option == "query":
            _path(operation.output_shape, values[0])
        elif (no := members.get(option.removeprefix("no-"))) and option not in members:
            assert shape.members[no].type_name == "boolean", command
            given[no] = False
        else:
            assert option in members, f"{name} has no --{option}"
            member = members[option]
            given[member] = _value(shape.members[member], values)
    if shape:
        report = ParamValidator().validate(given, shape)
        assert not report.has_errors(), report.generate_report()
    return service, xform_name(operations[name]), given


def _options(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    at = [n for n, word in enumerate(words) if word.startswith("--")]
    assert not words or at[0] == 0, words
    for begin, end in zip(at, [*at[1:], len(words)], strict=True):
        yield words[begin].removeprefix("--"), words[begin + 1 : end]


def _path(shape: Any, query: str) -> None:
    """That the names of a JMESPath exist."""
    for step in query.split("."):
        name, _, _ = step.partition("[")
        if name:
            assert name in shape.members, f"{query}: no {name}"
            shape = shape.members[name]
        while shape.type_name == "list":
            shape = shape.member
        if step.startswith("["):
            for one in step.strip("[]").split(","):
                assert one in shape.members, f"{query}: no {one}"


def _value(shape: Any, values: list[str]) -> Any:
    if shape.type_name == "boolean" and not values:
        return True
    if shape.type_name in ("structure", "list", "map") and values[0][:1] in "[{":
        assert len(values) == 1, values
        return json.loads(values[0])
    if shape.type_name == "list":
        return [_scalar(shape.member, value) for value in values]
    assert len(values) == 1, values
    return _scalar(shape, values[0])


def _scalar(shape: Any, value: str) -> Any:
    match shape.type_name:
        case "structure":
            pairs = [pair.partition("=") for pair in _split(value)]
            return {name: _scalar(shape.members[name], given) for name, _, given in pairs}
        case "boolean":
            assert value in ("true", "false"), value
            return value == "true"
        case "integer" | "long":
            return int(value)
        case "list":
            return value.split(",")
        case _:
            return value


def _split(value: str) -> list[str]:
    """`A=b,C=d`; a member that is a list takes all that follows: `Name=x,Values=a,b`."""
    parts: list[str] = []
    for part in value.split(","):
        if "=" in part:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    return parts
