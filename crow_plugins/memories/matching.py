"""Asking the full-text index: which memories match an expression and pass the filters, and how many. Always bounded.

A step of a search never ranks more than some thousands of memories, the newest that match, so a word that every other
memory has costs milliseconds on a million of them. A filter that lets few through is listed first, from its
index; one that lets many through is looked up row by row, and the bound is reached soon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from apsw import FTS5_TOKENIZE_QUERY
from peewee import Database

from crow_plugins.memories.query import Token, Tokenize, Tokenizers, all_of, quoted
from crow_plugins.memories.schema import IMPORTANCE_USUAL, TOKENIZER, UNSPACED

MATCHES_MAX, MATCHES_FILTERED_MAX = 2000, 1000  # with filters, each costs a look at its row besides
SET_MAX = 20_000  # memories that a filter lets through, to be listed and not looked up one by one
UNSPACED_SCANNED_MAX, SCANNED_MAX, SCAN_MATCHES_MAX = 20_000, 5_000, 200

WEIGHTS = "1.0, 0.8, 2.0, 1.0"  # of content, context, tags, category


def is_storable(filters: Filters) -> bool:
    """Whether a memory can have what the filters ask for: half of a surrogate pair cannot be stored."""
    texts = (filters.category, filters.tag, filters.project_id)
    return not any(re.search("[\ud800-\udfff]", text) for text in texts if text)


class Condition(NamedTuple):
    """A part of a WHERE clause over `memories`, and the one value to bind."""

    sql: str
    value: object


Row = tuple[int, float]  # a memory's number, and its relevance, which is above 0


@dataclass(frozen=True, slots=True)
class Filters:
    """What a memory must be besides matching; None lets everything through."""

    category: str | None = None
    tag: str | None = None
    min_importance: int | None = None
    project_id: str | None = None


def tokenizers_of(db: Database) -> Tokenizers:
    """The index's own tokenizers: what is asked is read exactly as what was stored."""
    connection = db.connection()

    def of(name: str, *arguments: str) -> Tokenize:
        tokenizer = connection.fts5_tokenizer(name, list(arguments))
        return lambda data: cast(list[Token], tokenizer(data, FTS5_TOKENIZE_QUERY, None))

    return Tokenizers(folds=of(*TOKENIZER[1:]), stems=of(*TOKENIZER))


class View:
    """The memories that pass the filters: `is_empty` if there is none, `is_small` if they could all be ranked.

    `was_bounded` tells whether an answer left some out.
    """

    def __init__(self, db: Database, filters: Filters, tokenizers: Tokenizers) -> None:
        self._db = db
        self._tagged = _tagged(filters.tag, tokenizers)
        indexed = _indexed(filters)
        sizes = {condition: self._size(condition) for condition in indexed}
        self._listed = [condition for condition in indexed if sizes[condition] <= SET_MAX]
        self._looked_up = [each for each in indexed if each not in self._listed] + _unindexed(filters)
        self.is_small = bool(self._listed)
        self.is_empty = 0 in sizes.values()
        self.was_bounded = False

    def count(self, expression: str) -> int:
        """How many memories match, filters or no; all that are too many to be ranked count alike."""
        return self._count("memories_fts WHERE memories_fts MATCH ?", expression, MATCHES_MAX + 1)

    def matching(self, expression: str) -> list[Row]:
        """The newest memories that match, with their relevance."""
        most = MATCHES_FILTERED_MAX if self._looked_up else MATCHES_MAX
        narrowed, values = self._narrowed("f.rowid")
        rows = self._db.execute_sql(
            f"SELECT f.rowid, -bm25(memories_fts, {WEIGHTS}) FROM memories_fts f "
            f"WHERE memories_fts MATCH ? AND {narrowed} ORDER BY f.rowid DESC LIMIT ?",
            (all_of([expression, *self._tagged]), *values, most),
        ).fetchall()
        self.was_bounded |= len(rows) == most
        return list(rows)

    def containing(self, texts: Sequence[str], *, unspaced: bool) -> list[Row]:
        """The newest memories with all of the texts anywhere in their content, read one by one.

        `unspaced` reads those with text in a script without spaces, of which there is a list; else the newest of all.
        """
        source = f"INDEXED BY memories_unspaced WHERE content GLOB '{UNSPACED}'" if unspaced else ""
        scanned = UNSPACED_SCANNED_MAX if unspaced else SCANNED_MAX
        contained = " AND ".join("instr(lower(content), ?)" for _ in texts)
        narrowed, values = self._narrowed("read.number")
        rows = self._db.execute_sql(
            f"SELECT read.number, 1.0 "
            f"FROM (SELECT number, content FROM memories {source} ORDER BY number DESC LIMIT ?) AS read "
            f"WHERE {contained} AND {narrowed} LIMIT ?",
            (scanned, *(text.lower() for text in texts), *values, SCAN_MATCHES_MAX),
        ).fetchall()
        self.was_bounded |= len(rows) == SCAN_MATCHES_MAX
        return list(rows)

    def _narrowed(self, number: str) -> tuple[str, list[object]]:
        """The filters as SQL over rows that have this number, with the values to bind."""
        # The plus keeps the index from being entered once for each number of the list.
        parts = [f"+{number} IN (SELECT number FROM memories WHERE {sql})" for sql, _ in self._listed]
        if self._looked_up:
            looked_up = " AND ".join(sql for sql, _ in self._looked_up)
            parts.append(f"EXISTS (SELECT 1 FROM memories WHERE memories.number = {number} AND {looked_up})")
        return " AND ".join(parts) or "1", [value for _, value in self._listed + self._looked_up]

    def _size(self, condition: Condition) -> int:
        return self._count(f"memories WHERE {condition.sql}", condition.value, SET_MAX + 1)

    def _count(self, source: str, value: object, most: int) -> int:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT ?)"
        return int(self._db.execute_sql(sql, (value, most)).fetchone()[0])


def _indexed(filters: Filters) -> list[Condition]:
    """What an index answers without a look at the rows."""
    conditions = []
    if filters.category is not None:
        conditions.append(Condition("category = ?", filters.category))
    if filters.project_id is not None:
        conditions.append(Condition("project_id = ?", filters.project_id))
    if filters.min_importance is not None and filters.min_importance > IMPORTANCE_USUAL:
        conditions.append(Condition(f"importance > {IMPORTANCE_USUAL} AND importance >= ?", filters.min_importance))
    return conditions


def _unindexed(filters: Filters) -> list[Condition]:
    conditions = []
    if filters.min_importance is not None and filters.min_importance <= IMPORTANCE_USUAL:
        conditions.append(Condition("importance >= ?", filters.min_importance))
    if filters.tag is not None:
        conditions.append(Condition("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", filters.tag))
    return conditions


def _tagged(tag: str | None, tokenizers: Tokenizers) -> list[str]:
    """What the index can say of a tag: its words, as they stand in the JSON. The row itself has the last word."""
    text = json.dumps(tag, ensure_ascii=False)
    return [f"tags : {quoted(text)}"] if tag is not None and tokenizers.folds(text.encode("utf-8", "replace")) else []
