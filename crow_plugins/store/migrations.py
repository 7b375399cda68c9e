"""Bringing a database to today's schema: scripts by owner, in order, each once, after a backup.

A migration is text that never changes once released. A database that has more of them than we know was
written by a newer release; it is refused rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw
import peewee

from crow_hooks import CrowError
from crow_plugins.store.connections import Connections

BACKUPS_KEPT = 5

LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    owner      TEXT    NOT NULL,  -- the plugin, or store
    version    INTEGER NOT NULL,  -- 1 for the owner's first script
    applied_at INTEGER NOT NULL,
    PRIMARY KEY (owner, version)
)
"""


class DatabaseNewer(CrowError):
    """The database was written by a newer release."""

    code = "database_newer"

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(
            f"the database {path} was written by a newer release ({owner} has tables unknown here); "
            f"upgrade crow-plugins on this machine"
        )


class MigrationFailed(CrowError):
    """A migration did not go through; nothing was changed."""

    code = "migration_failed"

    def __init__(self, owner: str, version: int, reason: object) -> None:
        super().__init__(f"migration {version} of {owner} failed and was undone: {reason}; report this to its author")


def migrate(connections: Connections, scripts: Mapping[str, Sequence[str]], *, now: int, backups: Path) -> None:
    """Apply what is missing, all in one transaction.

    `scripts` maps an owner to its scripts, oldest first. A backup is written to the folder `backups`
    first, unless the database is new.
    """
    db = connections.writer
    with db.connection_context():
        if not _missing(connections.path, _applied(db), scripts):
            return
        if _applied(db):
            _back_up(db, backups, now)
        with db.atomic("immediate"):
            # Another process may have been here meanwhile: look again under the lock.
            for owner, version, script in _missing(connections.path, _applied(db), scripts):
                _apply(db, owner, version, script, now)


def _applied(db: peewee.Database) -> dict[str, int]:
    """The highest version of each owner."""
    if not db.execute_sql("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone():
        return {}
    return dict(db.execute_sql("SELECT owner, max(version) FROM migrations GROUP BY owner").fetchall())


def _missing(
    path: Path, applied: Mapping[str, int], scripts: Mapping[str, Sequence[str]]
) -> list[tuple[str, int, str]]:
    missing = []
    for owner, texts in scripts.items():
        done = applied.get(owner, 0)
        if done > len(texts):
            raise DatabaseNewer(path, owner)
        missing += [(owner, version, text) for version, text in enumerate(texts, 1) if version > done]
    return missing


def _apply(db: peewee.Database, owner: str, version: int, script: str, now: int) -> None:
    try:
        db.execute_sql(LEDGER)
        db.execute_sql(script)
    except (peewee.DatabaseError, apsw.Error) as error:
        raise MigrationFailed(owner, version, error) from error
    db.execute_sql("INSERT INTO migrations VALUES (?, ?, ?)", (owner, version, now))


def _back_up(db: peewee.Database, folder: Path, now: int) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"before-migration-{now}.db"
    target.unlink(missing_ok=True)
    with apsw.Connection(str(target)) as copy, copy.backup("main", db.connection(), "main") as backup:
        backup.step()
    copy.close()
    target.chmod(0o600)
    for old in sorted(folder.glob("before-migration-*.db"))[:-BACKUPS_KEPT]:
        old.unlink()
