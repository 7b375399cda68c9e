"""Checking proofs: a peer's nodes are walked, hashed, and must end in what is trusted or in what the writer signed.

Every node must come where it is expected. What passes is given back as nodes that may be stored, with nothing in
them that was only said. A hash commits to the payload below it, but of two siblings that were both sent only the sum
is shown: one could be made larger at the other's cost, and whoever stored them would hand out false proofs. Such
pairs are checked and not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crow_plugins.feed import flat_tree, hashing
from crow_plugins.feed import tree as trees
from crow_plugins.feed.errors import BadProof, OutOfDate, OverLimit
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.limits import BYTE_LENGTH_MAX, LENGTH_MAX, NODES_MAX
from crow_plugins.feed.proof import BlockProof, HashProof, Proof, UpgradeProof
from crow_plugins.feed.tree import Tree


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a walk ended, and the nodes on its way that may be kept once that end is trusted."""

    top: Node
    nodes: list[Node]


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree that an upgrade led to, still to be signed; `used` says whether the walk's end is part of it."""

    tree: Tree
    nodes: list[Node]
    used: bool


def walk(proof: Proof) -> Walked | None:
    """The block's, the hash's or the seek's path; None if the proof has none. Raises `BadProof`."""
    sought = _start(proof.seek.nodes) if proof.seek and proof.seek.nodes else None
    if proof.block:
        leaf = hashing.leaf(proof.block.index, proof.block.value)
        return _climb(leaf, proof.block.nodes, sought, kept=[leaf])
    if proof.hash:
        return _start(proof.hash.nodes, proof.hash.index, sought)
    return sought


def upgrade(tree: Tree, proof: UpgradeProof, stand_in: Node | None) -> Grown:
    """The tree after the upgrade, as long as it was signed. Raises `BadProof`, `OverLimit`."""
    end = proof.start + proof.length
    if proof.start != tree.length:
        raise OutOfDate
    if proof.length < 1:
        raise BadProof("an upgrade that leads nowhere")
    if end > LENGTH_MAX:
        raise OverLimit("the length of a feed", LENGTH_MAX)
    _bound(proof.nodes, proof.additional_nodes)
    queue = _Queue(proof.nodes, stand_in)
    sent = [queue.take(index) for index in flat_tree.bridge(proof.start, end)]
    queue.finish()
    tree, made = _grown(tree, [*sent, *proof.additional_nodes])
    return Grown(tree, made, queue.stand_in is None)


def block_anchor(block: BlockProof) -> int:
    """The node at which a block's path ends: it must be trusted before the block can be."""
    return flat_tree.ancestor(2 * block.index, len(block.nodes))


def block_path(block: BlockProof, trusted: Mapping[int, Node]) -> list[Node]:
    """The new nodes of a block whose anchor is trusted. Raises `BadProof`."""
    leaf = hashing.leaf(block.index, block.value)
    walked = _climb(leaf, block.nodes, None, kept=[leaf])
    if trusted[walked.top.index].hash != walked.top.hash:
        raise BadProof("a block is not the one that belongs there")
    return walked.nodes


def hashes_below(top: Node, proof: HashProof) -> dict[int, Node]:
    """The path down the left edge from a node that is trusted, by flat index. Raises `BadProof`.

    Hashes only may be believed, not sizes, and only to compare them.
    """
    if not proof.nodes or proof.index != flat_tree.left_span(top.index):
        raise BadProof("the node asked for is not there")
    first = proof.nodes[0]
    walked = _climb(first, proof.nodes[1:], None, kept=[first])
    if first.index != proof.index or walked.top.index != top.index or walked.top.hash != top.hash:
        raise BadProof("it is not what belongs there")
    return {node.index: node for node in walked.nodes}


def _grown(tree: Tree, subtrees: Sequence[Node]) -> tuple[Tree, list[Node]]:
    """The tree with all of these, and the nodes that may be kept: of two that were both sent, neither."""
    made = list[Node]()
    for subtree in subtrees:
        if flat_tree.left_span(subtree.index) != 2 * tree.length:
            raise BadProof("a node is not the next one")
        tree, fresh = trees.grow(tree, subtree)
        made += fresh
    if tree.length > LENGTH_MAX or tree.byte_length > BYTE_LENGTH_MAX:
        raise OverLimit("the length of a feed", LENGTH_MAX)
    sent = {subtree.index for subtree in subtrees}
    unshown = {index for index in sent if flat_tree.sibling(index) in sent}
    return tree, [node for node in made if node.index not in unshown]


def _start(nodes: Sequence[Node], index: int | None = None, stand_in: Walked | None = None) -> Walked:
    """A walk from the first node of a list: neither that nor its sibling is kept."""
    if not nodes or index not in (None, nodes[0].index):
        raise BadProof("the node asked for is not there")
    walked = _climb(nodes[0], nodes[1:], stand_in, kept=[])
    return Walked(walked.top, walked.nodes[1:])


def _climb(node: Node, siblings: Sequence[Node], stand_in: Walked | None, kept: list[Node]) -> Walked:
    _bound(siblings)
    queue = _Queue(siblings, stand_in.top if stand_in else None)
    while queue.left:
        beside = queue.take(flat_tree.sibling(node.index))
        node = hashing.parent(flat_tree.parent(node.index), node, beside)
        kept += (beside, node)
    return Walked(node, [*kept, *stand_in.nodes] if stand_in else kept)


class _Queue:
    """Nodes in the order they are expected; one more may stand in wherever its number comes up."""

    __slots__ = ("_nodes", "_position", "stand_in")

    def __init__(self, nodes: Sequence[Node], stand_in: Node | None) -> None:
        self._nodes = nodes
        self._position = 0
        self.stand_in = stand_in

    @property
    def left(self) -> bool:
        return self._position < len(self._nodes) or self.stand_in is not None

    def take(self, index: int) -> Node:
        """The node of this number, or `BadProof`."""
        if self.stand_in is not None and self.stand_in.index == index:
            node, self.stand_in = self.stand_in, None
            return node
        if self._position >= len(self._nodes) or self._nodes[self._position].index != index:
            raise BadProof("a node is missing, or not the next one")
        self._position += 1
        return self._nodes[self._position - 1]

    def finish(self) -> None:
        """Refuse nodes that nobody asked for."""
        if self._position < len(self._nodes):
            raise BadProof("there are more nodes than it takes")


def _bound(*lists: Sequence[Node]) -> None:
    if any(len(nodes) > NODES_MAX for nodes in lists):
        raise OverLimit("the nodes of a proof", NODES_MAX)
