"""A feed from both ends: appended to, cut, copied, sought in; and what it refuses to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed import core
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import (
    BadManifest,
    BadSignature,
    BlockTooLarge,
    FeedFull,
    ForkTooLow,
    NotHeld,
    NotWritable,
    OutOfDate,
    StorageDamaged,
    Unencodable,
    WrongState,
)
from crow_plugins.feed.head import EMPTY
from crow_plugins.feed.limits import APPEND_BLOCKS_MAX, BLOCK_BYTES_MAX, FORK_MAX
from crow_plugins.feed.proof import BlockRequest, Proof, ProofRequest, UpgradeRequest
from crow_plugins.feed.storage import Batch, MemoryStorage
from tests.feed import making


def test_a_new_feed_is_empty_and_unsigned() -> None:
    feed = making.new_feed()
    assert feed.head == EMPTY
    assert feed.tree().roots == ()
    feed.check()


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 100])
def test_what_is_appended_is_there_signed(length: int) -> None:
    feed = making.written(making.blocks(length))
    assert [feed.block(seq) for seq in range(length)] == making.blocks(length)
    assert feed.head.length == feed.storage.held().contiguous == length
    assert feed.head.byte_length == sum(map(len, making.blocks(length)))
    feed.check()


def test_appending_changes_nothing_until_it_is_stored() -> None:
    feed = making.written(making.blocks(3))
    before = feed.head
    once, again = (feed.append([b"more"], making.writer()) for _ in range(2))
    assert feed.head == before
    assert once == again


def test_a_batch_that_was_worked_out_from_an_older_head_is_not_stored() -> None:
    feed = making.new_feed()
    first, second = (feed.append([block], making.writer()) for block in (b"one", b"two"))
    feed.storage.store(first)
    with pytest.raises(WrongState):
        feed.storage.store(second)
    assert feed.block(0) == b"one"


def test_a_block_may_be_empty_or_as_large_as_a_block_can_be() -> None:
    feed = making.written([b"", bytes(BLOCK_BYTES_MAX)])
    assert making.replicated(feed).block(0) == b""
    with pytest.raises(BlockTooLarge):
        feed.append([bytes(BLOCK_BYTES_MAX + 1)], making.writer())


def test_a_batch_has_its_limit() -> None:
    feed = making.new_feed()
    feed.append([b""] * APPEND_BLOCKS_MAX, making.writer())
    with pytest.raises(FeedFull):
        feed.append([b""] * (APPEND_BLOCKS_MAX + 1), making.writer())


def test_only_the_writer_appends_and_cuts() -> None:
    feed = making.written(making.blocks(3))
    with pytest.raises(NotWritable):
        feed.append([b"mine"], making.writer(8))
    with pytest.raises(NotWritable):
        feed.truncate(1, 1, making.writer(8))


def test_a_feed_of_the_oldest_kind_is_signed_by_its_own_key() -> None:
    writer = making.writer()
    feed = Feed(writer.public_key, MemoryStorage())
    feed.storage.store(feed.append([b"block"], writer))
    assert len(feed.head.signature) == 64
    assert making.replicated(feed).block(0) == b"block"


@pytest.mark.parametrize("fork", [0, 2, 3, FORK_MAX + 1])
def test_a_fork_must_be_above_every_fork_before(fork: int) -> None:
    feed = making.written(making.blocks(5))
    making.truncate(feed, 4, 3)
    with pytest.raises(ForkTooLow):
        feed.truncate(3, fork, making.writer())


@pytest.mark.parametrize("length", [0, 1, 4, 5, 7, 8])
def test_a_cut_feed_is_as_if_no_more_had_been_written(length: int) -> None:
    feed, shorter = making.written(making.blocks(8)), making.written(making.blocks(length))
    making.truncate(feed, length, 9)
    making.truncate(shorter, length, 9)
    assert feed.head == shorter.head
    assert feed.storage.nodes(range(20)) == shorter.storage.nodes(range(20))
    assert feed.storage.blocks(range(9)) == shorter.storage.blocks(range(9))
    making.append(feed, [b"other"])
    making.append(shorter, [b"other"])
    assert feed.head == shorter.head
    feed.check()


@pytest.mark.parametrize("length", [-1, 6])
def test_a_feed_is_not_cut_to_what_it_has_not(length: int) -> None:
    with pytest.raises(NotHeld):
        making.written(making.blocks(5)).truncate(length, 1, making.writer())


@given(st.integers(1, 60), st.data())
def test_every_byte_is_found_in_its_block(length: int, data: st.DataObject) -> None:
    blocks = making.blocks(length)
    feed = making.written(blocks)
    total = sum(map(len, blocks))
    if not total:
        return
    offset = data.draw(st.integers(0, total - 1))
    seq, within = feed.seek(offset)
    assert blocks[seq][within] == b"".join(blocks)[offset]
    assert sum(map(len, blocks[:seq])) + within == offset


def test_beyond_the_end_there_is_no_byte_and_no_block() -> None:
    feed = making.written([b"abc"])
    for ask in (lambda: feed.seek(3), lambda: feed.block(1), lambda: feed.tree_hash(2)):
        with pytest.raises(NotHeld):
            ask()


def test_a_tree_hash_is_known_for_every_length_there_was() -> None:
    feed = making.written(making.blocks(20))
    assert [feed.tree_hash(length) for length in range(21)] == [
        making.written(making.blocks(length)).head.tree_hash for length in range(21)
    ]


def test_a_copy_learns_the_manifest_with_the_first_head() -> None:
    feed = making.written(making.blocks(3))
    copy = Feed(feed.key, MemoryStorage())
    assert copy.manifest is None
    copy.storage.store(copy.receive(feed.prove(ProofRequest(upgrade=UpgradeRequest(0, 3), manifest=True))))
    assert copy.manifest == feed.manifest
    making.append(feed, [b"more"])
    making.upgrade(feed, copy)
    making.download(feed, copy)
    assert copy.block(3) == b"more"


def test_a_head_without_its_manifest_is_not_believed() -> None:
    feed = making.written(making.blocks(3))
    with pytest.raises(BadSignature):
        Feed(feed.key, MemoryStorage()).receive(feed.prove(ProofRequest(upgrade=UpgradeRequest(0, 3))))


def test_the_manifest_of_another_feed_is_not_believed() -> None:
    feed, other = making.written(making.blocks(3)), making.new_feed(8)
    with pytest.raises(BadManifest):
        making.copy_of(feed).receive(other.prove(ProofRequest(manifest=True)))
    with pytest.raises(BadManifest):
        Feed(feed.key, MemoryStorage(), other.prove(ProofRequest(manifest=True)).manifest)


def test_an_unstored_manifest_leaves_no_trace() -> None:
    feed = making.written(making.blocks(3))
    copy = Feed(feed.key, MemoryStorage())
    batch = copy.receive(feed.prove(ProofRequest(manifest=True)))
    assert copy.manifest is None
    copy.storage.store(batch)
    assert copy.manifest == feed.manifest


def test_a_tampered_signature_is_refused() -> None:
    feed = making.written(making.blocks(3))
    proof = feed.prove(ProofRequest(upgrade=UpgradeRequest(0, 3)))
    assert proof.upgrade
    for place in range(len(proof.upgrade.signature)):
        signature = bytearray(proof.upgrade.signature)
        signature[place] ^= 1
        with pytest.raises(BadSignature):
            making.copy_of(feed).receive(replace(proof, upgrade=replace(proof.upgrade, signature=bytes(signature))))


def test_a_copy_resumes_from_any_length() -> None:
    feed, copy = making.new_feed(), making.copy_of(making.new_feed())
    for size in (1, 5, 2, 40, 3):
        making.append(feed, making.blocks(size, start=feed.head.length))
        making.upgrade(feed, copy)
        making.download(feed, copy, window=7)
        assert copy.head == feed.head
        assert copy.storage.held().contiguous == feed.head.length


def test_an_appended_block_comes_with_the_head_in_one_proof() -> None:
    feed = making.written(making.blocks(9))
    copy = making.replicated(feed)
    making.append(feed, [b"live"])
    copy.storage.store(copy.receive(feed.prove(ProofRequest(BlockRequest(9, 0), upgrade=UpgradeRequest(9, 1)))))
    assert copy.block(9) == b"live"
    assert copy.head == feed.head


def test_asking_in_order_needs_about_one_node_a_block() -> None:
    feed = making.written(making.blocks(256))
    copy = making.copy_of(feed)
    making.upgrade(feed, copy)
    proofs = feed.prove_blocks(making.planned(copy, list(range(256))))
    assert sum(len(proof.nodes) for proof in proofs) == 255


def test_no_path_is_asked_for_when_the_leaf_is_held() -> None:
    feed = making.written(making.blocks(8))
    copy = making.copy_of(feed)
    making.upgrade(feed, copy)
    assert making.levels_wanted(copy, 0) == 3
    assert copy.paths_wanted([1], {2})[0][1] == 0
    copy.storage.store(copy.receive_blocks(0, feed.prove_blocks([(0, 3)])).batch)
    assert [making.levels_wanted(copy, seq) for seq in range(8)] == [0, 0, 1, 1, 2, 2, 2, 2]


def test_blocks_of_another_fork_are_out_of_date() -> None:
    feed = making.written(making.blocks(3))
    with pytest.raises(OutOfDate):
        making.replicated(feed).receive_blocks(1, feed.prove_blocks([(0, 0)]))


def test_a_storage_that_lost_its_roots_is_called_damaged() -> None:
    feed = making.written(making.blocks(5))
    storage = MemoryStorage()
    full = feed.append([], making.writer())
    storage.store(replace(full, base=EMPTY))
    with pytest.raises(StorageDamaged):
        Feed(feed.key, storage).tree()


def test_a_storage_with_other_roots_is_called_damaged() -> None:
    feed = making.written(making.blocks(4))
    feed.storage.store(Batch(feed.head, {}, [feed.tree().roots[0]._replace(hash=bytes(32))]))
    with pytest.raises(StorageDamaged):
        Feed(feed.key, feed.storage, feed.storage.manifest()).append([b"more"], making.writer())


def test_a_storage_with_another_signature_does_not_pass_the_check() -> None:
    feed = making.written(making.blocks(5))
    batch = feed.append([], making.writer())
    assert batch.head
    feed.storage.store(replace(batch, head=replace(batch.head, signature=making.written([b"x"]).head.signature)))
    with pytest.raises(BadSignature):
        feed.check()


def test_a_proof_of_nothing_changes_nothing() -> None:
    feed = making.written(making.blocks(3))
    batch = feed.receive(Proof(0))
    assert (batch.blocks, list(batch.nodes), batch.head) == ({}, [], None)


@pytest.mark.parametrize("size", [0, 31, 33, 65])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(Unencodable):
        Feed(bytes(size), MemoryStorage())


def test_two_feeds_of_one_process_know_nothing_of_each_other() -> None:
    one, other = making.written([b"one"]), core.created(making.writer(8).public_key, MemoryStorage())
    assert one.key != other.key
    assert other.head == EMPTY
