"""After a revocation: what the revoked instance wrote past its cut-off is gone from every row it had touched.

Refusing new blocks would not be enough, since instances heard different parts before they heard of the revocation:
each row with an entry that counts no more is made anew from those that do, so all instances end equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import peewee

from crow_hooks import Entry, Version
from crow_plugins.replicator import disputes
from crow_plugins.replicator.applying import unpark
from crow_plugins.replicator.branch_that_counts import other_branches
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import read
from crow_plugins.replicator.feed_storage import HeldFeed, all_feeds, block_at, freeze
from crow_plugins.replicator.history import readable, standing
from crow_plugins.replicator.naming import forget_alarms
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction

Row = tuple[str, str]


def drop(transaction: WriteTransaction, own_id: str, trust: Trust, revoked: str) -> int:
    """Rebuild every row that an instance touched with entries that count no more; returns how many rows that were.

    Where all of its feed had been left out, and now another branch of it is here, that is taken in from its beginning.
    """
    db = transaction.db
    index, rows = EntryIndex(db), defaultdict[Row, list[Version]](list)
    for entry in _drop_orphans(db, own_id, trust):
        rows[entry.table, entry.row_id].append(entry.version)
    for row, found in _dropped(db, trust, revoked).items():
        for place, entry in found:
            index.remove(entry, place)
            rows[row].append(entry.version)
    for (table, row_id), versions in rows.items():
        if transaction.shape(table) is not None:
            transaction.rebuild(table, row_id, standing(db, index, table, row_id), versions)
    _drop_parked(db, trust)
    forget_alarms(db)
    disputes.settle(db, revoked)
    for feed in all_feeds(db):
        if feed.instance_id == revoked:
            freeze(db, feed.number, None)
            _begin_again(db, trust, feed)
    return len(rows)


def _dropped(db: peewee.Database, trust: Trust, revoked: str) -> dict[Row, list[tuple[Place, Entry]]]:
    """Entries that count no more, by row: in the revoked one's own feed, or rescued from it."""
    dropped: dict[Row, list[tuple[Place, Entry]]] = defaultdict(list)
    whose = {feed.number: feed.instance_id for feed in all_feeds(db)}
    other = other_branches(db, trust)
    for place in _places(db, revoked, whose):
        found = read(block_at(db, place.feed, place.seq))
        if not trust.counts(found, whose[place.feed], place.seq, other_branch=place.feed in other):
            dropped[found.entry.table, found.entry.row_id].append((place, found.entry))
    return dropped


def _places(db: peewee.Database, revoked: str, whose: dict[int, str]) -> Iterator[Place]:
    """Every block that is by the revoked instance, or stands in its feed."""
    numbers = [number for number, instance_id in whose.items() if instance_id == revoked]
    rows = db.execute_sql(
        "SELECT feed, seq FROM feed_entries WHERE writer IN (SELECT number FROM writers WHERE name LIKE ?) "
        "UNION SELECT feed, seq FROM feed_entries WHERE feed IN (SELECT value FROM json_each(?))",
        (f"{revoked}.%", str(numbers)),
    ).fetchall()
    return (Place(feed, seq) for feed, seq in rows)


def _drop_orphans(db: peewee.Database, own_id: str, trust: Trust) -> list[Entry]:
    """Entries of a branch that was given up and that nobody may rescue any more; they may be in rows still."""
    dropped = []
    for (block,) in db.execute_sql("SELECT entry FROM orphans").fetchall():
        entry = read(block).entry
        if not trust.counts_rescued(entry, own_id):
            version = entry.version
            db.execute_sql("DELETE FROM orphans WHERE writer = ? AND lamport = ?", (version.writer, version.lamport))
            dropped.append(entry)
    return dropped


def _drop_parked(db: peewee.Database, trust: Trust) -> None:
    """Those too that were rescued by somebody, if they can be read; else they are looked at when they can."""
    other = other_branches(db, trust)
    rows = db.execute_sql(
        "SELECT feed, seq, instance_id FROM parked_entries JOIN feeds ON feeds.number = feed"
    ).fetchall()
    for feed, seq, instance_id in rows:
        end = trust.revoked.get(instance_id)
        past = end is not None and (feed in other or seq >= end.feed.length)
        entries = readable([block_at(db, feed, seq)])
        if past or any(not trust.counts(found, instance_id, seq, other_branch=past) for found in entries):
            unpark(db, Place(feed, seq))


def _begin_again(db: peewee.Database, trust: Trust, feed: HeldFeed) -> None:
    """Take a feed in from its beginning that counts, and of which nothing is taken in."""
    taken = "SELECT 1 FROM feed_entries WHERE feed = ? UNION ALL SELECT 1 FROM parked_entries WHERE feed = ? LIMIT 1"
    if feed.number in other_branches(db, trust) or db.execute_sql(taken, (feed.number, feed.number)).fetchone():
        return
    db.execute_sql("UPDATE sync_state SET last_seq = 0 WHERE instance_id = ?", (feed.instance_id,))
