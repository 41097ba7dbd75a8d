"""How a producer writes a job, and what is said to one who wrote it wrongly."""

import hashlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.envelope import parse, parse_payload, token_of
from worker.core.job import Job, Limits, PayloadRef, Request
from worker.core.strict_json import Malformed

LIMITS = Limits(payload_buckets=frozenset({"our-bucket"}))
SAID = ({"role": "user", "content": [{"text": "hello"}]},)
REF = {"uri": "s3://our-bucket/a/b.json", "sha256": "0" * 64, "bytes": 12}
TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAf+/=" * 20
MARKER = "Xq7-marker-Zw9"  # stands for a stranger's text


def read(**fields: Any) -> Job | Malformed:
    return parse(json.dumps(fields).encode(), LIMITS)


def job(**fields: Any) -> Job:
    answer = read(**{"prompt": "hello"} | fields)
    assert isinstance(answer, Job), answer
    return answer


def wrong(**fields: Any) -> tuple[str, str]:
    answer = read(**fields)
    assert isinstance(answer, Malformed), answer
    return answer.reason, answer.field


def test_the_smallest_job_is_a_prompt() -> None:
    answer = parse(b'{"prompt": "hello"}', LIMITS)

    assert isinstance(answer, Job)
    assert answer == Job(request=Request(messages=SAID), digest=answer.digest)


def test_every_field_arrives() -> None:
    answer = read(
        v=1,
        id="order-17:a.b_c",
        messages=[
            {"role": "user", "content": [{"text": "one"}]},
            {"role": "assistant", "content": [{"text": "two"}, {"text": "three"}]},
        ],
        system=[{"text": "be brief"}],
        inference={"maxTokens": 100},
        tools={"tools": []},
        additional={"top_k": 5},
        route="fast_1",
        deadline_s=60,
        deadline_at=1_800_000_000,
        on_open="degrade_after:2.5",
        min_quality=0.5,
        allow_geo=["eu", "eu-west-2"],
        upgrade_later=True,
        tenant="acme/eu@x",
        priority="urgent",
        metadata={"trace": "t-1"},
        reply_to="answers",
        task_token=TOKEN,
    )

    assert isinstance(answer, Job)
    assert answer == Job(
        id="order-17:a.b_c",
        request=Request(
            messages=(
                {"role": "user", "content": [{"text": "one"}]},
                {"role": "assistant", "content": [{"text": "two"}, {"text": "three"}]},
            ),
            system=({"text": "be brief"},),
            inference={"maxTokens": 100},
            tools={"tools": []},
            additional={"top_k": 5},
        ),
        route="fast_1",
        deadline_s=60.0,
        deadline_at=1_800_000_000.0,
        on_open="degrade_after",
        degrade_after_s=2.5,
        min_quality=0.5,
        allow_geo=frozenset({"eu", "eu-west-2"}),
        upgrade_later=True,
        tenant="acme/eu@x",
        priority="urgent",
        metadata={"trace": "t-1"},
        reply_to="answers",
        task_token=TOKEN,
        digest=answer.digest,
    )


def test_a_system_prompt_may_be_plain_text() -> None:
    answer = job(system="be brief")

    assert answer.request == Request(messages=SAID, system=({"text": "be brief"},))


@pytest.mark.parametrize(
    ("on_open", "policy", "after_s"),
    [
        ("park", "park", None),
        ("degrade", "degrade", None),
        ("fail", "fail", None),
        ("degrade_after:0", "degrade_after", 0.0),
        ("degrade_after:9999999.999", "degrade_after", 9_999_999.999),
    ],
)
def test_a_job_says_what_to_do_while_nothing_admits_it(
    on_open: str, policy: str, after_s: float | None
) -> None:
    answer = job(on_open=on_open)

    assert (answer.on_open, answer.degrade_after_s) == (policy, after_s)


@pytest.mark.parametrize(
    ("given_as", "at"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:00:30+01:00", 30.0),
        ("2026-11-23T10:00:00.5+00:00", 1_795_428_000.5),
    ],
)
def test_a_deadline_is_a_number_or_a_time_with_its_zone(given_as: float | str, at: float) -> None:
    answer = job(deadline_at=given_as)

    assert answer.deadline_at == at


