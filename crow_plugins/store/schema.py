"""The store's own tables, as SQL. What a plugin keeps stands in the plugin's folder."""

from __future__ import annotations

OWNER = "store"

MIGRATIONS = (
    """
    -- One row: this installation's logical time, and how we know that no copy of it runs elsewhere.
    CREATE TABLE clock (
        id           INTEGER PRIMARY KEY CHECK (id = 1),
        store_id     TEXT    NOT NULL,            -- drawn once, names this database file
        instance_id  TEXT    NOT NULL DEFAULT '', -- who writes here
        lamport      INTEGER NOT NULL DEFAULT 0,  -- the highest given out or received
        entered      INTEGER NOT NULL DEFAULT 0,  -- every local write up to it has its entry: kept by who makes entries
        epoch        TEXT    NOT NULL DEFAULT '', -- with the instance id, the writer of what is written now
        boot_id      TEXT    NOT NULL DEFAULT '', -- the machine's boot in which the epoch was drawn
        clock_offset REAL    NOT NULL DEFAULT 0   -- wall clock minus boot clock, in seconds
    );

    -- What is known of every synced row, tombstones included. Rows here are never deleted.
    CREATE TABLE row_versions (
        table_name TEXT NOT NULL,
        row_id     TEXT NOT NULL,
        vv         TEXT NOT NULL,   -- JSON: writer -> highest lamport known of this row
        live       TEXT,            -- JSON: the live versions [writer, lamport, deleted, data]; NULL: the one of vv
        digest     BLOB,            -- of the shown version's content, so that a write that changes nothing is seen
        PRIMARY KEY (table_name, row_id)
    ) WITHOUT ROWID;

    CREATE TABLE sync_conflicts (
        id                 TEXT PRIMARY KEY,
        table_name         TEXT NOT NULL,
        row_id             TEXT NOT NULL,
        local_data         TEXT NOT NULL,      -- JSON of the version shown here
        remote_data        TEXT NOT NULL,      -- JSON of the other version
        local_lamport      INTEGER NOT NULL,
        remote_lamport     INTEGER NOT NULL,
        remote_instance_id TEXT NOT NULL,
        resolved           INTEGER DEFAULT 0,
        resolution         TEXT,               -- local, remote, merge, superseded or identical
        created_at         INTEGER NOT NULL,
        op                 TEXT NOT NULL,      -- update, or delete where one side deleted the row
        resolved_at        INTEGER,
        resolved_by        TEXT
    );
    CREATE INDEX sync_conflicts_open ON sync_conflicts (resolved, created_at);
    CREATE INDEX sync_conflicts_row ON sync_conflicts (table_name, row_id);
    """,
)
