"""Two peers in memory: feeds go over, both ways, however the bytes are cut."""

from __future__ import annotations

import pytest

from crow_plugins.feed.exchange import Announced, FeedClosed, FeedOpened, Forked, Grew
from tests.feed.exchanging import Link, append, blocks_of, copied, copy_of, feed_of, held, numbered, truncate


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_goes_over_however_its_bytes_are_cut(seed: int) -> None:
    feed = feed_of(1, *numbered(50))
    link, copy = Link(seed), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    assert blocks_of(copy) == blocks_of(feed)
    assert copy.head == feed.head
    assert Grew(feed.key) in link.bob.events
    assert Announced(feed.key, 0, 50) in link.bob.events


def test_feeds_go_over_in_both_directions_at_once() -> None:
    ours, theirs = [feed_of(1, b"a", b"b"), feed_of(2, b"c")], [feed_of(3, *[b"d"] * 600)]
    link = Link()
    link.alice.has(*ours, *map(copy_of, theirs))
    link.bob.has(*theirs, *map(copy_of, ours))
    link.run()
    for feed in (*ours, *theirs):
        assert blocks_of(link.alice.feeds[feed.key]) == blocks_of(link.bob.feeds[feed.key])


def test_what_is_appended_later_goes_over_as_it_comes() -> None:
    feed = feed_of(1)
    link, copy = Link(), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    for number in range(5):
        append(feed, 1, *[b"%d" % number] * (1 + number))
        link.run()
        assert blocks_of(copy) == blocks_of(feed)


def test_a_copy_goes_on_from_where_it_was() -> None:
    feed = feed_of(1, *[b"x"] * 10)
    first, copy = Link(), copy_of(feed)
    first.alice.has(feed)
    first.bob.has(copy)
    first.run()
    append(feed, 1, *[b"y"] * 1000)
    second = Link()
    second.alice.has(feed)
    second.bob.has(copy)
    second.run()
    assert blocks_of(copy) == blocks_of(feed)


def test_a_feed_is_relayed_by_a_peer_that_only_has_a_copy() -> None:
    feed = feed_of(1, *[b"x"] * 40)
    between, far = copy_of(feed), copy_of(feed)
    first, second = Link(), Link()
    first.alice.has(feed)
    first.bob.has(between)
    second.alice.has(between)
    second.bob.has(far)
    first.run()
    second.run()
    assert blocks_of(far) == blocks_of(feed)


def test_a_peer_that_went_to_another_branch_is_followed() -> None:
    feed = feed_of(1, *(b"%d" % number for number in range(20)))
    first, copy = Link(), copy_of(feed)
    first.alice.has(feed)
    first.bob.has(copy)
    first.run()
    truncate(feed, 1, 13, 7)
    append(feed, 1, b"new", b"newer")
    first.run()
    assert copy.head == feed.head
    assert blocks_of(copy) == blocks_of(feed)


def test_two_branches_at_one_fork_are_evidence_on_both_sides() -> None:
    one, other = feed_of(1, b"a", b"b", b"c"), feed_of(1, b"a", b"b", b"d", b"e")
    link = Link()
    link.alice.has(one)
    link.bob.has(other)
    link.run()
    assert any(isinstance(event, Forked) for event in link.alice.events)
    assert any(isinstance(event, Forked) for event in link.bob.events)
    assert blocks_of(one) == [b"a", b"b", b"c"]


def test_a_feed_that_is_only_taken_is_not_given() -> None:
    feed = feed_of(1, b"a", b"b")
    link, copy = Link(), copy_of(feed)
    link.bob.has(copy)
    link.run()
    link.alice.has(feed, upload=False)
    link.run()
    assert copy.head.length == 0


def test_a_feed_that_is_only_taken_gets_what_peers_have_more_of_it() -> None:
    restored, longer = feed_of(1, b"a", b"b"), feed_of(1, b"a", b"b", b"c")
    link = Link()
    link.bob.has(longer)
    link.run()
    link.alice.has(restored, upload=False)
    link.run()
    assert blocks_of(restored) == [b"a", b"b", b"c"]


