"""The envelope: how a producer writes a job, and how it is read.

A body is one JSON object; the smallest is `{"prompt": "..."}`. `parse` turns
bytes into a `Job`, or into a `Malformed` that names the field and says what is
wrong with it, without ever repeating a value: bodies hold other people's text.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import orjson

from worker.core.job import Job, Limits, PayloadRef, Request
from worker.core.job_id import ID
from worker.core.strict_json import Malformed, loads

VERSION: Final = 1
CALLBACK: Final = "task_token"
DEADLINE_MAX_S: Final = 14 * 86_400.0  # no queue keeps a message longer


class _WrongFieldError(Exception):
    """A field is wrong; `parse` turns it into a `Malformed`."""

    def __init__(self, reason: str, name: str, detail: str) -> None:
        super().__init__(detail)
        self.malformed = Malformed(reason, name, detail)


def _invalid(name: str, detail: str) -> _WrongFieldError:
    return _WrongFieldError("invalid_field", name, detail)


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_S3_URI: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([!-~]{1,1024})")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TENANT: Final = re.compile(r"[A-Za-z0-9._@:/+=-]{1,128}")
_ON_OPEN: Final = re.compile(r"park|degrade|fail|degrade_after:([0-9]{1,7}(?:\.[0-9]{1,3})?)")
_PLACE: Final = re.compile(r"[a-z0-9-]{2,32}")
_PLACES_MAX: Final = 32
_PRIORITIES: Final = ("urgent", "normal", "bulk")
_TOKEN: Final = re.compile(r"[!-~]{1,2048}")  # the API's own limit of a task token


def _text(pattern: re.Pattern[str], says: str) -> Callable[[str, Any, Limits], str]:
    def check(name: str, value: Any, _: Limits) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _invalid(name, says)
        return value

    return check


def _version(name: str, value: Any, _: Limits) -> int:
    if value is not True and value == VERSION and isinstance(value, int):
        return value
    raise _WrongFieldError("schema", name, f"this worker knows version {VERSION} only")


def _number(low: float, high: float) -> Callable[[str, Any, Limits], float]:
    def check(name: str, value: Any, _: Limits) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _invalid(name, "must be a number")
        if not low <= value <= high:
            raise _invalid(name, f"must lie between {low:g} and {high:g}")
        return float(value)

    return check


def _instant(name: str, value: Any, limits: Limits) -> float:
    if not isinstance(value, str):
        return _number(0, 1e11)(name, value, limits)
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise _invalid(name, "must be seconds since 1970, or RFC 3339 with a time zone")
    return instant.timestamp()


def _yes_or_no(name: str, value: Any, _: Limits) -> bool:
    if not isinstance(value, bool):
        raise _invalid(name, "must be true or false")
    return value


def _places(name: str, value: Any, _: Limits) -> frozenset[str]:
    if not isinstance(value, list) or not 0 < len(value) <= _PLACES_MAX:
        raise _invalid(name, f"must be a list of 1 to {_PLACES_MAX} geographies or Regions")
    if not all(isinstance(place, str) and _PLACE.fullmatch(place) for place in value):
        raise _invalid(name, "must name geographies or Regions, such as `eu` or `eu-west-1`")
    return frozenset(value)


def _metadata(name: str, value: Any, limits: Limits) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(name, "must be an object")
    if len(orjson.dumps(value)) > limits.metadata_bytes:
        raise _invalid(name, f"must not be longer than {limits.metadata_bytes} bytes of JSON")
    return value


def _prompt(name: str, value: Any, _: Limits) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, str) or not value.strip():
        raise _invalid(name, "must be a string that is not blank")
    return ({"role": "user", "content": [{"text": value}]},)


def _messages(name: str, value: Any, _: Limits) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not value:
        raise _invalid(name, "must be a list of at least one message")
    for n, message in enumerate(value):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise _invalid(f"{name}[{n}]", "must be an object of `role` and `content`")
        if message["role"] not in ("user", "assistant"):
            raise _invalid(f"{name}[{n}].role", "must be `user` or `assistant`")
        _blocks(f"{name}[{n}].content", message["content"])
    return tuple(value)


def _blocks(name: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise _invalid(name, "must be a list of at least one content block")
    for n, block in enumerate(value):
        if not isinstance(block, dict) or len(block) != 1:
            raise _invalid(f"{name}[{n}]", "must be an object with exactly one key")


def _system(name: str, value: Any, _: Limits) -> tuple[Mapping[str, Any], ...]:
    if isinstance(value, str) and value.strip():
        return ({"text": value},)
    _blocks(name, value)
    return tuple(value)


def _object(name: str, value: Any, _: Limits) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(name, "must be an object")
    return value


def _payload_ref(name: str, value: Any, limits: Limits) -> PayloadRef:
    if not isinstance(value, dict) or set(value) != {"uri", "sha256", "bytes"}:
        raise _invalid(name, "must be an object of `uri`, `sha256` and `bytes`")
    uri = _S3_URI.fullmatch(value["uri"]) if isinstance(value["uri"], str) else None
    if uri is None:
        raise _invalid(f"{name}.uri", "must be s3://bucket/key")
    if uri[1] not in limits.payload_buckets:
        raise _WrongFieldError(
            "payload_forbidden", f"{name}.uri", "its bucket is not among the allowed buckets"
        )
    if not isinstance(value["sha256"], str) or not _SHA256.fullmatch(value["sha256"]):
        raise _invalid(f"{name}.sha256", "must be 64 lower-case hex digits")
    size = value["bytes"]
    if isinstance(size, bool) or not isinstance(size, int):
        raise _invalid(f"{name}.bytes", "must be a whole number")
    if not 0 < size <= limits.payload_bytes:
        raise _invalid(f"{name}.bytes", f"must lie between 1 and {limits.payload_bytes}")
    return PayloadRef(bucket=uri[1], key=uri[2], sha256=value["sha256"], size_bytes=size)


_Check = Callable[[str, Any, Limits], Any]
_REQUEST: Final[Mapping[str, _Check]] = MappingProxyType(
    {
        "prompt": _prompt,
        "messages": _messages,
        "system": _system,
        "inference": _object,
        "tools": _object,
        "additional": _object,
    }
)
_ROUTE_SAYS: Final = "must be the name of a configured route; an ARN or a URL is never one"
_ENVELOPE: Final[Mapping[str, _Check]] = MappingProxyType(
    {
        "v": _version,
        "id": _text(ID, "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"),
        "payload_ref": _payload_ref,
        "route": _text(_NAME, _ROUTE_SAYS),
        "deadline_s": _number(0.001, DEADLINE_MAX_S),
        "deadline_at": _instant,
        "on_open": _text(_ON_OPEN, "must be park, degrade, degrade_after:<seconds> or fail"),
        "min_quality": _number(0.0, 1.0),
        "allow_geo": _places,
        "upgrade_later": _yes_or_no,
        "tenant": _text(_TENANT, "must be 1 to 128 characters of A-Z a-z 0-9 . _ @ : / + = -"),
        "priority": _text(re.compile("|".join(_PRIORITIES)), f"must be one of {_PRIORITIES}"),
        "metadata": _metadata,
        "reply_to": _text(_NAME, "must be the name of a configured reply queue"),
        CALLBACK: _text(_TOKEN, "must be 1 to 2048 printable characters without a blank"),
    }
)


def parse(body: bytes, limits: Limits) -> Job | Malformed:
    """Read one message body.

    Args:
        body: The body as received, UTF-8.
        limits: What it may be.

    Returns:
        The job, or the first thing that is wrong with it.
    """
    tree = loads(body, body_bytes=limits.body_bytes, depth=limits.depth)
    if isinstance(tree, Malformed):
        return tree
    try:
        # First of all: the fields of a later version are unknown because it is a later one.
        _version("v", tree.get("v", VERSION), limits)
        values = _checked(tree, {**_ENVELOPE, **_REQUEST}, limits)
        request = _request_of(values)
    except _WrongFieldError as wrong:
        return wrong.malformed
    on_open = values.get("on_open")
    after = _ON_OPEN.fullmatch(on_open) if on_open else None
    return Job(
        id=values.get("id"),
        request=request,
        route=values.get("route", "default"),
        deadline_s=values.get("deadline_s"),
        deadline_at=values.get("deadline_at"),
        on_open=on_open.partition(":")[0] if on_open else None,
        degrade_after_s=float(after[1]) if after and after[1] else None,
        min_quality=values.get("min_quality", 0.0),
        allow_geo=values.get("allow_geo"),
        upgrade_later=values.get("upgrade_later"),
        tenant=values.get("tenant", ""),
        priority=values.get("priority", "normal"),
        metadata=values.get("metadata", {}),
        reply_to=values.get("reply_to"),
        task_token=values.get(CALLBACK, ""),
        digest=_digest(tree),
    )


def token_of(body: bytes, limits: Limits) -> str:
    """The task token of a body that is no job, so that its task fails at once; "" for none.

    Taken only where it cannot be mistaken: JSON of a size that is read, and the field once.
    """
    if len(body) > limits.body_bytes or body.count(b'"%b"' % CALLBACK.encode()) != 1:
        return ""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    token = tree.get(CALLBACK) if isinstance(tree, dict) else None
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else ""


def parse_payload(payload: bytes, ref: PayloadRef, limits: Limits) -> Request | Malformed:
    """Read what a claim check led to: an object of the request's fields alone.

    Its size and sha256 must be those that the envelope promised.
    """
    if len(payload) != ref.size_bytes:
        return Malformed(
            "payload_mismatch", "payload_ref.bytes", "the object has another size than promised"
        )
    if hashlib.sha256(payload).hexdigest() != ref.sha256:
        return Malformed(
            "payload_mismatch", "payload_ref.sha256", "the object has another hash than promised"
        )
    tree = loads(payload, body_bytes=limits.payload_bytes, depth=limits.depth)
    if isinstance(tree, Malformed):
        return tree
    try:
        request = _request_of(_checked(tree, _REQUEST, limits))
    except _WrongFieldError as wrong:
        return wrong.malformed
    assert isinstance(request, Request), "a payload's fields hold no further claim check"
    return request


def _checked(
    tree: Mapping[str, Any], checks: Mapping[str, _Check], limits: Limits
) -> dict[str, Any]:
    for name in tree:
        if name not in checks:
            shown = "".join(c if c.isprintable() else "?" for c in name[:64])
            raise _WrongFieldError("unknown_field", shown, "no such field in version 1")
    return {name: checks[name](name, value, limits) for name, value in tree.items()}


def _request_of(values: Mapping[str, Any]) -> Request | PayloadRef:
    given = [name for name in ("prompt", "messages", "payload_ref") if name in values]
    if not given:
        raise _WrongFieldError(
            "missing_field", "prompt", "give one of prompt, messages and payload_ref"
        )
    if len(given) > 1:
        raise _invalid(given[1], f"cannot stand beside `{given[0]}`: give one of them")
    if given == ["payload_ref"]:
        for name in _REQUEST:
            if name in values:
                raise _invalid(name, "cannot stand beside `payload_ref`: it lies in the payload")
        ref: PayloadRef = values["payload_ref"]
        return ref
    return Request(
        messages=values[given[0]],
        system=values.get("system", ()),
        inference=values.get("inference", {}),
        tools=values.get("tools"),
        additional=values.get("additional"),
    )


def _digest(tree: Mapping[str, Any]) -> str:
    asked = {k: tree[k] for k in (*_REQUEST, "payload_ref") if k in tree}
    asked["route"] = tree.get("route", "default")
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
