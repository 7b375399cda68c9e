"""Keeping full-text indexes in few pieces: each batch of writes adds one, and a search has to look into all of them.

Writes merge rarely (`index.py`), since that is what they would wait for. The rest is done here, when nobody waits: a
little at a time, each in a transaction of its own, so that a write in between waits for some milliseconds only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from peewee import Database

from crow_hooks import Crow, Job
from crow_plugins.fulltext.index import TextIndex

PAGES = 250  # written in one transaction
EVERY_SECONDS = 600.0


def index_jobs(crow: Crow, *indexes: TextIndex[Any]) -> Sequence[Job]:
    """What `register_jobs` answers for tables."""

    async def tidy() -> None:
        for index in indexes:
            while await asyncio.to_thread(merge_some, crow, index):
                pass

    return [Job("index", tidy, every_seconds=EVERY_SECONDS, jitter_seconds=EVERY_SECONDS / 10)]


def merge_some(crow: Crow, index: TextIndex[Any]) -> bool:
    """Merge a few pieces of an index; whether there was anything to merge."""
    with crow.transaction() as transaction:
        return merged_some(transaction.db, index)


def merged_some(db: Database, index: TextIndex[Any]) -> bool:
    """The same over a connection that writes."""
    connection = db.connection()
    before = connection.total_changes()
    db.execute_sql(f"INSERT INTO {index.fts} ({index.fts}, rank) VALUES ('merge', ?)", (PAGES,))
    return bool(connection.total_changes() - before > 1)  # as the documentation of FTS5 has it
