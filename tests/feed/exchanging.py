"""Peers in memory that replicate with each other; and one that says what it likes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from crow_plugins.feed import Batch, Feed, MemoryStorage, Writer, capability, created, messages
from crow_plugins.feed.channels import Channel, Message, Open
from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.messages import FeedMessage
from crow_plugins.feed.proof import ProofRequest, UpgradeRequest
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Secured
from crow_plugins.feed.wire import Wire
from crow_plugins.identity.keys import KeyPair

BYTES_MAX = 2**30  # of one run; more is a loop
ROUNDS_MAX = 10_000  # of anything that goes on until all is quiet; more is a loop
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


def truncate(feed: Feed, number: int, length: int, fork: int) -> None:
    feed.storage.store(feed.truncate(length, fork, writer(number)))


def copy_of(feed: Feed) -> Feed:
    """An empty copy, which knows the key alone."""
    return Feed(feed.key, MemoryStorage())


def copied(feed: Feed, seqs: Sequence[int] | None = None) -> Feed:
    """A copy with these blocks, or all."""
    copy = copy_of(feed)
    copy.storage.store(copy.receive(feed.prove(from_nothing(feed))))
    wanted = range(feed.head.length) if seqs is None else seqs
    received = copy.receive_blocks(feed.head.fork, feed.prove_blocks(copy.paths_wanted(wanted, set())))
    copy.storage.store(received.batch)
    return copy


def from_nothing(feed: Feed) -> ProofRequest:
    return ProofRequest(upgrade=UpgradeRequest(0, feed.head.length), manifest=True)


def blocks_of(feed: Feed) -> list[bytes]:
    return [feed.block(seq) for seq in range(feed.head.length)]


def held(feed: Feed) -> list[int]:
    return [seq for seq in range(feed.head.length) if seq in feed.storage.held()]


def numbered(count: int, word: bytes = b"block") -> list[bytes]:
    return [b"%s %d" % (word, number) for number in range(count)]


def wire(initiator: bool) -> Wire:
    return Wire(
        initiator=initiator,
        static=ALICE if initiator else BOB,
        randomness=(b"\3" if initiator else b"\4") * RANDOM_BYTES,
    )


@dataclass
class Side:
    """One peer: its feeds, its session, and what happened."""

    session: Replication
    feeds: dict[bytes, Feed] = field(default_factory=dict)
    events: list[FeedEvent] = field(default_factory=list)
    stored: list[tuple[bytes, list[int]]] = field(default_factory=list)

    def feed(self, key: bytes) -> Feed:
        return self.feeds[key]

    def store(self, feed: Feed, batch: Batch) -> None:
        feed.storage.store(batch)
        self.stored.append((feed.key, list(batch.blocks)))

    def has(self, *feeds: Feed, upload: bool = True) -> None:
        for feed in feeds:
            self.feeds[feed.key] = feed
            if self.session.wire.session is not None:
                self.session.offer(feed.key, upload=upload)

    def hear(self) -> None:
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Secured):
                for key in self.feeds:
                    self.session.offer(key)

    def turn(self) -> None:
        self.hear()
        for _ in range(ROUNDS_MAX):
            self.events += self.session.work(self)
            if not self.session.has_work:
                return
        raise AssertionError("the work has no end")


class Link:
    """Carries bytes between two sides until nobody says anything."""

    def __init__(self, seed: int = 0, *, allow_push: bool = False) -> None:
        self.alice, self.bob = (Side(Replication(wire(first), allow_push=allow_push)) for first in (True, False))
        self.bytes_carried = 0
        self._random = random.Random(seed)
        self._on_the_way = [b"", b""]  # to Bob, and to Alice

    def run(self, bytes_max: int = BYTES_MAX) -> None:
        """Until all is quiet, or so many bytes more were carried; what is on the way then arrives in the next run."""
        quiet, stop = 0, self.bytes_carried + bytes_max
        while quiet < 2:
            quiet += 1
            for way, (source, target) in enumerate(((self.alice, self.bob), (self.bob, self.alice))):
                source.turn()
                self._on_the_way[way] += source.session.data_to_send()
                while self._on_the_way[way]:
                    self._carry(way, target)
                    quiet = 0
                    if self.bytes_carried >= stop:
                        assert bytes_max < BYTES_MAX, "they go on talking for ever"
                        return

    def _carry(self, way: int, target: Side) -> None:
        size = self._random.choice([1, 7, 100, 4096, 65_536])
        part, self._on_the_way[way] = self._on_the_way[way][:size], self._on_the_way[way][size:]
        target.session.receive_data(part)
        target.turn()
        self.bytes_carried += len(part)


class Stranger:
    """A peer of one feed that says what it likes, and the side that must put up with it."""

    def __init__(self, feed: Feed, *, opens: bool = True, allow_push: bool = False) -> None:
        self.feed = feed
        self.channel = Channel(messages.PROTOCOL, feed.discovery_key)
        self.wire = wire(True)
        self.victim = Side(Replication(wire(False), allow_push=allow_push), {feed.key: feed})
        self.carry(b"")
        if opens:
            self.carry(self.wire.send(Open(self.channel, self.proof())))

    def proof(self) -> bytes:
        assert self.wire.session is not None
        return capability.prove(self.wire.session.handshake_hash, True, self.feed.key)

    def says(self, *said: FeedMessage) -> list[FeedMessage]:
        """What the other side answers."""
        return self.carry(self.wire.send(*(Message(self.channel, *messages.encode(each)) for each in said)))

    def carry(self, data: bytes) -> list[FeedMessage]:
        heard: list[FeedMessage] = []
        data += self.wire.data_to_send()
        for _ in range(ROUNDS_MAX):
            if data:
                self.victim.session.receive_data(data)
            self.victim.turn()
            answer = self.victim.session.data_to_send()
            if answer:
                self.wire.receive_data(answer)
            while (event := self.wire.next_event()) is not None:
                if isinstance(event, Message):
                    message = messages.decode(event.type, event.payload)
                    assert message is not None
                    heard.append(message)
            data = self.wire.data_to_send()
            if not data and not answer:
                return heard
        raise AssertionError("they go on talking for ever")
