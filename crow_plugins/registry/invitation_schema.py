"""The tables of invitations, as SQL: what a gateway holds of them, which is nothing secret."""

from __future__ import annotations

MIGRATION = """
    -- Invitations of this machine, by what may be said aloud of their codes.
    CREATE TABLE invitations (
        id         TEXT    PRIMARY KEY,
        state      BLOB    NOT NULL,            -- offer, end, tries left, whether it was used
        expires_at INTEGER NOT NULL,
        withdrawn  INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;

    -- What machines that want to join have posted, for the one who invited to look at.
    CREATE TABLE join_requests (
        digest        BLOB    PRIMARY KEY,      -- SHA-256 of what was posted
        invitation_id TEXT    NOT NULL REFERENCES invitations (id) ON DELETE CASCADE,
        posted        BLOB    NOT NULL,
        received_at   INTEGER NOT NULL,
        outcome       TEXT,                     -- certified, refused or wrong_code; NULL while nobody has looked
        answer        BLOB                      -- sealed for the joiner; handed out as often as it asks
    ) WITHOUT ROWID;
    CREATE INDEX join_requests_invitation ON join_requests (invitation_id, received_at);
"""
