"""The feeds of the chain in one transaction: found by key, begun when they are new, and what comes of them stored.

Every instance with a certificate has one feed, whose key follows from the certificate; no other is taken. That of a
revoked instance is taken from the others, never from itself, since nobody talks to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import peewee

from crow_hooks import KnownInstance
from crow_plugins.feed import Batch, Feed, MemoryStorage
from crow_plugins.feed.head import Prefix
from crow_plugins.feed.manifest import default, encode
from crow_plugins.identity.revocation import Revocation
from crow_plugins.replicator.applying import Source
from crow_plugins.replicator.branches import follow
from crow_plugins.replicator.feed_storage import DatabaseStorage, ReadOnce, add_feed, find_feed
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction

BLOCKS_APPLIED_AT_ONCE = 32  # with being stored: what was just written somewhere is here after one commit, not two


@dataclass(frozen=True, slots=True)
class ChainFeed:
    """The feed of one instance: its key, and its manifest in bytes, both made of the writer's public key.

    `prefix` is what counts of a revoked one, None for all others.
    """

    key: bytes
    manifest: bytes
    instance_id: str
    prefix: Prefix | None = None

    def wanted(self, length: int) -> int:
        """How much of so many blocks there is any use for."""
        return length if self.prefix is None else min(length, self.prefix.length)


def feeds_of(
    own: OwnFeed, others: Sequence[KnownInstance], revoked: Mapping[str, Revocation]
) -> dict[bytes, ChainFeed]:
    """By key: our own, and those of all instances. What a revoked one wrote before goes on to whoever joins later."""
    found = {own.key: ChainFeed(own.key, own.manifest, own.instance_id)}
    for other in others:
        end = revoked.get(other.instance.id)
        if end is None or end.feed.length:
            made = default(other.feed_key)
            prefix = None if end is None else Prefix(end.feed.length, end.feed.tree_hash)
            found[made.key] = ChainFeed(made.key, encode(made), other.instance.id, prefix)
    return found


class ReadingShelf:
    """Where nothing is stored; a feed that is not held yet is an empty one."""

    def __init__(self, db: peewee.Database, feeds: Mapping[bytes, ChainFeed]) -> None:
        self._db, self._feeds = db, feeds

    def feed(self, key: bytes) -> Feed:
        number = find_feed(self._db, key)
        storage = MemoryStorage() if number is None else ReadOnce(self._db, number)
        known = self._feeds[key]
        return Feed(key, storage, known.manifest, known.prefix)

    def store(self, feed: Feed, batch: Batch) -> None:
        raise AssertionError("stored while reading")


class StoringShelf:
    """Within a write transaction. `grown` has what is to be applied: each feed, and from which seq on it is new."""

    def __init__(
        self, transaction: WriteTransaction, feeds: Mapping[bytes, ChainFeed], own: OwnFeed, intake: Intake
    ) -> None:
        self._transaction, self._feeds, self._own, self._intake = transaction, feeds, own, intake
        self.grown: dict[bytes, int] = {}

    def feed(self, key: bytes) -> Feed:
        db, known = self._transaction.db, self._feeds[key]
        number = find_feed(db, key) or add_feed(db, key, known.manifest, known.instance_id)
        return Feed(key, DatabaseStorage(db, number), known.manifest, known.prefix)

    def store(self, feed: Feed, batch: Batch) -> None:
        storage = feed.storage
        assert isinstance(storage, DatabaseStorage)
        before = storage.contiguous()
        if batch.cut is not None:
            source = Source(storage.feed, self._feeds[feed.key].instance_id)
            follow(self._transaction, self._own, self._intake, source, batch)
            before = min(before, batch.cut)
        else:
            storage.store(batch)
        if batch.blocks or batch.cut is not None:
            self.grown[feed.key] = min(before, self.grown.get(feed.key, before))

    def finish(self) -> None:
        """What came back of our own feed is applied with it."""
        first = self.grown.get(self._own.key)
        if first is not None:
            self._intake.take_own(self._transaction, first)

    def came_alone(self) -> list[Source]:
        """Other feeds of which all was applied before, and a few blocks came."""
        others = {key: first for key, first in self.grown.items() if key != self._own.key}
        return [source for key, first in others.items() for source in self._few(key, first)]

    def _few(self, key: bytes, first: int) -> Iterator[Source]:
        db, number = self._transaction.db, find_feed(self._transaction.db, key)
        assert number is not None
        source = Source(number, self._feeds[key].instance_id)
        few = 0 < DatabaseStorage(db, number).contiguous() - first <= BLOCKS_APPLIED_AT_ONCE
        if few and self._intake.cursor(db, source.instance_id).length == first:
            yield source
