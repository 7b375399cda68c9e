"""How well searches answer: a person's memories, queries as that person would type them, and what should be found.

`corpus.jsonl` holds the memories. `queries.txt` has a line for each query: the text, its kind, the memories that
answer it, and a filter where there is one, with tabs between. An id alone is an answer; one with a `?` behind it has
to do with the question, and is good to see below the answers.

    python -m tests.memories.quality        shows the measures, and the queries whose answer is not first
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peewee import Database
from playhouse.apsw_ext import APSWDatabase
from rich.console import Console
from rich.table import Table

from crow_plugins.fulltext.index import TOKENIZER
from crow_plugins.memories.schema import MIGRATIONS
from crow_plugins.memories.search import Filters, search
from crow_plugins.rows import where
from crow_plugins.store.numbering import number_of

HERE = Path(__file__).parent
NOW, DAY = 1_780_000_000, 86_400
DEPTH = 10  # hits looked at


@dataclass(frozen=True, slots=True)
class Question:
    """A query, the memories that answer it, and those that have to do with it."""

    text: str
    kind: str
    answers: frozenset[str]
    related: frozenset[str]
    filters: Filters


@dataclass(frozen=True, slots=True)
class Measures:
    """Over some questions: the mean of 1 / (rank of the first answer), and of the part found of all that matters."""

    mrr: float
    recall: float


System = Callable[[Database, Question], Sequence[str]]


def questions() -> list[Question]:
    lines = (HERE / "queries.txt").read_text().splitlines()
    return [_question(*line.split("\t")) for line in lines if line and not line.startswith("#")]


def _question(text: str, kind: str, ids: str, narrowed: str = "") -> Question:
    answers = frozenset(each for each in ids.split() if not each.endswith("?"))
    related = frozenset(each.rstrip("?") for each in ids.split()) - answers
    name, _, value = narrowed.partition("=")
    filters = Filters(**{name: int(value) if name == "min_importance" else value}) if narrowed else Filters()  # type: ignore[arg-type]  # by its name
    return Question(text, kind, answers, related, filters)


def corpus() -> Database:
    """The memories of `corpus.jsonl` in a new database in memory."""
    db: Database = APSWDatabase(":memory:")
    db.connect()
    for script in MIGRATIONS:
        db.execute_sql(script)
    with db.atomic():
        for line in (HERE / "corpus.jsonl").read_text().splitlines():
            keep(db, json.loads(line))
    db.execute_sql(
        "CREATE VIRTUAL TABLE plain USING fts5 (content, context, tags, category, content = 'memories', "
        f"content_rowid = 'number', tokenize = '{' '.join(TOKENIZER)}', prefix = '3')"
    )
    db.execute_sql("INSERT INTO plain (plain) VALUES ('rebuild')")
    return db


def keep(db: Database, memory: dict[str, object]) -> None:
    """Store a memory given as an object with `id`, `content` and whatever else is not as usual."""
    age = memory.get("age_days", 0)
    assert isinstance(age, int)
    written = NOW - age * DAY
    usual = {"category": "general", "importance": 5, "tags": [], "context": None, "project_id": None}
    row = {**usual, **memory, "origin_instance": "here", "created_at": written, "updated_at": written}
    row.pop("age_days", None)
    row["tags"] = json.dumps(row["tags"], ensure_ascii=False, separators=(",", ":"))
    names = ["number", *row]
    into = f"INSERT INTO memories ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    sql = f"{into} ON CONFLICT (number) DO NOTHING RETURNING 1"
    numbers = (number_of(written, str(row["id"]), attempt) for attempt in itertools.count())
    while db.execute_sql(sql, (next(numbers), *row.values())).fetchone() is None:
        pass


def ours(db: Database, question: Question) -> Sequence[str]:
    return [hit.record.id for hit in search(db, question.text, question.filters, limit=DEPTH, now=NOW).hits]


def _index(joined: str) -> System:
    """An index of the text alone, asked for the words as they are: what FTS5 does when nothing is added to it."""

    def answer(db: Database, question: Question) -> Sequence[str]:
        expression = joined.join(f'"{word}"' for word in re.findall(r"\w+", question.text))
        wanted, values = where(question.filters.conditions())
        sql = (
            "SELECT id FROM memories JOIN (SELECT rowid AS found, rank FROM plain WHERE plain MATCH ?) "
            f"ON number = found WHERE {wanted} ORDER BY rank LIMIT ?"
        )
        return [row_id for (row_id,) in db.execute_sql(sql, (expression, *values, DEPTH))]

    return answer


def _like(db: Database, question: Question) -> Sequence[str]:
    wanted, values = where(question.filters.conditions())
    sql = f"SELECT id FROM memories WHERE content LIKE ? AND {wanted} ORDER BY updated_at DESC LIMIT ?"
    return [row_id for (row_id,) in db.execute_sql(sql, (f"%{question.text}%", *values, DEPTH))]


RIVALS: dict[str, System] = {"FTS5, all words": _index(" AND "), "FTS5, any word": _index(" OR "), "LIKE": _like}


def measures(db: Database, system: System, asked: Sequence[Question]) -> Measures:
    found = [system(db, question) for question in asked]
    ranks = [reciprocal_rank(each, question) for each, question in zip(found, asked, strict=True)]
    recalls = [recall(each, question) for each, question in zip(found, asked, strict=True)]
    return Measures(sum(ranks) / len(asked), sum(recalls) / len(asked))


def reciprocal_rank(found: Sequence[str], question: Question) -> float:
    return next((1 / rank for rank, row_id in enumerate(found, 1) if row_id in question.answers), 0.0)


def recall(found: Sequence[str], question: Question) -> float:
    wanted = question.answers | question.related
    return len(wanted & set(found)) / min(len(wanted), DEPTH)


def by_kind(asked: Sequence[Question]) -> Iterator[tuple[str, list[Question]]]:
    for kind in dict.fromkeys(question.kind for question in asked):
        yield kind, [question for question in asked if question.kind == kind]


def main() -> None:
    db, console = corpus(), Console()
    systems = {"ours": ours, **RIVALS}
    table = Table("kind", "queries", *systems, title="MRR@10, recall@10", box=None)
    for kind, asked in [*by_kind(questions()), ("all", questions())]:
        each = (measures(db, system, asked) for system in systems.values())
        table.add_row(kind, str(len(asked)), *(f"{one.mrr:.3f} {one.recall:.3f}" for one in each))
    console.print(table)
    for question in questions():
        found = ours(db, question)
        if reciprocal_rank(found, question) < 1:
            console.print(f"{question.kind}: {question.text!r} found {found[:4]}, not {sorted(question.answers)}")


if __name__ == "__main__":
    main()
