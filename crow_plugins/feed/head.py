"""The head of a feed: which fork, how long, over which tree, and the writer's signature on that.

What is signed is fixed here to the byte; which key must have signed is the manifest's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from crow_plugins.feed.hashing import EMPTY_TREE_HASH, TREE

_position = Struct("<QQ").pack


@dataclass(frozen=True, slots=True)
class Head:
    """A feed at one moment: `length` blocks of `byte_length` bytes together; the signature is as it travels."""

    fork: int
    length: int
    byte_length: int
    tree_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `length` blocks of a feed, one or more, by the hash of their tree: what it must begin with.

    It is decided by somebody else than the feed's writer, who may have signed several beginnings.
    """

    length: int
    tree_hash: bytes


EMPTY = Head(0, 0, 0, EMPTY_TREE_HASH, b"")  # what nobody has appended to: there is nothing to sign


def signable(context: bytes, tree_hash: bytes, length: int, fork: int) -> bytes:
    """The bytes that a writer signs; `context` is the feed's key, a namespace, or empty for the oldest kind."""
    return TREE + context + tree_hash + _position(length, fork)
