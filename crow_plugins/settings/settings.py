"""Settings as a person means them: get, set, delete, list. A local one beats a shared one of the same key.

A shared setting is one row on every machine, since its id is made of its key. A local one stands in a table that
no other instance hears of, and is found by no search that other machines may ask for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace

from peewee import Database

from crow_hooks import Crow, Invalid, NotFound, Transaction
from crow_plugins import causality
from crow_plugins.settings.setting import Scope, Setting, checked_key, stored, value_of
from crow_plugins.store import versions
from crow_plugins.store.synced import row_id_of

ROWS = """
    SELECT key, 'local' AS scope, value, updated_at, NULL AS lamport_ts, 1 AS in_force FROM local_settings
    UNION ALL
    SELECT key, 'shared', value, updated_at, lamport_ts, key NOT IN (SELECT key FROM local_settings) FROM settings
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, where the next ones begin, and how many there are in all."""

    items: list[Setting]
    next_cursor: str | None
    total: int


class Settings:
    """The settings of one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow

    def get(self, key: str) -> Setting:
        """The setting that holds here. Raises `NotFound`."""
        checked_key(key)
        with self._crow.read() as db:
            found = self._of(db, key)
        if not found:
            raise NotFound(f"there is no setting {key}; list the settings to see their keys")
        return found[0]

    def set(self, key: str, value: object, scope: Scope) -> Setting:
        """Write a setting; one that is like this already stays as it was. Raises `Invalid`."""
        checked_key(key)
        text = stored(value)
        with self._crow.transaction() as transaction:
            if scope == "local":
                _write_local(transaction, key, text)
            else:
                write_shared(transaction, key, text, transaction.now)
            return self._one(transaction.db, key, scope)

    def delete(self, key: str, scope: Scope) -> Setting:
        """Remove a setting of one scope; answers with what it was. Raises `NotFound`, `ConflictOpen`."""
        checked_key(key)
        with self._crow.transaction() as transaction:
            setting = self._one(transaction.db, key, scope)
            if scope == "local":
                transaction.db.execute_sql("DELETE FROM local_settings WHERE key = ?", (key,))
            else:
                transaction.record("setting_delete", "settings", row_id_of(key))
            return setting

    def list(self, *, prefix: str | None, scope: Scope | None, limit: int, cursor: str | None) -> Page:
        """By key; of one key the local one first. `prefix` is whole words of a key: `editor` has `editor.font`."""
        where, values = _conditions(prefix, scope)
        after, after_values = _after(cursor)
        with self._crow.read() as db:
            total = db.execute_sql(f"SELECT count(*) FROM ({ROWS}) WHERE {where}", values).fetchone()[0]
            rows = db.execute_sql(
                f"SELECT * FROM ({ROWS}) WHERE {where} AND {after} ORDER BY key, scope LIMIT ?",
                (*values, *after_values, limit + 1),
            ).fetchall()
            items = [self._setting(db, row) for row in rows[:limit]]
        return Page(items, _cursor(items[-1]) if len(rows) > limit else None, total)

    def _one(self, db: Database, key: str, scope: Scope) -> Setting:
        for setting in self._of(db, key):
            if setting.scope == scope:
                return setting
        raise NotFound(f"there is no {scope} setting {key}; list the settings to see their keys and scopes")

    def _of(self, db: Database, key: str) -> Sequence[Setting]:
        """Both scopes, the one in force first."""
        rows = db.execute_sql(f"SELECT * FROM ({ROWS}) WHERE key = ? ORDER BY scope", (key,)).fetchall()
        return [self._setting(db, row) for row in rows]

    def _setting(self, db: Database, row: Sequence[object]) -> Setting:
        key, scope, value, updated_at, lamport_ts, in_force = row
        local = Setting(
            str(key), value_of(str(value)), "local", bool(in_force), self._crow.instance.id, int(str(updated_at)), None
        )
        if scope == "local":
            return local
        return replace(local, scope="shared", lamport_ts=int(str(lamport_ts)), origin_instance=writer(db, str(key)))


def write_shared(transaction: Transaction, key: str, text: str, updated_at: int, *, by: str = "assistant") -> None:
    row_id = row_id_of(key)
    transaction.db.execute_sql(
        "INSERT INTO settings (id, key, value, updated_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET value = excluded.value",
        (row_id, key, text, updated_at),
    )
    transaction.record("setting_update", "settings", row_id, by=by)


def writer(db: Database, key: str) -> str:
    """Which instance wrote the value that a shared setting has now."""
    shown = causality.current(versions.load(db, "settings", row_id_of(key)).state)
    return causality.instance_of(shown.dot.writer) if shown else ""


def _write_local(transaction: Transaction, key: str, text: str) -> None:
    transaction.db.execute_sql(
        "INSERT INTO local_settings (key, value, updated_at) VALUES (?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at "
        "WHERE value <> excluded.value",
        (key, text, transaction.now),
    )


def _conditions(prefix: str | None, scope: Scope | None) -> tuple[str, tuple[object, ...]]:
    parts, values = ["1"], []
    if prefix is not None:
        prefix = checked_key(prefix.removesuffix("."))
        parts.append("(key = ? OR substr(key, 1, ?) = ?)")
        values += [prefix, len(prefix) + 1, f"{prefix}."]
    if scope is not None:
        parts.append("scope = ?")
        values.append(scope)
    return " AND ".join(parts), tuple(values)


def _cursor(setting: Setting) -> str:
    return base64.urlsafe_b64encode(f"{setting.key} {setting.scope}".encode()).decode()


def _after(cursor: str | None) -> tuple[str, tuple[object, ...]]:
    if cursor is None:
        return "1", ()
    try:
        key, scope = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
    except (ValueError, binascii.Error) as error:
        raise Invalid("the cursor is not one of ours; take next_cursor from the last answer") from error
    return "(key, scope) > (?, ?)", (key, scope)
