"""The tables of federation in the database, as SQL. The record of calls is a file of its own."""

from __future__ import annotations

MIGRATIONS = (
    """
    -- What other instances may call, beyond the setting `expose`.
    CREATE TABLE federation_exposure (
        instance_id TEXT    NOT NULL,  -- whom it is about; empty for every instance
        tool        TEXT    NOT NULL,  -- its name; * denies all
        allowed     INTEGER NOT NULL,  -- 0 denied, 1 allowed
        writes      INTEGER NOT NULL,  -- 1 where it may write
        changed_at  INTEGER NOT NULL,  -- unix seconds
        PRIMARY KEY (instance_id, tool)
    ) WITHOUT ROWID;
    """,
)
