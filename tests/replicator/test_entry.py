"""Entries: written once, read strictly, and what no writer of ours makes is told apart by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crow_hooks import Change, Entry, Version
from crow_plugins.limits import DEPTH_MAX, ENTRY_BYTES_MAX, KEYS_MAX
from crow_plugins.replicator.entry import (
    EntryTooLarge,
    Malformed,
    NewerFormat,
    Unreadable,
    read,
    rescued,
    written,
)

GRACKLE = "11111111-1111-4111-8111-111111111111"
SWAN = "22222222-2222-4222-8222-222222222222"
WRITER, OTHER = f"{GRACKLE}.9f3a01c2d4e5", f"{SWAN}.000000000001"
ROW = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


def change(**fields: Any) -> Change:
    given: dict[str, Any] = {
        "type": "memory_insert",
        "table": "memories",
        "row_id": ROW,
        "data": {"content": "the key is under the mat", "importance": 7},
        "version": Version(WRITER, 42),
        "vv": {OTHER: 40},
        "open": (),
        "timestamp": 1_711_000_000,
        **fields,
    }
    return Change(**given)


def fields_of(block: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(block)
    return fields


def as_block(fields: object) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def altered(**fields: Any) -> bytes:
    return as_block({**fields_of(written(change())), **fields})


def test_the_described_fields_come_first_and_ours_after_them() -> None:
    fields = fields_of(written(change(open=(Version(OTHER, 40),))))
    assert list(fields) == [
        *("type", "table", "row_id", "data", "lamport", "instance_id", "timestamp"),
        *("v", "epoch", "vv", "open", "by"),
    ]
    assert fields["lamport"] == 42
    assert (fields["instance_id"], fields["epoch"]) == (GRACKLE, "9f3a01c2d4e5")
    assert fields["open"] == [[OTHER, 40]]


def test_what_was_written_is_what_is_read() -> None:
    wrote = change(open=(Version(OTHER, 40),), type="memory_delete", deleted=True)
    found = read(written(wrote))
    assert found.rescued_by is None
    assert found.original == written(wrote)
    assert found.entry == Entry(
        type="memory_delete",
        table="memories",
        row_id=ROW,
        data=wrote.data,
        version=wrote.version,
        vv=wrote.vv,
        open=wrote.open,
        timestamp=wrote.timestamp,
        instance_id=GRACKLE,
        deleted=True,
        by="assistant",
    )


def test_a_rescued_entry_is_byte_for_byte_what_it_was() -> None:
    original = written(change(data={"content": 'quotes " and \\ and é and \U0001f426\n'}))
    found = read(rescued(original, SWAN, 1_711_000_001))
    assert (found.original, found.rescued_by) == (original, SWAN)
    assert found.entry == read(original).entry


def test_an_entry_at_the_limit_is_written_and_read_and_one_byte_more_is_refused() -> None:
    room = ENTRY_BYTES_MAX - len(written(change(data={"content": ""})))
    at_limit = written(change(data={"content": "x" * room}))
    assert len(at_limit) == ENTRY_BYTES_MAX
    assert read(at_limit).original == at_limit
    assert read(rescued(at_limit, SWAN, 1)).original == at_limit
    with pytest.raises(EntryTooLarge, match="needs more than 256 KiB"):
        written(change(data={"content": "x" * (room + 1)}))
    one_more = at_limit.replace(b'"xx', b'"xxx', 1)
    for block in (one_more, rescued(one_more, SWAN, 1)):
        with pytest.raises(Malformed):
            read(block)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        as_block({}),
        altered(extra=1),
        altered(v=0),
        altered(v=True),
        altered(v="1"),
        altered(type="Memory Insert"),
        altered(type=["memory_insert"]),
        altered(by={"assistant": 1}),
        altered(table="memories; DROP"),
        altered(row_id=""),
        altered(row_id="x" * 129),
        altered(row_id="a b"),
        altered(data=[]),
        altered(data={"x": {"deep": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}),
        altered(data={str(number): 1 for number in range(KEYS_MAX + 1)}),
        altered(lamport="42"),
        altered(lamport=1.5),
        altered(lamport=True),
        altered(instance_id="grackle"),
        altered(instance_id=GRACKLE.upper().replace("1", "A")),
        altered(epoch="9F3A01C2D4E5"),
        altered(vv=[]),
        altered(vv={"somebody": 1}),
        altered(vv={OTHER: "40"}),
        altered(open=[]),
        altered(open=5),
        altered(open=[["somebody", 1]]),
        altered(open=[[OTHER]]),
        altered(open=[[OTHER, True]]),
        altered(open={OTHER: 1}),
        altered(timestamp=None),
        altered(by="an Assistant"),
        written(change()).replace(b'"lamport":42', b'"lamport":42,"lamport":43'),
        written(change()).replace(b'"importance":7', b'"importance":NaN'),
        written(change()).replace(b'"importance":7', b'"importance":7,"importance":8'),
        written(change())[:-1],
        written(change()) + b"{}",
        as_block({"type": "rescued", "entry": "{}", "instance_id": SWAN, "timestamp": 1, "v": 1}),
        as_block({"type": "rescued", "entry": 1, "instance_id": SWAN, "timestamp": 1, "v": 1}),
        b'{"type":"rescued","entry":"\\ud800","instance_id":"%b","timestamp":1,"v":1}' % SWAN.encode(),
        as_block({"type": "rescued", "entry": written(change()).decode(), "instance_id": SWAN, "v": 1}),
        rescued(rescued(written(change()), SWAN, 1), SWAN, 1),
        rescued(written(change()), "swan", 1),
    ],
    ids=repr,
)
def test_what_no_writer_of_ours_makes_is_malformed(block: bytes) -> None:
    with pytest.raises(Malformed, match="an entry is malformed"):
        read(block)


def test_depth_and_width_are_allowed_up_to_their_limits() -> None:
    value: object = 1
    for _ in range(DEPTH_MAX - 1):
        value = [value]
    read(altered(data={"x": value}))
    read(altered(data={str(number): 1 for number in range(KEYS_MAX)}))


def test_other_spellings_of_json_that_say_one_thing_only_are_read() -> None:
    block = json.dumps(fields_of(written(change())), indent=2).encode()
    assert read(block).entry == read(written(change())).entry


@settings(max_examples=200)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_what_is_read_the_fast_way_is_what_every_reader_of_json_reads(value: object) -> None:
    block = altered(data={"x": value})
    try:
        read_data = read(block).entry.data
    except Malformed:
        assert b"NaN" in block or b"Infinity" in block
    else:
        assert repr(read_data) == repr(fields_of(block)["data"])


def test_a_newer_format_is_told_apart_whatever_else_it_has() -> None:
    with pytest.raises(NewerFormat, match="upgrade") as caught:
        read(altered(v=2, what="nobody knows yet"))
    assert caught.value.reason == "newer_format"


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_read_or_refused_by_name(block: bytes) -> None:
    with pytest.raises(Unreadable):
        read(block)


@settings(max_examples=500)
@given(st.integers(0, 300), st.binary(min_size=0, max_size=4), st.integers(0, 3))
def test_a_damaged_entry_is_read_or_refused_by_name(place: int, put: bytes, cut: int) -> None:
    block = written(change(open=(Version(OTHER, 40),)))
    damaged = block[:place] + put + block[place + cut :]
    try:
        found = read(damaged)
    except Unreadable:
        return
    assert found.original == damaged
