"""Rows of one kind as a person keeps them: add, read, list, change, delete, and take a delete back.

Every write goes through `crow.transaction()`; what the kind checks is checked again by the door against what the
table declares, which is what other instances will hold us to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Generic

from peewee import Database

from crow_hooks import Crow, Data, Invalid, NotFound, Transaction, new_row_id
from crow_plugins.rows.condition import Condition
from crow_plugins.rows.field import encoded
from crow_plugins.rows.kind import Kind, Record
from crow_plugins.rows.paging import Page, page


class Rows(Generic[Record]):
    """The rows of one kind on one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow, kind: Kind[Record]) -> None:
        self._crow, self._kind = crow, kind

    def add(self, fields: Data, *, by: str = "assistant") -> Record:
        """Keep a new row of the given fields. Raises `Invalid`."""
        with self._crow.transaction() as transaction:
            row_id = new_row_id()
            row = self._kind.new(fields, origin=self._crow.instance.id, now=transaction.now)
            return insert(transaction, self._kind, row_id, row, by=by)

    def get(self, row_id: str) -> Record:
        """Raises `NotFound`."""
        with self._crow.read() as db:
            return get(db, self._kind, row_id)

    def update(self, row_id: str, fields: Data, *, by: str = "assistant") -> Record:
        """Change the named fields; a write that changes nothing leaves everything as it was."""
        cleaned = self._kind.clean(fields)
        if not cleaned:
            raise Invalid("nothing to change; name at least one field")
        with self._crow.transaction() as transaction:
            get(transaction.db, self._kind, row_id)
            change(transaction, self._kind, row_id, cleaned, by=by)
            return get(transaction.db, self._kind, row_id)

    def delete(self, row_id: str, *, by: str = "assistant") -> Record:
        """Remove a row and answer with it; its last image is kept for `restore`."""
        with self._crow.transaction() as transaction:
            record = get(transaction.db, self._kind, row_id)
            transaction.record(self._kind.changes[2], self._kind.table, row_id, by=by)
            return record

    def restore(self, row_id: str, *, by: str = "assistant") -> Record:
        """Take a delete back. Raises `NotFound` if the row is not deleted or its image is gone."""
        name = self._kind.name
        with self._crow.transaction() as transaction:
            image = transaction.last_image(self._kind.table, row_id)
            if image is None:
                raise NotFound(f"no deleted {name} {shown(row_id)} is kept; what is here needs no restoring")
            return insert(transaction, self._kind, row_id, image, by=by)

    def list(self, conditions: Sequence[Condition], *, limit: int, cursor: str | None) -> Page[Record]:
        """Newest change first."""
        with self._crow.read() as db:
            return page(db, self._kind, conditions, limit=limit, cursor=cursor)


def get(db: Database, kind: Kind[Record], row_id: str) -> Record:
    """Raises `NotFound`."""
    record = find(db, kind, row_id)
    if record is None:
        raise NotFound(f"no {kind.name} {shown(row_id)}; {kind.ids}")
    return record


def find(db: Database, kind: Kind[Record], row_id: str) -> Record | None:
    row = db.execute_sql(f"SELECT {', '.join(kind.columns)} FROM {kind.table} WHERE id = ?", (row_id,)).fetchone()
    return None if row is None else kind.read(row)


def find_all(db: Database, kind: Kind[Record], row_ids: Sequence[str]) -> dict[str, Record]:
    """Those that are here, by id."""
    rows = db.execute_sql(
        f"SELECT {', '.join(kind.columns)} FROM {kind.table} WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(row_ids),),
    ).fetchall()
    return {record.id: record for record in map(kind.read, rows)}


def insert(transaction: Transaction, kind: Kind[Record], row_id: str, row: Data, *, by: str = "assistant") -> Record:
    """Write a new row of all travelling columns; returns it."""
    [change] = transaction.insert(kind.changes[0], kind.table, {row_id: row}, by=by)
    return kind.written(change)


def change(transaction: Transaction, kind: Kind[Record], row_id: str, cleaned: Data, *, by: str = "assistant") -> None:
    """Set cleaned fields of a row that is here."""
    settings = ", ".join(f"{name} = ?" for name in cleaned)
    transaction.db.execute_sql(f"UPDATE {kind.table} SET {settings} WHERE id = ?", (*encoded(cleaned), row_id))
    transaction.record(kind.changes[1], kind.table, row_id, by=by)


def counts(db: Database, kind: Kind[Record], column: str) -> dict[str, int]:
    """How many rows have each value of a column, the most frequent first."""
    rows = db.execute_sql(f"SELECT {column}, count(*) FROM {kind.table} GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    return dict(rows)


def shown(text: str) -> str:
    """What somebody typed, short enough to be shown back."""
    return repr(text[:64])
