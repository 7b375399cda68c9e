"""Searching memories: every word, ranked by bm25."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from peewee import Database


@dataclass(frozen=True, slots=True)
class Filters:
    category: str | None = None
    tag: str | None = None
    min_importance: int | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    id: str
    content: str
    category: str
    importance: int
    tags: tuple[str, ...]
    context: str | None
    source: str | None
    project_id: str | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int
    score: float
    snippet: str


@dataclass(frozen=True, slots=True)
class Found:
    hits: list[Hit]
    matched: str


def search(db: Database, query: str, filters: Filters, *, limit: int, now: int) -> Found:
    words = [f'"{word}"' for word in re.findall(r"\w+", query)]
    if not words:
        return Found([], "nothing")
    sql = (
        "SELECT id, m.content, m.category, importance, m.tags, m.context, source, project_id, origin_instance, "
        "created_at, updated_at, lamport_ts, -bm25(memories_fts), snippet(memories_fts, -1, '', '', '…', 20) "
        "FROM memories_fts f JOIN memories m ON m.number = f.rowid WHERE memories_fts MATCH ? "
        "AND (?2 IS NULL OR m.category = ?2) AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = ?3)) "
        "AND (?4 IS NULL OR importance >= ?4) AND (?5 IS NULL OR project_id = ?5) "
        "ORDER BY bm25(memories_fts) LIMIT ?6"
    )
    rows = db.execute_sql(
        sql, (" ".join(words), filters.category, filters.tag, filters.min_importance, filters.project_id, limit)
    ).fetchall()
    return Found([Hit(*row[:4], tuple(json.loads(row[4])), *row[5:]) for row in rows], "all words")
