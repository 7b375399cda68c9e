"""Shared settings in the search over everything: few rows, so they are read one by one.

Local settings are left out: other machines may ask this search.
"""

from __future__ import annotations

import re

from peewee import Database

from crow_hooks import SearchHit, SearchKind
from crow_plugins.settings.settings import writer

WORDS_MAX = 24
VALUE_CHARACTERS = 160
KEY_WEIGHT = 2.0


def search_kind() -> SearchKind:
    return SearchKind("setting", find)


def find(db: Database, query: str, limit: int) -> list[SearchHit]:
    """Settings with every word of the query in key or value; a word in the key counts twice."""
    words = re.findall(r"[^\W_]+", query.lower().replace("\0", " "))[:WORDS_MAX]
    hits = []
    for row in db.execute_sql("SELECT id, key, value, updated_at, lamport_ts FROM settings ORDER BY key"):
        score = _score(words, row[1], row[2].lower())
        if score:
            hits.append((score, row))
    hits.sort(key=lambda hit: (-hit[0], hit[1][1]))
    return [_hit(db, score, *row) for score, row in hits[:limit]]


def _score(words: list[str], key: str, value: str) -> float:
    if not words or not all(word in key or word in value for word in words):
        return 0.0
    return sum(KEY_WEIGHT if word in key else 1.0 for word in words)


def _hit(db: Database, score: float, row_id: str, key: str, value: str, updated_at: int, lamport_ts: int) -> SearchHit:
    text = value[1:-1]  # without the list that it stands in
    return SearchHit(
        kind="setting",
        id=row_id,
        title=key,
        snippet=text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…",
        score=score,
        updated_at=updated_at,
        origin_instance=writer(db, key),
        lamport_ts=lamport_ts,
    )
