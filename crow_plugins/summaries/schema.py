"""The table of summaries, as SQL: what others said of themselves, and how the last try to ask them ended."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE cached_summaries (
        instance_id TEXT    NOT NULL,
        kind        TEXT    NOT NULL,
        value       TEXT,              -- JSON, cleaned; NULL where nothing was ever said, or too long ago
        fetched_at  INTEGER,           -- unix seconds, of the value
        expires_at  INTEGER,           -- from then on the value is stale
        error       TEXT,              -- why the last try brought nothing; NULL after one that did
        etag        TEXT,              -- by which the other knows the value
        tried_at    INTEGER NOT NULL,  -- the last try
        PRIMARY KEY (instance_id, kind)
    ) WITHOUT ROWID;
    """,
)
