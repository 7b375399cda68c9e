"""The hashes of a feed: of its blocks, of the nodes above them, of the whole tree; and its public name.

BLAKE2b of 32 bytes throughout. A leading byte keeps the three kinds apart, and sizes are hashed with the content, so
that a hash commits to how many bytes lie below it. Nothing here knows a key's owner or what was signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import repeat
from operator import add
from struct import Struct
from typing import NamedTuple

HASH_BYTES = 32

_leaf_header = Struct("<BQ").pack
_parent = Struct("<BQ32s32s").pack
_root = Struct("<32sQQ").pack


class Node(NamedTuple):
    """One node of a flat tree: where it is, how many payload bytes lie below it, and its hash of 32 bytes."""

    index: int  # type: ignore[assignment]  # hides a tuple's search, which nobody does in a node
    size: int
    hash: bytes


def digest(*parts: bytes) -> bytes:
    """32 bytes over all parts as if they were one."""
    return blake2b(b"".join(parts), digest_size=HASH_BYTES).digest()


def namespaces(name: str, count: int) -> list[bytes]:
    """Labels of 32 bytes that keep one name's purposes apart."""
    seed = digest(name.encode())
    return [digest(seed, bytes([number])) for number in range(count)]


TREE, REPLICATE_INITIATOR, REPLICATE_RESPONDER, MANIFEST, DEFAULT_NAMESPACE = namespaces("hypercore", 5)


def discovery_key(key: bytes) -> bytes:
    """The name under which a feed is asked for: it shows nothing of the key, which is the right to read."""
    return blake2b(b"hypercore", key=key, digest_size=HASH_BYTES).digest()


def leaf(seq: int, block: bytes) -> Node:
    return Node(2 * seq, len(block), leaf_hash(block))


def leaf_hash(block: bytes) -> bytes:
    return blake2b(_leaf_header(0, len(block)) + block, digest_size=HASH_BYTES).digest()


def leaf_hashes(blocks: Iterable[bytes]) -> list[bytes]:
    """The same for many at once."""
    header = _leaf_header
    return [blake2b(header(0, len(block)) + block, digest_size=32).digest() for block in blocks]


def parent_hash(size: int, left: bytes, right: bytes) -> bytes:
    """`size` is the payload below both children."""
    return blake2b(_parent(1, size, left, right), digest_size=HASH_BYTES).digest()


def parent(index: int, one: Node, other: Node) -> Node:
    """The node above two siblings, given in any order."""
    left, right = (one, other) if one.index < other.index else (other, one)
    size = one.size + other.size
    return Node(index, size, parent_hash(size, left.hash, right.hash))


def parents(sizes: Sequence[int], hashes: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
    """One level up: sizes and hashes over each pair of neighbours; their number is even."""
    pack = _parent
    sums = list(map(add, sizes[::2], sizes[1::2]))
    pairs = zip(sums, hashes[::2], hashes[1::2], strict=True)
    return sums, [blake2b(pack(1, size, left, right), digest_size=32).digest() for size, left, right in pairs]


def nodes(indexes: Iterable[int], sizes: Iterable[int], hashes: Iterable[bytes]) -> list[Node]:
    """Columns as nodes; made without a call of Python a node, for a long append makes two a block."""
    return list(map(tuple.__new__, repeat(Node), zip(indexes, sizes, hashes, strict=True)))


def tree_hash(roots: Iterable[Node]) -> bytes:
    """What is signed of a tree: its roots, left to right."""
    return digest(b"\x02", *(_root(hash, index, size) for index, size, hash in roots))


EMPTY_TREE_HASH = tree_hash(())
