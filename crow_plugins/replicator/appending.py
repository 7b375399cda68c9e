"""Local writes into the own feed: staged one by one, appended as one batch under one signature before the commit.

The entry is made inside the transaction that writes the row and commits with it, so there is no queue to lose. While
nothing may be appended, entries wait in the outbox in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field

import peewee

from crow_hooks import Change, Transaction, Version
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import written
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction


@dataclass(slots=True)
class Staged:
    """The changes of one transaction with their bytes, in the order they were written."""

    transaction: Transaction
    entries: list[tuple[Change, bytes]] = field(default_factory=list)


class Appending:
    """Makes entries of local writes. The door lets one transaction write at a time, so one stage is enough."""

    def __init__(self, own: OwnFeed, appended: Callable[[Change, int], None], grown: Callable[[], None]) -> None:
        """`appended` is told of each entry and its seq, `grown` once a commit, both after it."""
        self._own, self._appended, self._grown = own, appended, grown
        self._staged: Staged | None = None

    def stage(self, change: Change, transaction: Transaction) -> None:
        """Make the entry of a change now, so that one that does not fit refuses the write. Raises `EntryTooLarge`."""
        if self._staged is None or self._staged.transaction is not transaction:
            self._staged = Staged(transaction)
            transaction.before_commit(self, self._append)
        self._staged.entries.append((change, written(change)))

    def _append(self) -> None:
        staged, self._staged = self._staged, None
        assert staged is not None
        transaction = staged.transaction
        assert isinstance(transaction, WriteTransaction)
        changes = [change for change, _ in staged.entries]
        seq = append_or_keep(transaction.db, self._own, changes, [block for _, block in staged.entries])
        if seq is not None:
            transaction.after_commit(lambda: self._tell(changes, seq))
        # What was written while this plugin was off is below: then the mark stays, and tells of it.
        if changes[0].version.lamport == transaction.clock.entered + 1:
            transaction.clock.entered = changes[-1].version.lamport

    def _tell(self, changes: list[Change], first: int) -> None:
        self._grown()
        for seq, change in enumerate(changes, first):
            self._appended(change, seq)


def append_or_keep(db: peewee.Database, own: OwnFeed, changes: Sequence[Change], blocks: Sequence[bytes]) -> int | None:
    """Append entries and index them; returns the seq of the first, None if they wait in the outbox instead."""
    if own.suspect(db) is not None or not own.may_sign:
        for change, block in zip(changes, blocks, strict=True):
            keep(db, change.version, block)
        return None
    first = own.append(db, blocks)
    index = EntryIndex(db)
    for seq, change in enumerate(changes, first.seq):
        index.add(change.table, change.row_id, change.version, Place(first.feed, seq))
    index.flush()
    return first.seq


def keep(db: peewee.Database, version: Version, block: bytes) -> None:
    """Have an entry wait in the outbox."""
    db.execute_sql("INSERT INTO outbox (writer, lamport, entry) VALUES (?, ?, ?)", (*astuple(version), block))
