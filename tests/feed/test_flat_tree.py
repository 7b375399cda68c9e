"""The index arithmetic against a tree that is built out of nodes and counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed import flat_tree

LEVELS = 7
SPANS = {
    (1 + 2 * offset) * 2**depth - 1: (depth, offset * 2**depth, (offset + 1) * 2**depth)
    for depth in range(LEVELS + 1)
    for offset in range(2 ** (LEVELS - depth))
}  # every node of a perfect tree of 128 blocks: depth, first block, block after the last


@pytest.mark.parametrize("index", SPANS)
def test_depth_and_spans_are_those_of_the_tree(index: int) -> None:
    depth, start, stop = SPANS[index]
    assert flat_tree.depth(index) == depth
    assert (flat_tree.left_span(index), flat_tree.right_span(index)) == (2 * start, 2 * stop - 2)
    assert flat_tree.leaves(index) == stop - start


@pytest.mark.parametrize("index", [index for index in SPANS if index & 1])
def test_children_parents_and_siblings_agree(index: int) -> None:
    left, right = flat_tree.children(index)
    assert SPANS[left][1:] == (SPANS[index][1], SPANS[right][1])
    assert flat_tree.parent(left) == flat_tree.parent(right) == index
    assert (flat_tree.sibling(left), flat_tree.sibling(right)) == (right, left)


@given(st.integers(0, 2**40), st.integers(0, 40))
def test_an_ancestor_is_a_parent_so_many_times(index: int, levels: int) -> None:
    above = index
    for _ in range(levels):
        above = flat_tree.parent(above)
    assert flat_tree.ancestor(index, levels) == above
    assert flat_tree.covers(above, index)


@pytest.mark.parametrize("length", range(129))
def test_roots_are_the_largest_perfect_subtrees(length: int) -> None:
    spans = [SPANS[index] for index in flat_tree.roots(length)]
    sizes = [stop - start for _, start, stop in spans]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert [start for _, start, _ in spans] == [sum(sizes[:place]) for place in range(len(sizes))]
    assert sum(sizes) == length


@given(st.integers(0, 128), st.integers(0, 128))
def test_a_bridge_leads_from_one_length_to_another_without_a_gap(start: int, end: int) -> None:
    spans = [SPANS[index] for index in flat_tree.bridge(start, end)]
    for _, first, stop in spans:
        assert first == start
        start = stop
    assert start >= end


@pytest.mark.parametrize("length", range(65))
def test_what_crosses_a_cut_is_what_reaches_beyond_it_from_below(length: int) -> None:
    crossing = {index for index, (_, start, stop) in SPANS.items() if start < length < stop and index < 2 * length}
    assert set(flat_tree.crossing(length)) == crossing


def test_a_path_names_the_node_its_siblings_and_their_parents() -> None:
    assert flat_tree.path(4, 0) == [4]
    assert flat_tree.path(4, 2) == [4, 6, 5, 1, 3]
