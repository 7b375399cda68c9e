"""How well a row matches an expression: bm25 as FTS5 computes it, from frequencies that it is told.

FTS5's own `bm25` walks through every row that has a word, for each word of an expression and at each search, to know
how common it is: milliseconds for a word that every other of a million rows has. Here that is found once for a search
and within a bound (`matching.py`); where words are not that common, FTS5's own is faster, and is taken. A word that
stands in an expression twice counts once, and words that only narrow a search count nothing.
"""

from __future__ import annotations

import json
import math
import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import apsw
from peewee import Database

RELEVANCE, ROWS = "crow_relevance", "crow_rows"
SATURATION, LENGTH_PART = 1.2, 0.75  # k1 and b
LEAST = 1e-6  # what a word counts that more than half of the rows have
PHRASE = re.compile(r'"(?:[^"]|"")*"(?: \*)?')

_able: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()  # FTS5 keeps every function that it is given


@dataclass(frozen=True, slots=True)
class Frequency:
    """How many of the newest `looked_at` rows have a word; of all rows, where that is 0. `at_least` in all."""

    rows: int
    looked_at: int = 0
    at_least: int = 0

    def of(self, rows: int) -> float:
        """How many of so many rows have it."""
        return max(self.rows * rows / self.looked_at, self.at_least) if self.looked_at else self.rows


def phrases(expression: str) -> list[str]:
    """The words of an expression, in the order in which FTS5 numbers them."""
    return PHRASE.findall(expression)


def enable(db: Database) -> None:
    """Let this connection know `crow_relevance(table, asked)`, and `crow_rows(table)`: how many rows it has."""
    connection = db.connection()
    if connection not in _able:
        connection.register_fts5_function(RELEVANCE, _relevance)
        connection.register_fts5_function(ROWS, lambda api: api.row_count)
        _able.add(connection)


def asked(weights: Sequence[float], frequencies: Sequence[Frequency | None]) -> str:
    """The function's argument: what a word counts in each column, and how frequent each is; None: it counts nothing."""
    known = [(each.rows, each.looked_at, each.at_least) if each else None for each in frequencies]
    return json.dumps([list(weights), known])


class _Weighing:
    """One statement's words, made ready for its rows."""

    def __init__(self, api: apsw.FTS5ExtensionApi, argument: str) -> None:
        weights, frequencies = json.loads(argument)
        rows = api.row_count
        self._weights: list[float] = weights
        self._rarities = [
            (phrase, _rarity(rows, Frequency(*found))) for phrase, found in enumerate(frequencies) if found is not None
        ]
        # A column that counts nothing is no text, and makes none longer.
        self._beside = [column for column, weight in enumerate(weights) if not weight]
        words = api.column_total_size(-1) - sum(map(api.column_total_size, self._beside))
        self._average = words / rows or 1.0

    def of(self, api: apsw.FTS5ExtensionApi) -> float:
        words = api.column_size(-1) - sum(map(api.column_size, self._beside))
        half = SATURATION * (1 - LENGTH_PART + LENGTH_PART * words / self._average)
        total = 0.0
        for phrase, rarity in self._rarities:
            found = sum(map(mul, self._weights, map(len, api.phrase_locations(phrase))))
            total += rarity * found * (SATURATION + 1) / (found + half)
        return total


def _relevance(api: apsw.FTS5ExtensionApi, argument: str) -> float:
    weighing = api.aux_data
    if weighing is None:
        weighing = api.aux_data = _Weighing(api, argument)
    return weighing.of(api)  # type: ignore[no-any-return]  # what was put there


def _rarity(rows: int, frequency: Frequency) -> float:
    having = frequency.of(rows)
    return max(math.log((rows - having + 0.5) / (having + 0.5)), LEAST) if having < rows else LEAST
