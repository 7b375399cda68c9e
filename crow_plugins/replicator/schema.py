"""The replicator's own tables, as SQL; the feeds' blocks and trees stand in `feed_schema`."""

from __future__ import annotations

from crow_plugins.replicator import feed_schema

MIGRATION = """
    -- How far each instance's feed has been taken in. last_seq is a length: the next seq to apply, 0 at first.
    CREATE TABLE sync_state (
        instance_id  TEXT PRIMARY KEY,
        last_seq     INTEGER DEFAULT 0,
        last_lamport INTEGER DEFAULT 0,
        last_sync    INTEGER,
        FOREIGN KEY (instance_id) REFERENCES crow_instances (id)
    );

    -- What was last measured of each instance while a gateway ran: how fast, and how soon.
    CREATE TABLE sync_progress (
        instance_id TEXT    PRIMARY KEY,
        rate        REAL,             -- entries of its feed that are applied a second; NULL when nothing is behind
        confirmed   INTEGER,          -- how much of our own feed it says it holds
        lag_seconds REAL,             -- from a write here to its word that it holds it
        at          INTEGER NOT NULL  -- when that was measured
    );

    -- Writers by a small number.
    CREATE TABLE writers (
        number INTEGER PRIMARY KEY,
        name   TEXT    NOT NULL UNIQUE,
        gone   INTEGER NOT NULL DEFAULT 0  -- the highest lamport of an entry that stood in a feed here and does no more
    );

    -- Where the entries of every row stand: its history, and what it is rebuilt from after a revocation.
    CREATE TABLE feed_entries (
        table_name TEXT    NOT NULL,
        row_id     TEXT    NOT NULL,
        feed       INTEGER NOT NULL,
        seq        INTEGER NOT NULL,
        writer     INTEGER NOT NULL,
        lamport    INTEGER NOT NULL,
        PRIMARY KEY (table_name, row_id, feed, seq)
    ) WITHOUT ROWID;
    CREATE INDEX feed_entries_dot ON feed_entries (writer, lamport);

    -- Writers with the highest lamport that stands or stood in any feed here: a look at the end of an index.
    CREATE VIEW writer_reach AS
    SELECT
        number, name, max(gone, coalesce((SELECT max(lamport) FROM feed_entries WHERE writer = number), 0)) AS lamport
    FROM writers;

    -- Verified entries that cannot be applied yet; their bytes are the block's.
    CREATE TABLE parked_entries (
        feed   INTEGER NOT NULL,
        seq    INTEGER NOT NULL,
        reason TEXT    NOT NULL,  -- one word
        detail TEXT    NOT NULL,  -- a sentence
        since  INTEGER NOT NULL,
        tried  INTEGER NOT NULL DEFAULT 0,  -- how often it was tried again
        PRIMARY KEY (feed, seq)
    ) WITHOUT ROWID;

    -- What peers sent and was refused; the newest few hundred.
    CREATE TABLE rejected_entries (
        number      INTEGER PRIMARY KEY,
        instance_id TEXT    NOT NULL,  -- whose feed it claimed to be of
        peer_id     TEXT    NOT NULL,  -- who sent it
        seq         INTEGER NOT NULL,
        reason      TEXT    NOT NULL,
        at          INTEGER NOT NULL
    );

    -- Peers that sent too much of it: nobody listens to them until a person says so.
    CREATE TABLE quarantine (
        peer_id TEXT    PRIMARY KEY,
        since   INTEGER NOT NULL
    );

    -- Local entries, byte for byte, that wait until this instance may append to its feed again.
    CREATE TABLE outbox (
        number  INTEGER PRIMARY KEY,
        writer  TEXT    NOT NULL,
        lamport INTEGER NOT NULL,
        entry   BLOB    NOT NULL,
        UNIQUE (writer, lamport)
    );

    -- Entries of a branch that its writer gave up, until they are found in a feed again.
    CREATE TABLE orphans (
        writer  TEXT    NOT NULL,
        lamport INTEGER NOT NULL,
        feed    INTEGER NOT NULL,  -- the feed they were cut from
        entry   BLOB    NOT NULL,
        since   INTEGER NOT NULL,
        PRIMARY KEY (writer, lamport)
    ) WITHOUT ROWID;

    -- One row: this instance's own feed. How far it reaches stands in the clock, which every write changes anyway.
    CREATE TABLE own_feed (
        id      INTEGER PRIMARY KEY CHECK (id = 1),
        suspect TEXT  -- why nothing may be appended now; NULL when all is well
    );
    INSERT INTO own_feed (id) VALUES (1);
"""

UNREAD_BLOCKS = """
    -- Blocks of a branch that its writer gave up which this release cannot read, until one can.
    CREATE TABLE unread_blocks (
        feed  INTEGER NOT NULL,  -- the feed they were cut from
        block BLOB    NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (feed, block)
    ) WITHOUT ROWID;
"""

MIGRATIONS = (feed_schema.MIGRATION + MIGRATION, UNREAD_BLOCKS)
