"""The tables of projects, sources and notes, as SQL, and how each is searched.

A reference is a plain column: what it names may arrive later, or be deleted elsewhere, and the row stays.
"""

from __future__ import annotations

from crow_plugins.fulltext import TextIndex, index_sql
from crow_plugins.projects.note import NOTE
from crow_plugins.projects.project import PROJECT
from crow_plugins.projects.source import SOURCE

PROJECTS = TextIndex(
    table="projects",
    weights=(("name", 3.0), ("description", 1.0), ("tags", 2.0)),
    snippets=("description", "name"),
    scanned=("name", "description"),
    columns=PROJECT.columns,
    record=PROJECT.read,
)
SOURCES = TextIndex(
    table="sources",
    weights=(
        *(("title", 3.0), ("authors", 3.0), ("editors", 1.0), ("abstract", 1.0), ("tags", 2.0), ("container", 1.0)),
        *(("publisher", 1.0), ("doi", 2.0), ("isbn", 2.0), ("citation_key", 2.0), ("extra", 0.5)),
    ),
    snippets=("abstract", "title", "extra"),
    scanned=("title", "abstract", "authors"),
    columns=SOURCE.columns,
    record=SOURCE.read,
)
NOTES = TextIndex(
    table="notes",
    weights=(("content", 1.0), ("title", 2.0), ("tags", 2.0)),
    snippets=("content", "title"),
    scanned=("content", "title"),
    columns=NOTE.columns,
    record=NOTE.read,
)

MIGRATIONS = (
    f"""
    CREATE TABLE projects (
        number          INTEGER PRIMARY KEY,   -- made of created_at and id: its place in the full-text index
        id              TEXT    NOT NULL UNIQUE,
        name            TEXT    NOT NULL,
        description     TEXT,
        status          TEXT    NOT NULL,
        tags            TEXT    NOT NULL,      -- JSON: a list of texts
        origin_instance TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        updated_at      INTEGER NOT NULL,
        lamport_ts      INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX projects_updated ON projects (updated_at DESC, id);
    {index_sql(PROJECTS)}

    CREATE TABLE sources (
        number          INTEGER PRIMARY KEY,
        id              TEXT    NOT NULL UNIQUE,
        title           TEXT    NOT NULL,
        kind            TEXT    NOT NULL,
        authors         TEXT    NOT NULL,      -- JSON: a list of texts, as are editors and tags
        editors         TEXT    NOT NULL,
        date            TEXT,                  -- a year, a month or a day, as accessed is
        publisher       TEXT,
        container       TEXT,
        volume          TEXT,
        issue           TEXT,
        pages           TEXT,
        edition         TEXT,
        doi             TEXT,
        isbn            TEXT,
        url             TEXT,
        accessed        TEXT,
        abstract        TEXT,
        citation_key    TEXT,
        extra           TEXT,
        tags            TEXT    NOT NULL,
        project_id      TEXT,
        origin_instance TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        updated_at      INTEGER NOT NULL,
        lamport_ts      INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX sources_updated ON sources (updated_at DESC, id);
    CREATE INDEX sources_project ON sources (project_id, updated_at DESC) WHERE project_id IS NOT NULL;
    {index_sql(SOURCES)}

    CREATE TABLE notes (
        number          INTEGER PRIMARY KEY,
        id              TEXT    NOT NULL UNIQUE,
        content         TEXT    NOT NULL,
        title           TEXT,
        kind            TEXT    NOT NULL,
        locator         TEXT,
        tags            TEXT    NOT NULL,      -- JSON: a list of texts
        project_id      TEXT,
        source_id       TEXT,
        origin_instance TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        updated_at      INTEGER NOT NULL,
        lamport_ts      INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX notes_updated ON notes (updated_at DESC, id);
    CREATE INDEX notes_project ON notes (project_id, updated_at DESC) WHERE project_id IS NOT NULL;
    CREATE INDEX notes_source ON notes (source_id, updated_at DESC) WHERE source_id IS NOT NULL;
    {index_sql(NOTES)}
    """,
)
