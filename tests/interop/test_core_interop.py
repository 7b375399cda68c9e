"""The npm Hypercore, as a real other process, and the feed: each checks what the other wrote, byte for byte."""

from __future__ import annotations

import pytest

from crow_plugins.feed import manifest
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.proof import BlockRequest, Proof, ProofRequest, UpgradeRequest
from tests.feed import making
from tests.interop.npm import (
    HERE_TOO,
    answer,
    content,
    into,
    node,
    npm_counts_right,
    ours,
    out_of,
    some_requests,
    theirs,
)

pytestmark = pytest.mark.skipif(
    not HERE_TOO,
    reason="the npm Hypercore is not here: install Node.js, then run `npm install` in tests/interop",
)


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
@pytest.mark.parametrize("compat", [False, True], ids=["manifest", "compat"])
def test_both_write_the_same_feed_byte_for_byte(count: int, compat: bool) -> None:
    offsets = [0, len(content(count)[0]) - 1, sum(map(len, content(count))) - 1]
    written, feed = theirs(count, [], compat=compat, seeks=offsets), ours(count, compat=compat)
    head = feed.head
    assert feed.manifest is not None
    assert {name: written[name] for name in ("fork", "length", "byte_length", "seeks")} == {
        "fork": head.fork,
        "length": head.length,
        "byte_length": head.byte_length,
        "seeks": [list(feed.seek(offset)) for offset in offsets],
    }
    assert written["key"] == feed.key.hex()
    assert written["discovery_key"] == feed.discovery_key.hex()
    assert written["manifest"] == manifest.encode(feed.manifest).hex()
    assert written["tree_hash"] == head.tree_hash.hex()
    assert written["signature"] == head.signature.hex()


@pytest.mark.parametrize("count", [1, 2, 3, 23, 64, 1000])
def test_both_answer_every_kind_of_request_with_the_same_proof(count: int) -> None:
    feed = ours(count)
    requests = [request for request in some_requests(count, seed=count) if npm_counts_right(request, count)]
    for request, proof in zip(requests, theirs(count, requests)["proofs"], strict=True):
        made = answer(feed, request)
        assert ("error" in made) if "error" in proof else (made == proof), request


@pytest.mark.parametrize("count", [1, 2, 3, 23, 1000])
def test_a_feed_that_npm_wrote_is_copied_and_verified(count: int) -> None:
    feed = ours(count)
    copy = making.copy_of(feed)
    upgrade = ProofRequest(upgrade=UpgradeRequest(0, count))
    requests = [ProofRequest(block=BlockRequest(seq, levels)) for seq, levels in levels_of(feed)]
    written = theirs(count, [upgrade, *requests])
    for proof in written["proofs"]:
        copy.storage.store(copy.receive(into(proof)))
    assert copy.head.signature.hex() == written["signature"]
    assert [copy.block(seq) for seq in range(count)] == list(content(count))


@pytest.mark.parametrize("count", [1, 2, 3, 23, 1000])
def test_npm_verifies_a_feed_that_we_wrote(count: int) -> None:
    feed = ours(count)
    upgrade = out_of(feed.prove(ProofRequest(upgrade=UpgradeRequest(0, count))))
    blocks = [out_of(Proof(0, block)) for block in feed.prove_blocks(levels_of(feed))]
    assert feed.manifest is not None
    proofs, encoded = [upgrade, *blocks], manifest.encode(feed.manifest).hex()
    checked = node("check", key=feed.key.hex(), manifest=encoded, proofs=proofs)
    assert set(checked["results"]) == {True}
    assert checked["tree_hash"] == feed.head.tree_hash.hex()
    assert checked["blocks"] == [block.hex() for block in content(count)]


def test_npm_refuses_a_changed_block_and_a_changed_signature_and_so_do_we() -> None:
    feed = ours(9)
    good = out_of(feed.prove(ProofRequest(BlockRequest(4, 0), upgrade=UpgradeRequest(0, 9))))
    wrong_block = {**good, "block": {**good["block"], "value": "00"}}
    wrong_signature = {**good, "upgrade": {**good["upgrade"], "signature": "0100" + "11" * 64 + "0000"}}
    assert feed.manifest is not None
    encoded = manifest.encode(feed.manifest).hex()
    proofs = [wrong_block, wrong_signature]
    for refused in node("check", key=feed.key.hex(), manifest=encoded, proofs=proofs)["results"]:
        assert refused == "INVALID_SIGNATURE"
    for proof in proofs:
        with pytest.raises(RemoteProtocolError, match="sign"):
            making.copy_of(feed).receive(into(proof))


def test_a_fork_of_npm_is_signed_and_cut_as_ours() -> None:
    written, feed = theirs(23, [ProofRequest(upgrade=UpgradeRequest(0, 12))], truncate=[12, 5]), ours(23)
    copy = making.replicated(feed)
    making.truncate(feed, 12, 5)
    assert written["signature"] == feed.head.signature.hex()
    found = copy.reorganise(into(written["proofs"][0]))
    copy.storage.store(found.batch)
    assert copy.head == feed.head
    assert found.ancestor == 12


def levels_of(feed: Feed) -> list[tuple[int, int]]:
    """All blocks in order, as one who has the roots asks for them."""
    copy = making.copy_of(feed)
    making.upgrade(feed, copy)
    return making.planned(copy, list(range(feed.head.length)))
