"""Searching memories."""

from __future__ import annotations

from peewee import Database

from crow_plugins import fulltext
from crow_plugins.fulltext import Found
from crow_plugins.memories.memory import Filters, Memory
from crow_plugins.memories.schema import INDEX

__all__ = ["Filters", "search"]


def search(db: Database, query: str, filters: Filters, *, limit: int, now: int) -> Found[Memory]:
    """Up to `limit` memories for any text at all; `now` in unix seconds. Raises `EmptyQuery`."""
    return fulltext.search(db, INDEX, query, filters.conditions(), limit=limit, now=now)
