"""The memories' table, as SQL, and how it is searched."""

from __future__ import annotations

from crow_plugins.fulltext import MARK, TextIndex, index_sql
from crow_plugins.memories.memory import IMPORTANCE_MAX, IMPORTANCE_USUAL, MEMORY

INDEX = TextIndex(
    table="memories",
    weights=(("content", 1.0), ("context", 0.8), ("tags", 2.0), ("category", 1.0)),
    snippets=("content", "context"),
    scanned=("content",),
    columns=MEMORY.columns,
    record=MEMORY.read,
    boost=f"(importance - {IMPORTANCE_USUAL}) / {IMPORTANCE_USUAL}.0",
    marks=("importance",),
)

# Every row has one, so that none is longer than another to a ranking by bm25.
MARKS = f"char({ord(MARK)}) || min(importance, {IMPORTANCE_MAX})"
MIGRATIONS = (
    f"""
    CREATE TABLE memories (
        number          INTEGER PRIMARY KEY,   -- made of created_at and id: its place in the full-text index
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
        lamport_ts      INTEGER NOT NULL DEFAULT 0,
        marks           TEXT AS ({MARKS})      -- what the full-text index is told of a row beside its text
    );
    CREATE INDEX memories_updated ON memories (updated_at DESC, id);
    CREATE INDEX memories_category ON memories (category, updated_at DESC);
    -- Few rows are in these, and in the list of unspaced ones, so most writes do not touch them.
    CREATE INDEX memories_project ON memories (project_id, updated_at DESC) WHERE project_id IS NOT NULL;
    CREATE INDEX memories_important ON memories (importance) WHERE importance > {IMPORTANCE_USUAL};
    {index_sql(INDEX)}
    """,
)
