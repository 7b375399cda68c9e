"""One value, one spelling; and what other readers might understand otherwise is refused."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.identity import canonical_json
from crow_plugins.identity.canonical_json import DEPTH_MAX, INTEGER_MAX, encode, parse, parse_canonical
from crow_plugins.identity.errors import BadJson

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
).filter(lambda value: not json.dumps(value).count("[") + json.dumps(value).count("{") >= DEPTH_MAX)


@given(values)
def test_every_value_comes_back_from_its_spelling(value: object) -> None:
    assert parse_canonical(encode(value)) == value


@given(values)
def test_any_layout_of_a_value_has_the_same_canonical_spelling(value: object) -> None:
    assert encode(parse(json.dumps(value, indent=3, ensure_ascii=True).encode())) == encode(value)


@given(st.binary(max_size=200))
def test_of_any_bytes_comes_a_value_or_the_one_error(data: bytes) -> None:
    with suppress(BadJson):
        canonical_json.parse(data)


def test_keys_are_sorted_nothing_is_spaced_and_text_stands_as_it_is() -> None:
    value = {"b": [1, -2, True, None], "a": 'ä"\\\n\x7f🦆', "": {}, "Z": []}
    assert encode(value) == '{"":{},"Z":[],"a":"ä\\"\\\\\\n\x7f🦆","b":[1,-2,true,null]}'.encode()


def test_a_tuple_is_spelled_as_a_list() -> None:
    assert encode((1, ("a",))) == b'[1,["a"]]'


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), float("inf"), INTEGER_MAX + 1, -INTEGER_MAX - 1, 10**5000, b"bytes", {1}, object()],
    ids=["float", "nan", "inf", "big", "small", "huge", "bytes", "set", "object"],
)
def test_a_value_without_a_spelling_is_refused_at_any_depth(value: object) -> None:
    for holder in (value, [value], {"a": [value]}):
        with pytest.raises(BadJson):
            encode(holder)


@pytest.mark.parametrize("value", [{1: "a"}, {None: 1}, {"a": {True: 1}}])
def test_a_key_that_is_no_string_is_refused(value: object) -> None:
    with pytest.raises(BadJson, match="key"):
        encode(value)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a\ud83e"]])
def test_half_a_surrogate_pair_is_refused(value: object) -> None:
    with pytest.raises(BadJson, match="surrogate"):
        encode(value)
    with pytest.raises(BadJson, match="surrogate"):
        parse(json.dumps(value).encode())


def test_nesting_is_bounded_exactly() -> None:
    def nested(depth: int) -> bytes:
        return b"[" * depth + b"]" * depth

    assert parse_canonical(nested(DEPTH_MAX)) is not None
    with pytest.raises(BadJson, match="nested"):
        parse(nested(DEPTH_MAX + 1))
    with pytest.raises(BadJson):
        parse(nested(400_000))


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'[{"a":1,"b":{"c":1,"c":2}}]',
        b'{"a":1,"\\u0061":2}',
        b"1.0",
        b"1e3",
        b"-0.0",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"9007199254740992",
        b"-9007199254740992",
        b"9" * 100_000,
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf1",
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b"1 2",
        b'"\x01"',
        b"nul",
        b"01",
    ],
    ids=repr,
)
def test_what_readers_understand_differently_is_refused(data: bytes) -> None:
    with pytest.raises(BadJson):
        parse(data)


@pytest.mark.parametrize(
    "data", [b" 1", b"1\n", b'{"b":1,"a":2}', b'"\\u0061"', b'"\\/"', b"-0", b'{"a": 1}'], ids=repr
)
def test_another_spelling_of_a_value_is_read_but_is_not_canonical(data: bytes) -> None:
    parse(data)
    with pytest.raises(BadJson, match="another spelling"):
        parse_canonical(data)


def test_the_last_exact_integers_are_in() -> None:
    assert parse_canonical(b"[9007199254740991,-9007199254740991]") == [INTEGER_MAX, -INTEGER_MAX]


def test_size_is_bounded_before_anything_is_read() -> None:
    assert parse(b'"abc"', size_max=5) == "abc"
    with pytest.raises(BadJson, match="more than 4 bytes"):
        parse(b'"abc"', size_max=4)
