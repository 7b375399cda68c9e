"""Searching a table: all words first, then any of them; by bm25, with a small boost for the new and the favoured.

A search takes steps, each wider than the one before, until the answer is full: the words in all their forms, the last
one as a beginning, other spellings, text inside a run of a script without spaces, and at last any of the words.
How an expression is written is `query.py`'s business, how the index is asked `matching.py`'s; here is the order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic

from peewee import Database

from crow_hooks import Invalid
from crow_plugins.fulltext import query as words
from crow_plugins.fulltext.index import Record, TextIndex
from crow_plugins.fulltext.matching import MATCHES_MAX, Match, View, tokenizers_of
from crow_plugins.fulltext.query import Query, Tokenize, Tokenizers, all_of, any_of
from crow_plugins.fulltext.ranking import ranked
from crow_plugins.fulltext.snippet import opening, snippet
from crow_plugins.rows.condition import Condition, is_storable

PAIRED_MAX = 4


class EmptyQuery(Invalid):
    """A search for nothing."""

    def __init__(self) -> None:
        super().__init__("the query is empty; say in a few words what to look for")


@dataclass(frozen=True, slots=True)
class Hit(Generic[Record]):
    """A row that matched. `score` is above 0 and below 1 and orders the hits of one search only."""

    record: Record
    score: float
    snippet: str


@dataclass(frozen=True, slots=True)
class Found(Generic[Record]):
    """Hits, best first. `matched` tells of the best of them: "all words", "some words" or "nothing".

    `total` counts what matched in the steps that were taken; with `at_least` there may be more.
    """

    hits: list[Hit[Record]]
    matched: str
    total: int = 0
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One widening of a search: the rows it found, and what it means to be among them."""

    matched: str
    matches: Sequence[Match]


def search(
    db: Database, index: TextIndex[Record], query: str, conditions: Sequence[Condition], *, limit: int, now: int
) -> Found[Record]:
    """Up to `limit` rows for any text at all; `now` in unix seconds. Raises `EmptyQuery`."""
    query = query.encode("utf-8", "replace").decode().strip()
    if not query:
        raise EmptyQuery
    if not all(is_storable(condition.value) for condition in conditions):
        return Found([], "nothing")
    tokenizers = tokenizers_of(db)
    asked = words.read(query, tokenizers)
    view = View(db, index, conditions, tokenizers)
    if view.is_empty:
        return Found([], "nothing")
    scores: dict[int, float] = {}
    seen: set[int] = set()
    matched, band = "nothing", 1.0
    for step in _steps(query, asked, view, tokenizers):
        fresh = [match for match in step.matches if match[0] not in seen]
        seen.update(number for number, _ in fresh)
        band /= 2  # what a step finds stays below what the one before it found
        best = ranked(db, index, fresh, asked, tokenizers.stems, now)[: limit - len(scores)]
        matched = step.matched if best and not scores else matched
        scores |= {number: band * (1 + relevance / (1 + relevance)) for number, relevance in best}
        if len(scores) >= limit:
            break
    return Found(_hits(db, index, scores, asked, tokenizers.stems), matched, len(seen), view.was_bounded)


def _steps(query: str, asked: Query, view: View[Record], tokenizers: Tokenizers) -> Iterator[Step]:
    if not asked.words:
        yield Step("all words", view.containing([query], unspaced=False))
        return
    exact = [words.exact(word) for word in asked.words]
    yield Step("all words", view.matching(all_of(exact)))
    counts = [view.count(form) for form in exact]
    begun = [
        words.begun(word, tokenizers) if word == asked.unfinished and count <= MATCHES_MAX else form
        for word, form, count in zip(asked.words, exact, counts, strict=True)
    ]
    if begun != exact:
        yield Step("all words", view.matching(all_of(begun)))
    wide = _widened(asked, begun, counts, tokenizers)
    if wide != begun:
        yield Step("all words", view.matching(all_of(wide)))
    if words.unspaced(asked):
        yield Step("all words", view.containing([word.typed for word in asked.words], unspaced=True))
    if len(exact) > 1:
        present = [
            (count or view.count(other), one if count else other)
            for count, one, other in zip(counts, exact, wide, strict=True)
        ]
        for expression, costly in _any(present, view.is_small):
            yield Step("some words", view.matching(expression, costly=costly))


def _widened(asked: Query, begun: Sequence[str], counts: Sequence[int], tokenizers: Tokenizers) -> list[str]:
    """Words that the index does not know in other spellings, and the last one as what it may become."""
    wide = []
    for word, form, count in zip(asked.words, begun, counts, strict=True):
        others = [] if count else words.spelled(word)
        if word == asked.unfinished:
            others += words.becoming(word, tokenizers)
        wide.append(any_of([form, *others]) if others else form)
    return wide


def _any(forms: Sequence[tuple[int, str]], is_small: bool) -> Iterator[tuple[str, bool]]:
    """Expressions that need only some of the words, each given with its count: the rarest, as many as can be ranked.

    Common words beside them only add to the relevance. Where all words are common, two of them must be there. Each
    comes with whether it is of common words only.
    """
    present = sorted(form for form in forms if form[0])
    totals = accumulate(count for count, _ in present)
    rare = [form for total, (_, form) in zip(totals, present, strict=True) if total <= MATCHES_MAX or is_small]
    known = [form for _, form in present]
    common = known[len(rare) :][:PAIRED_MAX]
    if rare:
        yield all_of([any_of(rare), any_of(known)]) if common else any_of(rare), False
    if len(common) > 1 and len(forms) > 2:  # of two words, both were looked for already
        yield _two_of(common), True
    if common and not rare:
        yield common[0], True


def _two_of(forms: Sequence[str]) -> str:
    """At least two of them, with as few words as say so: one of each half, or two of either."""
    if len(forms) == 2:
        return all_of(forms)
    halves = [half for half in (forms[::2], forms[1::2]) if half]
    return any_of([all_of(any_of(half) for half in halves), *(_two_of(half) for half in halves if len(half) > 1)])


def _hits(
    db: Database, index: TextIndex[Record], scores: dict[int, float], asked: Query, tokenize: Tokenize
) -> list[Hit[Record]]:
    texts, columns = ", ".join(index.snippets), ", ".join(index.columns)
    rows = db.execute_sql(
        f"SELECT number, {texts}, {columns} FROM {index.table} WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps(list(scores)),),
    ).fetchall()
    by_number = {number: row for number, *row in rows}
    shown, split = words.recognized(asked), len(index.snippets)
    return [
        Hit(index.record(by_number[number][split:]), score, _place(by_number[number][:split], shown, tokenize))
        for number, score in scores.items()
    ]


def _place(texts: Sequence[str | None], shown: Callable[[str], bool], tokenize: Tokenize) -> str:
    """The place that matched, in the first text that has one; else how the first one begins."""
    places = (snippet(text, shown, tokenize) for text in texts if text)
    return next((place for place in places if place), None) or opening(next((text for text in texts if text), ""))
