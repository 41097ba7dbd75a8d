"""Bodies that strangers send to hurt the reader."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.strict_json import Malformed, loads

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=8)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


def read(body: bytes, *, body_bytes: int = 100_000, depth: int = 32) -> dict[str, Any] | Malformed:
    return loads(body, body_bytes=body_bytes, depth=depth)


def reason(body: bytes) -> str:
    answer = read(body)
    assert isinstance(answer, Malformed)
    return answer.reason


def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b'{"a":1}'

    answer = read(body, body_bytes=7)

    assert answer == {"a": 1}


def test_a_body_over_the_limit_is_not_even_parsed() -> None:
    body = b'{"a":1}'

    answer = read(body, body_bytes=6)

    assert answer == Malformed("too_large", "", "7 bytes, the limit is 6")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b'{"a":1}{}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":01}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":"\x01"}',
        b'{"a":"\n"}',
        b'{"a":1,}',
        b"{'a':1}",
        '{"a":1}'.encode("utf-16"),
        b"[1]",
        b'"a"',
        b"null",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert reason(body) == "not_json"


@pytest.mark.parametrize("opening", [b"[", b'{"k":'], ids=["lists", "objects"])
def test_thirty_two_levels_are_read_and_no_more(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"

    fits = read(b'{"a":' + opening * 31 + b"1" + closing * 31 + b"}")
    does_not = read(b'{"a":' + opening * 32 + b"1" + closing * 32 + b"}")

    assert isinstance(fits, dict)
    assert does_not == Malformed("too_deep", "", "nested deeper than 32 levels")


@pytest.mark.parametrize("levels", [1000, 1023, 1024, 10_000])
@pytest.mark.parametrize("opening", [b"[", b'{"k":'], ids=["lists", "objects"])
def test_an_abyss_is_called_too_deep_however_deep_it_is(opening: bytes, levels: int) -> None:
    closing = b"]" if opening == b"[" else b"}"

    said = reason(b'{"a":' + opening * levels + b"1" + closing * levels + b"}")

    assert said == "too_deep"


@pytest.mark.parametrize("levels", [40, 900, 1000])
def test_an_abyss_behind_a_second_key_cannot_hurt_either(levels: int) -> None:
    abyss = b"[" * levels + b"]" * levels

    said = reason(b'{"a":' + abyss + b',"a":1}')

    assert said in {"too_deep", "duplicate_key"}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"prompt":"x","prompt":"y"}', "prompt"),
        (b'{"prompt" :"x", "prompt"\t:\n"y"}', "prompt"),
        (b'{"prompt":"x","\\u0070rompt":"y"}', "prompt"),
        (b'{"a":{"b":1,"b":1}}', "b"),
        (b'{"a":[{"c":1},{"b":{"x":1,"x":2}}]}', "x"),
        (b'{"a":"::::","a":1}', "a"),
        (b'{"a:":":","a:":1}', "a:"),
        (b'{"":1,"":2}', ""),
        (b'{"a":1,"b":{"a":2},"a":3}', "a"),
        (b'{"a":' + b"9" * 300 + b',"a":' + b"1" * 300 + b"}", "a"),
        (b'{"x\\u001b[2J":1,"x\\u001b[2J":1}', "x?[2J"),
        (b'{"' + b"k" * 99 + b'":1,"' + b"k" * 99 + b'":1}', "k" * 64),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_a_key_given_twice_is_found_at_any_level_and_named(body: bytes, key: str) -> None:
    answer = read(body)

    assert answer == Malformed("duplicate_key", key, "the key is given twice in one object")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"b:c:d"}',
        b'{"a:b":1}',
        b'{"a":{"a":{"a":1}}}',
        b'{"a":[{"b":1},{"b":2}],"url":"https://x:1"}',
        b'{"a":"\\u003a"}',
        b'{"a":"\\"a\\":1"}',
        b'{"n":12345678901234567890,"t":"::"}',
    ],
)
def test_colons_in_text_do_not_pass_for_keys(body: bytes) -> None:
    answer = read(body)

    assert answer == json.loads(body)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(body: bytes) -> None:
    answer = read(body)

    assert isinstance(answer, dict | Malformed)


@given(tree=TREES, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 2]))
def test_what_it_reads_is_what_was_written(
    tree: Any,
    ascii_only: bool,  # noqa: FBT001  (hypothesis names it)
    indent: int | None,
) -> None:
    body = json.dumps({"tree": tree}, ensure_ascii=ascii_only, indent=indent).encode()

    answer = read(body)

    assert answer == {"tree": tree}


@given(inner=st.dictionaries(KEYS, LEAVES, min_size=1, max_size=4), data=st.data())
def test_one_more_of_any_key_is_noticed(inner: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(inner)))
    items = [*inner.items(), (key, data.draw(LEAVES))]
    shuffled = data.draw(st.permutations(items))
    text = ",".join(f"{json.dumps(k)} : {json.dumps(v)}" for k, v in shuffled)

    answer = read(f'{{"outer": [{{{text}}}]}}'.encode())

    assert isinstance(answer, Malformed)
    assert answer.reason == "duplicate_key"
