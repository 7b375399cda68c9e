"""The settings' tables, as SQL: one whose rows travel, and one whose rows never leave this machine."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE settings (
        id         TEXT    PRIMARY KEY,           -- made of the key
        key        TEXT    NOT NULL UNIQUE,
        value      TEXT    NOT NULL,              -- JSON: a list with the value as its one item
        updated_at INTEGER NOT NULL,
        lamport_ts INTEGER NOT NULL DEFAULT 0
    );

    CREATE TABLE local_settings (
        key        TEXT    PRIMARY KEY,
        value      TEXT    NOT NULL,              -- as above
        updated_at INTEGER NOT NULL
    );
    """,
)