def test_a_claim_check_names_its_object() -> None:
    answer = read(payload_ref=REF)

    assert isinstance(answer, Job)
    assert answer.request == PayloadRef(
        bucket="our-bucket", key="a/b.json", sha256="0" * 64, size_bytes=12
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a" * 129),
        ("id", "a b"),
        ("id", "a\n"),
        ("id", "ä"),
        ("id", 7),
        ("id", None),
        ("route", ""),
        ("route", "-x"),
        ("route", "r" * 65),
        ("route", "arn:aws:bedrock:eu-west-1::x"),
        ("route", "https://example.com"),
        ("route", ["default"]),
        ("deadline_s", 0),
        ("deadline_s", -1),
        ("deadline_s", 14 * 86_400 + 1),
        ("deadline_s", True),
        ("deadline_s", "60"),
        ("deadline_s", 2**64 - 1),
        ("deadline_at", -1),
        ("deadline_at", 1e12),
        ("deadline_at", True),
        ("deadline_at", "2026-11-23"),
        ("deadline_at", "2026-11-23T10:00:00"),
        ("deadline_at", "tomorrow"),
        ("deadline_at", {}),
        ("on_open", "explode"),
        ("on_open", "park "),
        ("on_open", "park:5"),
        ("on_open", "degrade_after:"),
        ("on_open", "degrade_after:-1"),
        ("on_open", "degrade_after:1e9"),
        ("on_open", "degrade_after:12345678"),
        ("on_open", False),
        ("min_quality", -0.1),
        ("min_quality", 1.1),
        ("min_quality", "high"),
        ("allow_geo", "eu"),
        ("allow_geo", []),
        ("allow_geo", {"eu": True}),
        ("allow_geo", ["EU"]),
        ("allow_geo", ["eu", 5]),
        ("allow_geo", ["eu"] * 33),
        ("upgrade_later", 1),
        ("upgrade_later", "yes"),
        ("tenant", ""),
        ("tenant", "t" * 129),
        ("tenant", "a b"),
        ("tenant", 1),
        ("priority", "high"),
        ("priority", "urgentnormal"),
        ("priority", 1),
        ("metadata", []),
        ("metadata", "x"),
        ("metadata", {"k": "v" * 16_384}),
        ("reply_to", "https://sqs.example.com/q"),
        ("reply_to", ""),
        ("task_token", ""),
        ("task_token", "a token"),
        ("task_token", "t" * 2049),
        ("task_token", 7),
        ("prompt", ""),
        ("prompt", " \n\t"),
        ("prompt", 5),
        ("prompt", ["hello"]),
        ("system", ""),
        ("system", " "),
        ("system", []),
        ("system", 5),
        ("inference", []),
        ("inference", "x"),
        ("tools", []),
        ("additional", None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_value_is_an_invalid_field_under_its_name(field: str, value: Any) -> None:
    said = wrong(**{"prompt": "hello"} | {field: value})

    assert said == ("invalid_field", field)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ("hello", "messages"),
        (["hello"], "messages[0]"),
        ([{"role": "user"}], "messages[0]"),
        ([{"role": "user", "content": [], "more": 1}], "messages[0]"),
        ([*SAID, {"role": "robot", "content": [{"text": "x"}]}], "messages[1].role"),
        ([{"role": ["user"], "content": [{"text": "x"}]}], "messages[0].role"),
        ([{"role": "user", "content": "hello"}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"text": "x"}, {}]}], "messages[0].content[1]"),
        ([{"role": "user", "content": [{"text": "x", "image": 1}]}], "messages[0].content[0]"),
    ],
)
def test_a_wrong_message_is_named_by_its_path(messages: Any, field: str) -> None:
    said = wrong(messages=messages)

    assert said == ("invalid_field", field)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        (None, "invalid_field", "payload_ref"),
        ({"more": 1}, "invalid_field", "payload_ref"),
        ({"uri": 5}, "invalid_field", "payload_ref.uri"),
        ({"uri": "https://our-bucket/x"}, "invalid_field", "payload_ref.uri"),
        ({"uri": "s3://our-bucket/"}, "invalid_field", "payload_ref.uri"),
        ({"uri": "s3://our-bucket/a b"}, "invalid_field", "payload_ref.uri"),
        ({"uri": "s3://other-bucket/x"}, "payload_forbidden", "payload_ref.uri"),
        ({"uri": "s3://our-bucket.evil/x"}, "payload_forbidden", "payload_ref.uri"),
        ({"sha256": "A" * 64}, "invalid_field", "payload_ref.sha256"),
        ({"sha256": "0" * 63}, "invalid_field", "payload_ref.sha256"),
        ({"sha256": 0}, "invalid_field", "payload_ref.sha256"),
        ({"bytes": True}, "invalid_field", "payload_ref.bytes"),
        ({"bytes": 1.5}, "invalid_field", "payload_ref.bytes"),
        ({"bytes": 0}, "invalid_field", "payload_ref.bytes"),
        ({"bytes": 20_000_001}, "invalid_field", "payload_ref.bytes"),
    ],
    ids=str,
)
def test_a_wrong_claim_check_is_refused(
    change: dict[str, Any] | None, reason: str, field: str
) -> None:
    said = wrong(payload_ref="s3://our-bucket/x" if change is None else REF | change)

    assert said == (reason, field)


