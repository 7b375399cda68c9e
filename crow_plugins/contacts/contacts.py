"""Contacts as a person means them: kept like other rows, found by what one remembers of them, listed by name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from crow_hooks import Crow, Data, Invalid
from crow_plugins.contacts.contact import CONTACT, Contact
from crow_plugins.contacts.search import Hit, search
from crow_plugins.rows import Condition, Page, Rows, change, get, where


class Contacts(Rows[Contact]):
    """The contacts of one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow) -> None:
        super().__init__(crow, CONTACT)

    def update(self, row_id: str, fields: Data, *, email: str | None = None, by: str = "assistant") -> Contact:
        """Change the named fields; `email` is short for the one address of a contact that has no others."""
        if email is None:
            return super().update(row_id, fields, by=by)
        cleaned = CONTACT.clean({**fields, "emails": one_email(email)})
        # In one transaction: an address that another process adds meanwhile must not be dropped.
        with self._crow.transaction() as transaction:
            addresses = len(get(transaction.db, CONTACT, row_id).emails)
            if addresses > 1:
                raise Invalid(f"this contact has {addresses} email addresses; give emails with all that should stay")
            change(transaction, CONTACT, row_id, cleaned, by=by)
            return get(transaction.db, CONTACT, row_id)

    def find(self, query: str, conditions: Sequence[Condition], limit: int) -> list[Hit]:
        """Best first; any text is a query."""
        with self._crow.read() as db:
            return search(db, query, conditions, limit=limit)

    def list(self, conditions: Sequence[Condition], *, limit: int, cursor: str | None) -> Page[Contact]:
        """By name."""
        narrowed, values = where(conditions)
        after, after_values = _after(cursor)
        with self._crow.read() as db:
            total = db.execute_sql(f"SELECT count(*) FROM contacts WHERE {narrowed}", values).fetchone()[0]
            rows = db.execute_sql(
                f"SELECT {', '.join(CONTACT.columns)} FROM contacts WHERE {narrowed} AND {after} "
                "ORDER BY name COLLATE NOCASE, id LIMIT ?",
                (*values, *after_values, limit + 1),
            ).fetchall()
        items = [CONTACT.read(row) for row in rows[:limit]]
        return Page(items, _cursor(items[-1]) if len(rows) > limit else None, total)


def one_email(address: str) -> Sequence[Data]:
    """The list that has this address only; empty for none."""
    return [{"address": address}] if address.strip() else []


def _cursor(contact: Contact) -> str:
    return base64.urlsafe_b64encode(f"{contact.id} {contact.name}".encode()).decode()


def _after(cursor: str | None) -> tuple[str, tuple[str, ...]]:
    if cursor is None:
        return "1", ()
    try:
        row_id, name = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ", 1)
    except (ValueError, binascii.Error) as error:
        raise Invalid("the cursor is not one of ours; take next_cursor from the last answer") from error
    return "(name COLLATE NOCASE, id) > (?, ?)", (name, row_id)
