"""A writer that went back: followed to a higher fork, or shown to have signed two feeds under one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crow_plugins.feed import conflict, flat_tree
from crow_plugins.feed.conflict import Conflict
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import BadProof, BadSignature, OutOfDate, RemoteProtocolError, WrongState
from crow_plugins.feed.manifest import authority
from crow_plugins.feed.proof import HashRequest, ProofRequest, UpgradeRequest
from tests.feed import making


def forked(length: int, at: int, more: int, fork: int = 1) -> Feed:
    """A feed of `length` blocks, cut, and written on otherwise."""
    feed = making.written(making.blocks(length))
    making.truncate(feed, at, fork)
    if more:
        making.append(feed, [b"other %d" % seq for seq in range(more)])
    return feed


def head_of(feed: Feed) -> ProofRequest:
    return ProofRequest(upgrade=UpgradeRequest(0, feed.head.length))


def follow(source: Feed, copy: Feed) -> tuple[int, int]:
    """The ancestor that was found, and how many questions it took."""
    search, questions = copy.reorganise(source.prove(head_of(source))), 0
    while search.request:
        search.receive(source.prove(ProofRequest(hash=search.request)))
        questions += 1
    copy.storage.store(search.batch)
    making.download(source, copy)
    return search.ancestor, questions


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 140), st.data())
def test_a_copy_finds_exactly_the_common_blocks_and_follows(length: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, length))
    more = data.draw(st.integers(0 if at else 1, 140))
    source, copy = forked(length, at, more), making.replicated(making.written(making.blocks(length)))
    ancestor, questions = follow(source, copy)
    assert ancestor == at
    assert questions <= 9
    assert copy.head == source.head
    assert copy.storage.nodes(range(999)) == source.storage.nodes(range(999))
    assert copy.storage.blocks(range(999)) == source.storage.blocks(range(999))
    copy.check()


def test_a_fork_with_an_unchanged_tree_costs_nothing() -> None:
    source, copy = forked(20, 20, 0, fork=1_700_000_000), making.replicated(making.written(making.blocks(20)))
    assert follow(source, copy) == (20, 0)
    assert copy.storage.held().contiguous == 20


def test_a_new_copy_begins_at_any_fork() -> None:
    source = forked(20, 5, 9)
    copy = making.copy_of(source)
    assert follow(source, copy) == (0, 0)
    assert copy.head == source.head


def test_a_copy_with_gaps_follows_and_loses_at_most_what_it_cannot_compare() -> None:
    source, copy = forked(64, 40, 30), making.copy_of(making.new_feed())
    making.upgrade(making.written(making.blocks(64)), copy)
    ancestor, _ = follow(source, copy)
    assert ancestor <= 40
    assert copy.storage.held().contiguous == 70
    copy.check()


def test_nothing_is_stored_before_the_common_blocks_are_known() -> None:
    source, copy = forked(20, 5, 9), making.replicated(making.written(making.blocks(20)))
    search = copy.reorganise(source.prove(head_of(source)))
    assert not search.finished
    with pytest.raises(WrongState):
        _ = search.batch


@pytest.mark.parametrize("fork", [0, 1])
def test_a_fork_that_is_not_higher_is_not_followed(fork: int) -> None:
    source, copy = forked(20, 5, 9), making.replicated(making.written(making.blocks(20)))
    follow(source, copy)
    proof = source.prove(head_of(source))
    with pytest.raises(OutOfDate):
        copy.reorganise(replace(proof, fork=fork))


def test_a_higher_fork_must_be_signed() -> None:
    source, copy = forked(20, 5, 9), making.replicated(making.written(making.blocks(20)))
    proof = source.prove(head_of(source))
    with pytest.raises(BadSignature):
        copy.reorganise(replace(proof, fork=2))
    with pytest.raises(BadProof):
        copy.reorganise(replace(proof, upgrade=None))


def test_a_node_beside_a_higher_fork_must_be_of_its_tree() -> None:
    source, copy = forked(20, 5, 9), making.replicated(making.written(making.blocks(20)))
    with_hash = source.prove(ProofRequest(hash=HashRequest(0, 2), upgrade=UpgradeRequest(8, 6)))
    proof = replace(source.prove(head_of(source)), hash=with_hash.hash)
    with pytest.raises(BadProof):
        copy.reorganise(proof)


@settings(deadline=None)
@given(st.integers(0, 4), st.integers(0, 2), st.integers(0, 31))
def test_false_hashes_on_the_way_are_refused(place: int, part: int, byte: int) -> None:
    source, copy = forked(20, 5, 15), making.replicated(making.written(making.blocks(20)))
    search = copy.reorganise(source.prove(head_of(source)))
    assert search.request
    proof = source.prove(ProofRequest(hash=search.request))
    assert proof.hash
    node = proof.hash.nodes[place]
    hash = node.hash[:byte] + bytes([node.hash[byte] ^ 1]) + node.hash[byte + 1 :]
    wrong = [node._replace(index=node.index + 2), node._replace(size=node.size + 1), node._replace(hash=hash)][part]
    nodes = [*proof.hash.nodes[:place], wrong, *proof.hash.nodes[place + 1 :]]
    with pytest.raises(RemoteProtocolError):
        search.receive(replace(proof, hash=replace(proof.hash, nodes=nodes)))


def test_other_hashes_than_were_asked_for_are_refused() -> None:
    source, copy = forked(20, 5, 15), making.replicated(making.written(making.blocks(20)))
    search = copy.reorganise(source.prove(head_of(source)))
    assert search.request
    levels = search.request.nodes
    for other in (HashRequest(2, levels), HashRequest(0, levels - 1), HashRequest(1, levels - 1)):
        with pytest.raises(BadProof):
            search.receive(source.prove(ProofRequest(hash=other)))
    with pytest.raises(BadProof):
        search.receive(source.prove(head_of(source)))
    search.receive(source.prove(ProofRequest(hash=search.request)))


# --- two feeds under one fork ---


def branches(common: int, ours: int, theirs: int) -> tuple[Feed, Feed]:
    """Two feeds that one key signed, alike so far and then not."""
    feeds = making.written(making.blocks(common)), making.written(making.blocks(common))
    for feed, name, more in zip(feeds, (b"our", b"their"), (ours, theirs), strict=True):
        making.append(feed, [b"%s %d" % (name, seq) for seq in range(more)])
    return feeds


def shown(ours: Feed, theirs: Feed) -> Conflict | None:
    """What our side finds out by asking theirs for the roots at the length that both have."""
    length = min(ours.head.length, theirs.head.length)
    return ours.conflict(theirs.prove(conflict.from_nothing(length)))


@pytest.mark.parametrize(("ours", "theirs"), [(1, 1), (3, 3), (1, 9), (9, 1), (40, 2)])
@pytest.mark.parametrize("common", [0, 1, 8, 13])
def test_two_heads_that_do_not_extend_each_other_are_shown_with_both(common: int, ours: int, theirs: int) -> None:
    one, other = branches(common, ours, theirs)
    found = shown(one, other)
    assert found
    assert (found.fork, found.length) == (0, common + min(ours, theirs))
    known = authority(one.key, one.encoded_manifest)
    assert {conflict.signed_head(known, proof) for proof in (found.local, found.remote)} == {one.head, other.head}
    assert conflict.conflict(known, found.local, found.remote) == found


@pytest.mark.parametrize("more", [0, 1, 5, 30])
def test_a_head_that_extends_ours_or_is_extended_by_it_is_no_conflict(more: int) -> None:
    shorter = making.written(making.blocks(9))
    longer = making.written(making.blocks(9 + more))
    assert shown(shorter, longer) is None
    assert shown(longer, shorter) is None


def test_the_upgrade_of_another_branch_is_refused_as_unsigned() -> None:
    one, other = branches(8, 1, 5)
    with pytest.raises(BadSignature):
        one.receive(other.prove(ProofRequest(upgrade=UpgradeRequest(9, 4))))


def test_nobody_else_can_make_the_evidence() -> None:
    one, other = branches(8, 3, 3)
    proof = other.prove(conflict.from_nothing(11))
    assert proof.upgrade
    stranger = making.written(making.blocks(11), seed=8).prove(conflict.from_nothing(11))
    assert stranger.upgrade
    forged = replace(proof, upgrade=replace(proof.upgrade, signature=stranger.upgrade.signature))
    for wrong in (forged, stranger):
        with pytest.raises(BadSignature):
            one.conflict(wrong)
    for reason in (replace(proof, upgrade=None), replace(proof, fork=1)):
        with pytest.raises(OutOfDate):
            one.conflict(reason)


def test_proofs_for_different_lengths_or_forks_are_no_evidence() -> None:
    one, other = branches(8, 3, 3)
    known = authority(one.key, one.encoded_manifest)
    local = one.prove(conflict.from_nothing(11))
    shorter = other.prove(conflict.from_nothing(10))
    making.truncate(other, 11, 1)
    for remote in (shorter, other.prove(conflict.from_nothing(11))):
        with pytest.raises(BadProof):
            conflict.conflict(known, local, remote)


def test_a_proof_of_more_than_we_have_is_not_compared() -> None:
    one, other = branches(8, 3, 5)
    with pytest.raises(OutOfDate):
        one.conflict(other.prove(conflict.from_nothing(13)))
    with pytest.raises(OutOfDate):
        one.conflict(other.prove(ProofRequest(upgrade=UpgradeRequest(3, 8))))


def test_a_conflict_heals_by_a_higher_fork() -> None:
    one, other = branches(8, 3, 3)
    assert shown(one, other)
    making.truncate(other, 11, 1_700_000_000)
    assert follow(other, one) == (8, 1)
    assert one.head == other.head
    assert flat_tree.roots(11) == [root.index for root in one.tree().roots]
