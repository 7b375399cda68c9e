"""The cores that the npm package made, recomputed: keys, nodes, hashes and signatures, byte for byte."""

from __future__ import annotations

import json

import pytest

from crow_plugins.feed import core, hashing, manifest
from crow_plugins.feed.core import Feed
from crow_plugins.feed.proof import BlockRequest, ProofRequest, UpgradeRequest
from crow_plugins.feed.storage import MemoryStorage
from tests.feed import making
from tests.feed.making import Vector
from tests.interop import npm

VECTORS = {case["name"]: Vector.of(case) for case in making.CORES}

vectors = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)


def opened(vector: Vector) -> Feed:
    return Feed(vector.key, MemoryStorage(), vector.manifest)


def rewritten(vector: Vector) -> Feed:
    """The same blocks appended by us; a fork is reached as npm did: by writing more, and cutting."""
    feed, blocks = opened(vector), list(vector.blocks)
    spare = [b"cut off"] * 3 if vector.fork else []
    feed.storage.store(feed.append(blocks + spare, vector.writer))
    if vector.fork:
        feed.storage.store(feed.truncate(vector.length, vector.fork, vector.writer))
    return feed


def test_namespaces() -> None:
    ours = [hashing.TREE, hashing.REPLICATE_INITIATOR, hashing.REPLICATE_RESPONDER]
    ours += [hashing.MANIFEST, hashing.DEFAULT_NAMESPACE]
    assert [label.hex() for label in ours] == making.NAMESPACES["hypercore"][:5]
    stream = hashing.namespaces("hyperswarm/secret-stream", 3)
    assert [label.hex() for label in stream] == making.NAMESPACES["ss"]


def test_hashes() -> None:
    assert hashing.leaf_hash(b"hello world").hex().startswith("9f1b578fd57a4df015493d2886aec960")
    assert hashing.leaf_hash(b"").hex().startswith("5187b7a8021bf4f2c004ea3a54cfece1")
    assert hashing.discovery_key(b"\7" * 32).hex().startswith("756b62ece5e350cafb254c479876815b")


@vectors
def test_keys_and_manifests(vector: Vector) -> None:
    feed = opened(vector)
    assert feed.discovery_key == vector.discovery_key
    assert feed.manifest is not None
    assert manifest.encode(feed.manifest) == vector.manifest
    assert manifest.authority(vector.key, vector.manifest).compat or feed.manifest.key == vector.key


def test_a_new_feed_has_the_key_that_npm_gives_it() -> None:
    vector = VECTORS["v1-default"]
    assert core.created(vector.writer.public_key, MemoryStorage()).key == vector.key


@vectors
def test_trees_and_signatures(vector: Vector) -> None:
    feed = rewritten(vector)
    indexes = [node.index for node in vector.nodes]
    assert [feed.storage.nodes(indexes)[index] for index in indexes] == vector.nodes
    assert [root.index for root in feed.tree().roots] == vector.roots
    assert feed.head.tree_hash == vector.tree_hash
    assert feed.head.signature == vector.signature
    assert feed.head.byte_length == vector.byte_length
    feed.check()


@vectors
def test_a_signed_head_and_its_blocks_are_verified_into_a_copy(vector: Vector) -> None:
    source = rewritten(vector)
    copy = Feed(vector.key, MemoryStorage())
    request = ProofRequest(upgrade=UpgradeRequest(0, vector.length), manifest=True)
    if vector.fork:
        copy.storage.store(copy.reorganise(source.prove(request)).batch)
    else:
        copy.storage.store(copy.receive(source.prove(request)))
    for seq, levels in making.planned(copy, list(range(vector.length))):
        copy.storage.store(copy.receive(source.prove(ProofRequest(block=BlockRequest(seq, levels)))))
    assert [copy.block(seq) for seq in range(vector.length)] == vector.blocks
    assert copy.head == source.head
    assert copy.storage.manifest() == vector.manifest


def test_proofs_of_every_kind() -> None:
    """What npm answered to a hundred requests, those that it refused among them."""
    feed = npm.ours(npm.VECTORS_COUNT)
    for case in json.loads(npm.VECTORS.read_text()):
        made = npm.answer(feed, npm.request_of(case["request"]))
        if "error" in case["proof"]:
            assert "error" in made, case["request"]
        else:
            assert made == case["proof"], case["request"]
