"""This instance's own feed: its key, its writer, and whether it may be appended to now.

A feed that may be older than what its peers have of it is *suspect*: one more block would make two feeds of it, so
what is written waits in the outbox. The flag stands in the database, so every process of a home sees it, and a rolled
back transaction leaves none of it behind. Keys that are locked make the outbox wait just as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import peewee

from crow_plugins.feed import Feed, Writer, created
from crow_plugins.feed.manifest import default, encode
from crow_plugins.keyring import Keyring
from crow_plugins.replicator.entries import Place
from crow_plugins.replicator.feed_storage import DatabaseStorage, ReadOnce, add_feed, find_feed
from crow_plugins.store import Clock


@contextmanager
def keeping_up(clock: Clock) -> Iterator[None]:
    """Around what moves the clock without a local write: if no write lacked its entry before, none does after."""
    complete = clock.entered == clock.lamport
    yield
    if complete:
        clock.entered = clock.lamport


class OwnFeed:
    """The one feed that this instance writes."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self.feed_key = bytes.fromhex(keyring.identity.feed_key)
        made = default(self.feed_key)
        self.key, self.manifest = made.key, encode(made)
        self.instance_id = keyring.identity.instance_id
        self._appended: Feed | None = None

    @property
    def may_sign(self) -> bool:
        """Whether the keys are open."""
        return not self._keyring.locked

    def number(self, db: peewee.Database) -> int:
        """The feed's number in a database that may be written."""
        return find_feed(db, self.key) or add_feed(db, self.key, self.manifest, self.instance_id)

    def feed(self, db: peewee.Database) -> Feed:
        return created(self.feed_key, DatabaseStorage(db, self.number(db)))

    def held(self, db: peewee.Database) -> Feed | None:
        """The feed as it is here, in a database that may be read only; None before the first write."""
        number = find_feed(db, self.key)
        return None if number is None else created(self.feed_key, DatabaseStorage(db, number))

    def reach(self, db: peewee.Database) -> tuple[int, int]:
        """Fork and length as they are here, without a look at the rest; nothing was ever written at 0 and 0."""
        row = db.execute_sql("SELECT fork, length FROM feeds WHERE key = ?", (self.key,)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def append(self, db: peewee.Database, blocks: Sequence[bytes]) -> Place:
        """Append under one signature, inside the caller's transaction; returns where the first block stands."""
        number = self.number(db)
        feed = self._feed_to_append_to(db)
        feed.storage = ReadOnce(db, number)
        batch = feed.append(blocks, self.writer())
        feed.storage.store(batch)
        return Place(number, batch.base.length)

    def _feed_to_append_to(self, db: peewee.Database) -> Feed:
        """Made once, since reading a manifest costs more than appending; the door lets one append at a time."""
        if self._appended is None:
            self._appended = self.feed(db)
        return self._appended

    def writer(self) -> Writer:
        """Raises `PassphraseMissing` while the keys are locked."""
        key = self._keyring.device.feed
        return Writer(key.public_key, key.sign)

    def suspect(self, db: peewee.Database) -> str | None:
        """Why nothing may be appended now; None if it may."""
        reason: str | None = db.execute_sql("SELECT suspect FROM own_feed WHERE id = 1").fetchone()[0]
        return reason

    def may_append(self, db: peewee.Database) -> bool:
        """Whether the keys are open and nothing is in doubt."""
        return self.may_sign and self.suspect(db) is None

    def doubt(self, db: peewee.Database, reason: str) -> None:
        """Append nothing more until it is known what the peers have."""
        db.execute_sql("UPDATE own_feed SET suspect = coalesce(suspect, ?) WHERE id = 1", (reason,))

    def trust(self, db: peewee.Database) -> None:
        db.execute_sql("UPDATE own_feed SET suspect = NULL WHERE id = 1")
