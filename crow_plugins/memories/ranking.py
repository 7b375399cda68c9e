"""Which matches come first: the order by bm25, gently corrected for what it does not know.

New and important memories gain a little, and so do those in which words stand side by side as in the query. Only
the best by bm25 are corrected, so the work is the same for ten matches and for thousands.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Sequence
from itertools import pairwise

from peewee import Database

from crow_plugins.memories.matching import Row
from crow_plugins.memories.query import Query, Tokenize
from crow_plugins.memories.schema import IMPORTANCE_USUAL

BOOSTED_MAX, READ_MAX = 200, 30  # corrected for age and importance, and of these read for neighbours
IMPORTANCE_BOOST = RECENCY_BOOST = 0.1  # the part of its relevance that a memory may gain by each
NEIGHBOUR_BOOST = 0.25
RECENCY_DAYS = 180.0  # after which half of that boost is left
READ_CHARACTERS_MAX = 4 * 1024

SELECT = "SELECT number, {} FROM memories WHERE number IN (SELECT value FROM json_each(?))"


def ranked(db: Database, rows: Sequence[Row], asked: Query, tokenize: Tokenize, now: int) -> list[Row]:
    """The best rows, best first, with their corrected relevance; of equals the newest."""
    best = heapq.nsmallest(BOOSTED_MAX, rows, key=_place)
    facts = db.execute_sql(SELECT.format("importance, updated_at"), (_numbers(best),))
    boosts = {number: _boost(importance, now - updated_at) for number, importance, updated_at in facts}
    best = sorted(((number, relevance * boosts[number]) for number, relevance in best), key=_place)
    if not asked.neighbours or len(best) < 2:
        return best
    texts = db.execute_sql(SELECT.format("substr(content, 1, ?)"), (READ_CHARACTERS_MAX, _numbers(best[:READ_MAX])))
    near = {number: _nearness(text, asked, tokenize) for number, text in texts}
    return sorted(((number, each * (1 + NEIGHBOUR_BOOST * near.get(number, 0))) for number, each in best), key=_place)


def _place(row: Row) -> tuple[float, int]:
    number, relevance = row
    return -relevance, -number


def _numbers(rows: Sequence[Row]) -> str:
    return json.dumps([number for number, _ in rows])


def _boost(importance: int, age_seconds: int) -> float:
    weight = (importance - IMPORTANCE_USUAL) / IMPORTANCE_USUAL
    halvings = max(age_seconds, 0) / 86_400 / RECENCY_DAYS
    return 1 + IMPORTANCE_BOOST * weight + RECENCY_BOOST * math.pow(0.5, halvings)


def _nearness(text: str, asked: Query, tokenize: Tokenize) -> float:
    """The part of the query's neighbours that are neighbours in the text."""
    stems = [stem for _, _, stem in tokenize(text.encode("utf-8", "replace"))]
    return len(asked.neighbours.intersection(pairwise(stems))) / len(asked.neighbours)
