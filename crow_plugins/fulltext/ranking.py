"""Which matches come first: the order by bm25, gently corrected for what it does not know.

New rows gain a little, and so do those that the table's own boost favours and those in which words stand side by
side as in the query. Only the best by bm25 are corrected, so the work is the same for ten matches and for thousands.
Equals are told apart by what every instance has alike, never by a row's place on this machine.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from peewee import Database

from crow_plugins.fulltext.index import Record, TextIndex
from crow_plugins.fulltext.matching import Match
from crow_plugins.fulltext.query import Query, Tokenize

BOOSTED_MAX, READ_MAX = 200, 30  # corrected for age and boost, and of these read for neighbours
OWN_BOOST = RECENCY_BOOST = 0.1  # the part of its relevance that a row may gain by each
NEIGHBOUR_BOOST = 0.25
RECENCY_DAYS = 180.0  # after which half of that boost is left
READ_CHARACTERS_MAX = 4 * 1024

SELECT = "SELECT number, {} FROM {} WHERE number IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class _Placed:
    """A match with what decides its place."""

    number: int
    relevance: float
    id: str
    at: int
    boost: float

    def place(self) -> tuple[float, int, str]:
        return -self.relevance, -self.at, self.id


def ranked(
    db: Database, index: TextIndex[Record], matches: Sequence[Match], asked: Query, tokenize: Tokenize, now: int
) -> list[Match]:
    """The best matches, best first, with their corrected relevance; of equals the newest, then the smallest id."""
    placed = [replace(each, relevance=each.relevance * _boost(each, now)) for each in _best(db, index, matches)]
    best = sorted(placed, key=_Placed.place)
    if asked.neighbours and len(best) > 1:
        read = SELECT.format(f"substr({index.scanned_text}, 1, ?)", index.table)
        numbers = _numbers(each.number for each in best[:READ_MAX])
        texts = db.execute_sql(read, (READ_CHARACTERS_MAX, numbers))
        near = {number: 1 + NEIGHBOUR_BOOST * _nearness(text, asked, tokenize) for number, text in texts}
        best = [replace(each, relevance=each.relevance * near.get(each.number, 1)) for each in best]
        best.sort(key=_Placed.place)
    return [(each.number, each.relevance) for each in best]


def _best(db: Database, index: TextIndex[Record], matches: Sequence[Match]) -> list[_Placed]:
    """As many as are corrected. Where the cut falls among equals, all of them are looked at first."""
    least = min(heapq.nlargest(BOOSTED_MAX, (relevance for _, relevance in matches)), default=0.0)
    relevances = {number: relevance for number, relevance in matches if relevance >= least}
    facts = db.execute_sql(SELECT.format(f"id, {index.time}, {index.boost}", index.table), (_numbers(relevances),))
    placed = [_Placed(number, relevances[number], *rest) for number, *rest in facts]
    return heapq.nsmallest(BOOSTED_MAX, placed, key=_Placed.place)


def _numbers(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))


def _boost(each: _Placed, now: int) -> float:
    halvings = max(now - each.at, 0) / 86_400 / RECENCY_DAYS
    return 1 + OWN_BOOST * each.boost + RECENCY_BOOST * math.pow(0.5, halvings)


def _nearness(text: str, asked: Query, tokenize: Tokenize) -> float:
    """The part of the query's neighbours that are neighbours in the text."""
    stems = [stem for _, _, stem in tokenize(text.encode("utf-8", "replace"))]
    return len(asked.neighbours.intersection(pairwise(stems))) / len(asked.neighbours)
