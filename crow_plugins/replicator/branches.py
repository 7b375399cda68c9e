"""When a writer went back and took another branch: what is cut is kept until it stands in a feed again.

A feed of a restored machine goes on from an older length under a higher fork. Peers follow it; the entries of the
branch that was given up are *orphans* from then on. Their rows stay as they are. Once the new branch is here in full,
an orphan that no feed held here has is *rescued*: appended to our own feed, as the bytes it was.
"""

from __future__ import annotations

import peewee

from crow_hooks import Version
from crow_plugins.feed import Batch
from crow_plugins.replicator import naming, revoking
from crow_plugins.replicator.applying import Source, parked_anywhere, unpark
from crow_plugins.replicator.branch_that_counts import is_whole
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import Read, Unreadable, read, rescued
from crow_plugins.replicator.feed_storage import DatabaseStorage, block_at, freeze
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction

RESCUED_AT_ONCE = 500


def follow(transaction: WriteTransaction, own: OwnFeed, intake: Intake, source: Source, batch: Batch) -> int:
    """Store a batch that cuts a feed: keep what it cuts, set the cursor back; returns how many entries were cut.

    Of a revoked instance's feed it is the branch that counts that is gone to: then only what counts is kept.
    """
    assert batch.cut is not None
    db, storage = transaction.db, DatabaseStorage(transaction.db, source.feed)
    cut = storage.blocks(range(batch.cut, batch.base.length))
    for seq, block in sorted(cut.items()):
        _orphan(db, Place(source.feed, seq), block, transaction.now)
    EntryIndex(db).cut(Place(source.feed, batch.cut))
    storage.store(batch)
    freeze(db, source.feed, None)  # the writer has mended it
    intake.back_to(db, source.instance_id, batch.cut)
    trust = intake.trust
    if source.instance_id in trust.revoked:
        revoking.drop(transaction, own.instance_id, trust, source.instance_id)
    return len(cut)


def rescue(transaction: WriteTransaction, own: OwnFeed, intake: Intake, source: Source) -> int:
    """Append orphans of a feed that is here in full to our own, but for those that stand in some feed.

    They are applied as well: some were cut off before they had been, or while they were parked. Returns how many were
    rescued; none while our own feed may not be appended to.
    """
    db = transaction.db
    may_append = own.may_sign and own.suspect(db) is None
    if not may_append or not _is_taken_in(db, intake, source):
        return 0
    index, kept, orphans = EntryIndex(db), list[Read](), _orphans(db, source.feed)
    parked = parked_anywhere(db) if orphans else set[bytes]()
    for version, block in orphans:
        places = index.places(version)
        if block not in parked and not places:
            kept.append(read(block))
        db.execute_sql("DELETE FROM orphans WHERE writer = ? AND lamport = ?", (version.writer, version.lamport))
        if places and block not in (read(block_at(db, place.feed, place.seq)).original for place in places):
            naming.give_way(transaction, index, read(block).entry)
    if kept:
        blocks = [rescued(found.original, own.instance_id, transaction.now) for found in kept]
        first = own.append(db, blocks)
        for seq, found in enumerate(kept, first.seq):
            index.add(found.entry.table, found.entry.row_id, found.entry.version, Place(first.feed, seq))
        index.flush()
        intake.take_own(transaction, first.seq)
    return len(kept)


def _is_taken_in(db: peewee.Database, intake: Intake, source: Source) -> bool:
    """Whether a feed is here in full, and all of it was looked at: so every name that it has is known."""
    if not is_whole(db, source.feed, intake.trust.revoked.get(source.instance_id)):
        return False
    return intake.cursor(db, source.instance_id).length >= DatabaseStorage(db, source.feed).contiguous()


def read_again(db: peewee.Database, now: int) -> None:
    """Make orphans of what an older release could not read and this one can."""
    for feed, block in db.execute_sql("SELECT feed, block FROM unread_blocks").fetchall():
        try:
            _keep(db, feed, read(block), now)
        except Unreadable:
            continue
        db.execute_sql("DELETE FROM unread_blocks WHERE feed = ? AND block = ?", (feed, block))


def _orphan(db: peewee.Database, place: Place, block: bytes, now: int) -> None:
    unpark(db, place)
    try:
        found = read(block)
    except Unreadable:  # a newer release may
        db.execute_sql(
            "INSERT OR IGNORE INTO unread_blocks (feed, block, since) VALUES (?, ?, ?)", (place.feed, block, now)
        )
        return
    _keep(db, place.feed, found, now)


def _keep(db: peewee.Database, feed: int, found: Read, now: int) -> None:
    version = found.entry.version
    db.execute_sql(
        "INSERT OR IGNORE INTO orphans (writer, lamport, feed, entry, since) VALUES (?, ?, ?, ?, ?)",
        (version.writer, version.lamport, feed, found.original, now),
    )


def _orphans(db: peewee.Database, feed: int) -> list[tuple[Version, bytes]]:
    rows = db.execute_sql(
        "SELECT writer, lamport, entry FROM orphans WHERE feed = ? ORDER BY lamport, writer LIMIT ?",
        (feed, RESCUED_AT_ONCE),
    ).fetchall()
    return [(Version(writer, lamport), entry) for writer, lamport, entry in rows]
