"""Where things are in a binary tree that lies flat: block `seq` is node `2 * seq`, parents are the odd numbers.

    3 ·       ·       3                 a tree of 5 blocks has the roots 3 and 8:
    2 ·   1       5                     one perfect subtree for every bit of the length,
    1 0       2   4   6   8             the largest first

Index arithmetic only: no sizes, no hashes, nothing stored. Functions never look at how long a tree is unless told.
"""

from __future__ import annotations


def depth(index: int) -> int:
    """Levels above the blocks: the one-bits at the end of the number."""
    return (index ^ (index + 1)).bit_length() - 1


def parent(index: int) -> int:
    level = 1 << depth(index)
    return (index | level) & ~(level << 1)


def sibling(index: int) -> int:
    return index ^ (2 << depth(index))


def children(index: int) -> tuple[int, int]:
    """The left and the right one; `index` is odd, for a block has none."""
    half = 1 << (depth(index) - 1)
    return index - half, index + half


def left_span(index: int) -> int:
    """The first leaf below a node, as a node: an even number."""
    return index - (1 << depth(index)) + 1


def right_span(index: int) -> int:
    """The last leaf below a node, as a node: an even number."""
    return index + (1 << depth(index)) - 1


def leaves(index: int) -> int:
    """How many blocks lie below a node."""
    return 1 << depth(index)


def covers(index: int, other: int) -> bool:
    """Whether `other` is the node itself or lies below it."""
    return left_span(index) <= other <= right_span(index)


def ancestor(index: int, levels: int) -> int:
    """The node so many levels up."""
    level = depth(index) + levels
    return (index >> (level + 1) << (level + 1)) | ((1 << level) - 1)


def path(index: int, levels: int) -> list[int]:
    """All nodes that a proof from a node so many levels up brings or makes: the node, each sibling, each parent."""
    indexes = [index]
    for _ in range(levels):
        above = parent(index)
        indexes += (sibling(index), above)
        index = above
    return indexes


def roots(length: int) -> list[int]:
    """The perfect subtrees of a tree of so many blocks, left to right."""
    return bridge(0, length)


def bridge(start: int, end: int) -> list[int]:
    """The subtrees that lead a tree from one length to another: each begins where the tree before it ended."""
    indexes = []
    while start < end:
        size = 1 << ((end - start).bit_length() - 1)
        if start:
            size = min(size, start & -start)
        indexes.append(2 * start + size - 1)
        start += size
    return indexes


def crossing(length: int) -> list[int]:
    """The nodes below `2 * length` that a tree cut to this length no longer has, for they reach beyond it."""
    end, index, indexes = 2 * length, 2 * length, []
    while index < end or left_span(index) > 0:
        index = parent(index)
        if index < end:
            indexes.append(index)
    return indexes
