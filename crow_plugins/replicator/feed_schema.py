"""The tables that hold feeds, as SQL.

Blocks and nodes of all feeds lie in two tables under one integer: the feed's number in the upper bits, the seq or the
flat index in the lower 40. A leaf's hash stands with its block, so appending a block writes about two rows.
"""

from __future__ import annotations

MIGRATION = """
    -- Every feed held here, our own among them, with the head that its writer signed.
    CREATE TABLE feeds (
        number      INTEGER PRIMARY KEY,
        key         BLOB    NOT NULL UNIQUE,
        instance_id TEXT    NOT NULL,
        manifest    BLOB,
        fork        INTEGER NOT NULL DEFAULT 0,
        length      INTEGER NOT NULL DEFAULT 0,  -- blocks that the head covers
        byte_length INTEGER NOT NULL DEFAULT 0,
        tree_hash   BLOB,                        -- NULL while nothing is signed
        signature   BLOB,
        contiguous  INTEGER NOT NULL DEFAULT 0,  -- all blocks before it are here
        frozen      TEXT                         -- one name for two writes; NULL when all is well
    );
    CREATE INDEX feeds_instance ON feeds (instance_id);

    CREATE TABLE feed_blocks (
        id    INTEGER PRIMARY KEY,  -- feed * 2^40 + seq
        size  INTEGER NOT NULL,
        hash  BLOB    NOT NULL,
        value BLOB                  -- NULL where only the leaf's hash is known
    );

    CREATE TABLE feed_nodes (
        id   INTEGER PRIMARY KEY,   -- feed * 2^40 + flat index, odd ones only: the even ones are leaves
        size INTEGER NOT NULL,      -- bytes of all blocks below it
        hash BLOB    NOT NULL
    );

    -- Writers that signed two branches of their feed under one fork: nobody can say which of them is the feed.
    CREATE TABLE two_branches (
        instance_id TEXT    NOT NULL,
        fork        INTEGER NOT NULL,
        common      INTEGER NOT NULL,  -- blocks that are shown to be in both; from there on the feed is disputed
        one         BLOB    NOT NULL,  -- the two signed heads that show it
        other       BLOB    NOT NULL,
        told        INTEGER NOT NULL,  -- whether they stand in our own feed
        rescued     INTEGER NOT NULL,  -- a length: every disputed block before it stands in a feed beyond dispute
        PRIMARY KEY (instance_id, fork)
    ) WITHOUT ROWID;

    -- Those feeds as they are held: one that went on to a higher fork is beyond dispute.
    CREATE VIEW disputes AS
    SELECT number AS feed, instance_id, fork, common, one, other, told, rescued
    FROM feeds JOIN two_branches USING (instance_id, fork);
"""
