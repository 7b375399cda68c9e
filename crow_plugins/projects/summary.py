"""What this plugin says of its instance: which projects there are."""

from __future__ import annotations

from peewee import Database
from typing_extensions import TypedDict

from crow_hooks import Summary

PROJECTS_MAX = 200  # the ones changed last


class ProjectName(TypedDict):
    """A project in a summary."""

    id: str
    name: str


def projects() -> Summary:
    def collect(db: Database) -> object:
        rows = db.execute_sql("SELECT id, name FROM projects ORDER BY updated_at DESC, id LIMIT ?", (PROJECTS_MAX,))
        return [{"id": row_id, "name": name} for row_id, name in rows.fetchall()]

    return Summary("projects", collect, refresh_seconds=3600, shape=list[ProjectName])
