"""Entries of other instances joined into rows, as many as a transaction takes in.

Each entry is joined for itself, in memory; a row is then written once, as it stands after the last of them. What comes
of it is the same as if each had been written, since all that is kept of a row follows from its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crow_hooks import Entry
from crow_plugins import causality
from crow_plugins.causality import RowState
from crow_plugins.store import versions
from crow_plugins.store.synced import Shape

if TYPE_CHECKING:
    from crow_plugins.store.door import WriteTransaction

Row = tuple[str, str]  # table and id
_NONE = frozenset[causality.Dot]()


@dataclass(slots=True)
class Touched:
    """What was known of a row before, what is known now, and who wrote the entry that came last."""

    shape: Shape
    row_id: str
    before: RowState
    after: RowState
    by: str


def joined(transaction: WriteTransaction, entries: Sequence[Entry]) -> list[Touched]:
    """The rows that entries touch, in the order in which they did first; the clock has gone past them all."""
    known = versions.load_all(transaction.db, {(entry.table, entry.row_id) for entry in entries})
    rows: dict[Row, Touched] = {}
    for entry in entries:
        transaction.clock.witness(entry.version.lamport)
        row = rows.get((entry.table, entry.row_id))
        if row is None:
            row = _untouched(transaction, entry, known)
            rows[entry.table, entry.row_id] = row
        row.after, row.by = causality.join(row.after, arrival_of(entry)), entry.by
    return list(rows.values())


def arrival_of(entry: Entry) -> causality.Arrival:
    return causality.Arrival(
        dot=causality.Dot(entry.version.writer, entry.version.lamport),
        vector=entry.vv,
        open=frozenset(causality.Dot(version.writer, version.lamport) for version in entry.open)
        if entry.open
        else _NONE,
        deleted=entry.deleted,
        data=entry.data,
    )


def _untouched(transaction: WriteTransaction, entry: Entry, known: dict[Row, versions.Known]) -> Touched:
    shape = transaction.shape(entry.table)
    assert shape is not None  # it was checked
    state = known.get((entry.table, entry.row_id), versions.UNKNOWN)
    before = versions.with_data(transaction.db, shape, entry.row_id, state)
    return Touched(shape, entry.row_id, before, before, entry.by)
