"""Lists in pages, the row changed last first: what comes after a page is told by an opaque cursor.

A row that is changed while somebody pages moves to the front; no row that stays as it is is shown twice or left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from peewee import Database

from crow_hooks import Invalid
from crow_plugins.rows.condition import Condition, where
from crow_plugins.rows.kind import Kind, Record


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """Some rows of a list, where the next ones begin, and how many there are in all."""

    items: list[Record]
    next_cursor: str | None
    total: int


def page(
    db: Database, kind: Kind[Record], conditions: Sequence[Condition], *, limit: int, cursor: str | None
) -> Page[Record]:
    """Raises `Invalid` for a cursor that is none."""
    narrowed, values = where(conditions)
    after, after_values = _after(cursor)
    total = db.execute_sql(f"SELECT count(*) FROM {kind.table} WHERE {narrowed}", values).fetchone()[0]
    rows = db.execute_sql(
        f"SELECT {', '.join(kind.columns)} FROM {kind.table} WHERE {narrowed} AND {after} "
        "ORDER BY updated_at DESC, id LIMIT ?",
        (*values, *after_values, limit + 1),
    ).fetchall()
    items = [kind.read(row) for row in rows[:limit]]
    return Page(items, cursor_at(items[-1].updated_at, items[-1].id) if len(rows) > limit else None, total)


def cursor_at(number: int, row_id: str) -> str:
    """Names a place in a list."""
    return base64.urlsafe_b64encode(f"{number} {row_id}".encode()).decode()


def place_of(cursor: str) -> tuple[int, str]:
    """The place that a cursor names. Raises `Invalid`."""
    try:
        number, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ", 1)
        place = int(number), row_id
    except (ValueError, binascii.Error) as error:
        raise Invalid("the cursor is not one of ours; take next_cursor from the last answer") from error
    if not 0 <= place[0] < 2**63:
        raise Invalid("the cursor is not one of ours; take next_cursor from the last answer")
    return place


def _after(cursor: str | None) -> tuple[str, tuple[object, ...]]:
    if cursor is None:
        return "1", ()
    updated_at, row_id = place_of(cursor)
    return "(updated_at < ? OR (updated_at = ? AND id > ?))", (updated_at, updated_at, row_id)