@pytest.mark.parametrize("version", [0, 2, 1.0, "1", True, None, [1]])
def test_another_version_is_a_matter_of_schema(version: Any) -> None:
    said = wrong(v=version, prompt="hello")

    assert said == ("schema", "v")


def test_a_later_version_is_told_before_its_unknown_fields() -> None:
    said = wrong(new_in_version_2=1, prompt="hello", v=2)

    assert said == ("schema", "v")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("pormpt", "pormpt"),
        ("model", "model"),
        ("", ""),
        ("k" * 99, "k" * 64),
        ("a\x1b[2Jb\n", "a?[2Jb?"),
    ],
)
def test_an_unknown_field_is_named(name: str, shown: str) -> None:
    said = wrong(**{"prompt": "hello", name: 1})

    assert said == ("unknown_field", shown)


@pytest.mark.parametrize("fields", [{}, {"id": "a"}, {"system": "be brief"}])
def test_a_job_without_a_request_is_told_what_is_missing(fields: dict[str, Any]) -> None:
    said = wrong(**fields)

    assert said == ("missing_field", "prompt")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": "x", "messages": list(SAID)}, "messages"),
        ({"prompt": "x", "payload_ref": REF}, "payload_ref"),
        ({"payload_ref": REF, "system": "x"}, "system"),
        ({"payload_ref": REF, "inference": {}}, "inference"),
    ],
)
def test_a_request_is_given_in_one_way_only(fields: dict[str, Any], field: str) -> None:
    said = wrong(**fields)

    assert said == ("invalid_field", field)


def test_a_body_that_is_no_json_is_no_job() -> None:
    answer = parse(b"hello", LIMITS)

    assert isinstance(answer, Malformed)
    assert answer.reason == "not_json"


def checked(payload: bytes, **change: Any) -> Request | Malformed:
    ref = PayloadRef(
        bucket="our-bucket",
        key="k",
        sha256=change.get("sha256", hashlib.sha256(payload).hexdigest()),
        size_bytes=change.get("size_bytes", len(payload)),
    )
    return parse_payload(payload, ref, LIMITS)


def test_a_payload_holds_the_request() -> None:
    answer = checked(b'{"prompt": "hello", "inference": {"maxTokens": 5}}')

    assert answer == Request(messages=SAID, inference={"maxTokens": 5})


@pytest.mark.parametrize(
    ("payload", "change", "reason", "field"),
    [
        (b'{"prompt": "x"}', {"size_bytes": 1}, "payload_mismatch", "payload_ref.bytes"),
        (b'{"prompt": "x"}', {"sha256": "0" * 64}, "payload_mismatch", "payload_ref.sha256"),
        (b"hello", {}, "not_json", ""),
        (b"{}", {}, "missing_field", "prompt"),
        (b'{"prompt": "x", "route": "r"}', {}, "unknown_field", "route"),
        (b'{"payload_ref": {}}', {}, "unknown_field", "payload_ref"),
        (b'{"prompt": 1}', {}, "invalid_field", "prompt"),
    ],
)
def test_a_wrong_payload_is_refused(
    payload: bytes, change: dict[str, Any], reason: str, field: str
) -> None:
    answer = checked(payload, **change)

    assert isinstance(answer, Malformed)
    assert (answer.reason, answer.field) == (reason, field)


