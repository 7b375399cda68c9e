"""Any text becomes an expression that the index understands, and that means what the person meant."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from peewee import Database

from crow_plugins.fulltext import query
from crow_plugins.fulltext.matching import tokenizers_of
from crow_plugins.fulltext.query import Tokenizers, read
from tests.memories.quality import corpus

NASTY = "ab cé\0\"'()*:^-+{}[]<>~\\/%_;,.!?🦆東京ไท ßøİıſ\ud800\u0301\u200b\n\t7"
OPERATORS = (
    "AND",
    "OR",
    "NOT",
    "NEAR(",
    "NEAR/2",
    "content:",
    "^",
    "*",
    '""',
    "--",
    "; DROP TABLE memories",
    "ing",
    "ly",
)


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    db = corpus()
    yield db
    db.close()


@pytest.fixture
def tokenizers(db: Database) -> Tokenizers:
    return tokenizers_of(db)


def typed(text: str, tokenizers: Tokenizers) -> list[str]:
    return [word.typed for word in read(text, tokenizers).words]


def matches(db: Database, expression: str) -> int:
    sql = "SELECT count(*) FROM memories_fts WHERE memories_fts MATCH ?"
    return int(db.execute_sql(sql, (expression,)).fetchone()[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where is the spare key?", ["spare", "key"]),
        ("running runs RUN", ["run"]),
        ("what's my mother's birthday", ["mother", "birthday"]),
        ("I can't find it, don't ask", ["ask"]),
        ("l'eau et d’Orsay", ["eau", "orsay"]),
        ("wo ist der Schlüssel", ["schlüssel"]),
        ("a\0b", ["b"]),
        ("", []),
        ("?! -- …", []),
    ],
)
def test_the_words_that_carry_a_question_are_kept_once(text: str, words: list[str], tokenizers: Tokenizers) -> None:
    assert typed(text, tokenizers) == words


def test_a_query_of_stop_words_only_is_looked_for_as_it_is(tokenizers: Tokenizers) -> None:
    assert typed("to be or not", tokenizers) == ["to", "be", "or", "not"]


def test_of_a_text_pasted_whole_the_first_words_count(tokenizers: Tokenizers) -> None:
    pasted = " ".join(f"word{number}" for number in range(5_000))
    assert typed(pasted, tokenizers) == [f"word{number}" for number in range(query.WORDS_MAX)]


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [("bike cha", "cha"), ("bike cha ", None), ("bike cha?", None), ("the key of", None), ("the", "the")],
)
def test_only_a_word_at_the_very_end_may_be_on_its_way(
    text: str, unfinished: str | None, tokenizers: Tokenizers
) -> None:
    word = read(text, tokenizers).unfinished
    assert (word.typed if word else None) == unfinished


def test_words_side_by_side_are_known_by_their_stems(tokenizers: Tokenizers) -> None:
    assert read("meeting rooms of the office", tokenizers).neighbours == {
        ("meet", "room"),
        ("room", "of"),
        ("the", "offic"),
    }


@pytest.mark.parametrize("text", ["", "Crème brûlée", 'say "hello"', "a AND b", "🦆", "東京 に"])
def test_what_is_quoted_is_no_syntax(text: str, db: Database) -> None:
    assert matches(db, f"{query.quoted(text)} OR {query.quoted('zzzz')}") >= 0


def test_every_expression_made_of_random_text_is_understood(db: Database, tokenizers: Tokenizers) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(400):
        parts = [
            rng.choice(OPERATORS) if rng.random() < 0.3 else rng.choice(NASTY) for _ in range(rng.randrange(1, 30))
        ]
        asked = read("".join(parts), tokenizers)
        for word in asked.words:
            forms = [query.begun(word, tokenizers), *query.becoming(word, tokenizers), *query.spelled(word)]
            assert matches(db, query.all_of([query.exact(word), query.any_of(forms)])) >= 0


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        ("vacc", "vaccination"),
        ("bus", "business"),  # which the stemmer would cut to "bu"
        ("memo", "memories"),
        ("library", "librarian"),
        ("happy", "happyland"),
        ("happy", "happiness"),
    ],
)
def test_a_beginning_matches_words_that_begin_so(
    beginning: str, found: str, tokenizers: Tokenizers, db: Database
) -> None:
    assert _one_word_matches(db, query.begun(read(beginning, tokenizers).words[0], tokenizers), found)


@pytest.mark.parametrize(("beginning", "other"), [("bus", "but"), ("cat", "cut"), ("ca", "cat"), ("news", "newborn")])
def test_a_beginning_matches_no_others(beginning: str, other: str, tokenizers: Tokenizers, db: Database) -> None:
    assert not _one_word_matches(db, query.begun(read(beginning, tokenizers).words[0], tokenizers), other)


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        ("computi", "computer"),
        ("computin", "computing"),
        ("programmi", "programs"),
        ("runni", "run"),
        ("climbin", "climbed"),
        ("descali", "descale"),
        ("organizatio", "organize"),
    ],
)
def test_a_beginning_longer_than_the_stem_matches_what_it_may_become(
    beginning: str, found: str, tokenizers: Tokenizers, db: Database
) -> None:
    word = read(beginning, tokenizers).words[0]
    assert _one_word_matches(db, query.any_of([query.exact(word), *query.becoming(word, tokenizers)]), found)


def _one_word_matches(db: Database, expression: str, word: str) -> bool:
    """Whether a text of this one word matches."""
    with db.atomic() as transaction:
        db.execute_sql("INSERT INTO memories_fts (rowid, content) VALUES (1000000, ?)", (word,))
        sql = "SELECT 1 FROM memories_fts WHERE rowid = 1000000 AND memories_fts MATCH ?"
        found = db.execute_sql(sql, (expression,)).fetchone() is not None
        transaction.rollback()
    return found


def test_every_stem_of_the_index_can_be_named(db: Database, tokenizers: Tokenizers) -> None:
    db.execute_sql("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, memories_fts, row)")
    stems = [term for (term,) in db.execute_sql("SELECT term FROM vocabulary").fetchall()]
    assert len(stems) > 2_000
    assert [stem for stem in stems if query.naming(stem, tokenizers) is None] == []


@pytest.mark.parametrize(
    ("word", "spelling"),
    [
        ("strasse", "straße"),
        ("straße", "strasse"),
        ("gruesse", "grüße"),
        ("Mueller", "müller"),
        ("müller", "mueller"),
        ("kobenhavn", "københavn"),
        ("tromso", "tromsø"),
        ("łódź", "lódź"),
        ("ελιες", "ελιές"),
        ("ежик", "ёжик"),
    ],
)
def test_other_spellings_of_a_word_are_known(word: str, spelling: str, tokenizers: Tokenizers) -> None:
    assert query.quoted(spelling) in query.spelled(read(word, tokenizers).words[0])


def test_spellings_are_few_and_a_word_too_long_to_be_one_has_none(tokenizers: Tokenizers) -> None:
    assert 1 < len(query.spelled(read("ouæelss" * 5, tokenizers).words[0])) < query.SPELLINGS_MAX
    assert query.spelled(read("o" * 10_000, tokenizers).words[0]) == []


def test_the_stems_that_a_query_asks_for_are_recognized(tokenizers: Tokenizers) -> None:
    recognized = query.recognized(read("東京 running bus", tokenizers))
    assert all(recognized(stem) for stem in ("run", "bu", "busi", "今日東京"))
    assert not any(recognized(stem) for stem in ("runner", "but", "rung", "京都"))
