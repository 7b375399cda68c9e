"""Asking the full-text index: which rows match an expression and pass the conditions, and how many. Always bounded.

A step of a search never ranks more than some thousands of rows, the newest that match, so a word that every other
row has costs milliseconds on a million of them. Which are the newest, their numbers tell, which are the same on every
machine. A condition on an indexed column or a tag goes into the expression, and the row has the last word. Of the
others, one that lets few through is listed first, from its index; one that lets many through is looked up row by row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Generic, cast

from apsw import FTS5_TOKENIZE_QUERY
from peewee import Database

from crow_plugins.fulltext.index import TOKENIZER, Record, TextIndex
from crow_plugins.fulltext.query import Token, Tokenize, Tokenizers, all_of, any_of, quoted
from crow_plugins.fulltext.relevance import RELEVANCE, ROWS, Frequency, asked, enable, phrases
from crow_plugins.rows.condition import ColumnIs, Condition, MarkIs, TagIs

MATCHES_MAX, MATCHES_COSTLY_MAX = 2000, 1000  # costly: each is looked at besides, or has one of many common words
SET_MAX = 20_000  # rows that a condition lets through, to be listed and not looked up one by one
WALKED_MAX = 100_000  # rows that FTS5's own ranking may walk through to know how common words are
SAMPLE = 20_000  # the newest rows, of which it is known how many have a word that is in more than can be ranked
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
        enable(db)
        self._db, self._index = db, index
        self._counts: dict[str, int] = {}
        self._frequencies: dict[str, Frequency] = {}
        narrowing = {each: _narrowing(index, each, tokenizers) for each in conditions}
        self._narrowing = [expression for expression in narrowing.values() if expression]
        indexed = [condition for condition in conditions if condition.is_indexed]
        sizes = [self._size(condition) for condition in indexed]
        small = [each for each, size in zip(indexed, sizes, strict=True) if size <= SET_MAX]
        self._listed = [each for each in small if not narrowing[each]]
        self._looked_up = [condition for condition in conditions if condition not in self._listed]
        self.is_small = bool(small)
        self.is_empty = 0 in sizes
        self.was_bounded = False

    def count(self, expression: str) -> int:
        """How many rows match, conditions or no; all that are too many to be ranked count alike."""
        if expression not in self._counts:
            source = f"{self._index.fts} WHERE {self._index.fts} MATCH ?"
            self._counts[expression] = self._count(source, expression, MATCHES_MAX + 1)
        return self._counts[expression]

    def matching(self, expression: str, *, costly: bool = False) -> list[Match]:
        """The newest rows that match, with their relevance; of what is `costly` to rank, fewer."""
        most = MATCHES_COSTLY_MAX if costly or self._looked_up else MATCHES_MAX
        narrowed, values = self._narrowed("f.rowid")
        ranking, arguments = self._ranking(expression)
        fts = self._index.fts
        rows = self._db.execute_sql(
            f"SELECT f.rowid, {ranking} FROM {fts} f WHERE {fts} MATCH ? AND {narrowed} ORDER BY f.rowid DESC LIMIT ?",
            (*arguments, all_of([expression, *self._narrowing]), *values, most),
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

    def _ranking(self, expression: str) -> tuple[str, list[object]]:
        """How the rows are ranked, as SQL with the values to bind."""
        fts, words = self._index.fts, phrases(expression)
        weights = [dict(self._index.weights).get(column, 0.0) for column in self._index.indexed]
        found = [self._frequency(each) for each in [*words, *self._narrowing]]
        if sum(each.of(self._rows if each.looked_at else 0) for each in found) <= WALKED_MAX:
            return f"-bm25({fts}, {', '.join(map(str, weights))})", []
        # A word that stands there twice counts once.
        known = [None if word in words[:place] else self._frequency(word) for place, word in enumerate(words)]
        return f"{RELEVANCE}({fts}, ?)", [asked(weights, known)]

    def _frequency(self, phrase: str) -> Frequency:
        if phrase not in self._frequencies:
            self._frequencies[phrase] = self._counted(phrase)
        return self._frequencies[phrase]

    def _counted(self, phrase: str) -> Frequency:
        rows = self.count(phrase)
        if rows <= MATCHES_MAX:
            return Frequency(rows)
        source = f"{self._index.fts} WHERE {self._index.fts} MATCH ? AND rowid > {self._sampled_after}"
        return Frequency(self._count(source, phrase, SAMPLE), SAMPLE if self._sampled_after else 0, rows)

    @cached_property
    def _rows(self) -> int:
        """How many rows there are; asked of one that has a word that many have."""
        word = next(each for each, frequency in self._frequencies.items() if frequency.looked_at)
        sql = f"SELECT {ROWS}({self._index.fts}) FROM {self._index.fts} WHERE {self._index.fts} MATCH ? LIMIT 1"
        return int(self._db.execute_sql(sql, (word,)).fetchone()[0])

    @cached_property
    def _sampled_after(self) -> int:
        """The number after which the newest rows come that are sampled; 0 where there are no more than these."""
        sql = f"SELECT id FROM {self._index.fts}_docsize ORDER BY id DESC LIMIT 1 OFFSET ?"
        found = self._db.execute_sql(sql, (SAMPLE,)).fetchone()
        return int(found[0]) if found else 0

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


def _narrowing(index: TextIndex[Record], condition: Condition, tokenizers: Tokenizers) -> str | None:
    """What the index can say of a condition: the words of a column, or of a tag as they stand in the JSON; a mark."""
    if not isinstance(condition, TagIs | ColumnIs | MarkIs) or condition.column not in index.indexed:
        return None
    if isinstance(condition, MarkIs):
        return f"{condition.column} : {any_of(map(quoted, condition.marks))}"
    text = condition.value if isinstance(condition, ColumnIs) else json.dumps(condition.value, ensure_ascii=False)
    if not isinstance(text, str) or not tokenizers.folds(text.encode("utf-8", "replace")):
        return None
    return f"{condition.column} : {quoted(text)}"
