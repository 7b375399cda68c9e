"""Hashes and growth: a batch makes the same tree as block after block, and the same as a definition in ten lines."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed import flat_tree, hashing, tree
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.tree import Tree
from tests.feed import making

SIZES = range(0, 301, 7)


def defined(index: int, blocks: list[bytes]) -> tuple[int, bytes]:
    """Size and hash of a node, from the definition."""
    if not index & 1:
        block = blocks[index // 2]
        leaf = b"\0" + len(block).to_bytes(8, "little") + block
        return len(block), hashlib.blake2b(leaf, digest_size=32).digest()
    children = [defined(child, blocks) for child in flat_tree.children(index)]
    size = sum(size for size, _ in children)
    above = b"\1" + size.to_bytes(8, "little") + b"".join(hash for _, hash in children)
    return size, hashlib.blake2b(above, digest_size=32).digest()


@pytest.mark.parametrize("length", SIZES)
def test_a_batch_makes_every_node_of_the_definition_once(length: int) -> None:
    blocks = making.blocks(length)
    grown, nodes = tree.append(Tree(), blocks)
    wanted = {index for root in flat_tree.roots(length) for index in below(root)}
    assert sorted(node.index for node in nodes) == sorted(wanted)
    assert all((node.size, node.hash) == defined(node.index, blocks) for node in nodes)
    assert [root.index for root in grown.roots] == flat_tree.roots(length)
    assert (grown.length, grown.byte_length) == (length, sum(map(len, blocks)))


@given(st.lists(st.integers(0, 40), max_size=8))
def test_the_same_blocks_make_the_same_tree_however_they_are_cut_into_batches(sizes: list[int]) -> None:
    grown, nodes = Tree(), list[Node]()
    for size in sizes:
        grown, fresh = tree.append(grown, making.blocks(size, start=grown.length))
        nodes += fresh
    at_once, all_nodes = tree.append(Tree(), making.blocks(sum(sizes)))
    assert grown == at_once
    assert sorted(nodes) == sorted(all_nodes)


@given(st.integers(0, 300), st.integers(0, 300))
def test_subtrees_grow_a_tree_to_what_its_blocks_would(start: int, more: int) -> None:
    blocks = making.blocks(start + more)
    wanted, nodes = tree.append(Tree(), blocks)
    by_index = {node.index: node for node in nodes}
    grown = tree.append(Tree(), blocks[:start])[0]
    for index in flat_tree.bridge(start, start + more):
        grown = tree.grow(grown, by_index[index])[0]
    assert grown == wanted


def test_a_block_and_the_node_above_can_never_share_a_hash() -> None:
    children = tree.append(Tree(), [b"left", b"right"])[1][:2]
    body = b"".join(node.hash for node in children)
    assert hashing.leaf_hash(body) != hashing.parent_hash(len(body), children[0].hash, children[1].hash)


def test_a_parent_is_the_same_whichever_child_is_named_first() -> None:
    one, other = tree.append(Tree(), [b"left", b"right"])[1][:2]
    assert hashing.parent(1, one, other) == hashing.parent(1, other, one)


def test_a_tree_hash_covers_order_place_and_size() -> None:
    roots = tree.append(Tree(), making.blocks(3))[0].roots
    others = [roots[::-1], (roots[0],), (roots[0], roots[1]._replace(size=9)), (roots[0], roots[1]._replace(index=6))]
    assert len({hashing.tree_hash(listed) for listed in [roots, *others]}) == 5


def below(index: int) -> list[int]:
    if not index & 1:
        return [index]
    left, right = flat_tree.children(index)
    return [index, *below(left), *below(right)]
