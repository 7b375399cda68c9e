"""What this plugin says of its instance: how many memories of each category."""

from __future__ import annotations

from peewee import Database
from pydantic import NonNegativeInt

from crow_hooks import Summary
from crow_plugins.memories.memory import MEMORY
from crow_plugins.rows import counts

CATEGORIES_MAX = 200


def categories() -> Summary:
    def collect(db: Database) -> object:
        return dict(list(counts(db, MEMORY, "category").items())[:CATEGORIES_MAX])

    return Summary("memory_categories", collect, refresh_seconds=3600, shape=dict[str, NonNegativeInt])
