"""The posts' table, as SQL, and how it is searched."""

from __future__ import annotations

from crow_plugins.blog.post import POST
from crow_plugins.fulltext import TextIndex, index_sql

INDEX = TextIndex(
    table="posts",
    weights=(("title", 3.0), ("excerpt", 1.5), ("tags", 2.0), ("content", 1.0)),
    snippets=("content", "excerpt", "title"),
    scanned=("title", "content"),
    columns=POST.columns,
    record=POST.read,
)

MIGRATIONS = (
    f"""
    CREATE TABLE posts (
        number          INTEGER PRIMARY KEY,   -- made of created_at and id: its place in the full-text index
        id              TEXT    NOT NULL UNIQUE,
        title           TEXT    NOT NULL,
        slug            TEXT    NOT NULL,      -- not unique: two machines may give the same one
        content         TEXT    NOT NULL,      -- Markdown
        excerpt         TEXT,
        language        TEXT,
        tags            TEXT    NOT NULL,      -- JSON: a list of texts
        status          TEXT    NOT NULL,      -- draft, published, archived
        published_at    INTEGER,               -- for the first time; NULL: never yet
        origin_instance TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        updated_at      INTEGER NOT NULL,
        lamport_ts      INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX posts_updated ON posts (updated_at DESC, id);
    CREATE INDEX posts_slug ON posts (slug, created_at, id);
    CREATE INDEX posts_published ON posts (coalesce(published_at, created_at) DESC, id) WHERE status = 'published';
    {index_sql(INDEX)}
    """,
)
