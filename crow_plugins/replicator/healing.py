"""Our own feed after a restore: doubted, brought up to what the peers have, and only then appended to again.

1. Peers give back what they have of it and we lack; it is applied like anybody's entries. A head that nobody has all
   blocks of, since it was signed before the restore and only its hashes got around, is given up.
2. The entries of a branch that was given up follow, unchanged or rescued again, then the outbox.
3. All of it is signed under a fork above every one that was ever seen, unless every instance of the chain has
   confirmed that what it has is a part of ours, and nobody has shown another branch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from crow_plugins.feed import Head
from crow_plugins.replicator import disputes
from crow_plugins.replicator.applying import parked_anywhere
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import read, rescued
from crow_plugins.replicator.feed_storage import DatabaseStorage
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction


def begin(transaction: WriteTransaction, own: OwnFeed, reason: str) -> None:
    """Doubt our own feed: nothing more is appended, and what is written from now on has another writer's name."""
    if own.suspect(transaction.db) is None:
        transaction.clock.renew()
        own.doubt(transaction.db, reason)


def is_waiting(transaction: WriteTransaction, own: OwnFeed) -> bool:
    """Whether there is anything to append."""
    waiting = "SELECT 1 FROM outbox UNION ALL SELECT 1 FROM orphans JOIN feeds ON number = feed WHERE key = ? LIMIT 1"
    return transaction.db.execute_sql(waiting, (own.key,)).fetchone() is not None


def finish(
    transaction: WriteTransaction, own: OwnFeed, intake: Intake, forks_seen: Collection[int], *, all_agree: bool
) -> Head:
    """Append what waits and trust the feed again; returns the new head. Blocks that are not here are given up.

    `forks_seen` are those that any peer told of our feed; `all_agree` says that every instance of the chain that is
    not revoked confirmed its copy to be a part of ours.
    """
    db = transaction.db
    feed, index = own.feed(db), EntryIndex(db)
    number = own.number(db)
    here = DatabaseStorage(db, number).contiguous()
    if here < feed.head.length or not all_agree or disputes.is_known(db, own.instance_id):
        fork = max(feed.head.fork + 1, *(seen + 1 for seen in forks_seen), transaction.now)
        feed.storage.store(feed.truncate(here, fork, own.writer()))
    waiting = _lacking(_waiting(transaction, number), index, parked_anywhere(db))
    if waiting:
        entries = [read(block).entry for block in waiting]
        first = own.append(
            db,
            [
                block if entry.instance_id == own.instance_id else rescued(block, own.instance_id, transaction.now)
                for block, entry in zip(waiting, entries, strict=True)
            ],
        )
        for seq, entry in enumerate(entries, first.seq):
            index.add(entry.table, entry.row_id, entry.version, Place(number, seq))
        index.flush()
        intake.take_own(transaction, first.seq)  # what was cut off while it was parked is in no row yet
    db.execute_sql("DELETE FROM outbox")
    db.execute_sql("DELETE FROM orphans WHERE feed = ?", (number,))
    own.trust(db)
    return own.feed(db).head


def _lacking(waiting: Iterable[bytes], index: EntryIndex, parked: Collection[bytes]) -> list[bytes]:
    """Those that stand in no feed; where an entry is parked it stands too."""
    return [entry for entry in waiting if entry not in parked and not index.settled(read(entry).entry.version)]


def _waiting(transaction: WriteTransaction, number: int) -> list[bytes]:
    """Own entries that stand in no branch any more, in the order they were written, then the outbox."""
    db = transaction.db
    cut = db.execute_sql("SELECT entry FROM orphans WHERE feed = ? ORDER BY lamport, writer", (number,)).fetchall()
    later = db.execute_sql("SELECT entry FROM outbox ORDER BY number").fetchall()
    return [bytes(entry) for (entry,) in [*cut, *later]]
