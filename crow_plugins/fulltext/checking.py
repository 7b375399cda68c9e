"""What `crow doctor` asks of a full-text index: whether it says what its table says."""

from __future__ import annotations

import shlex
import sys

import apsw
import peewee

from crow_hooks import Check, Crow, Finding
from crow_plugins.fulltext.index import Record, TextIndex


def index_check(crow: Crow, index: TextIndex[Record], name: str = "index") -> Check:
    """What `register_checks` answers for a table."""

    def run() -> Finding:
        # The check is written as an insert, so it needs the door; it changes nothing.
        with crow.transaction() as transaction:
            return index_finding(transaction.db, index)

    return Check(name, run)


def index_finding(db: peewee.Database, index: TextIndex[Record]) -> Finding:
    """Whether every word of every row is in the index, and nothing else; needs a connection that writes."""
    table, fts = index.table, index.fts
    rows = db.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0]
    indexed = db.execute_sql(f"SELECT count(*) FROM {fts}_docsize").fetchone()[0]
    if rows != indexed:
        return Finding(False, f"{indexed} of {rows} {table} are in the full-text index", _rebuild(db, fts))
    try:
        # Rank 1 compares with the table; without it the index is compared with itself only.
        db.execute_sql(f"INSERT INTO {fts} ({fts}, rank) VALUES ('integrity-check', 1)")
    except (peewee.DatabaseError, apsw.Error):
        return Finding(False, f"the full-text index does not say what the {table} say", _rebuild(db, fts))
    return Finding(True, f"{rows} {table}, all as the full-text index has them")


def _rebuild(db: peewee.Database, fts: str) -> str:
    statement = f"INSERT INTO {fts} ({fts}) VALUES ('rebuild')"
    return f"build it anew: {shlex.join([sys.executable, '-m', 'apsw', str(db.database), statement])}"
