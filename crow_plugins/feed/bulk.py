"""Checking many neighbouring blocks at once, as they come when a feed is caught up.

Each block brings its own path, and the paths of neighbours are mostly each other. So the trees over whole runs of
blocks are built from the blocks, level by level, and only their few tops are led to something trusted. What was sent
is compared with what was built, and is otherwise not needed. A run that cannot be led anywhere like that is left to
be looked at block by block: this file is a short cut, and never the judge of an honest proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from crow_plugins.feed import flat_tree, hashing
from crow_plugins.feed import tree as trees
from crow_plugins.feed.errors import BadProof
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.proof import BlockProof

RUN_MIN = 4  # blocks: building a tree over fewer takes longer than walking their paths

_index = itemgetter(0)


@dataclass(slots=True)
class Checked:
    """Blocks that are proven, with the nodes that may be stored, and those that are still to be looked at."""

    trusted: dict[int, Node]
    nodes: list[Node] = field(default_factory=list)
    left: list[BlockProof] = field(default_factory=list)


def check(blocks: Sequence[BlockProof], fetch: Callable[[Iterable[int]], Mapping[int, Node]], end: int) -> Checked:
    """Check what can be checked in runs. `blocks` are in order, and below the feed's length. Raises `BadProof`."""
    runs = list(_runs(blocks))
    built = [
        (run, *trees.subtrees(run[0].index, [block.value for block in run])) for run in runs if len(run) >= RUN_MIN
    ]
    checked = Checked(dict(fetch(_above((top for _, tops, _ in built for top in tops), end))))
    checked.left += (block for run in runs if len(run) < RUN_MIN for block in run)
    sent = {node[0]: node for block in blocks for node in block.nodes}
    for run, tops, made in built:
        if not all(_anchored(top, sent, checked) for top in tops):
            checked.left += run
            continue
        checked.trusted.update(zip(map(_index, made), made, strict=True))
        checked.nodes += made
        _compare(run, checked.trusted)
    return checked


def _runs(blocks: Sequence[BlockProof]) -> Iterator[Sequence[BlockProof]]:
    """Neighbours together; the same block twice is no neighbour of itself."""
    start = 0
    for place in range(1, len(blocks) + 1):
        if place == len(blocks) or blocks[place].index != blocks[place - 1].index + 1:
            yield blocks[start:place]
            start = place


def _above(tops: Iterable[Node], end: int) -> set[int]:
    """All nodes at which the way up from a top may end."""
    indexes = set[int]()
    for index, _, _ in tops:
        while flat_tree.right_span(index) < 2 * end and index not in indexes:
            indexes.add(index)
            index = flat_tree.parent(index)
    return indexes


def _anchored(top: Node, sent: Mapping[int, Node], checked: Checked) -> bool:
    """Lead a top to something trusted, by nodes that were sent; those are trusted from then on."""
    way, node = [top], top
    while node.index not in checked.trusted:
        index = flat_tree.sibling(node.index)
        beside = checked.trusted.get(index) or sent.get(index)
        if beside is None:
            return False
        node = hashing.parent(flat_tree.parent(node.index), node, beside)
        way += (beside, node)
    if checked.trusted[node.index].hash != node.hash:
        raise BadProof("a block is not the one that belongs there")
    checked.trusted.update((node.index, node) for node in way)
    checked.nodes += way
    return True


def _compare(run: Sequence[BlockProof], trusted: Mapping[int, Node]) -> None:
    """A node that was sent and is known otherwise makes its proof a false one."""
    known = trusted.get
    if any(known(node[0], node) != node for block in run for node in block.nodes):
        raise BadProof("a node is not the one that belongs there")
