"""When a writer went back and took another branch: what is cut is kept until it stands in a feed again.

A feed of a restored machine goes on from an older length under a higher fork. Peers follow it; the entries of the
branch that was given up are *orphans* from then on. Their rows stay as they are. Once the new branch is here in full,
or after a day, since its blocks may be lost, an orphan that no feed held here has is *rescued*: appended to our own
feed, as the bytes it was.

Where a writer that never comes back left two branches of one fork, nobody is there to say which is its feed. Then each
block of the one that is held here is rescued from where the two are no longer shown to be one; see `disputes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import peewee

from crow_hooks import Version
from crow_plugins.feed import Batch
from crow_plugins.replicator import disputes, naming, revoking
from crow_plugins.replicator.applying import Source, parked_anywhere, unpark
from crow_plugins.replicator.branch_that_counts import is_whole
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import NoEntry, Read, Unreadable, read, rescued, shown
from crow_plugins.replicator.feed_storage import DatabaseStorage, block_at, freeze
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction

RESCUED_AT_ONCE = 500
PATIENCE_SECONDS = 86_400  # with a head of which nobody may have all blocks


def follow(transaction: WriteTransaction, own: OwnFeed, intake: Intake, source: Source, batch: Batch) -> None:
    """Store a batch that cuts a feed: keep what it cuts, and set the cursor back.

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
    if source.instance_id == own.instance_id:
        disputes.forget_what_was_told(db)
    intake.back_to(db, source.instance_id, batch.cut)
    trust = intake.trust
    if source.instance_id in trust.revoked:
        revoking.drop(transaction, own.instance_id, trust, source.instance_id)


def rescue(transaction: WriteTransaction, own: OwnFeed, intake: Intake, source: Source) -> int:
    """Append orphans of a feed that is here in full to our own, some at a time, but for those that stand in some feed.

    They are applied as well: some were cut off before they had been, or while they were parked. Returns how many were
    rescued; none while our own feed may not be appended to.
    """
    db = transaction.db
    if not can_rescue(db, own, intake, source, transaction.now):
        return 0
    index, kept, orphans = EntryIndex(db), list[Read](), _orphans(db, source.feed)
    parked = parked_anywhere(db) if orphans else set[bytes]()
    for version, block in orphans:
        places = index.settled(version)
        if block not in parked and not places:
            kept.append(read(block))
        db.execute_sql("DELETE FROM orphans WHERE writer = ? AND lamport = ?", (version.writer, version.lamport))
        if places and block not in (read(block_at(db, place.feed, place.seq)).original for place in places):
            naming.give_way(transaction, index, read(block).entry)
    _append(transaction, own, intake, [rescued(each.original, own.instance_id, transaction.now) for each in kept])
    return len(kept)


def can_rescue(db: peewee.Database, own: OwnFeed, intake: Intake, source: Source, now: int) -> bool:
    """Whether `rescue` would look at any orphan: all that is here of their feed is applied, and ours is open."""
    if not own.may_append(db) or not is_orphaned_and_ready(db, intake, source, now):
        return False
    return intake.cursor(db, source.instance_id).length >= DatabaseStorage(db, source.feed).contiguous()


def is_disputed_and_waits(db: peewee.Database, intake: Intake, source: Source) -> bool:
    """Whether `rescue_disputed` has anything to do."""
    dispute = disputes.of_feed(db, source.feed)
    if dispute is None or source.instance_id in intake.trust.revoked:
        return False
    return not dispute.told or dispute.rescued < intake.cursor(db, source.instance_id).length


def rescue_disputed(transaction: WriteTransaction, own: OwnFeed, intake: Intake, source: Source) -> int:
    """Show both heads of a disputed feed in our own, then append what is held of it and disputed, some at a time.

    All of it but what stands beyond dispute, byte for byte: of another write of the same name, everybody is to choose
    between the same two. Returns how many were rescued.
    """
    db = transaction.db
    if not own.may_append(db) or not is_disputed_and_waits(db, intake, source):
        return 0
    dispute = disputes.of_feed(db, source.feed)
    assert dispute is not None
    end = min(intake.cursor(db, source.instance_id).length, dispute.rescued + RESCUED_AT_ONCE)
    kept = list(_lacking(transaction, intake, source, range(dispute.rescued, end), own.instance_id))
    heads = [] if dispute.told else [shown(dispute.heads, own.instance_id, transaction.now)]
    rescued_now = [rescued(original, own.instance_id, transaction.now) for original in kept]
    disputes.rescued_up_to(db, dispute, max(end, dispute.rescued))
    _append(transaction, own, intake, [*heads, *rescued_now])
    return len(kept)


def _lacking(
    transaction: WriteTransaction, intake: Intake, source: Source, seqs: range, own_id: str
) -> Iterator[bytes]:
    """The disputed entries that nobody is known to have rescued yet, and that may be."""
    db, trust = transaction.db, intake.trust
    index, parked = EntryIndex(db), parked_anywhere(db)
    held = DatabaseStorage(db, source.feed).blocks(seqs)
    for _, block in sorted(held.items()):
        try:
            found = read(block)
        except NoEntry:
            continue
        except Unreadable:
            _keep_unread(db, source.feed, block, transaction.now)
            continue
        places = index.settled(found.entry.version)
        stands = {read(block_at(db, place.feed, place.seq)).original for place in places} | parked
        if found.original not in stands and trust.counts_rescued(found.entry, own_id):
            yield found.original


def _append(transaction: WriteTransaction, own: OwnFeed, intake: Intake, blocks: Sequence[bytes]) -> None:
    """To our own feed, and take them in from there like anybody's."""
    if blocks:
        intake.take_own(transaction, own.append(transaction.db, blocks).seq)


def is_orphaned_and_ready(db: peewee.Database, intake: Intake, source: Source, now: int) -> bool:
    """Whether there are orphans of a feed, and it is here in full, or has not been for long enough."""
    waiting = db.execute_sql("SELECT since FROM orphans WHERE feed = ? LIMIT 1", (source.feed,)).fetchone()
    if waiting is None:
        return False
    return now - waiting[0] >= PATIENCE_SECONDS or is_whole(
        db, source.feed, intake.trust.revoked.get(source.instance_id)
    )


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
        _keep(db, place.feed, read(block), now)
    except NoEntry:
        return
    except Unreadable:
        _keep_unread(db, place.feed, block, now)


def _keep_unread(db: peewee.Database, feed: int, block: bytes, now: int) -> None:
    """A newer release may read it."""
    db.execute_sql("INSERT OR IGNORE INTO unread_blocks (feed, block, since) VALUES (?, ?, ?)", (feed, block, now))


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
