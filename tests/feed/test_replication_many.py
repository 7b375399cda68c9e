"""Replication among several peers and feeds: lines of relays, gaps, turns, and transactions that come to nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from crow_plugins.feed import Batch, Feed
from crow_plugins.feed.conflict import conflict, signed_head
from crow_plugins.feed.exchange import FeedOpened, Forked, Grew
from crow_plugins.feed.manifest import authority
from crow_plugins.feed.replication import Replication
from tests.feed.exchanging import (
    ROUNDS_MAX,
    Link,
    Side,
    append,
    blocks_of,
    copied,
    copy_of,
    feed_of,
    held,
    numbered,
    truncate,
    wire,
)


def line(*feeds: Feed) -> tuple[Link, Link, list[Feed], list[Feed]]:
    """Alice has the feeds and knows Bob alone, who knows Carol: both links, and the copies of Bob and of Carol."""
    first, second = Link(1), Link(2)
    bobs, carols = [copy_of(feed) for feed in feeds], [copy_of(feed) for feed in feeds]
    first.alice.has(*feeds)
    first.bob.has(*bobs)
    second.alice.has(*bobs)
    second.bob.has(*carols)
    return first, second, bobs, carols


@dataclass
class Branching:
    """A line along which 70 blocks have come, when the writer goes back to 37 and puts `others` behind them."""

    others: int

    def __post_init__(self) -> None:
        self.feed = feed_of(1, *numbered(70))
        self.first, self.second, [self.bobs], [self.carols] = line(self.feed)
        self.run()
        truncate(self.feed, 1, 37, 4)
        append(self.feed, 1, *numbered(self.others, b"other"))

    def run(self) -> None:
        self.first.run()
        self.second.run()


def test_what_one_end_of_a_line_appends_comes_to_the_other_end() -> None:
    feeds = [feed_of(number) for number in range(1, 4)]
    first, second, _, carols = line(*feeds)
    for turn in range(4):
        for number, feed in enumerate(feeds, 1):
            append(feed, number, *numbered(1 + 7 * turn))
        first.run()
        second.run()
    assert [blocks_of(copy) for copy in carols] == [blocks_of(feed) for feed in feeds]


def test_a_branch_is_followed_along_a_line() -> None:
    line = Branching(others=5)
    line.run()
    assert line.carols.head == line.bobs.head == line.feed.head
    assert blocks_of(line.carols) == blocks_of(line.feed)


def test_a_branch_is_followed_along_a_line_also_by_who_asks_before_its_blocks_are_there() -> None:
    line = Branching(others=60)
    while line.bobs.head != line.feed.head:
        line.first.run(bytes_max=100)
    assert held(line.bobs) == list(range(37))
    line.second.run()
    assert line.carols.head.fork == 0  # where the branches part, Bob cannot say yet
    line.run()
    assert blocks_of(line.carols) == blocks_of(line.bobs) == blocks_of(line.feed)


@pytest.mark.parametrize("seed", range(3))
def test_a_download_that_is_cut_off_again_and_again_goes_on_where_it_was(seed: int) -> None:
    feed = feed_of(1, *numbered(700))
    copy = copy_of(feed)
    chosen = random.Random(seed)
    lengths = [0]
    while copy.storage.held().contiguous < 700:
        link = Link(seed)
        link.alice.has(feed)
        link.bob.has(copy)
        link.run(bytes_max=chosen.randrange(8_000, 30_000))
        lengths.append(copy.storage.held().contiguous)
    assert lengths == sorted(lengths)
    assert blocks_of(copy) == blocks_of(feed)


def test_blocks_come_in_the_order_of_the_feed() -> None:
    feed = feed_of(1, *numbered(3000))
    link, copy = Link(), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    stored = [seq for _, seqs in link.bob.stored for seq in seqs]
    assert stored == list(range(3000))


def test_a_peer_with_gaps_gives_what_it_has_and_another_the_rest() -> None:
    feed = feed_of(1, *numbered(100))
    odd, even = copied(feed, range(1, 100, 2)), copied(feed, range(0, 100, 2))
    copy = copy_of(feed)
    first, second = Link(), Link()
    first.alice.has(odd)
    first.bob.has(copy)
    first.run()
    assert held(copy) == list(range(1, 100, 2))
    second.alice.has(even)
    second.bob.has(copy)
    second.run()
    assert blocks_of(copy) == blocks_of(feed)


def test_a_long_feed_far_beyond_a_gap_is_found() -> None:
    feed = feed_of(1, *[b"x"] * 40_000)
    link, copy = Link(), copy_of(feed)
    link.alice.has(copied(feed, [5, 39_000]))
    link.bob.has(copy)
    link.run()
    assert held(copy) == [5, 39_000]


def test_a_small_feed_need_not_wait_for_a_large_one() -> None:
    large, small = feed_of(1, *[b"x" * 3000] * 3000), feed_of(2, *numbered(50))
    link = Link()
    link.run()
    link.alice.has(large, small)
    link.bob.has(copy_of(large), copy_of(small))
    while link.bob.feeds[small.key].storage.held().contiguous < 50:
        link.run(bytes_max=65_536)
    assert link.bob.feeds[large.key].storage.held().contiguous < 1500


def test_a_hundred_feeds_go_over_both_ways() -> None:
    feeds = [feed_of(number, *numbered(number % 7 + 1)) for number in range(100)]
    link = Link()
    link.alice.has(*feeds[:50], *map(copy_of, feeds[50:]))
    link.bob.has(*feeds[50:], *map(copy_of, feeds[:50]))
    link.run()
    assert len(link.alice.session.keys) == 100
    for feed in feeds:
        assert link.alice.feeds[feed.key].head == link.bob.feeds[feed.key].head == feed.head
        assert blocks_of(link.alice.feeds[feed.key]) == blocks_of(link.bob.feeds[feed.key])


def test_a_feed_that_is_frozen_thaws_when_its_writer_goes_to_a_higher_fork() -> None:
    writers, stray = feed_of(1, *numbered(10)), feed_of(1, *numbered(8), b"a", b"b")
    link = Link()
    link.alice.has(writers)
    link.bob.has(stray)
    link.run()
    assert any(isinstance(event, Forked) for event in link.bob.events)
    truncate(writers, 1, 10, 9)
    append(writers, 1, b"healed")
    link.run()
    assert stray.head == writers.head
    assert blocks_of(stray) == blocks_of(writers)
    append(writers, 1, b"and live")
    link.run()
    assert blocks_of(stray) == blocks_of(writers)


@pytest.mark.parametrize(("more", "stray_more"), [(2, 2), (5, 1), (1, 5)])
def test_two_branches_are_an_event_on_both_sides_with_both_signed_heads_as_evidence(more: int, stray_more: int) -> None:
    writers = feed_of(1, *numbered(8), *numbered(more, b"one"))
    stray = feed_of(1, *numbered(8), *numbered(stray_more, b"other"))
    heads = {writers.head, stray.head}
    link = Link()
    link.alice.has(writers)
    link.bob.has(stray)
    link.run()
    for side, own in ((link.alice, writers), (link.bob, stray)):
        [found, *_] = [event for event in side.events if isinstance(event, Forked)]
        assert found.key == writers.key
        known = authority(own.key, own.encoded_manifest)
        local, remote = found.conflict.local, found.conflict.remote
        assert signed_head(known, local) == own.head
        assert {signed_head(known, local), signed_head(known, remote)} == heads
        assert conflict(known, local, remote) == found.conflict


@pytest.mark.parametrize("here", [[], list(range(5)), [0, 3, 9]], ids=["nothing", "a beginning", "some"])
def test_of_two_branches_what_is_in_both_still_comes_and_nothing_else(here: list[int]) -> None:
    whole = feed_of(1, *numbered(16), *numbered(8, b"one"))
    lacking = copied(feed_of(1, *numbered(16), *numbered(9, b"other")), here)
    link = Link()
    link.alice.has(whole)
    link.bob.has(lacking)
    link.run()
    for side in (link.alice, link.bob):
        assert [event.conflict.common for event in side.events if isinstance(event, Forked)][:1] == [16]
    assert held(lacking) == list(range(16))
    assert held(whole) == list(range(24))
    assert not link.bob.session.is_behind


def test_branches_are_told_apart_by_what_is_there_of_a_head_whose_blocks_are_not() -> None:
    whole, lacking = feed_of(1, *numbered(15), b"one", b"two"), feed_of(1, *numbered(15), *numbered(3, b"other"))
    lacking = copied(lacking, list(range(15)))
    assert lacking.comparable(17) == 16
    assert whole.comparable(17) == 17
    link = Link()
    link.alice.has(whole)
    link.bob.has(lacking)
    link.run()
    for side in (link.alice, link.bob):
        assert any(isinstance(event, Forked) for event in side.events)


def test_a_frozen_feed_does_not_hold_up_the_others() -> None:
    link, other = Link(), feed_of(2, *numbered(30))
    link.alice.has(feed_of(1, b"a"), other)
    link.bob.has(feed_of(1, b"b"), copy_of(other))
    link.run()
    assert blocks_of(link.bob.feeds[other.key]) == blocks_of(other)
    assert not link.bob.session.is_behind


def test_the_same_blocks_that_come_from_two_peers_at_once_are_stored_once_and_blame_nobody() -> None:
    feed = feed_of(1, *numbered(600))
    copy = copy_of(feed)
    first, second = Link(1), Link(2)
    for link in (first, second):
        link.alice.has(feed)
        link.bob.has(copy)
    for _ in range(2000):
        first.run(bytes_max=500)
        second.run(bytes_max=500)
    assert blocks_of(copy) == blocks_of(feed)


class RolledBack(Exception):
    """The database said no."""


@dataclass
class Unlucky(Side):
    """A side whose transactions fail now and then: while storing, or at the commit."""

    chosen: random.Random | None = None
    failed: int = 0
    storing: bool = False

    def store(self, feed: Feed, batch: Batch) -> None:
        assert self.chosen is not None
        if self.storing and self.chosen.random() < 0.7:
            raise RolledBack
        super().store(feed, batch)

    def turn(self) -> None:
        self.hear()
        for _ in range(ROUNDS_MAX):
            self.work_once()
            if not self.session.has_work:
                return
        raise AssertionError("the work has no end")

    def work_once(self) -> None:
        assert self.chosen is not None
        before = {key: _snapshot(feed) for key, feed in self.feeds.items()}
        try:
            events = self.session.work(self)
        except RolledBack:
            self._roll_back(before)
            return
        if not self.storing and self.chosen.random() < 0.7:
            self.session.rolled_back()
            self._roll_back(before)
            return
        self.events += events

    def _roll_back(self, before: dict[bytes, dict[str, object]]) -> None:
        self.failed += 1
        for key, snapshot in before.items():
            vars(self.feeds[key].storage).update(snapshot)


def _snapshot(feed: Feed) -> dict[str, object]:
    storage = feed.storage
    fields = dict(vars(storage))
    for name in ("_blocks", "_sizes", "_hashes"):
        fields[name] = dict(fields[name])
    kept = type(storage.held())()
    kept.add_all(seq for seq in range(feed.head.length) if seq in storage.held())
    return {**fields, "_held": kept}


@pytest.mark.parametrize("storing", [True, False], ids=["while storing", "at the commit"])
@pytest.mark.parametrize("seed", range(3))
def test_transactions_that_roll_back_are_done_again_and_nothing_is_lost(seed: int, storing: bool) -> None:
    ours, theirs = feed_of(1, *numbered(300)), feed_of(2, *numbered(300))
    stray = copied(feed := feed_of(3, *numbered(40)))
    truncate(feed, 3, 21, 2)
    append(feed, 3, *numbered(9, b"other"))
    link = Link(seed)
    unlucky = Unlucky(Replication(wire(False)), chosen=random.Random(seed), storing=storing)
    link.bob = unlucky
    link.alice.has(ours, copy_of(theirs), feed)
    unlucky.has(copy_of(ours), theirs, stray)
    link.run()
    assert unlucky.failed > 3
    assert blocks_of(unlucky.feeds[ours.key]) == blocks_of(ours)
    assert blocks_of(link.alice.feeds[theirs.key]) == blocks_of(theirs)
    assert blocks_of(stray) == blocks_of(feed)
    assert FeedOpened(ours.key) in unlucky.events
    assert Grew(ours.key) in unlucky.events


def test_nothing_is_said_of_a_work_that_rolled_back() -> None:
    feed = feed_of(1, b"a")
    link, copy = Link(), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.run()
    append(feed, 1, b"b")
    link.alice.session.work(link.alice)
    link.alice.session.rolled_back()
    assert link.alice.session.data_to_send() == b""
    link.run()
    assert blocks_of(copy) == [b"a", b"b"]
