"""What peers ask of a feed and what they answer: a block or a node with the path to what is trusted, a longer head.

Values only. How an answer is made is in `proving`, how it is checked in `checking`, how it lies on the wire in
`messages`. What is made for every block is not frozen, here and there: it takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crow_plugins.feed.hashing import Node


@dataclass(slots=True)
class BlockRequest:
    """Block `index`, and the siblings on the way up, `nodes` levels: there the asker holds a trusted node."""

    index: int
    nodes: int


@dataclass(frozen=True, slots=True)
class HashRequest:
    """Tree node `index` (flat), and the siblings on the way up, `nodes` levels."""

    index: int
    nodes: int


@dataclass(frozen=True, slots=True)
class SeekRequest:
    """The nodes that show where payload byte `bytes` lies; `padding` bytes of each block do not count."""

    bytes: int
    padding: int = 0


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A signed head: the asker holds `start` blocks' tree and wants `length` more."""

    start: int
    length: int


@dataclass(slots=True)
class ProofRequest:
    """All that can be asked at once; a block and a hash exclude each other."""

    block: BlockRequest | None = None
    hash: HashRequest | None = None
    seek: SeekRequest | None = None
    upgrade: UpgradeRequest | None = None
    manifest: bool = False


@dataclass(slots=True)
class BlockProof:
    """A block's bytes, and siblings from its leaf upwards."""

    index: int
    value: bytes
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class HashProof:
    """The node asked for, then siblings from it upwards."""

    index: int
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class SeekProof:
    """A node at or above the byte sought, then siblings from it upwards."""

    bytes: int
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class UpgradeProof:
    """Subtrees that lead from `start` to `start + length`, then on to the head that is signed, however long that is."""

    start: int
    length: int
    nodes: Sequence[Node]
    additional_nodes: Sequence[Node]
    signature: bytes


@dataclass(slots=True)
class Proof:
    """An answer. `manifest` is encoded; whoever knows the key can check it."""

    fork: int
    block: BlockProof | None = None
    hash: HashProof | None = None
    seek: SeekProof | None = None
    upgrade: UpgradeProof | None = None
    manifest: bytes | None = None
