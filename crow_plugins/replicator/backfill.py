"""Entries for what was written while this plugin was off: versions of our own that are live and stand in no feed.

A row's whole image travels, so what was overwritten meanwhile needs no entry; what the last write knew of the row is
known still. Batches are transactions of their own, and what has its entry is passed over, so this can be interrupted
anywhere. It runs before anything remote is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import peewee

from crow_hooks import Change, Transaction, Version
from crow_plugins.causality import Dot, RowState, instance_of
from crow_plugins.replicator.appending import append_or_keep
from crow_plugins.replicator.entries import EntryIndex
from crow_plugins.replicator.entry import written
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction, live_dots

BATCH_ROWS = 500

Live = tuple[str, str, Dot]  # table, row id, version


class Door(Protocol):
    """What is asked of the handle."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...
    def read(self) -> AbstractContextManager[peewee.Database]: ...


def run(door: Door, own: OwnFeed) -> int:
    """Append what lacks its entry, oldest first; returns how many entries that were."""
    with door.read() as db:
        if _is_complete(db):
            return 0
        index = EntryIndex(db)
        lacking = [live for live in live_dots(db) if _is_lacking(index, live, own)]
    lacking.sort(key=lambda live: live[2].lamport)
    count = 0
    for start in range(0, len(lacking), BATCH_ROWS):
        with door.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            count += _append(transaction, own, lacking[start : start + BATCH_ROWS])
    with door.transaction() as transaction:
        assert isinstance(transaction, WriteTransaction)
        transaction.clock.entered = transaction.clock.lamport
    return count


def _is_complete(db: peewee.Database) -> bool:
    """Whether every local write has its entry."""
    row = db.execute_sql("SELECT lamport = entered FROM clock WHERE id = 1").fetchone()
    return row is None or bool(row[0])


def _is_lacking(index: EntryIndex, live: Live, own: OwnFeed) -> bool:
    _, _, dot = live
    return instance_of(dot.writer) == own.instance_id and not index.has(Version(*dot))


def _append(transaction: WriteTransaction, own: OwnFeed, lacking: Sequence[Live]) -> int:
    """Look again, under the lock: the row may have been written meanwhile, with its entry."""
    index = EntryIndex(transaction.db)
    changes = [change for live in lacking if _is_lacking(index, live, own) for change in _changes(transaction, live)]
    append_or_keep(transaction.db, own, changes, [written(change) for change in changes])
    return len(changes)


def _changes(transaction: WriteTransaction, live: Live) -> Iterator[Change]:
    table, row_id, dot = live
    shape = transaction.shape(table)
    if shape is None:  # its plugin is gone; its entry waits until it is back
        return
    state = transaction.known(table, row_id)
    version = next((each for each in state.live if each.dot == dot), None)
    if version is None or version.data is None:
        return
    yield Change(
        type=shape.delete_type if version.deleted else shape.update_type,
        table=table,
        row_id=row_id,
        data=version.data,
        version=Version(*dot),
        vv=_known_before(state, dot),
        open=tuple(Version(*each.dot) for each in state.live if each.dot != dot),
        timestamp=transaction.now,
        deleted=version.deleted,
        by="backfill",
    )


def _known_before(state: RowState, dot: Dot) -> dict[str, int]:
    """What was known when the version was written: it is the newest, since nothing is applied while this is off."""
    return {writer: lamport for writer, lamport in state.vector.items() if writer != dot.writer}
