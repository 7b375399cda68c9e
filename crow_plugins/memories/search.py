"""Searching memories: all words first, then any of them; ranked by bm25, with small boosts for the new and the important.

A search takes steps, each wider than the one before, until the answer is full: the words in all their forms, the last
one as a beginning, other spellings, text inside a run of a script without spaces, and at last any of the words.
How an expression is written is `query.py`'s business, how the index is asked `matching.py`'s; here is the order.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from apsw import FTS5_TOKENIZE_QUERY
from peewee import Database

from crow_hooks import Invalid
from crow_plugins.memories import query as words
from crow_plugins.memories.matching import MATCHES_MAX, Filters, Row, View
from crow_plugins.memories.query import Query, Token, Tokenize, Tokenizers, all_of, any_of
from crow_plugins.memories.schema import IMPORTANCE_USUAL, TOKENIZER
from crow_plugins.memories.snippet import opening, snippet

__all__ = ["EmptyQuery", "Filters", "Found", "Hit", "search"]

BOOSTED_MAX = 200
IMPORTANCE_BOOST = RECENCY_BOOST = 0.1  # the part of the score that each may add at the most
RECENCY_DAYS = 180.0  # after which half of that is left
PAIRED_MAX = 4

COLUMNS = (
    "id, content, category, importance, tags, context, source, project_id, origin_instance, "
    "created_at, updated_at, lamport_ts"
)


class EmptyQuery(Invalid):
    """A search for nothing."""

    def __init__(self) -> None:
        super().__init__("the query is empty; say in a few words what to look for")


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that matched. `score` is above 0 and below 1 and orders the hits of one search only."""

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
    """Hits, best first. `matched` tells of the best of them: "all words", "some words" or "nothing".

    `total` counts what matched in the steps that were taken; with `at_least` there may be more.
    """

    hits: list[Hit]
    matched: str
    total: int = 0
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One widening of a search: the rows it found, and what it means to be among them."""

    matched: str
    rows: Sequence[Row]


def search(db: Database, query: str, filters: Filters, *, limit: int, now: int) -> Found:
    """Up to `limit` memories for any text at all; `now` in unix seconds. Raises `EmptyQuery`."""
    if not query.strip():
        raise EmptyQuery
    tokenizers = _tokenizers(db)
    asked = words.read(query, tokenizers)
    view = View(db, filters, tokenizers)
    scores: dict[int, float] = {}
    seen: set[int] = set()
    matched, band = "nothing", 1.0
    for step in _steps(query, asked, view, tokenizers):
        fresh = [row for row in step.rows if row[0] not in seen]
        seen.update(number for number, _ in fresh)
        band /= 2  # what a step finds stays below what the one before it found
        best = _boosted(db, fresh, now)[: limit - len(scores)]
        matched = step.matched if best and not scores else matched
        scores |= {number: band * (1 + relevance / (1 + relevance)) for number, relevance in best}
        if len(scores) >= limit:
            break
    return Found(_hits(db, scores, asked, tokenizers), matched, len(seen), view.was_bounded)


def _steps(query: str, asked: Query, view: View, tokenizers: Tokenizers) -> Iterator[Step]:
    if not asked.words:
        yield Step("all words", view.containing([query.strip()], unspaced=False))
        return
    exact = [words.exact(word) for word in asked.words]
    begun = [words.begun(word, tokenizers) if word == asked.unfinished else words.exact(word) for word in asked.words]
    yield Step("all words", view.matching(words.together(exact, asked)))
    if begun != exact:
        yield Step("all words", view.matching(all_of(begun)))
    counts = [view.count(form) for form in exact]
    wide = _widened(asked, begun, counts, tokenizers)
    if wide != begun:
        yield Step("all words", view.matching(all_of(wide)))
    if words.unspaced(asked):
        yield Step("all words", view.containing([word.typed for word in asked.words], unspaced=True))
    if len(exact) > 1:
        forms = [one if count else other for one, other, count in zip(exact, wide, counts, strict=True)]
        yield from (Step("some words", view.matching(each)) for each in _any(forms, view))


def _widened(asked: Query, begun: Sequence[str], counts: Sequence[int], tokenizers: Tokenizers) -> list[str]:
    """Words that the index does not know in other spellings, and the last one as what it may become."""
    wide = []
    for word, form, count in zip(asked.words, begun, counts, strict=True):
        others = [] if count else words.spelled(word)
        if word == asked.unfinished:
            others += words.becoming(word, tokenizers)
        wide.append(any_of([form, *others]) if others else form)
    return wide


def _any(forms: Sequence[str], view: View) -> Iterator[str]:
    """Expressions that need only some of the words: the rarest, as many as can be ranked whole.

    Common words next to them only add to the relevance. Where all words are common, two of them must be there.
    """
    known = sorted((count, form) for form, count in ((form, view.count(form)) for form in forms) if count)
    present = [form for _, form in known]
    rare = [
        form for number, (_, form) in enumerate(known) if sum(count for count, _ in known[: number + 1]) <= MATCHES_MAX
    ]
    if view.is_small or len(rare) == len(present):
        rare = present
    if rare:
        yield any_of(rare) if rare == present else all_of([any_of(rare), any_of(present)])
    elif present:
        common = present[:PAIRED_MAX]
        yield (
            any_of(all_of([one, other]) for at, one in enumerate(common) for other in common[:at])
            if common[1:]
            else common[0]
        )
        yield common[0]


def _boosted(db: Database, rows: Sequence[Row], now: int) -> list[Row]:
    """The best rows with their boosted relevance, best first; of equals the newest."""
    best = heapq.nsmallest(BOOSTED_MAX, rows, key=lambda row: (-row[1], -row[0]))
    facts = db.execute_sql(
        "SELECT number, importance, updated_at FROM memories WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps([number for number, _ in best]),),
    )
    boosts = {number: _boost(importance, now - updated_at) for number, importance, updated_at in facts}
    return sorted(((number, each * boosts[number]) for number, each in best), key=lambda row: (-row[1], -row[0]))


def _boost(importance: int, age_seconds: int) -> float:
    halvings = max(age_seconds, 0) / 86_400 / RECENCY_DAYS
    weight = (importance - IMPORTANCE_USUAL) / IMPORTANCE_USUAL
    return 1 + IMPORTANCE_BOOST * weight + RECENCY_BOOST * math.pow(0.5, halvings)


def _hits(db: Database, scores: dict[int, float], asked: Query, tokenizers: Tokenizers) -> list[Hit]:
    rows = db.execute_sql(
        f"SELECT number, {COLUMNS} FROM memories WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps(list(scores)),),
    ).fetchall()
    by_number = {number: row for number, *row in rows}
    shown = words.recognized(asked)
    return [_hit(by_number[number], score, shown, tokenizers.stems) for number, score in scores.items()]


def _hit(row: Sequence[Any], score: float, shown: Callable[[str], bool], tokenize: Tokenize) -> Hit:
    row_id, content, category, importance, tags, context, *rest = row
    place = snippet(content, shown, tokenize) or snippet(context or "", shown, tokenize) or opening(content)
    return Hit(row_id, content, category, importance, tuple(json.loads(tags)), context, *rest, score, place)  # type: ignore[call-arg]  # as selected


def _tokenizers(db: Database) -> Tokenizers:
    """The index's own tokenizers: what is asked is read exactly as what was stored."""
    connection = db.connection()

    def of(name: str, *arguments: str) -> Tokenize:
        tokenizer = connection.fts5_tokenizer(name, list(arguments))
        return lambda data: [Token(*each) for each in tokenizer(data, FTS5_TOKENIZE_QUERY, None)]

    return Tokenizers(folds=of(*TOKENIZER[1:]), stems=of(*TOKENIZER))