def test_a_feed_is_given_as_soon_as_it_may_be() -> None:
    feed = feed_of(1, *numbered(40))
    link, copy = Link(), copy_of(feed)
    link.bob.has(copy)
    link.run()
    link.alice.has(feed, upload=False)
    link.run()
    link.alice.has(feed, upload=True)
    link.run()
    assert blocks_of(copy) == blocks_of(feed)


def test_a_feed_that_only_one_side_knows_stays_there() -> None:
    feed, other = feed_of(1, b"a"), feed_of(2, b"b")
    link = Link()
    link.alice.has(feed)
    link.bob.has(other)
    link.run()
    assert link.alice.session.keys == link.bob.session.keys == frozenset()


def test_a_feed_that_is_offered_later_goes_over_then() -> None:
    feed = feed_of(1, b"a")
    link = Link()
    link.alice.has(feed)
    link.run()
    link.bob.has(copy_of(feed))
    link.run()
    assert blocks_of(link.bob.feeds[feed.key]) == [b"a"]


def test_a_feed_that_is_withdrawn_is_closed_there_and_may_come_back() -> None:
    feed = feed_of(1, b"a")
    link, copy = Link(), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    link.alice.session.withdraw(feed.key)
    append(feed, 1, b"b")
    link.run()
    assert FeedOpened(feed.key) in link.bob.events
    assert FeedClosed(feed.key) in link.bob.events
    assert copy.head.length == 1
    link.alice.has(feed)
    link.run()
    assert blocks_of(copy) == [b"a", b"b"]


def test_what_is_written_is_there_before_it_is_asked_for_if_both_sides_agree_to_that() -> None:
    feed = feed_of(1, b"a")
    link, copy = Link(allow_push=True), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    link.alice.session.offer(feed.key, push=True)
    for number in range(3):
        append(feed, 1, b"%d" % number)
        link.alice.turn()
        link.bob.session.receive_data(link.alice.session.data_to_send())
        link.bob.turn()
        assert blocks_of(copy) == blocks_of(feed)
    link.run()
    append(feed, 1, b"two", b"at once")
    link.run()
    assert blocks_of(copy) == blocks_of(feed)


def test_two_writes_before_the_peer_has_answered_are_both_there_at_once() -> None:
    feed = feed_of(1, b"a")
    link, copy = Link(allow_push=True), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    link.alice.session.offer(feed.key, push=True)
    for word in (b"b", b"c"):
        append(feed, 1, word)
        link.alice.turn()
    link.bob.session.receive_data(link.alice.session.data_to_send())
    link.bob.turn()
    assert blocks_of(copy) == blocks_of(feed)


@pytest.mark.parametrize(("allowed", "push", "upload"), [(False, True, True), (True, False, True), (True, True, False)])
def test_nothing_is_pushed_unless_both_sides_agree_and_the_feed_is_given(
    allowed: bool, push: bool, upload: bool
) -> None:
    feed = feed_of(1, b"a")
    link, copy = Link(allow_push=allowed), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    link.alice.session.offer(feed.key, upload=upload, push=push)
    append(feed, 1, b"b")
    link.alice.turn()
    link.bob.session.receive_data(link.alice.session.data_to_send())
    link.bob.turn()
    assert blocks_of(copy) == [b"a"]


@pytest.mark.parametrize("known", [[], [200]])
def test_a_shorter_copy_is_asked_only_for_what_it_can_prove(known: list[int]) -> None:
    """Who holds the head of 256 blocks and none of them knows no root of the first 255; with one block come some."""
    shorter = feed_of(1, *numbered(255))
    longer = copied(shorter)
    append(longer, 1, b"the last")
    lacking = copied(longer, known)
    link = Link()
    link.alice.has(shorter)
    link.bob.has(lacking)
    link.run()
    assert held(lacking) == list(range(224 if known else 0))
    other = Link()
    other.alice.has(longer)
    other.bob.has(lacking)
    other.run()
    link.run()
    assert blocks_of(lacking) == blocks_of(longer)
