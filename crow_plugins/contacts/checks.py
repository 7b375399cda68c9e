"""What `crow doctor` asks of the contacts: whether each is in the full-text index."""

from __future__ import annotations

import shlex
import sys

import apsw
import peewee

from crow_hooks import Check, Crow, Finding
from crow_plugins.wording import plural

# The index keeps no text to be built anew from; setting a name to itself has the triggers hand it the row again.
REBUILD = "INSERT INTO contacts_fts (contacts_fts) VALUES ('delete-all'); UPDATE contacts SET name = name"


def contacts_check(crow: Crow) -> Check:
    def run() -> Finding:
        # The check is written as an insert, so it needs the door; it changes nothing.
        with crow.transaction() as transaction:
            return index_finding(transaction.db)

    return Check("contacts index", run)


def index_finding(db: peewee.Database) -> Finding:
    """Whether every contact is in the index, and nothing else, and the index is sound in itself."""
    kept = db.execute_sql("SELECT count(*) FROM contacts").fetchone()[0]
    missing = db.execute_sql(
        "SELECT (SELECT count(*) FROM contacts WHERE number NOT IN (SELECT id FROM contacts_fts_docsize)) + "
        "(SELECT count(*) FROM contacts_fts_docsize WHERE id NOT IN (SELECT number FROM contacts))"
    ).fetchone()[0]
    if missing:
        return Finding(False, f"the full-text index and the {kept} contacts differ in {missing} rows", _remedy(db))
    try:
        db.execute_sql("INSERT INTO contacts_fts (contacts_fts) VALUES ('integrity-check')")
    except (peewee.DatabaseError, apsw.Error):
        return Finding(False, "the full-text index of the contacts is damaged", _remedy(db))
    return Finding(True, f"{plural(kept, 'contact')}, all in the full-text index")


def _remedy(db: peewee.Database) -> str:
    return f"build it anew: {shlex.join([sys.executable, '-m', 'apsw', str(db.database), REBUILD])}"
