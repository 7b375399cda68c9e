"""How far each feed has been taken in, and taking in more of it.

The cursor of a feed is a length: all entries below it were applied or parked. It moves in the transaction that applied
them, so whatever happens, a restart goes on just there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import peewee

from crow_hooks import CrowError, Entry
from crow_plugins.replicator.applying import Applying, Outcome, Source, unpark
from crow_plugins.replicator.entries import Place
from crow_plugins.replicator.entry import Block, Read, read_all
from crow_plugins.replicator.feed_storage import DatabaseStorage, block_at
from crow_plugins.replicator.own_feed import OwnFeed, keeping_up
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction

BEFORE_ALL = Place(-1, -1)
BATCH_BYTES_MAX = 8 * 2**20  # of blocks: a batch that is applied and one that is read ahead stand in memory
ENTRIES_READ = 100  # at once, before looking how large they are
BATCH_ENTRIES_MAX = 2000  # a transaction of a tenth of a second: local writes wait no longer for it
PARKED_AT_ONCE = 1000  # each in a savepoint of its own


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


@dataclass(slots=True)
class Ahead:
    """Blocks of a feed at one fork, from seq `first` on: what is at that place as long as the fork is that one."""

    fork: int
    first: int
    blocks: Sequence[bytes]
    _found: Sequence[Block] | None = None

    @property
    def end(self) -> int:
        return self.first + len(self.blocks)

    @property
    def is_full(self) -> bool:
        """Whether there may be more after it."""
        return len(self.blocks) == BATCH_ENTRIES_MAX

    def read(self) -> Sequence[Block]:
        """What they say; read once, best while nobody waits for a transaction of ours."""
        if self._found is None:
            self._found = read_all(self.blocks)
        return self._found

    def check(self, rules: Callable[[Entry], None]) -> None:
        """Hold them against the tables just as early. What breaks a rule is found again when it is applied."""
        for found in self.read():
            if isinstance(found, Read):
                with contextlib.suppress(CrowError):
                    rules(found.entry)
                    found.fits = True


class Intake:
    """Applies what is here of feeds and is not applied yet."""

    def __init__(self, own: OwnFeed, applying: Applying) -> None:
        self._own, self._applying = own, applying

    @property
    def trust(self) -> Trust:
        return self._applying.trust()

    def next(self, db: peewee.Database, source: Source, first: int | None = None) -> Ahead | None:
        """The next entries of a feed, to be read before the transaction of `take`; None if there are none.

        `first` is where the batch will begin that comes after those being applied.
        """
        start = self.cursor(db, source.instance_id).length if first is None else first
        return _next(DatabaseStorage(db, source.feed), start)

    def take(
        self, transaction: WriteTransaction, source: Source, *, careful: bool = False, ahead: Ahead | None = None
    ) -> Outcome:
        """Take in the next entries of a feed, one batch at most; nothing to do is an empty outcome."""
        db = transaction.db
        cursor = self.cursor(db, source.instance_id)
        storage = DatabaseStorage(db, source.feed)
        if ahead is None or (ahead.fork, ahead.first) != (storage.head().fork, cursor.length):
            ahead = _next(storage, cursor.length)
        if ahead is None:
            return Outcome()
        with keeping_up(transaction.clock):
            outcome = self._applying.apply(transaction, source, ahead.first, ahead.read(), careful=careful)
        self._move(db, source.instance_id, ahead.end, max(cursor.lamport, outcome.highest_lamport), transaction.now)
        return outcome

    def take_own(self, transaction: WriteTransaction, first: int) -> Outcome:
        """Apply blocks of our own feed that came back from a peer: all from seq `first` on, in the same transaction.

        So what is here of our own feed is always applied, and needs no cursor.
        """
        db = transaction.db
        source = Source(self._own.number(db), self._own.instance_id)
        storage = DatabaseStorage(db, source.feed)
        held = storage.blocks(range(first, storage.contiguous()))
        blocks = read_all(held[seq] for seq in sorted(held))
        with keeping_up(transaction.clock):
            return self._applying.apply(transaction, source, first, blocks, careful=True)

    def retry_parked(self, transaction: WriteTransaction, after: Place = BEFORE_ALL) -> Retried:
        """Try a batch of parked entries again, those that stand after a place."""
        waiting, applied = _parked(transaction.db, after), 0
        with keeping_up(transaction.clock):
            for place, source in waiting:
                found = read_all([block_at(transaction.db, place.feed, place.seq)])
                outcome = self._applying.apply(transaction, source, place.seq, found, careful=True)
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


def _next(storage: DatabaseStorage, first: int) -> Ahead | None:
    end = min(storage.contiguous(), first + BATCH_ENTRIES_MAX)
    blocks: list[bytes] = []
    size = 0
    for start in range(first, end, ENTRIES_READ):
        some = range(start, min(end, start + ENTRIES_READ))
        held = storage.blocks(some)
        blocks += (held[seq] for seq in some)
        size += sum(map(len, held.values()))
        if size > BATCH_BYTES_MAX:
            break
    return Ahead(storage.head().fork, first, blocks) if blocks else None


def _parked(db: peewee.Database, after: Place) -> list[tuple[Place, Source]]:
    rows = db.execute_sql(
        "SELECT feed, seq, instance_id FROM parked_entries JOIN feeds ON number = feed "
        "WHERE (feed, seq) > (?, ?) ORDER BY feed, seq LIMIT ?",
        (after.feed, after.seq, PARKED_AT_ONCE),
    ).fetchall()
    return [(Place(feed, seq), Source(feed, instance_id)) for feed, seq, instance_id in rows]
