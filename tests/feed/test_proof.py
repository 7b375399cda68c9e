"""Proofs: every one that is made is accepted, every change of one is refused, and nothing unproven is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crow_plugins.feed import flat_tree
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import (
    BadProof,
    BadRequest,
    NotHeld,
    OutOfDate,
    OverLimit,
    RemoteProtocolError,
    Unanchored,
)
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.limits import BLOCK_BYTES_MAX, NODES_MAX
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashRequest,
    Proof,
    ProofRequest,
    SeekRequest,
    UpgradeRequest,
)
from tests.feed import making

LENGTH = 300
SOURCE = making.written(making.blocks(LENGTH))
SOURCES = {length: making.written(making.blocks(length)) for length in (*range(1, 40), 64, 127, 128, 129, 255, 256)}
ALL_NODES = dict(SOURCE.storage.nodes(range(2 * LENGTH)))


def bytes_before(seq: int) -> int:
    return sum(ALL_NODES[2 * each].size for each in range(seq))


def copy_at(length: int, of: Feed = SOURCE) -> Feed:
    """A copy that has heard of so many blocks, and holds no block: only roots."""
    earlier = making.written(making.blocks(length))
    copy = making.copy_of(of)
    if length:
        making.upgrade(earlier, copy)
    return copy


def true_nodes(nodes: Sequence[Node]) -> bool:
    return all(ALL_NODES[node.index] == node for node in nodes)


@pytest.mark.parametrize("length", SOURCES)
def test_every_block_of_a_tree_of_any_size_is_proven(length: int) -> None:
    source, copy = SOURCES[length], making.copy_of(SOURCES[length])
    making.upgrade(source, copy)
    for seq in range(length):
        proof = source.prove(ProofRequest(block=BlockRequest(seq, making.levels_wanted(copy, seq))))
        batch = copy.receive(proof)
        assert batch.blocks == {seq: making.blocks(length)[seq]}
        assert all(source.storage.nodes([node.index]) == {node.index: node} for node in batch.nodes)


@given(st.integers(0, LENGTH - 1), st.data())
def test_an_upgrade_from_anywhere_to_anywhere_ends_at_the_signed_head(start: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, LENGTH - start))
    copy = copy_at(start)
    batch = copy.receive(SOURCE.prove(ProofRequest(upgrade=UpgradeRequest(start, length))))
    assert batch.head == SOURCE.head
    assert true_nodes(batch.nodes)
    copy.storage.store(batch)
    assert copy.tree() == SOURCE.tree()


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, ProofRequest]:
    """The length that the asker has, and anything that it can rightly ask."""
    start = draw(st.integers(0, LENGTH - 1))
    upgrade = UpgradeRequest(start, draw(st.integers(1, LENGTH - start))) if not start or draw(st.booleans()) else None
    end = start + upgrade.length if upgrade else start
    kind = draw(st.sampled_from(["block", "hash", "seek", "nothing"]))
    if kind == "block" and upgrade and draw(st.booleans()):
        new_block = BlockRequest(draw(st.integers(start, end - 1)), 0)
        return start, ProofRequest(new_block, upgrade=upgrade)
    if kind in ("block", "hash") and start:
        return start, ProofRequest(*draw(old_targets(start)), upgrade)
    seek = SeekRequest(draw(st.integers(0, bytes_before(end)))) if kind == "seek" and upgrade else None
    return start, ProofRequest(seek=seek, upgrade=upgrade)


@st.composite
def old_targets(draw: st.DrawFn, length: int) -> tuple[BlockRequest | None, HashRequest | None, SeekRequest | None]:
    """A block or a hash up to the root above it, and perhaps a byte below that root."""
    root = draw(st.sampled_from(flat_tree.roots(length)))
    first, last = flat_tree.left_span(root), flat_tree.right_span(root)
    index = draw(st.integers(first, last))
    levels = flat_tree.depth(root) - flat_tree.depth(index)
    before, size = bytes_before(first // 2), ALL_NODES[root].size
    seek = SeekRequest(before + draw(st.integers(0, size - 1))) if size and draw(st.booleans()) else None
    if index & 1:
        return None, HashRequest(index, levels), seek
    return BlockRequest(index // 2, levels), None, seek


def changed(value: Any, data: st.DataObject) -> Any:
    """The same value with one thing in it changed: a bit of some bytes, a number, a list."""
    if isinstance(value, int):
        return max(0, value + data.draw(st.sampled_from([-2, -1, 1, 2, 1000]))) if value else 1
    if isinstance(value, bytes):
        if not value:
            return b"\0"
        place, bit = data.draw(st.integers(0, len(value) - 1)), data.draw(st.integers(0, 7))
        return value[:place] + bytes([value[place] ^ 1 << bit]) + value[place + 1 :]
    if isinstance(value, Node):
        name = data.draw(st.sampled_from(Node._fields))
        return value._replace(**{name: changed(getattr(value, name), data)})
    if isinstance(value, list):
        place = data.draw(st.integers(0, len(value)))
        if place == len(value):
            return [*value, Node(data.draw(st.integers(0, 600)), 1, bytes(32))]
        how = data.draw(st.sampled_from(["change", "drop", "double"]))
        put = {"change": [changed(value[place], data)] if how == "change" else [], "drop": []}
        return value[:place] + put.get(how, [value[place], value[place]]) + value[place + 1 :]
    names = [field.name for field in fields(value) if getattr(value, field.name) is not None]
    name = data.draw(st.sampled_from(names))
    return replace(value, **{name: changed(getattr(value, name), data)})


@settings(max_examples=600, deadline=None)
@given(cases(), st.data())
def test_a_proof_in_which_anything_is_changed_is_refused_as_the_peers_fault_or_harmless(
    case: tuple[int, ProofRequest], data: st.DataObject
) -> None:
    """Harmless: what the asker said and nobody relies on (where a seek was for), or a cut that is a proof as well."""
    start, request = case
    copy = copy_at(start)
    proof = SOURCE.prove(request)
    other = changed(proof, data)
    if other == proof:
        return
    try:
        batch = copy.receive(other)
    except RemoteProtocolError:
        return
    assert true_nodes(batch.nodes)
    assert all(block == SOURCE.block(seq) for seq, block in batch.blocks.items())
    assert batch.head in (None, SOURCE.head)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, LENGTH - 1), st.data())
def test_any_flipped_bit_of_a_block_proof_is_refused(seq: int, data: st.DataObject) -> None:
    copy = copy_at(LENGTH)
    proof = SOURCE.prove(ProofRequest(block=BlockRequest(seq, making.levels_wanted(copy, seq))))
    other = changed(proof, data)
    with pytest.raises(RemoteProtocolError):
        copy.receive(other)
    assert accepted(copy, other) == {}


def accepted(copy: Feed, proof: Proof) -> Mapping[int, bytes]:
    """What is taken of a block among many: nothing, whether it is refused or made to wait."""
    assert proof.block
    try:
        return copy.receive_blocks(proof.fork, [proof.block]).batch.blocks
    except RemoteProtocolError:
        return {}


def test_sizes_moved_between_two_siblings_are_never_kept() -> None:
    """Their sum is all that a hash shows: whoever stored them would hand out false proofs."""
    copy = copy_at(LENGTH)
    proof = SOURCE.prove(ProofRequest(hash=HashRequest(8, 8)))
    assert proof.hash
    first, second, *rest = proof.hash.nodes
    moved = [first._replace(size=first.size + 1), second._replace(size=second.size - 1), *rest]
    batch = copy.receive(replace(proof, hash=replace(proof.hash, nodes=moved)))
    assert true_nodes(batch.nodes)


def test_sizes_moved_between_two_subtrees_of_an_upgrade_are_never_kept() -> None:
    source = SOURCES[4]
    proof = source.prove(ProofRequest(upgrade=UpgradeRequest(0, 3)))
    assert proof.upgrade
    (first, second), (third,) = proof.upgrade.nodes, proof.upgrade.additional_nodes
    moved = replace(
        proof.upgrade,
        nodes=[first, second._replace(size=second.size + 1)],
        additional_nodes=[third._replace(size=third.size - 1)],
    )
    batch = making.copy_of(source).receive(replace(proof, upgrade=moved))
    assert {node.index for node in batch.nodes}.isdisjoint({second.index, third.index})
    assert batch.head == source.head


WRONG_REQUESTS = {
    "a block beyond the end": ProofRequest(block=BlockRequest(LENGTH, 0)),
    "a block far beyond": ProofRequest(block=BlockRequest(2**52, 0)),
    "a path above the roots": ProofRequest(block=BlockRequest(0, 9)),
    "a path without end": ProofRequest(block=BlockRequest(0, 2**52)),
    "a hash beyond the end": ProofRequest(hash=HashRequest(2 * LENGTH, 0)),
    "a hash above the roots": ProofRequest(hash=HashRequest(511, 0)),
    "an upgrade beyond the end": ProofRequest(upgrade=UpgradeRequest(0, LENGTH + 1)),
    "an upgrade of nothing": ProofRequest(upgrade=UpgradeRequest(7, 0)),
    "a block after the upgrade": ProofRequest(block=BlockRequest(20, 0), upgrade=UpgradeRequest(3, 10)),
    "a hash half in the upgrade": ProofRequest(hash=HashRequest(7, 0), upgrade=UpgradeRequest(3, 10)),
    "a seek and a new block": ProofRequest(BlockRequest(5, 0), None, SeekRequest(9), UpgradeRequest(3, 10)),
    "a byte outside the path": ProofRequest(block=BlockRequest(0, 1), seek=SeekRequest(2000)),
}


@pytest.mark.parametrize("request_", WRONG_REQUESTS.values(), ids=WRONG_REQUESTS)
def test_what_cannot_be_is_not_answered(request_: ProofRequest) -> None:
    with pytest.raises(BadRequest):
        SOURCE.prove(request_)


@pytest.mark.parametrize("seq_and_levels", [(LENGTH, 0), (0, 9), (2**52, 0), (0, 2**52)])
def test_many_blocks_are_refused_for_one_that_cannot_be(seq_and_levels: tuple[int, int]) -> None:
    with pytest.raises(BadRequest):
        SOURCE.prove_blocks([(1, 0), seq_and_levels])


def test_an_empty_feed_has_its_manifest_only() -> None:
    empty = making.new_feed()
    assert empty.prove(ProofRequest(manifest=True)) == Proof(0, manifest=empty.encoded_manifest)
    with pytest.raises(BadRequest):
        empty.prove(ProofRequest(upgrade=UpgradeRequest(0, 1)))


def test_a_copy_with_gaps_says_what_it_has_not() -> None:
    copy = copy_at(LENGTH)
    with pytest.raises(NotHeld):
        copy.prove(ProofRequest(block=BlockRequest(3, 0)))
    with pytest.raises(NotHeld):
        copy.prove(ProofRequest(hash=HashRequest(4, 1)))
    with pytest.raises(NotHeld):
        copy.prove_blocks([(3, 1)])


def test_a_copy_hands_on_what_it_was_given() -> None:
    relay = making.replicated(SOURCE)
    last = making.replicated(relay)
    assert [last.block(seq) for seq in range(LENGTH)] == making.blocks(LENGTH)


def test_a_proof_of_another_fork_or_length_is_out_of_date() -> None:
    proof = SOURCE.prove(ProofRequest(upgrade=UpgradeRequest(5, 10)))
    for copy, other in ((copy_at(6), proof), (copy_at(5), replace(proof, fork=1))):
        with pytest.raises(OutOfDate):
            copy.receive(other)


def test_a_block_whose_path_ends_at_an_unknown_node_names_that_node() -> None:
    copy = copy_at(LENGTH)
    with pytest.raises(Unanchored) as caught:
        copy.receive(SOURCE.prove(ProofRequest(block=BlockRequest(9, 1))))
    assert caught.value.node == 17


def test_blocks_that_came_too_early_wait_and_count_later() -> None:
    copy = copy_at(LENGTH)
    proofs = SOURCE.prove_blocks(making.planned(copy, list(range(20))))
    early = copy.receive_blocks(0, proofs[5:])
    assert early.waiting == tuple(proofs[5:])
    copy.storage.store(early.batch)
    copy.storage.store(copy.receive_blocks(0, proofs[:5]).batch)
    again = copy.receive_blocks(0, early.waiting)
    assert again.waiting == ()
    copy.storage.store(again.batch)
    assert copy.storage.held().contiguous == 20


def test_many_blocks_in_any_order_are_as_good_as_in_order() -> None:
    copy = copy_at(LENGTH)
    proofs = SOURCE.prove_blocks(making.planned(copy, list(range(LENGTH))))
    received = copy.receive_blocks(0, proofs[::-1])
    assert received.waiting == ()
    assert true_nodes(received.batch.nodes)
    assert list(received.batch.blocks.values()) == making.blocks(LENGTH)


def test_one_bad_block_among_many_is_the_peers_fault() -> None:
    copy = copy_at(LENGTH)
    proofs = SOURCE.prove_blocks(making.planned(copy, list(range(20))))
    proofs[7] = replace(proofs[7], value=b"another")
    with pytest.raises(BadProof):
        copy.receive_blocks(0, proofs)


def test_limits_hold_at_the_limit_and_one_past_it() -> None:
    source = making.written([bytes(BLOCK_BYTES_MAX)])
    copy = making.copy_of(source)
    making.upgrade(source, copy)
    good = source.prove_blocks([(0, 0)])[0]
    assert copy.receive(Proof(0, good)).blocks
    assert copy.receive_blocks(0, [good]).batch.blocks
    filler = [Node(2, 0, bytes(32))]
    for wrong in (BlockProof(0, good.value + b"\0", []), BlockProof(0, b"", filler * (NODES_MAX + 1))):
        with pytest.raises(OverLimit):
            copy.receive(Proof(0, wrong))
        with pytest.raises(OverLimit):
            copy.receive_blocks(0, [wrong])
    with pytest.raises(BadProof):
        copy.receive(Proof(0, BlockProof(0, b"", filler * NODES_MAX)))


@settings(deadline=None)
@given(st.integers(0, 250), st.integers(4, 50), st.data())
def test_a_changed_node_in_a_run_of_blocks_is_refused_or_not_needed(
    start: int, count: int, data: st.DataObject
) -> None:
    copy = copy_at(LENGTH)
    proofs = SOURCE.prove_blocks(making.planned(copy, list(range(start, start + count))))
    place = data.draw(st.sampled_from([place for place, proof in enumerate(proofs) if proof.nodes]))
    nodes = list(proofs[place].nodes)
    which = data.draw(st.integers(0, len(nodes) - 1))
    nodes[which] = changed(nodes[which], data)
    proofs[place] = replace(proofs[place], nodes=nodes)
    try:
        received = copy.receive_blocks(0, proofs)
    except RemoteProtocolError:
        return
    assert true_nodes(received.batch.nodes)
    assert all(block == SOURCE.block(seq) for seq, block in received.batch.blocks.items())


def test_a_run_of_another_feed_is_refused_though_it_fits_together() -> None:
    copy, other = copy_at(LENGTH), making.written([b"another %d" % seq for seq in range(LENGTH)])
    for seqs in (range(256), range(LENGTH), range(5, 90)):
        with pytest.raises(BadProof):
            copy.receive_blocks(0, other.prove_blocks(making.planned(copy, list(seqs))))


def test_runs_with_gaps_and_blocks_that_come_twice_are_checked_too() -> None:
    copy = copy_at(LENGTH)
    seqs = [0, 1, 2, 3, 9, 10, 40, 41, 42, 43, 44, 45, 90, 299]
    proofs = SOURCE.prove_blocks(making.planned(copy, seqs))
    received = copy.receive_blocks(0, [*proofs, *proofs[3:7]])
    assert sorted(received.batch.blocks) == seqs
    assert true_nodes(received.batch.nodes)
    copy.storage.store(received.batch)
    again = copy.receive_blocks(0, SOURCE.prove_blocks(making.planned(copy, seqs)))
    assert sorted(again.batch.blocks) == seqs


def test_an_upgrade_with_more_nodes_than_it_takes_is_refused() -> None:
    proof = SOURCE.prove(ProofRequest(upgrade=UpgradeRequest(0, LENGTH)))
    assert proof.upgrade
    for nodes, additional in (([*proof.upgrade.nodes, ALL_NODES[0]], []), (proof.upgrade.nodes, [ALL_NODES[0]])):
        with pytest.raises(BadProof):
            copy_at(0).receive(replace(proof, upgrade=replace(proof.upgrade, nodes=nodes, additional_nodes=additional)))


def test_a_false_node_in_a_run_is_refused_even_if_nothing_rests_on_it() -> None:
    proofs = SOURCE.prove_blocks([(seq, 8) for seq in range(8)])
    nodes = [proofs[1].nodes[0]._replace(hash=bytes(32)), *proofs[1].nodes[1:]]
    assert copy_at(LENGTH).receive_blocks(0, proofs).waiting == ()
    with pytest.raises(BadProof):
        copy_at(LENGTH).receive_blocks(0, [proofs[0], replace(proofs[1], nodes=nodes), *proofs[2:]])
