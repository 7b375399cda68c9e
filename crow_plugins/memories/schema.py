"""The memories' tables, as SQL."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE memories (
        number          INTEGER PRIMARY KEY,   -- its place in the full-text index; stays home
        id              TEXT    NOT NULL UNIQUE,
        content         TEXT    NOT NULL,
        category        TEXT    NOT NULL,
        importance      INTEGER NOT NULL,
        tags            TEXT    NOT NULL,      -- JSON: a list of texts
        context         TEXT,
        source          TEXT,
        project_id      TEXT,
        origin_instance TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        updated_at      INTEGER NOT NULL,
        lamport_ts      INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX memories_updated ON memories (updated_at DESC, id);
    CREATE VIRTUAL TABLE memories_fts USING fts5 (
        content, context, tags, category,
        content = 'memories', content_rowid = 'number', tokenize = 'porter unicode61 remove_diacritics 2'
    );
    -- Merge rarely: most writes then touch a page or two of the index instead of rewriting parts of it.
    INSERT INTO memories_fts (memories_fts, rank) VALUES ('automerge', 16);
    CREATE TRIGGER memories_indexed AFTER INSERT ON memories BEGIN
        INSERT INTO memories_fts (rowid, content, context, tags, category)
        VALUES (new.number, new.content, new.context, new.tags, new.category);
    END;
    CREATE TRIGGER memories_unindexed AFTER DELETE ON memories BEGIN
        INSERT INTO memories_fts (memories_fts, rowid, content, context, tags, category)
        VALUES ('delete', old.number, old.content, old.context, old.tags, old.category);
    END;
    CREATE TRIGGER memories_reindexed AFTER UPDATE OF content, context, tags, category ON memories BEGIN
        INSERT INTO memories_fts (memories_fts, rowid, content, context, tags, category)
        VALUES ('delete', old.number, old.content, old.context, old.tags, old.category);
        INSERT INTO memories_fts (rowid, content, context, tags, category)
        VALUES (new.number, new.content, new.context, new.tags, new.category);
    END;
    """,
)
