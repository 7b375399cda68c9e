"""The registry's tables, as SQL. Keys stand in hex, times in unix seconds; what was signed stands as it was signed."""

from __future__ import annotations

MIGRATION = """
    -- The other instances of this chain that were ever known here.
    CREATE TABLE crow_instances (
        id           TEXT    PRIMARY KEY,
        name         TEXT    NOT NULL,               -- what this machine calls it
        role         TEXT    NOT NULL,               -- home or satellite
        gateway_url  TEXT,                           -- NULL: it is never dialled, and dials itself
        public_key   TEXT    NOT NULL,               -- the chain's, which all instances share
        last_seen    INTEGER,                        -- the last verified contact
        status       TEXT    DEFAULT 'unknown',      -- online, syncing, offline or unknown; decides nothing
        created_at   INTEGER NOT NULL,
        instance_key TEXT    NOT NULL,
        noise_key    TEXT    NOT NULL,
        feed_key     TEXT    NOT NULL,
        certificate  TEXT    NOT NULL,
        trust        TEXT    NOT NULL DEFAULT 'trusted',  -- trusted or revoked
        hidden       INTEGER NOT NULL DEFAULT 0      -- 1: removed from lists here, until it is registered again
    );
    CREATE INDEX crow_instances_name ON crow_instances (name);

    -- Revocations, signed by the chain: a set that only grows.
    CREATE TABLE revocations (
        digest      BLOB    PRIMARY KEY,             -- SHA-256 of the statement
        instance_id TEXT    NOT NULL,
        statement   BLOB    NOT NULL,
        heard_at    INTEGER NOT NULL
    ) WITHOUT ROWID;

    -- One row: counts the changes of the two tables above, so that other processes see that there are any.
    CREATE TABLE registry_state (
        id         INTEGER PRIMARY KEY CHECK (id = 1),
        generation INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO registry_state (id) VALUES (1);
    CREATE TRIGGER instance_added AFTER INSERT ON crow_instances BEGIN
        UPDATE registry_state SET generation = generation + 1;
    END;
    CREATE TRIGGER instance_changed AFTER UPDATE ON crow_instances BEGIN
        UPDATE registry_state SET generation = generation + 1;
    END;
    CREATE TRIGGER revocation_heard AFTER INSERT ON revocations BEGIN
        UPDATE registry_state SET generation = generation + 1;
    END;
"""
