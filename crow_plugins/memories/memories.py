"""Memories as a person means them: kept like other rows, found by what they say, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crow_hooks import Crow, Data
from crow_plugins.fulltext import Found
from crow_plugins.memories.memory import MEMORY, Filters, Memory
from crow_plugins.memories.search import search
from crow_plugins.rows import Page, Rows, counts


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many memories there are, by category and by instance that wrote them first."""

    total: int
    categories: Mapping[str, int]
    origins: Mapping[str, int]
    oldest: int | None
    newest: int | None


class Memories:
    """The memories of one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow) -> None:
        self._crow, self._rows = crow, Rows(crow, MEMORY)

    def store(self, fields: Data, *, by: str = "assistant") -> Memory:
        """Keep a new memory of the given fields. Raises `Invalid`."""
        return self._rows.add(fields, by=by)

    def get(self, row_id: str) -> Memory:
        return self._rows.get(row_id)

    def update(self, row_id: str, fields: Data) -> Memory:
        """Change the named fields; a write that changes nothing leaves everything as it was."""
        return self._rows.update(row_id, fields)

    def delete(self, row_id: str) -> Memory:
        """Remove a memory; its last image is kept for `restore`."""
        return self._rows.delete(row_id)

    def restore(self, row_id: str) -> Memory:
        """Take a delete back. Raises `NotFound` if the row is not deleted or its image is gone."""
        return self._rows.restore(row_id)

    def find(self, query: str, filters: Filters, limit: int) -> Found[Memory]:
        with self._crow.read() as db:
            return search(db, query, filters, limit=limit, now=self._crow.now())

    def list(self, filters: Filters, *, limit: int, cursor: str | None) -> Page[Memory]:
        """Newest change first."""
        return self._rows.list(filters.conditions(), limit=limit, cursor=cursor)

    def statistics(self) -> Statistics:
        with self._crow.read() as db:
            total, oldest, newest = db.execute_sql(
                "SELECT count(*), min(created_at), max(created_at) FROM memories"
            ).fetchone()
            categories, origins = counts(db, MEMORY, "category"), counts(db, MEMORY, "origin_instance")
            return Statistics(total, categories, origins, oldest, newest)
