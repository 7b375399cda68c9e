"""A table's rows as a kind of `crow_search`."""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database

from crow_hooks import Crow, SearchHit, SearchKind
from crow_plugins.fulltext.index import Record, TextIndex
from crow_plugins.fulltext.searching import search


def search_kind(crow: Crow, name: str, index: TextIndex[Record], title: Callable[[Record], str]) -> SearchKind:
    """What `register_search` answers for a table; `title` names a row in one line."""

    def find(db: Database, query: str, limit: int) -> list[SearchHit]:
        return [
            SearchHit(
                kind=name,
                id=hit.record.id,
                title=title(hit.record),
                snippet=hit.snippet,
                score=hit.score,
                updated_at=hit.record.updated_at,
                origin_instance=hit.record.origin_instance,
                lamport_ts=hit.record.lamport_ts,
            )
            for hit in search(db, index, query, (), limit=limit, now=crow.now()).hits
        ]

    return SearchKind(name, find)
