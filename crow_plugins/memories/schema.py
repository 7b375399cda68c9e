"""The memories' tables, as SQL.

The full-text index holds no text of its own: it reads the table's, and triggers keep it true. A stem is found
under its first three letters too (`prefix`), so that a short beginning of a word costs no walk through
every word that has it. Only a write to an indexed column touches the index: stamping a row does not.
"""

from __future__ import annotations

TOKENIZER = ("porter", "unicode61", "remove_diacritics", "2")  # what the index is made with; queries are read by it too

# Scripts without spaces, as a pattern of `GLOB`: Thai to Khmer, kana, Han. The index takes a run of them for one word.
UNSPACED = "*[ก-႟ក-៿぀-ヿ㐀-鿿]*"
IMPORTANCE_USUAL = 5  # what a memory gets when nobody says

MIGRATIONS = (
    f"""
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
    CREATE INDEX memories_category ON memories (category, updated_at DESC);
    -- Few rows are in these three, so most writes do not touch them.
    CREATE INDEX memories_project ON memories (project_id, updated_at DESC) WHERE project_id IS NOT NULL;
    CREATE INDEX memories_important ON memories (importance) WHERE importance > {IMPORTANCE_USUAL};
    CREATE INDEX memories_unspaced ON memories (number) WHERE content GLOB '{UNSPACED}';

    CREATE VIRTUAL TABLE memories_fts USING fts5 (
        content, context, tags, category,
        content = 'memories', content_rowid = 'number', tokenize = '{" ".join(TOKENIZER)}', prefix = '3'
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
