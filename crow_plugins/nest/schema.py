"""The Nest's tables, as SQL. They stay on this machine; secrets stand in them as hashes only."""

from __future__ import annotations

MIGRATIONS = (
    """
    -- Browsers that are signed in.
    CREATE TABLE nest_sessions (
        hash       BLOB    PRIMARY KEY,  -- SHA-256 of the cookie
        browser    BLOB    NOT NULL,     -- SHA-256 of what the browser says it is: a cookie works in that one only
        created_at INTEGER NOT NULL,     -- unix seconds, as all that follow
        confirmed  INTEGER NOT NULL,     -- when the person last showed that it is them
        last_seen  INTEGER NOT NULL
    );

    -- Addresses that sign in once.
    CREATE TABLE nest_codes (
        hash       BLOB    PRIMARY KEY,  -- SHA-256 of the code
        expires_at INTEGER NOT NULL
    );

    -- One row at most: the password.
    CREATE TABLE nest_password (
        id   INTEGER PRIMARY KEY CHECK (id = 1),
        hash TEXT    NOT NULL            -- Argon2id, with its salt and cost
    );

    -- Passwords that were wrong, within the last quarter of an hour.
    CREATE TABLE nest_failures (
        number INTEGER PRIMARY KEY,
        at     INTEGER NOT NULL
    );
    """,
)
