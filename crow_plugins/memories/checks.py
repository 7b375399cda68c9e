"""What `crow doctor` asks of the memories: whether the full-text index says what the table says."""

from __future__ import annotations

import shlex
import sys

import apsw
import peewee

from crow_hooks import Check, Crow, Finding


def checks(crow: Crow) -> list[Check]:
    def index() -> Finding:
        # The check is written as an insert, so it needs the door; it changes nothing.
        with crow.transaction() as transaction:
            return index_finding(transaction.db)

    return [Check("index", index)]


def index_finding(db: peewee.Database) -> Finding:
    """Whether every word of every memory is in the index, and nothing else; needs a connection that writes."""
    rows = db.execute_sql("SELECT count(*) FROM memories").fetchone()[0]
    indexed = db.execute_sql("SELECT count(*) FROM memories_fts_docsize").fetchone()[0]
    if rows != indexed:
        return Finding(False, f"{indexed} of {rows} memories are in the full-text index", _rebuild(db))
    try:
        # Rank 1 compares with the table; without it the index is compared with itself only.
        db.execute_sql("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")
    except (peewee.DatabaseError, apsw.Error):
        return Finding(False, "the full-text index does not say what the memories say", _rebuild(db))
    return Finding(True, f"{rows} memories, all as the full-text index has them")


def _rebuild(db: peewee.Database) -> str:
    statement = "INSERT INTO memories_fts (memories_fts) VALUES ('rebuild')"
    return f"build it anew: {shlex.join([sys.executable, '-m', 'apsw', str(db.database), statement])}"
