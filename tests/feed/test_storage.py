"""What is held, in bits; and the storage in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed.errors import WrongState
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.head import EMPTY, Head
from crow_plugins.feed.held import Held
from crow_plugins.feed.storage import Batch, MemoryStorage

HEAD = Head(0, 5, 9, b"\1" * 32, b"signed")

changes = st.lists(
    st.tuples(st.sampled_from(["add", "add all", "cut", "remove", "put"]), st.integers(0, 90), st.integers(0, 90)),
    max_size=12,
)


@given(changes)
def test_held_is_a_set_of_seqs(steps: list[tuple[str, int, int]]) -> None:
    held, wanted = Held(), set[int]()
    for kind, start, stop in steps:
        if kind == "add":
            held.add(start, stop)
            wanted |= set(range(start, stop))
        elif kind == "add all":
            held.add_all([start, stop, stop + 1])
            wanted |= {start, stop, stop + 1}
        elif kind == "remove":
            held.remove(start, stop)
            wanted -= set(range(start, stop))
        elif kind == "put":
            held.put(start & ~7, bytes([stop]))
            wanted -= set(range(start & ~7, (start & ~7) + 8))
            wanted |= {(start & ~7) + bit for bit in range(8) if stop >> bit & 1}
        else:
            held.cut(start)
            wanted = {seq for seq in wanted if seq < start}
    everything = range(120)
    assert {seq for seq in everything if seq in held} == wanted
    assert held.contiguous == next(seq for seq in everything if seq not in wanted)
    assert held.end_of_run(3) == next(seq for seq in everything[3:] if seq not in wanted)
    assert list(held.missing(3, 120)) == [seq for seq in everything if seq >= 3 and seq not in wanted]
    bits = held.bits(8, 112)
    assert [seq for seq in range(8, 120) if bits[(seq - 8) // 8] >> seq % 8 & 1] == [
        seq for seq in range(8, 120) if seq in wanted
    ]


def test_bits_beyond_what_was_ever_held_are_nothing() -> None:
    assert Held().bits(0, 64) == bytes(8)
    assert Held().bits(2**30, 64) == bytes(8)


def test_a_batch_is_stored_whole() -> None:
    storage = MemoryStorage()
    node = Node(0, 3, b"\2" * 32)
    storage.store(Batch(EMPTY, {0: b"abc"}, [node], HEAD, manifest=b"manifest"))
    assert storage.head() == HEAD
    assert storage.manifest() == b"manifest"
    assert storage.nodes([0, 1]) == {0: node}
    assert storage.blocks([0, 1]) == {0: b"abc"}
    assert 0 in storage.held()


def test_a_batch_for_another_head_leaves_nothing_behind() -> None:
    storage = MemoryStorage()
    with pytest.raises(WrongState):
        storage.store(Batch(HEAD, {0: b"abc"}, [Node(0, 3, b"\2" * 32)], HEAD))
    assert storage.head() == EMPTY
    assert storage.blocks([0]) == {}


def test_a_cut_comes_before_what_is_added() -> None:
    storage = MemoryStorage()
    nodes = [Node(index, index, bytes(32)) for index in range(9)]
    storage.store(Batch(EMPTY, dict.fromkeys(range(5), b"old"), nodes, HEAD))
    storage.store(Batch(HEAD, {3: b"new"}, [nodes[6]], cut=3))
    assert storage.blocks(range(9)) == {0: b"old", 1: b"old", 2: b"old", 3: b"new"}
    assert set(storage.nodes(range(9))) == {0, 1, 2, 4, 6}
    assert storage.held().contiguous == 4