def test_a_payload_may_be_larger_than_a_message() -> None:
    payload = orjson.dumps({"prompt": "x" * LIMITS.body_bytes})

    answer = checked(payload)

    assert isinstance(answer, Request)


FULL = {
    "prompt": "hello",
    "system": [{"text": "be brief"}],
    "inference": {"maxTokens": 5, "temperature": 0.5},
    "route": "default",
}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a"},
        {"metadata": {"k": "v"}},
        {"deadline_s": 60},
        {"deadline_at": 60},
        {"min_quality": 0.5},
        {"allow_geo": ["eu"]},
        {"upgrade_later": True},
        {"tenant": "acme"},
        {"priority": "bulk"},
        {"reply_to": "answers"},
        {"task_token": TOKEN},
        {"on_open": "fail"},
        {"v": 1},
    ],
    ids=str,
)
def test_what_a_job_asks_is_the_same_under_other_conditions(change: dict[str, Any]) -> None:
    digest = job(**FULL | change).digest

    assert digest == job(**FULL).digest


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "hello "},
        {"system": [{"text": "be long"}]},
        {"inference": {"maxTokens": 6, "temperature": 0.5}},
        {"tools": {}},
        {"additional": {}},
        {"route": "other"},
    ],
    ids=str,
)
def test_another_request_has_another_digest(change: dict[str, Any]) -> None:
    digest = job(**FULL | change).digest

    assert digest != job(**FULL).digest


def test_naming_the_default_route_asks_nothing_else() -> None:
    unnamed = job().digest

    assert job(route="default").digest == unnamed


def test_another_payload_has_another_digest() -> None:
    one, other = read(payload_ref=REF), read(payload_ref=REF | {"sha256": "1" * 64})

    assert isinstance(one, Job)
    assert isinstance(other, Job)
    assert one.digest != other.digest


def reordered(tree: Any, data: st.DataObject) -> Any:
    if isinstance(tree, dict):
        return {k: reordered(tree[k], data) for k in data.draw(st.permutations(sorted(tree)))}
    if isinstance(tree, list):
        return [reordered(item, data) for item in tree]
    return tree


@given(data=st.data(), indent=st.sampled_from([None, 0, 3]))
def test_order_and_blanks_do_not_change_what_is_asked(
    data: st.DataObject, indent: int | None
) -> None:
    tree = FULL | {"tools": {"b": [{"y": 1, "x": {"d": 1, "c": 2}}], "a": None}}
    body = json.dumps(reordered(tree, data), indent=indent, ensure_ascii=False).encode()

    answer = parse(body, LIMITS)

    assert isinstance(answer, Job)
    assert answer.digest == job(**tree).digest


