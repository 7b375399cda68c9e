"""Small worlds for the feed: a writer, a copy, and what goes between them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from crow_plugins.feed import core
from crow_plugins.feed.core import Feed, Writer
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.proof import ProofRequest, UpgradeRequest
from crow_plugins.feed.storage import MemoryStorage

_ALL: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "vectors" / "feed" / "feed.json").read_text())
CORES = [case for case in _ALL if "name" in case]
NAMESPACES: dict[str, list[str]] = next(case["ns"] for case in _ALL if "ns" in case)


def writer(seed: int = 7) -> Writer:
    key = SigningKey(bytes([seed]) * 32)
    return Writer(bytes(key.verify_key), lambda message: key.sign(message).signature)


def new_feed(seed: int = 7) -> Feed:
    return core.created(writer(seed).public_key, MemoryStorage())


def written(blocks: list[bytes], seed: int = 7) -> Feed:
    feed = new_feed(seed)
    append(feed, blocks, seed)
    return feed


def append(feed: Feed, blocks: list[bytes], seed: int = 7) -> None:
    feed.storage.store(feed.append(blocks, writer(seed)))


def truncate(feed: Feed, length: int, fork: int, seed: int = 7) -> None:
    feed.storage.store(feed.truncate(length, fork, writer(seed)))


def blocks(count: int, start: int = 0) -> list[bytes]:
    """Blocks of all sizes from 0 to 36, each unlike any other of its size."""
    return [(b"%d." % seq) * (seq % 7) + b"x" * (seq % 3) for seq in range(start, start + count)]


def copy_of(feed: Feed) -> Feed:
    """An empty copy that knows the manifest."""
    return Feed(feed.key, MemoryStorage(), feed.encoded_manifest)


def upgrade(source: Feed, copy: Feed) -> None:
    """The head and the roots of the source, without blocks."""
    start = copy.head.length
    proof = source.prove(ProofRequest(upgrade=UpgradeRequest(start, source.head.length - start)))
    copy.storage.store(copy.receive(proof))


def download(source: Feed, copy: Feed, window: int = 64) -> None:
    """Every block that the copy lacks, asked for in order, many at once, each path as short as it can be."""
    missing = list(copy.storage.held().missing(0, copy.head.length))
    for start in range(0, len(missing), window):
        received = copy.receive_blocks(
            copy.head.fork, source.prove_blocks(planned(copy, missing[start : start + window]))
        )
        assert received.waiting == ()
        copy.storage.store(received.batch)


def planned(copy: Feed, seqs: list[int]) -> list[tuple[int, int]]:
    """Pairs of seq and levels, where what was asked for counts as held."""
    return copy.paths_wanted(seqs, set())


def levels_wanted(copy: Feed, seq: int) -> int:
    """How far up one block must be proven."""
    return copy.paths_wanted([seq], set())[0][1]


def replicated(source: Feed) -> Feed:
    copy = copy_of(source)
    upgrade(source, copy)
    download(source, copy)
    return copy


@dataclass(frozen=True)
class Vector:
    """One core that the npm package made."""

    key: bytes
    discovery_key: bytes
    manifest: bytes
    signature: bytes
    tree_hash: bytes
    nodes: list[Node]
    blocks: list[bytes]
    roots: list[int]
    seed: bytes
    fork: int
    length: int
    byte_length: int

    @classmethod
    def of(cls, case: dict[str, Any]) -> Vector:
        read = bytes.fromhex
        nodes = [Node(index, size, read(hash)) for index, size, hash in case["nodes"]]
        return cls(
            key=read(case["key"]),
            discovery_key=read(case["dkey"]),
            manifest=read(case["manifest"]),
            signature=read(case["sig"]),
            tree_hash=read(case["treeHash"]),
            nodes=nodes,
            blocks=[read(block) for block in case["blocks"]],
            roots=case["roots"],
            seed=read(case["secretKey"])[:32],
            fork=case["fork"],
            length=case["length"],
            byte_length=case["byteLength"],
        )

    @property
    def writer(self) -> Writer:
        key = SigningKey(self.seed)
        return Writer(bytes(key.verify_key), lambda message: key.sign(message).signature)
