"""What a row names: another one that may not be here yet, or may be deleted by now. It is shown as such, and kept.

A reference is nothing but an id. When the row that it names arrives, or is taken back, it leads there again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from peewee import Database

from crow_hooks import Check, Crow, Finding
from crow_plugins.store import versions

State = Literal["here", "deleted", "not_here"]

TITLES: Final = {"projects": "name", "sources": "title"}
REFERENCES: Final = (("sources", "project_id", "projects"), ("notes", "project_id", "projects"),
                     ("notes", "source_id", "sources"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known here of a row that another one names; `title` is that of a row that is here."""

    id: str
    state: State
    title: str | None


def look_up(db: Database, table: str, row_id: str | None) -> Reference | None:
    """What a reference leads to; None where there is none."""
    if row_id is None:
        return None
    row = db.execute_sql(f"SELECT {TITLES[table]} FROM {table} WHERE id = ?", (row_id,)).fetchone()
    if row is not None:
        return Reference(row_id, "here", row[0])
    was_deleted = any(version.deleted for version in versions.load(db, table, row_id).state.live)
    return Reference(row_id, "deleted" if was_deleted else "not_here", None)


def references_check(crow: Crow) -> Check:
    """How many rows name something that is not here: no fault, and nothing to be done about it."""

    def run() -> Finding:
        with crow.read() as db:
            dangling = sum(_dangling(db, *reference) for reference in REFERENCES)
        if not dangling:
            return Finding(True, "every project and source that is named is here")
        return Finding(True, f"{dangling} references lead to a project or source that is deleted or not here yet")

    return Check("references", run)


def _dangling(db: Database, table: str, column: str, target: str) -> int:
    row = db.execute_sql(
        f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT id FROM {target})"
    ).fetchone()
    return int(row[0])
