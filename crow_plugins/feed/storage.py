"""Where a feed's blocks, nodes and head are kept: a small protocol, and the same in memory.

A feed decides what to store and hands it over as one `Batch`, all of it or nothing; a storage decides nothing. It
answers for what it holds and never for what is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from crow_plugins.feed import flat_tree
from crow_plugins.feed.errors import WrongState
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.head import EMPTY, Head
from crow_plugins.feed.held import Held


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be stored together, in this order: cut, then blocks and nodes, then the head.

    `base` is the head it was worked out from: a storage whose head is another refuses. `cut` is the length that the
    feed is cut to first, None for no cut; `head` is None when it stays. A node may be given again: the last one counts.
    """

    base: Head
    blocks: Mapping[int, bytes]
    nodes: Sequence[Node]
    head: Head | None = None
    cut: int | None = None
    manifest: bytes | None = None


class Storage(Protocol):
    """One feed's place. Reads see what was stored before; in a database, what this transaction has stored too."""

    def head(self) -> Head:
        """`head.EMPTY` until one is stored."""

    def manifest(self) -> bytes | None:
        """As it was stored; None as long as none is known."""

    def nodes(self, indexes: Iterable[int]) -> Mapping[int, Node]:
        """Those that are held, by flat index."""

    def blocks(self, seqs: Iterable[int]) -> Mapping[int, bytes]:
        """Those that are held, by seq."""

    def held(self) -> Held:
        """Which blocks are held; read it, do not change it."""

    def store(self, batch: Batch) -> None:
        """All of it, or nothing and an error. Raises `WrongState` if `batch.base` is not the head."""


class MemoryStorage:
    """A feed in memory: for tests, and for feeds that need not outlive the process.

    Sizes and hashes lie in dictionaries of plain numbers and bytes, which the garbage collector need not walk.
    """

    def __init__(self) -> None:
        self._head = EMPTY
        self._manifest: bytes | None = None
        self._blocks: dict[int, bytes] = {}
        self._sizes: dict[int, int] = {}
        self._hashes: dict[int, bytes] = {}
        self._held = Held()

    def head(self) -> Head:
        return self._head

    def manifest(self) -> bytes | None:
        return self._manifest

    def nodes(self, indexes: Iterable[int]) -> Mapping[int, Node]:
        sizes, hashes = self._sizes, self._hashes
        return {index: Node(index, sizes[index], hashes[index]) for index in indexes if index in sizes}

    def blocks(self, seqs: Iterable[int]) -> Mapping[int, bytes]:
        blocks = self._blocks
        return {seq: blocks[seq] for seq in seqs if seq in blocks}

    def held(self) -> Held:
        return self._held

    def store(self, batch: Batch) -> None:
        if batch.base != self._head:
            raise WrongState("the feed has changed since this was worked out")
        if batch.cut is not None:
            self._cut(batch.cut)
        self._blocks.update(batch.blocks)
        self._held.add_all(batch.blocks)
        for index, size, hash in batch.nodes:
            self._sizes[index] = size
            self._hashes[index] = hash
        self._head = batch.head or self._head
        self._manifest = batch.manifest or self._manifest

    def _cut(self, length: int) -> None:
        crossing = set(flat_tree.crossing(length))
        for index in [index for index in self._sizes if index >= 2 * length or index in crossing]:
            del self._sizes[index], self._hashes[index]
        for seq in [seq for seq in self._blocks if seq >= length]:
            del self._blocks[seq]
        self._held.cut(length)