FIELDS = [
    *("v", "id", "prompt", "messages", "system", "inference", "tools", "additional"),
    *("payload_ref", "route", "deadline_s", "deadline_at", "on_open", "min_quality"),
    *("allow_geo", "upgrade_later", "tenant", "priority", "metadata", "reply_to", "task_token"),
]
STRINGS = st.sampled_from(
    [
        *("", MARKER, f"arn:{MARKER}", f"s3://our-bucket/{MARKER}", f"s3://{MARKER.lower()}/k"),
        *(f"degrade_after:{MARKER}", f"2026-01-01T{MARKER}", f"{MARKER}\x1b\n", "user"),
    ]
) | st.text(max_size=5).map(lambda text: f"{text}{MARKER}")
NAMES = st.sampled_from(["role", "content", "text", "uri", "sha256", "bytes", MARKER])
VALUES = st.recursive(
    STRINGS | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


SECRETS = (
    f"{MARKER} \n",
    f"arn:{MARKER} ",
    f"2026-01-01T{MARKER}",
    f"degrade_after:{MARKER}",
    [MARKER],
    {MARKER: MARKER},
    [{"role": MARKER, "content": [{"text": MARKER}]}],
    [{"role": "user", "content": [MARKER]}],
    [{"role": "user", "content": [{MARKER: 1, "text": MARKER}]}],
    REF | {"uri": f"s3://{MARKER.lower()}/k"},
    REF | {"uri": MARKER},
    REF | {"sha256": MARKER},
    REF | {"bytes": MARKER},
)


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_repeats_a_value_that_it_refuses(field: str) -> None:
    answers = [read(**{"prompt": "hello"} | {field: secret}) for secret in SECRETS]

    told = "".join(f"{a.field} {a.detail}" for a in answers if isinstance(a, Malformed))
    assert MARKER.lower() not in told.lower()


@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), asked=st.booleans())
def test_what_is_wrong_is_told_without_repeating_a_value(
    fields: dict[str, Any],
    asked: bool,  # noqa: FBT001  (hypothesis names it)
) -> None:
    body = json.dumps(fields | ({"prompt": MARKER} if asked else {})).encode()

    answer = parse(body, LIMITS)

    if isinstance(answer, Malformed):
        assert MARKER.lower() not in f"{answer.field} {answer.detail}".lower()


@given(
    at=st.integers(0, 200), put=st.binary(max_size=3), cut=st.integers(0, 5), twice=st.booleans()
)
def test_a_damaged_body_is_not_quoted_either(
    at: int,
    put: bytes,
    cut: int,
    twice: bool,  # noqa: FBT001  (hypothesis names it)
) -> None:
    whole = json.dumps({"id": "a", "prompt": MARKER, "metadata": {"k": [MARKER] * 3}}).encode()
    body = whole[:at] + put + whole[at + cut :]
    body = body[:-1] + b',"id":"' + MARKER.encode() + b'"}' if twice else body

    answer = parse(body, LIMITS)

    if isinstance(answer, Malformed):
        assert MARKER not in answer.detail


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    answer = parse(body, LIMITS)

    assert isinstance(answer, Malformed)


@given(fields=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), VALUES, max_size=5))
def test_no_json_makes_it_raise(fields: dict[str, Any]) -> None:
    answer = parse(json.dumps(fields).encode(), LIMITS)

    assert isinstance(answer, Job | Malformed)


@given(st.text(max_size=40) | st.datetimes().map(lambda at: f"{at.isoformat()}+23:59"))
def test_no_text_for_a_deadline_makes_it_raise(text: str) -> None:
    answer = read(prompt="hello", deadline_at=text)

    assert isinstance(answer, Job | Malformed)


# --- the token of what is no job ---------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"promt": "typo", "task_token": "tok"}',
        b'{"v": 2, "task_token": "tok"}',
        b'{"id": "a", "id": "b", "task_token": "tok"}',
        b'{"task_token": "tok", "metadata": ' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_the_token_of_what_is_no_job_is_read(body: bytes) -> None:
    assert isinstance(parse(body, LIMITS), Malformed)

    assert token_of(body, LIMITS) == "tok"


@pytest.mark.parametrize(
    "body",
    [
        b'{"task_token": "tok", ',
        b'{"task_token": "tok", "task_token": "other"}',
        b'{"task_token": "tok", "metadata": {"task_token": "other"}}',
        b'{"metadata": {"task_token": "tok"}}',
        b'{"task_token": 7}',
        b'{"task_token": "a token"}',
        b'["task_token"]',
        b'{"promt": "typo"}',
        b'{"task_token": "tok", "metadata": "' + b"x" * LIMITS.body_bytes + b'"}',
    ],
    ids=lambda body: body[:50],
)
def test_a_token_that_could_be_mistaken_is_none(body: bytes) -> None:
    assert token_of(body, LIMITS) == ""


@given(st.binary(max_size=60).map(lambda junk: b'{"task_token": ' + junk))
def test_no_bytes_make_the_reading_of_a_token_raise(body: bytes) -> None:
    assert isinstance(token_of(body, LIMITS), str)


def test_a_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(job(task_token=TOKEN))
