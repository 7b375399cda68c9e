"""Contacts as a person means them: add, change, find, list, delete."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from dataclasses import dataclass

from peewee import Database

from crow_hooks import Crow, Data, Invalid, NotFound, Transaction
from crow_plugins.contacts.contact import EMPTY, SELECT, SYNCED, Contact, clean, contact_of, encoded
from crow_plugins.contacts.search import Hit, search


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, where the next ones begin, and how many there are in all."""

    items: list[Contact]
    next_cursor: str | None
    total: int


class Contacts:
    """The contacts of one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow

    def add(self, fields: Data) -> Contact:
        """Keep a new contact; `fields` holds any of `FIELDS`. Raises `Invalid`."""
        with self._crow.transaction() as transaction:
            row_id = str(uuid.uuid4())
            insert(transaction, row_id, new_row(self._crow, fields, transaction.now))
            return get(transaction.db, row_id)

    def get(self, row_id: str) -> Contact:
        with self._crow.read() as db:
            return get(db, row_id)

    def update(self, row_id: str, fields: Data) -> Contact:
        """Change the named fields; a write that changes nothing leaves everything as it was."""
        cleaned = clean(fields)
        if not cleaned:
            raise Invalid("nothing to change; name at least one field")
        with self._crow.transaction() as transaction:
            get(transaction.db, row_id)
            changes = ", ".join(f"{name} = ?" for name in cleaned)
            transaction.db.execute_sql(f"UPDATE contacts SET {changes} WHERE id = ?", (*encoded(cleaned), row_id))
            transaction.record("contact_update", "contacts", row_id)
            return get(transaction.db, row_id)

    def delete(self, row_id: str) -> Contact:
        with self._crow.transaction() as transaction:
            contact = get(transaction.db, row_id)
            transaction.record("contact_delete", "contacts", row_id)
            return contact

    def find(self, query: str, *, tag: str | None, limit: int) -> list[Hit]:
        with self._crow.read() as db:
            return search(db, query, tag=tag, limit=limit)

    def list(self, *, tag: str | None, limit: int, cursor: str | None) -> Page:
        """By name."""
        where, values = "(? IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?))", (tag, tag)
        after, after_values = _after(cursor)
        with self._crow.read() as db:
            total = db.execute_sql(f"SELECT count(*) FROM contacts WHERE {where}", values).fetchone()[0]
            rows = db.execute_sql(
                f"{SELECT} WHERE {where} AND {after} ORDER BY name COLLATE NOCASE, id LIMIT ?",
                (*values, *after_values, limit + 1),
            ).fetchall()
        items = [contact_of(row) for row in rows[:limit]]
        return Page(items, _cursor(items[-1]) if len(rows) > limit else None, total)


def get(db: Database, row_id: str) -> Contact:
    row = db.execute_sql(f"{SELECT} WHERE id = ?", (row_id,)).fetchone()
    if row is None:
        raise NotFound(f"no contact {row_id[:64]!r}; find or list contacts to see their ids")
    return contact_of(row)


def new_row(crow: Crow, fields: Data, now: int) -> dict[str, object]:
    """All travelling columns of a new contact. Raises `Invalid`."""
    cleaned = clean(fields)
    if "name" not in cleaned:
        raise Invalid("a contact needs a name; say who it is")
    return {**EMPTY, **cleaned, "origin_instance": crow.instance.id, "created_at": now, "updated_at": now}


def insert(transaction: Transaction, row_id: str, row: Data, *, by: str = "assistant") -> None:
    names = [column.name for column in SYNCED.columns]
    transaction.db.execute_sql(
        f"INSERT INTO contacts (id, {', '.join(names)}) VALUES (?{', ?' * len(names)})",
        (row_id, *encoded({name: row[name] for name in names})),
    )
    transaction.record("contact_update", "contacts", row_id, by=by)


def _cursor(contact: Contact) -> str:
    return base64.urlsafe_b64encode(json.dumps([contact.name, contact.id]).encode()).decode()


def _after(cursor: str | None) -> tuple[str, tuple[str, ...]]:
    if cursor is None:
        return "1", ()
    try:
        name, row_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(name, str) or not isinstance(row_id, str):
            raise TypeError
    except (TypeError, ValueError, binascii.Error) as error:
        raise Invalid("the cursor is not one of ours; take next_cursor from the last answer") from error
    return "(name COLLATE NOCASE, id) > (?, ?)", (name, row_id)
