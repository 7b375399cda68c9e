"""Two peers in memory: feeds go over, both ways, however the bytes are cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from crow_plugins.feed import Batch, Feed, MemoryStorage, Writer, created
from crow_plugins.feed.exchange import Announced, FeedEvent, Forked, Grew
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Secured
from crow_plugins.feed.wire import Wire
from crow_plugins.identity.keys import KeyPair

ALICE, BOB = KeyPair(b"\1" * 32), KeyPair(b"\2" * 32)


def writer(number: int) -> Writer:
    key = KeyPair(bytes([number]) * 32)
    return Writer(key.public_key, key.sign)


def feed_of(number: int, *blocks: bytes) -> Feed:
    feed = created(writer(number).public_key, MemoryStorage())
    if blocks:
        append(feed, number, *blocks)
    return feed


def append(feed: Feed, number: int, *blocks: bytes) -> None:
    feed.storage.store(feed.append(blocks, writer(number)))


def copy_of(feed: Feed) -> Feed:
    """An empty copy, which knows the key alone."""
    return Feed(feed.key, MemoryStorage())


def blocks_of(feed: Feed) -> list[bytes]:
    return [feed.block(seq) for seq in range(feed.head.length)]


@dataclass
class Side:
    """One peer: its feeds, its session, and what happened."""

    session: Replication
    feeds: dict[bytes, Feed] = field(default_factory=dict)
    events: list[FeedEvent] = field(default_factory=list)

    def feed(self, key: bytes) -> Feed:
        return self.feeds[key]

    def store(self, feed: Feed, batch: Batch) -> None:
        feed.storage.store(batch)

    def has(self, *feeds: Feed, upload: bool = True) -> None:
        for feed in feeds:
            self.feeds[feed.key] = feed
            if self.session.wire.session is not None:
                self.session.offer(feed.key, upload=upload)

    def turn(self) -> None:
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Secured):
                for key in self.feeds:
                    self.session.offer(key)
        self.events += self.session.work(self)


class Link:
    """Carries bytes between two sides until nobody says anything."""

    def __init__(self, seed: int = 0) -> None:
        self.alice = Side(Replication(Wire(initiator=True, static=ALICE, randomness=b"\3" * RANDOM_BYTES)))
        self.bob = Side(Replication(Wire(initiator=False, static=BOB, randomness=b"\4" * RANDOM_BYTES)))
        self._random = random.Random(seed)

    def run(self) -> None:
        quiet = 0
        while quiet < 2:
            quiet += 1
            for source, target in ((self.alice, self.bob), (self.bob, self.alice)):
                source.turn()
                for part in self._cut(source.session.data_to_send()):
                    target.session.receive_data(part)
                    target.turn()
                    quiet = 0

    def _cut(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = self._random.choice([1, 7, 100, 4096, 65_536])
            yield data[:size]
            data = data[size:]


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_goes_over_however_its_bytes_are_cut(seed: int) -> None:
    feed = feed_of(1, *(b"block %d" % number for number in range(50)))
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
    feed.storage.store(feed.truncate(13, 7, writer(1)))
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


def test_nothing_of_a_feed_is_given_while_it_may_not_be_uploaded() -> None:
    feed = feed_of(1, b"a", b"b")
    longer = feed_of(1, b"a", b"b", b"c")
    link, copy = Link(), copy_of(feed)
    link.alice.has(feed)
    link.bob.has(copy)
    link.alice.session.receive_data(b"")
    link = Link()
    link.alice.feeds[feed.key] = feed
    link.bob.has(copy)
    link.alice.has(feed)
    link.run()
    assert copy.head.length == 2
    quiet, empty = Link(), copy_of(feed)
    quiet.bob.has(empty)
    quiet.run()
    quiet.alice.has(feed, upload=False)
    quiet.run()
    assert empty.head.length == 0
    healing = Link()
    healing.bob.has(longer)
    healing.run()
    healing.alice.has(feed, upload=False)
    healing.run()
    assert blocks_of(feed) == [b"a", b"b", b"c"]


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
