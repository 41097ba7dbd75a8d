"""Bodies that a stranger may put on the queue, each with the reason it must be dead for.

Every value of a body holds `CANARY`, so that a log or a dead letter that repeats
one gives itself away. Field names hold none: those are named on purpose.

SQS itself refuses an empty body and most control characters; what it lets through
is here.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

CANARY: Final = "xylophone-9174"
MESSAGE_BYTES: Final = 1_048_576  # the largest body that SQS takes
BODY_BYTES: Final = MESSAGE_BYTES - 16_384  # the largest that is read
LEVELS: Final = 10_000
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Hostile:
    """One body, why it must be dead, and the field that its dead letter must name."""

    body: str
    reason: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Planted:
    """An object that a claim check leads to."""

    key: str
    content: bytes


def job(**fields: Any) -> str:
    """A body whose prompt is fine, unless `fields` replace it; `_ABSENT` leaves it out."""
    whole = {"prompt": f"{CANARY} says hello.", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not _ABSENT})


def without_prompt(**fields: Any) -> str:
    return job(prompt=_ABSENT, **fields)


def bodies(bucket: str) -> tuple[list[Hostile], list[Planted]]:
    """All of them, and what must lie in `bucket` for some."""
    checks, planted = _claim_checks(bucket)
    found = [
        *_no_json(),
        *_truncated(),
        *_too_much(),
        *_given_twice(),
        *_other_versions(),
        *_unknown_fields(),
        *_missing_fields(),
        *_wrong_values(),
        *_wrong_references(bucket),
        *_at_odds(bucket),
        *_refused_later(),
        *checks,
    ]
    twice = {one.body for one in found}
    assert len(twice) == len(found), "each body is another"
    return found, planted


def _no_json() -> Iterator[Hostile]:
    good = job()
    for body in (
        CANARY,
        f"Please answer: {CANARY}",
        "null",
        "true",
        "17",
        f'"{CANARY}"',
        "[]",
        f"[{good}]",
        "{",
        "}",
        " ",
        "\n\t\r\n",
        f"{good}}}",
        f"{good},",
        f"{good}{good}",
        f"{good}\n{good}",
        f"{good[:-1]},}}",
        f"\ufeff{good}",  # a byte order mark
        f"\u00a0{good}",
        f"\u2028{good}",
        good.replace('"', "'"),
        good.replace('"', "\u201d"),
        good.replace('"prompt"', "prompt"),
        f"// a comment\n{good}",
        f"/* {CANARY} */{good}",
        f"# {CANARY}\n{good}",
        *(f'{{"prompt": "{CANARY}", "min_quality": {number}}}' for number in _NO_NUMBERS),
        *(f'{{"prompt": "{CANARY} {escape}"}}' for escape in _NO_STRINGS),
        f'{{"prompt": "{CANARY}\ttab"}}',
        f'{{"prompt": "{CANARY}\nline"}}',
        f'{{"prompt": "{CANARY}\rreturn"}}',
        f'{{"prompt": undefined, "id": "{CANARY}"}}',
        f'{{"prompt": None, "id": "{CANARY}"}}',
        f'{{"prompt" "{CANARY}"}}',
        f'{{"prompt": "{CANARY}" "id": "a"}}',
        f'{{17: "{CANARY}"}}',
        f"prompt: {CANARY}\nroute: default\n",
        f"prompt={CANARY}&route=default",
        f"<job><prompt>{CANARY}</prompt></job>",
        f"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>{CANARY}&b;</a>",
        f"${{jndi:ldap://127.0.0.1/{CANARY}}}",
        f"'; DROP TABLE jobs; -- {CANARY}",
        "eyJwcm9tcHQiOiAieHlsb3Bob25lLTkxNzQifQ==",
    ):
        yield Hostile(body, "not_json")


_NO_NUMBERS: Final = (
    *("NaN", "nan", "Infinity", "-Infinity", "inf", "1e", "01", "+1", ".5", "1.", "0x10"),
    *("1_000", "--1", "1,5", "1e999"),
)
_NO_STRINGS: Final = (
    *(r"\ud800", r"\udc00", r"\udc00\ud800", r"\ud800A", r"\ud800\ud800"),  # lone surrogates
    *(r"\x41", r"\u12", r"\u00zz", r"\'", r"\0", r"\U0001f600"),
)


def _truncated() -> Iterator[Hostile]:
    whole = job(id="cut-short", metadata={"deep": [1, {"er": CANARY}]}, deadline_s=5.5)
    for length in range(3, len(whole), 7):
        yield Hostile(whole[:length], "not_json")


def _too_much() -> Iterator[Hostile]:
    for size in (BODY_BYTES + 1, MESSAGE_BYTES):
        yield Hostile(_of_size(job(), size), "too_large")
        yield Hostile(_of_size(f'{{"prompt": "{CANARY}', size), "too_large")
        yield Hostile((CANARY * (size // len(CANARY) + 1))[:size], "too_large")
    yield Hostile("[" * MESSAGE_BYTES, "too_large")
    for levels in (32, 33, 500, 1_023, 1_024, 1_025, LEVELS):
        for tree in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
            yield Hostile(f'{{"prompt": "{CANARY}", "metadata": {tree}}}', "too_deep")
    yield Hostile("[" * LEVELS + "]" * LEVELS, "too_deep")
    yield Hostile("[" * LEVELS, "too_deep")
    yield Hostile('{"a":' * LEVELS, "too_deep")
    yield Hostile('[{"a":' * LEVELS + "1" + "}]" * LEVELS, "too_deep")


def _of_size(start: str, size: int) -> str:
    return start + " " * (size - len(start.encode()))


def _given_twice() -> Iterator[Hostile]:
    c = CANARY
    for body, name in (
        (f'{{"prompt": "{c}", "prompt": "{c} again"}}', "prompt"),
        (f'{{"prompt": "{c}", "prompt": "{c}"}}', "prompt"),
        (f'{{"prompt": "{c}", "\\u0070rompt": "{c} again"}}', "prompt"),
        (f'{{"prompt": "{c}", "id": "a", "id": "b"}}', "id"),
        (f'{{"prompt": "{c}", "v": 1, "v": 2}}', "v"),
        (f'{{"prompt": "{c}", "route": "default", "route": "other"}}', "route"),
        (f'{{"prompt": "{c}", "metadata": {{"a": 1, "a": 2}}}}', "a"),
        (f'{{"prompt": "{c}", "metadata": {{"b": [{{"c": {{"d": 1, "d": 1}}}}]}}}}', "d"),
        (f'{{"prompt": "{c}", "metadata": {{"": 1, "": 2}}}}', ""),
        (f'{{"prompt": "{c}", "metadata": {{}}, "metadata": {{"a": "{c}"}}}}', "metadata"),
        (f'{{"prompt": "{c}", "metadata": {{"__proto__": 1, "__proto__": 2}}}}', "__proto__"),
    ):
        yield Hostile(body, "duplicate_key", name)


def _other_versions() -> Iterator[Hostile]:
    numbers: tuple[Any, ...] = (0, 2, -1, 1.0, 1.5, 10**19, 10**300)
    for version in (*numbers, "1", "", True, False, None, [1], {}):
        yield Hostile(job(v=version), "schema", "v")
    yield Hostile(job(v=2, new_field=CANARY), "schema", "v")
    yield Hostile(f'{{"v": 1e0, "prompt": "{CANARY}"}}', "schema", "v")


def _unknown_fields() -> Iterator[Hostile]:
    for name in (
        *("Prompt", "prompts", "prompt ", " prompt", "model", "modelId", "endpoint", "region"),
        *("arn", "url", "role", "max_tokens", "stream", "__proto__", "constructor", "ID", "jobId"),
        *("guardrail", "credentials", "pr\u043empt", "\u202etpmorp", "\U0001f9e8"),
    ):
        shown = "".join(c if c.isprintable() else "?" for c in name)
        yield Hostile(job(**{name: CANARY}), "unknown_field", shown)
    yield Hostile(job(**{"": CANARY}), "unknown_field")
    yield Hostile(job(**{"nul\u0000": CANARY}), "unknown_field", "nul?")
    yield Hostile(job(**{"line\n{}": CANARY}), "unknown_field", "line?{}")
    yield Hostile(job(**{"n" * 100_000: CANARY}), "unknown_field", "n" * 64)
    notice = {"Type": "Notification", "Message": job(), "TopicArn": "arn:aws:sns:x:1:y"}
    yield Hostile(json.dumps(notice), "unknown_field", "Type")
    event = {"version": "0", "detail-type": CANARY, "detail": {}}
    yield Hostile(json.dumps(event), "unknown_field", "version")
    yield Hostile(json.dumps({"Records": [{"s3": CANARY}]}), "unknown_field", "Records")


def _missing_fields() -> Iterator[Hostile]:
    bare: tuple[dict[str, Any], ...] = ({}, {"v": 1}, {"id": "no-prompt"}, {"system": CANARY})
    for fields in (*bare, {"metadata": {}}):
        yield Hostile(json.dumps(fields), "missing_field", "prompt")


_NO_TEXTS: Final[tuple[Any, ...]] = (None, True, 7, 1.5, [], {}, [CANARY], "")
_NO_OBJECTS: Final[tuple[Any, ...]] = (None, True, 7, CANARY, [], [CANARY])
_NO_BLOCKS: Final[tuple[Any, ...]] = (None, True, 7, "", [], {})
_WRONG: Final[dict[str, tuple[Any, ...]]] = {
    "id": (
        *_NO_TEXTS,
        f"{CANARY} ",
        f"{CANARY}/../..",
        f"{CANARY}\u0000",
        f"{CANARY}\n",
        f"{CANARY}\u00fc",
        f"{CANARY}" * 10,
        CANARY * 10_000,
    ),
    "prompt": (*_NO_TEXTS, "   ", "\t\r\n", "\u2003\u00a0"),
    "system": _NO_BLOCKS,
    "inference": _NO_OBJECTS,
    "tools": _NO_OBJECTS,
    "additional": _NO_OBJECTS,
    "route": (
        *_NO_TEXTS,
        f"arn:aws:bedrock:us-east-1::foundation-model/{CANARY}",
        f"https://127.0.0.1/{CANARY}",
        f"../{CANARY}",
        f"-{CANARY}",
        f"{CANARY} ",
        f"{CANARY}\u0000",
        CANARY * 5,
    ),
    "deadline_s": (None, True, CANARY, "5", [], {}, 0, -1, 1e300, 10**19, 1_209_600.5),
    "deadline_at": (
        *(None, True, CANARY, "", [], {}, -1, 1e12, 10**300),
        *("2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z"),
    ),
    "on_open": (*_NO_TEXTS, CANARY, "PARK", "degrade_after:", "degrade_after:-1", "park\n"),
    "min_quality": (None, True, CANARY, "1", [], {}, -0.001, 1.001, 10**19),
    "tenant": (*_NO_TEXTS, f"{CANARY} b", f"{CANARY}\u0000", CANARY * 10),
    "priority": (*_NO_TEXTS, CANARY, "high", "NORMAL", "bulk\n"),
    "metadata": (*_NO_OBJECTS, {"a": CANARY * 1_500}),
    "reply_to": (*_NO_TEXTS, f"https://127.0.0.1/{CANARY}", f"arn:aws:sqs:x:1:{CANARY}"),
}
_TEXT: Final = [{"text": CANARY}]
_WRONG_MESSAGES: Final[tuple[tuple[Any, str], ...]] = (
    (None, "messages"),
    (CANARY, "messages"),
    ({}, "messages"),
    ([], "messages"),
    ([CANARY], "messages[0]"),
    ([{}], "messages[0]"),
    ([{"role": "user"}], "messages[0]"),
    ([{"role": "user", "content": _TEXT, "name": CANARY}], "messages[0]"),
    ([{"role": "system", "content": _TEXT}], "messages[0].role"),
    ([{"role": None, "content": _TEXT}], "messages[0].role"),
    ([{"role": [CANARY], "content": _TEXT}], "messages[0].role"),
    ([{"role": "user", "content": CANARY}], "messages[0].content"),
    ([{"role": "user", "content": []}], "messages[0].content"),
    ([{"role": "user", "content": [CANARY]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [{}]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [{"text": CANARY, "a": 1}]}], "messages[0].content[0]"),
    ([{"role": "user", "content": _TEXT}, {"role": CANARY, "content": _TEXT}], "messages[1].role"),
)


def _wrong_values() -> Iterator[Hostile]:
    for name, values in _WRONG.items():
        for value in values:
            yield Hostile(job(**{name: value}), "invalid_field", name)
    for value, name in _WRONG_MESSAGES:
        yield Hostile(without_prompt(messages=value), "invalid_field", name)
    yield Hostile(job(system=[CANARY]), "invalid_field", "system[0]")


def _reference(bucket: str, **fields: Any) -> dict[str, Any]:
    return {"uri": f"s3://{bucket}/{CANARY}", "sha256": "0" * 64, "bytes": 5, **fields}


def _wrong_references(bucket: str) -> Iterator[Hostile]:
    good = _reference(bucket)
    whole: tuple[Any, ...] = (None, True, good["uri"], [], {}, [good], {**good, "region": CANARY})
    for value in (*whole, {k: v for k, v in good.items() if k != "sha256"}):
        yield Hostile(without_prompt(payload_ref=value), "invalid_field", "payload_ref")
    for part, values in {
        "uri": (
            *(None, 7, "", CANARY, f"/etc/{CANARY}", f"file:///etc/{CANARY}", f"s3://{bucket}"),
            *(f"s3://{bucket}/", f"https://{bucket}.s3.amazonaws.com/{CANARY}"),
            *(f"s3://{bucket.upper()}/{CANARY}", f"s3://{bucket}/{CANARY} b"),
            *(f"s3://arn:aws:s3:::{bucket}/{CANARY}", f"s3://{bucket}/{CANARY * 100}"),
        ),
        "sha256": (None, 7, "", "0" * 63, "A" * 64, "0" * 64 + "\n", CANARY),
        "bytes": (None, True, "5", 1.0, 0, -1, 20_000_001, 10**19, [5]),
    }.items():
        for value in values:
            body = without_prompt(payload_ref=_reference(bucket, **{part: value}))
            yield Hostile(body, "invalid_field", f"payload_ref.{part}")
    for uri in (f"s3://another-bucket/{CANARY}", f"s3://{bucket}.evil.example/{CANARY}"):
        body = without_prompt(payload_ref=_reference(bucket, uri=uri))
        yield Hostile(body, "payload_forbidden", "payload_ref.uri")


def _at_odds(bucket: str) -> Iterator[Hostile]:
    messages = [{"role": "user", "content": _TEXT}]
    reference = _reference(bucket)
    yield Hostile(job(messages=messages), "invalid_field", "messages")
    yield Hostile(job(payload_ref=reference), "invalid_field", "payload_ref")
    body = without_prompt(messages=messages, payload_ref=reference)
    yield Hostile(body, "invalid_field", "payload_ref")
    body = without_prompt(system=CANARY, payload_ref=reference)
    yield Hostile(body, "invalid_field", "system")


def _refused_later() -> Iterator[Hostile]:
    """Bodies that are jobs, and cannot be served."""
    yield Hostile(job(id="lost-1", route="no-such-route"), "unknown_route", "route")
    yield Hostile(job(route="DEFAULT"), "unknown_route", "route")
    yield Hostile(job(reply_to="nobody"), "unknown_reply_to", "reply_to")
    yield Hostile(job(reply_to="nobody", route="no-such-route"), "unknown_route", "route")
    yield Hostile(job(task_token="nobody-waits"), "task_tokens_off", "task_token")
    yield Hostile(job(min_quality=1.0), "below_quality")
    yield Hostile(job(deadline_at=1), "expired")
    yield Hostile(job(deadline_at="1970-01-01T00:00:00Z"), "expired")


def _claim_checks(bucket: str) -> tuple[list[Hostile], list[Planted]]:
    found: list[Hostile] = []
    planted: list[Planted] = []

    def add(content: bytes, reason: str, field: str = "", **promised: Any) -> None:
        key = f"hostile/{len(found)}-{CANARY}"
        planted.append(Planted(key, content))
        reference = {
            "uri": f"s3://{bucket}/{key}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            **promised,
        }
        found.append(Hostile(without_prompt(payload_ref=reference), reason, field))

    good = job().encode()
    gone = _reference(bucket, uri=f"s3://{bucket}/gone-{CANARY}")
    found.append(Hostile(without_prompt(payload_ref=gone), "payload_missing", "payload_ref.uri"))
    add(good, "payload_mismatch", "payload_ref.sha256", sha256="0" * 64)
    add(good, "payload_mismatch", "payload_ref.bytes", bytes=len(good) - 1)
    add(good, "payload_mismatch", "payload_ref.bytes", bytes=len(good) + 1)
    add(good * 100_000, "payload_mismatch", "payload_ref.bytes", bytes=len(good))
    add(CANARY.encode(), "not_json", "payload_ref")
    add(good[:-1], "not_json", "payload_ref")
    add(b"\xff\xfe" + good, "not_json", "payload_ref")
    add(good.decode().encode("utf-16"), "not_json", "payload_ref")
    add(f'{{"prompt": "{CANARY}", "inference": {{"a": NaN}}}}'.encode(), "not_json", "payload_ref")
    add(b"[" * LEVELS + b"]" * LEVELS, "too_deep", "payload_ref")
    add(b'{"a":' * LEVELS, "too_deep", "payload_ref")
    add(f'{{"prompt": "{CANARY}", "prompt": "b"}}'.encode(), "duplicate_key", "payload_ref: prompt")
    add(job(id="smuggled").encode(), "unknown_field", "payload_ref: id")
    add(job(route="default").encode(), "unknown_field", "payload_ref: route")
    add(
        json.dumps({"payload_ref": _reference(bucket)}).encode(),
        "unknown_field",
        "payload_ref: payload_ref",
    )
    add(b"{}", "missing_field", "payload_ref: prompt")
    add(job(prompt="  ").encode(), "invalid_field", "payload_ref: prompt")
    add(job(prompt=None).encode(), "invalid_field", "payload_ref: prompt")
    return found, planted
