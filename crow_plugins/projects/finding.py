"""Rows of one kind, kept and found: by what they say, or in pages by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from crow_hooks import Crow
from crow_plugins import fulltext
from crow_plugins.fulltext import Found, TextIndex
from crow_plugins.projects.references import Reference, look_up
from crow_plugins.rows import Condition, Kind, Rows
from crow_plugins.rows.kind import Record


@dataclass(frozen=True, slots=True)
class Referring:
    """The project and the source that a row names, as far as they are known here."""

    project: Reference | None
    source: Reference | None


class Shelf(Rows[Record], Generic[Record]):
    """The rows of one kind on one instance, with their index. Every method works on the database."""

    def __init__(self, crow: Crow, kind: Kind[Record], index: TextIndex[Record]) -> None:
        super().__init__(crow, kind)
        self._index = index

    def find(self, query: str, conditions: Sequence[Condition], limit: int) -> Found[Record]:
        """Best matches first. Raises `EmptyQuery`."""
        with self._crow.read() as db:
            return fulltext.search(db, self._index, query, conditions, limit=limit, now=self._crow.now())

    def referring(self, records: Sequence[Record]) -> list[Referring]:
        """What each of the rows names."""
        with self._crow.read() as db:
            return [
                Referring(
                    look_up(db, "projects", getattr(record, "project_id", None)),
                    look_up(db, "sources", getattr(record, "source_id", None)),
                )
                for record in records
            ]

    def count(self, condition: Condition) -> int:
        """How many rows there are of which this is true."""
        return self.list([condition], limit=1, cursor=None).total
