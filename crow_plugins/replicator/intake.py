"""How far each feed has been taken in, and taking in more of it.

The cursor of a feed is a length: all entries below it were applied or parked. It moves in the transaction that applied
them, so whatever happens, a restart goes on just there.
"""

from __future__ import annotations

from dataclasses import dataclass

import peewee

from crow_plugins.replicator.applying import Applying, Outcome, Source, unpark
from crow_plugins.replicator.entries import Place
from crow_plugins.replicator.feed_storage import DatabaseStorage, block_at
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction

BEFORE_ALL = Place(-1, -1)
BATCH_ENTRIES_MAX = 500  # a transaction of a fifth of a second: local writes wait no longer for it


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an instance's feed was taken in: a length, the highest lamport, and when (unix seconds)."""

    length: int = 0
    lamport: int = 0
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """How many parked entries were applied, and where the last one that was tried stands; None if none was left."""

    applied: int
    last: Place | None


class Intake:
    """Applies what is here of feeds and is not applied yet."""

    def __init__(self, own: OwnFeed, applying: Applying) -> None:
        self._own, self._applying = own, applying

    @property
    def trust(self) -> Trust:
        return self._applying.trust()

    def take(self, transaction: WriteTransaction, source: Source, *, careful: bool = False) -> Outcome:
        """Take in the next entries of a feed, one batch at most; nothing to do is an empty outcome."""
        db = transaction.db
        cursor = self.cursor(db, source.instance_id)
        storage = DatabaseStorage(db, source.feed)
        end = min(storage.contiguous(), cursor.length + BATCH_ENTRIES_MAX)
        if end <= cursor.length:
            return Outcome()
        held = storage.blocks(range(cursor.length, end))
        blocks = [held[seq] for seq in range(cursor.length, end)]
        with self._own.keeping_up(transaction):
            outcome = self._applying.apply(transaction, source, cursor.length, blocks, careful=careful)
        self._move(db, source.instance_id, end, max(cursor.lamport, outcome.highest_lamport), transaction.now)
        return outcome

    def take_own(self, transaction: WriteTransaction, first: int) -> Outcome:
        """Apply blocks of our own feed that came back from a peer: all from seq `first` on, in the same transaction.

        So what is here of our own feed is always applied, and needs no cursor.
        """
        db = transaction.db
        source = Source(self._own.number(db), self._own.instance_id)
        storage = DatabaseStorage(db, source.feed)
        held = storage.blocks(range(first, storage.contiguous()))
        blocks = [held[seq] for seq in sorted(held)]
        with self._own.keeping_up(transaction):
            return self._applying.apply(transaction, source, first, blocks, careful=True)

    def retry_parked(self, transaction: WriteTransaction, after: Place = BEFORE_ALL) -> Retried:
        """Try a batch of parked entries again, those that stand after a place."""
        waiting, applied = _parked(transaction.db, after), 0
        with self._own.keeping_up(transaction):
            for place, source in waiting:
                block = block_at(transaction.db, place.feed, place.seq)
                outcome = self._applying.apply(transaction, source, place.seq, [block], careful=True)
                if not outcome.parked:
                    unpark(transaction.db, place)
                applied += outcome.applied
        return Retried(applied, waiting[-1][0] if waiting else None)

    def cursor(self, db: peewee.Database, instance_id: str) -> Cursor:
        row = db.execute_sql(
            "SELECT last_seq, last_lamport, last_sync FROM sync_state WHERE instance_id = ?", (instance_id,)
        ).fetchone()
        return Cursor(*row) if row else Cursor()

    def back_to(self, db: peewee.Database, instance_id: str, length: int) -> None:
        """What lies past `length` was cut off, and comes again as another branch."""
        db.execute_sql("UPDATE sync_state SET last_seq = min(last_seq, ?) WHERE instance_id = ?", (length, instance_id))

    def _move(self, db: peewee.Database, instance_id: str, length: int, lamport: int, now: int) -> None:
        db.execute_sql(
            "INSERT INTO sync_state (instance_id, last_seq, last_lamport, last_sync) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (instance_id) DO UPDATE SET last_seq = excluded.last_seq, "
            "last_lamport = excluded.last_lamport, last_sync = excluded.last_sync",
            (instance_id, length, lamport, now),
        )


def _parked(db: peewee.Database, after: Place) -> list[tuple[Place, Source]]:
    rows = db.execute_sql(
        "SELECT feed, seq, instance_id FROM parked_entries JOIN feeds ON number = feed "
        "WHERE (feed, seq) > (?, ?) ORDER BY feed, seq LIMIT ?",
        (after.feed, after.seq, BATCH_ENTRIES_MAX),
    ).fetchall()
    return [(Place(feed, seq), Source(feed, instance_id)) for feed, seq, instance_id in rows]
