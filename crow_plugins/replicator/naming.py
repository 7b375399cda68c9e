"""One name for two writes: somebody with a stolen machine's keys makes them, or a copy of a home that runs beside it.

Of two entries of one name that differ one stands, the same on every machine, in whatever order they came. The other one
waits as a parked entry, and its feed is marked, which is the alarm.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import peewee

from crow_hooks import Entry
from crow_plugins.replicator import disputes
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import Read
from crow_plugins.replicator.feed_storage import freeze
from crow_plugins.replicator.history import standing
from crow_plugins.store import WriteTransaction

log = logging.getLogger(__name__)

USED_TWICE = "dot_used_twice"
MARK = "one name for two writes"


def stands_before(db: peewee.Database, one: Read, at: Place, other: Read, there: Place) -> bool:
    """Whether the first of two entries is the one to keep: the writer's own feed decides, and there the earlier block.

    Nobody signed what others rescued of it but they themselves: of those the bytes decide. So they do of what is
    disputed of the writer's own feed, since others hold another branch of that.
    """
    return _rank(db, one, at) < _rank(db, other, there)


def _rank(db: peewee.Database, found: Read, place: Place) -> tuple[bool, int, bytes]:
    if found.rescued_by is None and not disputes.is_disputed(db, place):
        return False, place.seq, b""
    return True, 0, found.original


def give_way(transaction: WriteTransaction, index: EntryIndex, entry: Entry) -> None:
    """Make a row anew without an entry that stood in it, and is in no index any more."""
    if transaction.shape(entry.table) is not None:
        entries = standing(transaction.db, index, entry.table, entry.row_id)
        transaction.rebuild(entry.table, entry.row_id, entries, [entry.version])


def alarm(db: peewee.Database, feed: int, entry: Entry, revoked: Collection[str]) -> None:
    """Mark the feed in which the other write stands; not where it is known who did it: the writer is revoked, or
    there are two branches of its feed.
    """
    if entry.instance_id not in revoked and not disputes.is_known(db, entry.instance_id):
        freeze(db, feed, MARK)
        log.error("one name for two writes instance=%s lamport=%d", entry.instance_id, entry.version.lamport)


def forget_alarms(db: peewee.Database) -> None:
    """A machine was revoked: what is a reason for alarm still is found when the parked entries are tried again."""
    db.execute_sql("UPDATE feeds SET frozen = NULL WHERE frozen = ?", (MARK,))
