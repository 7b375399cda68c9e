"""Following a writer to a higher fork: where did the new tree leave the old one?

The new head is signed, so its roots are trusted; from the first that differs from ours the way leads down, towards
the first block that differs, asking for hashes as it goes. Nothing is cut before that block is known. Nodes on the
way are looked at and not kept: they come again, with the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crow_plugins.feed import checking, flat_tree
from crow_plugins.feed.errors import BadProof, OutOfDate, WrongState
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.head import Head
from crow_plugins.feed.proof import HashRequest, Proof
from crow_plugins.feed.storage import Batch, Storage


class Reorganisation:
    """The search for the last common block. It holds while the feed's head stays as it was."""

    def __init__(self, base: Batch, roots: Sequence[Node], storage: Storage) -> None:
        """`base` is what to store once the cut is known; `roots` are those of the new head, which is signed."""
        assert base.head is not None
        self._base = base
        self.storage = storage  # another one of the same feed may take its place, in another transaction
        self._fork = base.head.fork
        self._end = min(base.head.length, base.base.length)
        self._diff = self._first_that_differs(roots)

    def holds(self, head: Head, fork: int) -> bool:
        """Whether it still is the way from this head of ours to that fork."""
        return self._base.base == head and self._fork == fork

    @property
    def ancestor(self) -> int:
        """How many blocks the two forks are known to have in common; all of them, once it is `finished`."""
        if self._diff is None:
            return self._end
        return min(self._end, flat_tree.left_span(self._diff.index) // 2)

    @property
    def finished(self) -> bool:
        return self._diff is None or not self._diff.index & 1 or self.ancestor >= self._end

    @property
    def request(self) -> HashRequest | None:
        """What to ask a peer of the new fork next; None when finished."""
        if self.finished or self._diff is None:
            return None
        return HashRequest(flat_tree.left_span(self._diff.index), flat_tree.depth(self._diff.index))

    @property
    def batch(self) -> Batch:
        """What to store. Raises `WrongState` before it is finished."""
        if not self.finished:
            raise WrongState("the last common block is not found yet")
        return replace(self._base, cut=self.ancestor)

    def receive(self, proof: Proof) -> None:
        """The answer to `request`. Raises `BadProof`, and then the peer did not tell the truth."""
        if proof.fork != self._fork or self._diff is None or self.finished:
            raise OutOfDate
        if proof.hash is None or proof.upgrade:
            raise BadProof("hashes were asked for")
        hashes = checking.hashes_below(self._diff, proof.hash)
        self._diff = self._lowest_that_differs(self._diff, hashes)

    def _first_that_differs(self, nodes: Sequence[Node]) -> Node | None:
        ours = self.storage.nodes([node.index for node in nodes])
        return next((node for node in nodes if not _same(ours.get(node.index), node)), None)

    def _lowest_that_differs(self, diff: Node, below: Mapping[int, Node]) -> Node:
        """Down from a node that differs to the first child that does, as far as the hashes reach."""
        while diff.index & 1:
            left, right = flat_tree.children(diff.index)
            if left not in below or right not in below:
                return diff
            same = self._first_that_differs([below[left]]) is None
            diff = below[right] if same else below[left]
        return diff


def _same(ours: Node | None, theirs: Node) -> bool:
    return ours is not None and ours.hash == theirs.hash
