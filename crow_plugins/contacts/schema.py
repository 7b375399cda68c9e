"""The contacts' tables, as SQL.

The full-text index keeps no text: triggers give it what stands in a row, the lists as plain words. Numbers of phones
are not in it; they are written in too many ways.
"""

from __future__ import annotations


def _words(row: str) -> str:
    """What of a row is searched, as values for the index; another instance may have stored any JSON in a list."""
    return f"""
        {row}.number, {row}.name, {_texts(row, "emails")},
        coalesce({row}.organisation, '') || ' ' || coalesce({row}.title, ''), {_texts(row, "tags")},
        concat_ws(' ', {row}.notes, {_texts(row, "addresses")}, {_texts(row, "urls")})
    """


def _texts(row: str, column: str) -> str:
    texts = f"json_tree({row}.{column}) WHERE type = 'text' AND key IS NOT 'label'"
    return f"(SELECT group_concat(atom, ' ') FROM {texts})"


MIGRATIONS = (
    f"""
    CREATE TABLE contacts (
        number          INTEGER PRIMARY KEY,   -- made of created_at and id: its place in the full-text index
        id              TEXT    NOT NULL UNIQUE,
        name            TEXT    NOT NULL,
        emails          TEXT    NOT NULL,      -- JSON: objects with address and label
        phones          TEXT    NOT NULL,      -- JSON: objects with number and label
        addresses       TEXT    NOT NULL,      -- JSON: objects with street, city, region, postal_code, country, label
        urls            TEXT    NOT NULL,      -- JSON: objects with url and label
        organisation    TEXT,
        title           TEXT,
        birthday        TEXT,                  -- YYYY-MM-DD, or --MM-DD without the year
        notes           TEXT,
        tags            TEXT    NOT NULL,      -- JSON: a list of texts
        origin_instance TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        updated_at      INTEGER NOT NULL,
        lamport_ts      INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX contacts_name ON contacts (name COLLATE NOCASE, id);

    CREATE VIRTUAL TABLE contacts_fts USING fts5 (
        name, emails, work, tags, notes,
        content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
    );
    CREATE TRIGGER contacts_indexed AFTER INSERT ON contacts BEGIN
        INSERT INTO contacts_fts (rowid, name, emails, work, tags, notes) VALUES ({_words("new")});
    END;
    CREATE TRIGGER contacts_unindexed AFTER DELETE ON contacts BEGIN
        DELETE FROM contacts_fts WHERE rowid = old.number;
    END;
    CREATE TRIGGER contacts_reindexed
    AFTER UPDATE OF name, emails, addresses, urls, organisation, title, notes, tags, number ON contacts BEGIN
        DELETE FROM contacts_fts WHERE rowid = old.number;
        INSERT INTO contacts_fts (rowid, name, emails, work, tags, notes) VALUES ({_words("new")});
    END;
    """,
)
