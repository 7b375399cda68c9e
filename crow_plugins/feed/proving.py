"""Making proofs: what a peer asked for, with the nodes that lead it to what the peer trusts already.

Where the nodes lie follows from the request alone, so a proof is planned first and all its nodes are fetched at once;
only a seek must look at sizes on its way down. What the peer really holds is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from crow_plugins.feed import flat_tree
from crow_plugins.feed.errors import BadRequest, NotHeld
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.head import Head
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
)

Fetch = Callable[[Iterable[int]], Mapping[int, Node]]


@dataclass(slots=True)
class Plan:
    """Which nodes each part of a proof consists of, by flat index; None is a part that is not there."""

    path: list[int] | None = None
    seek: list[int] | None = None
    upgrade: list[int] = field(default_factory=list)
    additional: list[int] = field(default_factory=list)

    def indexes(self) -> list[int]:
        return [*(self.path or ()), *(self.seek or ()), *self.upgrade, *self.additional]


def plan(request: ProofRequest, length: int, fetch: Fetch) -> Plan:
    """The nodes that answer a request to a feed of this length. Raises `BadRequest`, `NotHeld`."""
    upgrade = request.upgrade
    start = upgrade.start if upgrade else 0
    end = upgrade.start + upgrade.length if upgrade else length
    if not start < end <= length:
        raise BadRequest("an upgrade that leads nowhere, or further than the feed")
    planner = _Planner(_Target.of(request.block, request.hash), request.seek, end, fetch)
    if upgrade is None or planner.below(start):
        planner.path_below(end)
    if upgrade:
        planner.upgrade(start, end, length)
    if planner.target and planner.plan.path is None:
        raise BadRequest("a node that is not in that part of the feed")
    return planner.plan


def assembled(
    request: ProofRequest, plan: Plan, nodes: Mapping[int, Node], block: bytes, head: Head, manifest: bytes | None
) -> Proof:
    """The answer, of nodes that were fetched as planned."""

    def listed(indexes: list[int] | None) -> list[Node]:
        return [nodes[index] for index in indexes or ()]

    path, seek, upgrade = listed(plan.path), plan.seek, request.upgrade
    additional = listed(plan.additional)
    return Proof(
        head.fork,
        block=BlockProof(request.block.index, block, path) if request.block else None,
        hash=HashProof(request.hash.index, path) if request.hash else None,
        seek=SeekProof(request.seek.bytes, listed(seek)) if request.seek and seek else None,
        upgrade=UpgradeProof(upgrade.start, upgrade.length, listed(plan.upgrade), additional, head.signature)
        if upgrade
        else None,
        manifest=manifest,
    )


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a path begins: at a block's leaf, which the block itself stands for, or at a node that must be sent."""

    index: int
    levels: int
    sent: bool

    @classmethod
    def of(cls, block: BlockRequest | None, hash: HashRequest | None) -> _Target | None:
        if block:
            return cls(2 * block.index, block.nodes, sent=False)
        return cls(hash.index, hash.nodes, sent=True) if hash else None


class _Planner:
    """Puts one plan together, part by part."""

    def __init__(self, target: _Target | None, seek: SeekRequest | None, end: int, fetch: Fetch) -> None:
        self.plan = Plan()
        self.target = target
        self._seek = seek
        self._sizes = _Sizes(fetch, seek.padding if seek else 0)
        self._end = end
        if target and flat_tree.right_span(target.index) >= 2 * end:
            raise BadRequest("a node beyond the end of the feed")

    def below(self, length: int) -> bool:
        """Whether the target lies wholly in a tree of this length."""
        return self.target is not None and flat_tree.right_span(self.target.index) < 2 * length

    def path_below(self, end: int) -> None:
        """The path of a target in the part that the peer has: as many levels as it asked for."""
        if self.target is None:
            return
        top = self._top(self.target, end)
        self._branch(self._sought_below(top) if self._seek else None, top)

    def upgrade(self, start: int, end: int, length: int) -> None:
        """The subtrees from one length to the next; where one holds the target, its path stands in for it."""
        if self._seek and self.target and not self.below(start):
            raise BadRequest("a seek and a new block in one")
        inside = self._inside(end)
        for index in flat_tree.bridge(start, end):
            if inside is not None and flat_tree.covers(index, inside):
                self._branch(inside if self._seek else None, index)
                inside = None
            else:
                self.plan.upgrade.append(index)
        self.plan.additional = flat_tree.bridge(end, length)

    def _inside(self, end: int) -> int | None:
        """What is to be reached within the new subtrees, if it was not reached in the old ones."""
        if self.plan.path is not None or self.plan.seek is not None:
            return None
        if self._seek:
            return self._sought(end)
        return self.target.index if self.target else None

    def _branch(self, sought: int | None, top: int) -> None:
        """The path from the target up to `top`; where it passes what is sought, that path stands in."""
        if self.target is None:
            assert sought is not None
            self.plan.seek = _path(sought, top)
            return
        index = self.target.index
        path = [index] if self.target.sent else []
        while index != top:
            beside = flat_tree.sibling(index)
            if sought is not None and sought != beside and flat_tree.covers(beside, sought):
                self.plan.seek = _path(sought, beside)
            else:
                path.append(beside)
            index = flat_tree.parent(index)
        self.plan.path = path

    def _top(self, target: _Target, end: int) -> int:
        if target.levels > end.bit_length():
            raise BadRequest("a path that leaves the feed")
        top = flat_tree.ancestor(target.index, target.levels)
        if flat_tree.right_span(top) >= 2 * end:
            raise BadRequest("a path that leaves the feed")
        return top

    def _sought_below(self, top: int) -> int:
        """The node of the byte sought, which must lie below `top`."""
        assert self._seek is not None
        before = self._sizes.before(top)
        if not before <= self._seek.bytes < before + self._sizes.of(top):
            raise BadRequest("a byte that is not where it is sought")
        return self._sizes.descend(top, self._seek.bytes - before)

    def _sought(self, end: int) -> int | None:
        """The node of the byte sought in the whole tree; None beyond its end."""
        assert self._seek is not None
        bytes_left = self._seek.bytes
        for root in flat_tree.roots(end):
            size = self._sizes.of(root)
            if bytes_left == size:
                return root
            if bytes_left < size:
                return self._sizes.descend(root, bytes_left)
            bytes_left -= size
        return None


class _Sizes:
    """Payload bytes below nodes, without the padding of each block."""

    def __init__(self, fetch: Fetch, padding: int) -> None:
        self._fetch = fetch
        self._padding = padding

    def of(self, index: int) -> int:
        size = self._known(index)
        if size is None:
            raise NotHeld(f"node {index}")
        return size

    def before(self, index: int) -> int:
        """Bytes of all that lies left of a node."""
        return sum(map(self.of, flat_tree.roots(flat_tree.left_span(index) // 2)))

    def descend(self, top: int, bytes_left: int) -> int:
        """The lowest known node that begins with the byte, or holds it."""
        index = top
        while bytes_left and index & 1:
            left, right = flat_tree.children(index)
            size = self._known(left)
            if size is None:
                return index
            if size == bytes_left:
                return left
            index, bytes_left = (left, bytes_left) if bytes_left < size else (right, bytes_left - size)
        return index

    def _known(self, index: int) -> int | None:
        node = self._fetch((index,)).get(index)
        return node and node.size - self._padding * flat_tree.leaves(index)


def _path(index: int, top: int) -> list[int]:
    """A node, then the siblings from it up to, not including, the level of `top`."""
    path = [index]
    while index != top:
        path.append(flat_tree.sibling(index))
        index = flat_tree.parent(index)
    return path
