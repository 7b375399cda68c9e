"""A Merkle tree by its roots, and how it grows: by blocks of our own, or by subtrees that a peer sent.

A tree is a value of at most forty nodes, however long the feed; growing gives a new one and the nodes that came into
being, for whoever stores them. Whether they are to be trusted is not asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crow_plugins.feed import flat_tree, hashing
from crow_plugins.feed.hashing import Node


@dataclass(frozen=True, slots=True)
class Tree:
    """So many blocks, and the perfect subtrees over them from left to right."""

    length: int = 0
    roots: tuple[Node, ...] = ()

    @property
    def byte_length(self) -> int:
        return sum(root.size for root in self.roots)

    @property
    def hash(self) -> bytes:
        """What is signed."""
        return hashing.tree_hash(self.roots)


def append(tree: Tree, blocks: Sequence[bytes]) -> tuple[Tree, list[Node]]:
    """The tree with these blocks, and every node that is new."""
    if len(blocks) == 1:
        return grow(tree, hashing.leaf(tree.length, blocks[0]))
    tops, made = subtrees(tree.length, blocks)
    for top in tops:
        tree, above = grow(tree, top)
        made += above[1:]
    return tree, made


def subtrees(start: int, blocks: Sequence[bytes]) -> tuple[list[Node], list[Node]]:
    """The largest perfect subtrees over neighbouring blocks, left to right; and all their nodes, leaves first.

    A whole level is hashed before the next: a thousand blocks are ten steps, and time goes into hashing alone.
    """
    end, level = start + len(blocks), 1  # a node of this level spans so many blocks
    sizes, hashes = list(map(len, blocks)), hashing.leaf_hashes(blocks)
    lefts, rights, made = list[Node](), list[Node](), list[Node]()
    while start < end:
        fresh = hashing.nodes(range(2 * level * start + level - 1, 2 * level * end, 2 * level), sizes, hashes)
        made += fresh
        lefts += fresh[: start & 1]
        rights += fresh[len(fresh) - (end & 1) :]
        inner = slice(start & 1, len(fresh) - (end & 1))
        sizes, hashes = hashing.parents(sizes[inner], hashes[inner])
        start, end, level = (start + 1) >> 1, end >> 1, level << 1
    return [*lefts, *reversed(rights)], made


def grow(tree: Tree, subtree: Node) -> tuple[Tree, list[Node]]:
    """The tree with one perfect subtree more, which begins where the tree ends; and every node that is new."""
    made, roots, last = [subtree], list(tree.roots), subtree
    while roots and flat_tree.sibling(last.index) == roots[-1].index:
        last = hashing.parent(flat_tree.parent(last.index), roots.pop(), last)
        made.append(last)
    return Tree(tree.length + flat_tree.leaves(subtree.index), (*roots, last)), made
