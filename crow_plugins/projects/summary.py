"""What this plugin says of its instance: which projects there are."""

from __future__ import annotations

from peewee import Database
from typing_extensions import TypedDict

from crow_hooks import Summary

# Those changed last, each name cut as whoever hears it cuts it: in any script they fit into one summary.
PROJECTS_MAX, NAME_CHARACTERS = 150, 80


class ProjectName(TypedDict):
    """A project in a summary."""

    id: str
    name: str


def projects() -> Summary:
    def collect(db: Database) -> object:
        rows = db.execute_sql(
            "SELECT id, substr(name, 1, ?) FROM projects ORDER BY updated_at DESC, id LIMIT ?",
            (NAME_CHARACTERS, PROJECTS_MAX),
        )
        return [{"id": row_id, "name": name} for row_id, name in rows.fetchall()]

    return Summary("projects", collect, refresh_seconds=3600, shape=list[ProjectName])
