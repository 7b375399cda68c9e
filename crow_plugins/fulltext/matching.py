"""Asking the full-text index: which rows match an expression and pass the conditions, and how many. Always bounded.

A step of a search never ranks more than some thousands of rows, the newest that match, so a word that every other
row has costs milliseconds on a million of them. A condition that lets few through is listed first, from its
index; one that lets many through is looked up row by row, and the bound is reached soon.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Generic, cast

from apsw import FTS5_TOKENIZE_QUERY
from peewee import Database

from crow_plugins.fulltext.index import TOKENIZER, Record, TextIndex
from crow_plugins.fulltext.query import Token, Tokenize, Tokenizers, all_of, quoted
from crow_plugins.rows.condition import Condition, TagIs

MATCHES_MAX, MATCHES_FILTERED_MAX = 2000, 1000  # with conditions, each costs a look at its row besides
SET_MAX = 20_000  # rows that a condition lets through, to be listed and not looked up one by one
UNSPACED_SCANNED_MAX, SCANNED_MAX, SCAN_MATCHES_MAX = 20_000, 5_000, 200

Match = tuple[int, float]  # a row's number, and its relevance, which is above 0


def tokenizers_of(db: Database) -> Tokenizers:
    """The index's own tokenizers: what is asked is read exactly as what was stored."""
    connection = db.connection()

    def of(name: str, *arguments: str) -> Tokenize:
        tokenizer = connection.fts5_tokenizer(name, list(arguments))
        return lambda data: cast(list[Token], tokenizer(data, FTS5_TOKENIZE_QUERY, None))

    return Tokenizers(folds=of(*TOKENIZER[1:]), stems=of(*TOKENIZER))


class View(Generic[Record]):
    """The rows that pass the conditions: `is_empty` if there is none, `is_small` if they could all be ranked.

    `was_bounded` tells whether an answer left some out.
    """

    def __init__(
        self, db: Database, index: TextIndex[Record], conditions: Sequence[Condition], tokenizers: Tokenizers
    ) -> None:
        self._db, self._index = db, index
        self._weights = ", ".join(str(weight) for _, weight in index.weights)
        self._narrowing = _narrowing(index, conditions, tokenizers)
        indexed = [condition for condition in conditions if condition.is_indexed]
        sizes = [self._size(condition) for condition in indexed]
        self._listed = [each for each, size in zip(indexed, sizes, strict=True) if size <= SET_MAX]
        self._looked_up = [condition for condition in conditions if condition not in self._listed]
        self.is_small = bool(self._listed)
        self.is_empty = 0 in sizes
        self.was_bounded = False

    def count(self, expression: str) -> int:
        """How many rows match, conditions or no; all that are too many to be ranked count alike."""
        return self._count(f"{self._index.fts} WHERE {self._index.fts} MATCH ?", expression, MATCHES_MAX + 1)

    def matching(self, expression: str) -> list[Match]:
        """The newest rows that match, with their relevance."""
        most = MATCHES_FILTERED_MAX if self._looked_up else MATCHES_MAX
        narrowed, values = self._narrowed("f.rowid")
        fts = self._index.fts
        rows = self._db.execute_sql(
            f"SELECT f.rowid, -bm25({fts}, {self._weights}) FROM {fts} f "
            f"WHERE {fts} MATCH ? AND {narrowed} ORDER BY f.rowid DESC LIMIT ?",
            (all_of([expression, *self._narrowing]), *values, most),
        ).fetchall()
        self.was_bounded |= len(rows) == most
        return list(rows)

    def containing(self, texts: Sequence[str], *, unspaced: bool) -> list[Match]:
        """The newest rows with all of the texts anywhere in their scanned columns, read one by one.

        `unspaced` reads those with text in a script without spaces, of which there is a list; else the newest of all.
        """
        table, scanned = self._index.table, self._index.scanned_text
        source = f"INDEXED BY {self._index.unspaced} WHERE {self._index.is_unspaced}" if unspaced else ""
        most = UNSPACED_SCANNED_MAX if unspaced else SCANNED_MAX
        contained = " AND ".join("instr(lower(text), ?)" for _ in texts)
        narrowed, values = self._narrowed("read.number")
        rows = self._db.execute_sql(
            f"SELECT read.number, 1.0 "
            f"FROM (SELECT number, {scanned} AS text FROM {table} {source} ORDER BY number DESC LIMIT ?) AS read "
            f"WHERE {contained} AND {narrowed} LIMIT ?",
            (most, *(text.lower() for text in texts), *values, SCAN_MATCHES_MAX),
        ).fetchall()
        self.was_bounded |= len(rows) == SCAN_MATCHES_MAX
        return list(rows)

    def _narrowed(self, number: str) -> tuple[str, list[object]]:
        """The conditions as SQL over rows that have this number, with the values to bind."""
        table = self._index.table
        # The plus keeps the index from being entered once for each number of the list.
        parts = [f"+{number} IN (SELECT number FROM {table} WHERE {each.sql})" for each in self._listed]
        if self._looked_up:
            looked_up = " AND ".join(each.sql for each in self._looked_up)
            parts.append(f"EXISTS (SELECT 1 FROM {table} WHERE {table}.number = {number} AND {looked_up})")
        return " AND ".join(parts) or "1", [each.value for each in self._listed + self._looked_up]

    def _size(self, condition: Condition) -> int:
        return self._count(f"{self._index.table} WHERE {condition.sql}", condition.value, SET_MAX + 1)

    def _count(self, source: str, value: object, most: int) -> int:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT ?)"
        return int(self._db.execute_sql(sql, (value, most)).fetchone()[0])


def _narrowing(index: TextIndex[Record], conditions: Sequence[Condition], tokenizers: Tokenizers) -> list[str]:
    """What the index can say of a tag: its words, as they stand in the JSON. The row itself has the last word."""
    indexed = {column for column, _ in index.weights}
    tags = [each for each in conditions if isinstance(each, TagIs) and each.column in indexed]
    texts = [(each.column, json.dumps(each.value, ensure_ascii=False)) for each in tags]
    return [f"{column} : {quoted(text)}" for column, text in texts if tokenizers.folds(text.encode("utf-8", "replace"))]
