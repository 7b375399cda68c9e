"""A feed of which it is decided what it must begin with: that is taken from anybody, and from nobody anything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crow_plugins.feed import Feed
from crow_plugins.feed.conflict import from_nothing
from crow_plugins.feed.errors import BadSignature, OutOfDate
from crow_plugins.feed.exchange import Forked
from crow_plugins.feed.head import Prefix
from tests.feed.exchanging import Link, append, blocks_of, copied, copy_of, feed_of, held, numbered, truncate


def prefix_of(feed: Feed, length: int) -> Prefix:
    return Prefix(length, feed.tree_hash(length))


def decide(feed: Feed, prefix: Prefix) -> Feed:
    feed.prefix = prefix
    return feed


def beginning(feed: Feed) -> list[bytes]:
    return [feed.block(seq) for seq in range(11)]


def meet(one: Feed, other: Feed) -> Link:
    link = Link()
    link.alice.has(one)
    link.bob.has(other)
    link.run()
    return link


def right(more: int = 8) -> Feed:
    return feed_of(1, *numbered(5), *numbered(more, b"right"))


@pytest.mark.parametrize("common", [0, 1, 5])
@pytest.mark.parametrize(("fork", "more"), [(0, 3), (0, 8), (0, 20), (7, 1), (7, 20)])
def test_another_branch_gives_way_to_the_one_that_is_decided_on(common: int, fork: int, more: int) -> None:
    one, other = right(), feed_of(1, *numbered(common))
    if fork:
        append(other, 1, b"cut off")
        truncate(other, 1, common, fork)
    append(other, 1, *numbered(more, b"other"))
    prefix = prefix_of(one, 11)
    link = meet(decide(one, prefix), decide(other, prefix))
    assert beginning(other) == beginning(one)
    assert other.begins_right
    assert not [event for event in link.alice.events + link.bob.events if isinstance(event, Forked)]
    assert blocks_of(one) == blocks_of(right())


def test_a_copy_that_was_frozen_before_it_was_decided_takes_the_right_branch_over_the_same_connection() -> None:
    one, other = right(), feed_of(1, *numbered(5), *numbered(8, b"other"))
    link = meet(one, other)
    assert [event for event in link.bob.events if isinstance(event, Forked)]
    prefix = prefix_of(one, 11)
    decide(one, prefix)
    decide(other, prefix)
    link.run()
    assert beginning(other) == beginning(one)


def test_the_right_branch_is_given_up_for_no_higher_fork() -> None:
    one, other = right(), feed_of(1, *numbered(9))
    truncate(other, 1, 5, 3)
    append(other, 1, *numbered(20, b"other"))
    decide(one, prefix_of(one, 11))
    before = blocks_of(one)
    link = meet(one, other)
    assert blocks_of(one) == before
    assert one.head.fork == 0
    assert not [event for event in link.alice.events if isinstance(event, Forked)]


def test_what_the_right_branch_lacks_comes_from_whoever_begins_with_it_at_any_fork() -> None:
    full = right()
    lacking = copied(full, range(6))
    truncate(full, 1, 12, 9)
    append(full, 1, *numbered(9, b"beyond"))
    prefix = prefix_of(full, 11)
    meet(decide(full, prefix), decide(lacking, prefix))
    assert held(lacking) == list(range(11))


def test_a_newcomer_takes_nothing_of_another_branch_and_all_of_the_right_one() -> None:
    one, other = right(), feed_of(1, *numbered(5), *numbered(20, b"other"))
    new = decide(copy_of(one), prefix_of(one, 11))
    meet(other, new)
    assert new.head.length == 0
    meet(one, new)
    assert held(new) == list(range(11))


def test_a_shorter_copy_is_gone_on_with_as_long_as_nothing_is_proven() -> None:
    one, shorter = right(), feed_of(1, *numbered(5), *numbered(2, b"other"))
    new = decide(copy_of(one), prefix_of(one, 11))
    meet(shorter, new)
    assert blocks_of(new) == blocks_of(shorter)
    assert new.begins_right is None
    meet(decide(one, prefix_of(one, 11)), new)
    assert beginning(new) == beginning(one)


def test_peers_hear_what_is_here_after_a_change_of_branch_under_the_same_fork() -> None:
    one, other = right(), feed_of(1, *numbered(5), *numbered(8, b"other"))
    prefix = prefix_of(one, 11)
    third = decide(copy_of(one), prefix)
    link = meet(decide(other, prefix), third)
    assert third.head.length == 0
    meet(decide(one, prefix), other)
    link.run()
    assert held(third) == list(range(11))


def test_who_begins_right_moves_to_no_other_proof() -> None:
    one = right()
    decide(one, prefix_of(one, 11))
    with pytest.raises(OutOfDate):
        one.take_prefix(one.prove(from_nothing(11)))


def test_a_prefix_under_a_head_that_its_writer_did_not_sign_is_refused() -> None:
    one, other = right(), feed_of(1, *numbered(5), *numbered(20, b"other"))
    decide(other, prefix_of(one, 11))
    before = other.head
    proof = one.prove(from_nothing(11))
    assert proof.upgrade
    assert other.shows_prefix(proof)
    with pytest.raises(BadSignature):
        other.take_prefix(replace(proof, upgrade=replace(proof.upgrade, signature=b"\0" * 64)))
    assert other.head == before


def test_only_the_roots_that_were_decided_on_show_a_prefix() -> None:
    one, other = right(), feed_of(1, *numbered(5), *numbered(20, b"other"))
    decide(other, prefix_of(one, 11))
    for proof in (other.prove(from_nothing(11)), one.prove(from_nothing(10)), one.prove(from_nothing(12))):
        assert not other.shows_prefix(proof)
    proof = one.prove(from_nothing(11))
    assert proof.upgrade
    first, *rest = proof.upgrade.nodes
    swollen = replace(proof, upgrade=replace(proof.upgrade, nodes=[first._replace(size=first.size + 1), *rest]))
    assert not other.shows_prefix(swollen)
