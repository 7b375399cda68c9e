"""Every limit of an entry and of a peer: taken at the limit, refused one past it, and all in one place."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import Column, Data, Invalid, SyncedTable
from crow_plugins import limits
from crow_plugins.feed import errors
from crow_plugins.feed.secret_stream import RANDOM_BYTES, SecretStream
from crow_plugins.identity.keys import KeyPair
from crow_plugins.replicator import rejections
from crow_plugins.replicator.entry import Malformed, read, rescued, written
from crow_plugins.replicator.rejections import Rejection
from crow_plugins.store.synced import Shape
from tests.replicator.chain import chain
from tests.replicator.test_entry import altered, change
from tests.store.world import ROW

ROOM = Path(limits.__file__)


def deep(levels: int) -> Data:
    value: object = 1
    for _ in range(levels - 1):
        value = [value]
    return {"x": value}


def sized(size: int) -> bytes:
    block = written(change(data={"content": ""}))
    return block.replace(b'"content":""', b'"content":"' + b"x" * (size - len(block)) + b'"')


def open_versions(count: int) -> bytes:
    writer = "{:08x}-0000-4000-8000-000000000000.0123456789ab"
    return altered(open=[[writer.format(number), 1] for number in range(count)])


CASES: list[tuple[str, int, Callable[[int], bytes]]] = [
    ("an entry", limits.ENTRY_BYTES_MAX, sized),
    ("keys", limits.KEYS_MAX, lambda count: altered(data={str(number): 1 for number in range(count)})),
    ("depth", limits.DEPTH_MAX, lambda levels: altered(data=deep(levels))),
    ("open versions", limits.OPEN_MAX, open_versions),
]


@pytest.mark.parametrize(("limit", "make"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_entry_is_read_at_a_limit_and_is_malformed_one_past_it(limit: int, make: Callable[[int], bytes]) -> None:
    read(make(limit))
    with pytest.raises(Malformed):
        read(make(limit + 1))


def test_a_rescued_entry_has_room_for_the_longest_one_with_every_quote_escaped() -> None:
    longest = sized(limits.ENTRY_BYTES_MAX)
    assert len(rescued(longest, "11111111-1111-4111-8111-111111111111", 1)) <= limits.RESCUED_BYTES_MAX
    assert read(rescued(longest, "11111111-1111-4111-8111-111111111111", 1)).original == longest
    with pytest.raises(Malformed):
        read(b'{"type":"rescued","entry":"' + b"x" * limits.RESCUED_BYTES_MAX + b'"}')


@pytest.mark.parametrize(
    ("columns", "limit", "make"),
    [
        ([Column("text", bytes_max=1 << 30)], limits.STRING_BYTES_MAX, lambda size: {"text": "x" * size}),
        (
            [Column("one", bytes_max=1 << 30), Column("two", bytes_max=1 << 30)],
            limits.ROW_BYTES_MAX,
            lambda size: {"one": "x" * 120_000, "two": "x" * (size - 120_000 - len('{"one":"","two":""}'))},
        ),
    ],
    ids=["one text", "a row"],
)
def test_a_row_fits_at_a_limit_and_not_one_past_it(
    columns: list[Column], limit: int, make: Callable[[int], dict[str, Any]]
) -> None:
    shape = Shape.of(SyncedTable("things", tuple(columns), ("thing_insert",)))
    shape.check(ROW, make(limit))
    with pytest.raises(Invalid):
        shape.check(ROW, make(limit + 1))


@pytest.mark.parametrize("size", [limits.HANDSHAKE_FRAME_BYTES_MAX, limits.HANDSHAKE_FRAME_BYTES_MAX + 1])
def test_a_handshake_frame_is_read_up_to_its_limit(size: int) -> None:
    """One at the limit is awaited in full; one past it is refused by its length alone."""
    stream = SecretStream(initiator=False, static=KeyPair(b"\1" * 32), randomness=b"\2" * RANDOM_BYTES)
    stream.receive_data(size.to_bytes(3, "little"))
    if size == limits.HANDSHAKE_FRAME_BYTES_MAX:
        assert stream.next_event() is None
    else:
        with pytest.raises(errors.OverLimit):
            stream.next_event()


def test_the_largest_frame_is_what_its_length_can_say() -> None:
    assert limits.FRAME_BYTES_MAX == 2**24 - 1


def test_a_peer_is_shut_out_by_the_fifth_false_entry_within_ten_minutes_and_not_by_the_fourth(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle") as [grackle], grackle.store.transaction() as transaction:

        def shut_out(peer: str, *times: int) -> bool:
            return [rejections.add(transaction.db, Rejection("x", peer, 0, "bad_proof", at)) for at in times][-1]

        assert not shut_out("swan", *range(limits.QUARANTINE_AFTER - 1))
        assert shut_out("swan", limits.QUARANTINE_SECONDS - 1)
        assert not shut_out("heron", *range(limits.QUARANTINE_AFTER - 1), limits.QUARANTINE_SECONDS)
        assert rejections.quarantined(transaction.db) == {"swan"}


def test_no_other_file_of_the_pipeline_has_a_limit_of_its_own() -> None:
    """What an entry or a peer may be at the most stands in one place."""
    names = set(limits.__all__)
    for folder in ("replicator", "store"):
        for path in (ROOM.parent / folder).glob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Assign):
                    assert not {ast.unparse(target) for target in node.targets} & names, path


def test_each_limit_has_its_reason() -> None:
    for line in ROOM.read_text().splitlines():
        if "_MAX" in line and " = " in line and not line.startswith(" "):
            assert "  # " in line, line
    assert json.dumps(sorted(limits.__all__)) == json.dumps(limits.__all__)
