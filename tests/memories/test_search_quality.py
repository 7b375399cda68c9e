"""Searches find what a person means, and better than the index does by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from peewee import Database

from crow_plugins.rows import where
from tests.memories import quality
from tests.memories.quality import Measures, Question

QUESTIONS = quality.questions()
KINDS: Mapping[str, list[Question]] = dict(quality.by_kind(QUESTIONS))
FLOORS = {
    "rare": Measures(mrr=1.0, recall=1.0),
    "common": Measures(mrr=0.93, recall=0.95),
    "question": Measures(mrr=0.92, recall=0.96),
    "stem": Measures(mrr=0.92, recall=0.90),
    "accent": Measures(mrr=0.98, recall=0.98),
    "prefix": Measures(mrr=0.95, recall=0.97),
    "two words": Measures(mrr=0.96, recall=0.98),
    "filter": Measures(mrr=0.98, recall=0.98),
    "unspaced": Measures(mrr=0.98, recall=0.98),
}


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    db = quality.corpus()
    yield db
    db.close()


def test_there_are_enough_queries_of_every_kind(db: Database) -> None:
    (memories,) = db.execute_sql("SELECT count(*) FROM memories").fetchone()
    assert memories >= 400
    assert len(QUESTIONS) >= 200
    assert KINDS.keys() == FLOORS.keys()
    assert min(len(asked) for asked in KINDS.values()) >= 15


def test_every_answer_is_a_memory_that_passes_the_filter(db: Database) -> None:
    for question in QUESTIONS:
        wanted, values = where(question.filters.conditions())
        known = {row_id for (row_id,) in db.execute_sql(f"SELECT id FROM memories WHERE {wanted}", values)}
        assert question.answers, question
        assert question.answers | question.related <= known, question


@pytest.mark.parametrize("kind", FLOORS)
def test_searches_stay_above_their_floor(db: Database, kind: str) -> None:
    found, floor = quality.measures(db, quality.ours, KINDS[kind]), FLOORS[kind]
    assert found.mrr >= floor.mrr, found
    assert found.recall >= floor.recall, found


@pytest.mark.parametrize("rival", quality.RIVALS)
@pytest.mark.parametrize("kind", FLOORS)
def test_no_rival_is_better_at_any_kind(db: Database, kind: str, rival: str) -> None:
    found = quality.measures(db, quality.ours, KINDS[kind])
    other = quality.measures(db, quality.RIVALS[rival], KINDS[kind])
    assert found.mrr >= other.mrr, other
    assert found.recall >= other.recall, other
