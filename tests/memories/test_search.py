"""What a search finds, in which order, under which filters, and that no text and no number of memories upsets it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from peewee import Database
from playhouse.apsw_ext import APSWDatabase

from crow_hooks import Invalid
from crow_plugins.fulltext import EmptyQuery, Found, matching
from crow_plugins.memories.memory import Filters, Memory
from crow_plugins.memories.schema import INDEX, MIGRATIONS
from crow_plugins.memories.search import search
from tests.memories.quality import NOW, keep


@dataclass
class World:
    """A few memories and what finds them. An id is given out for each text, in order: 0, 1, 2, …"""

    db: Database
    count: int = field(default=0)

    def remember(self, *texts: str, **fields: object) -> None:
        with self.db.atomic():
            for text in texts:
                keep(self.db, {"id": str(self.count), "content": text, **fields})
                self.count += 1

    def found(self, query: str, *, limit: int = 10, **filters: object) -> Found[Memory]:
        return search(self.db, query, Filters(**filters), limit=limit, now=NOW)  # type: ignore[arg-type]  # by name

    def ids(self, query: str, **options: object) -> list[int]:
        return [int(hit.record.id) for hit in self.found(query, **options).hits]  # type: ignore[arg-type]  # by name


@pytest.fixture
def make_world() -> Iterator[Callable[[], World]]:
    opened: list[Database] = []

    def make() -> World:
        db: Database = APSWDatabase(":memory:")
        db.connect()
        opened.append(db)
        for script in MIGRATIONS:
            db.execute_sql(script)
        return World(db)

    yield make
    for db in opened:
        db.close()


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    return make_world()


@pytest.mark.parametrize("query", ["", " ", "\n\t  "])
def test_a_query_for_nothing_is_refused_in_one_sentence(world: World, query: str) -> None:
    with pytest.raises(EmptyQuery, match=r"^the query is empty; say in a few words what to look for$") as refusal:
        world.found(query)
    assert isinstance(refusal.value, Invalid)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("databases", "the database of birds"),
        ("database", "two databases"),
        ("Cafe Creme", "un café crème"),
        ("CAFÉ CRÈME", "un cafe creme"),
        ("strasse", "in der Straße"),
        ("Straße", "in der Strasse"),
        ("astron", "an astronomical clock"),
        ("astronomic", "the astronomer"),
        ("computi", "my old computer"),
        ("key spa", "the key in the spare room"),
        ("東京", "明日は東京に行く"),
        ("tokyo 東京", "Tokyo: 明日は東京に行く"),
        ("หนังสือ", "อ่านหนังสือทุกวัน"),
        ("서울", "서울에서 만나요"),
        ("->", "press a -> b"),
        ("☃", "☃ in the garden"),
        ("the", "the end"),
        ("don't", "what you don't know"),
    ],
)
def test_a_memory_is_found_by_what_it_says_in_another_form(world: World, query: str, text: str) -> None:
    world.remember("something else altogether", text, "nichts von alledem")
    assert world.ids(query) == [1]


@pytest.mark.parametrize("query", ["ast", "as", "zzz", "?!", "🦆", "大阪", "x\0y", "'; DROP TABLE memories; --"])
def test_what_is_not_there_is_not_found(world: World, query: str) -> None:
    world.remember("a crow in a tree")
    assert world.found(query) == Found([], "nothing", 0, at_least=False)


@pytest.mark.parametrize("fields", [{"tags": ["raven"]}, {"context": "about a raven"}, {"category": "raven"}])
def test_tags_context_and_category_are_searched_too(world: World, fields: dict[str, object]) -> None:
    world.remember("some bird")
    world.remember("some bird", **fields)
    assert world.ids("raven") == [1]


def test_all_words_come_before_any_of_them(world: World) -> None:
    world.remember("blue blue blue paint", "the kettle", "a kettle in a shade of blue")
    found = world.found("blue kettle")
    assert found.hits[0].record.id == "2"
    assert {hit.record.id for hit in found.hits[1:]} == {"0", "1"}
    assert (found.matched, found.total, found.at_least) == ("all words", 3, False)


def test_some_words_are_found_where_all_are_not_there(world: World) -> None:
    world.remember("the kettle", "unrelated")
    found = world.found("which kettle is blue?")
    assert [hit.record.id for hit in found.hits] == ["0"]
    assert found.matched == "some words"


def test_the_whole_word_comes_before_its_longer_relatives(world: World) -> None:
    world.remember("a carpet", "a carpenter", "carp in the pond", "the cargo")
    assert world.ids("carp")[0] == 2
    assert set(world.ids("carp")) == {0, 1, 2}


def test_two_letters_are_no_beginning(world: World) -> None:
    world.remember("a carpet")
    assert world.ids("ca") == []
    assert world.ids("car") == [0]


def test_only_the_last_word_is_a_beginning(world: World) -> None:
    world.remember("carpet cleaning", "carpet")
    assert world.found("carp cleaning").matched == "some words"
    assert world.ids("carp cleaning") == [0]


def test_words_side_by_side_come_before_words_apart(world: World) -> None:
    world.remember("the box by the fuse", "the fuse box over there", "a box and then some fuse")
    assert world.ids("fuse box")[0] == 1


def test_of_equal_memories_the_newest_comes_first(world: World) -> None:
    for age in (400, 3, 40):
        world.remember("the spare key", age_days=age)
    assert world.ids("spare key") == [1, 2, 0]


def test_of_equal_memories_the_most_important_comes_first(world: World) -> None:
    for importance in (5, 9, 1):
        world.remember("the spare key", importance=importance)
    assert world.ids("spare key") == [1, 0, 2]


def test_a_better_match_comes_before_a_newer_and_more_important_one(world: World) -> None:
    world.remember("passport: renewed, passport number in the safe", age_days=700, importance=2)
    world.remember(
        "a long story in which among a lot of other things a passport is lost and found again", importance=10
    )
    assert world.ids("passport") == [0, 1]


def test_scores_fall_and_stay_between_0_and_1(world: World) -> None:
    world.remember("blue kettle", "kettle", "kettles and pans", "blue", "blueberry", "kettledrum of blue")
    scores = [hit.score for hit in world.found("blue kettle").hits]
    assert len(scores) >= 4
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)


def test_a_limit_cuts_the_list_and_not_the_count(world: World) -> None:
    world.remember(*(f"kettle {number}" for number in range(30)))
    found = world.found("kettle", limit=7)
    assert (len(found.hits), found.total, found.at_least) == (7, 30, False)


def test_a_hit_carries_the_whole_memory(world: World) -> None:
    fields = {"tags": ["a", "b"], "category": "kitchen", "importance": 7, "context": "asked", "project_id": "p"}
    world.remember("the kettle", **fields, source="a shop")
    (hit,) = world.found("kettle").hits
    memory = hit.record
    assert (memory.content, memory.tags, memory.category, memory.importance) == (
        "the kettle",
        ("a", "b"),
        "kitchen",
        7,
    )
    assert (memory.context, memory.project_id, memory.source, memory.updated_at) == (
        "asked",
        "p",
        "a shop",
        NOW,
    )
    assert hit.snippet == "the **kettle**"


def test_a_snippet_comes_from_where_the_match_is(world: World) -> None:
    world.remember("nothing to see", context="said by a raven")
    world.remember("nothing at all", tags=["raven"])
    assert {hit.snippet for hit in world.found("ravens").hits} == {"said by a **raven**", "nothing at all"}


COMMON = ["the library of shared files"] * (matching.MATCHES_MAX + 500)


def test_a_rare_word_is_found_however_many_newer_memories_have_the_common_one(world: World) -> None:
    world.remember("a library about beekeeping", *COMMON)
    assert world.ids("library beekeeping") == [0]
    found = world.found("where is a library about beekeeping or sextants?")
    assert [hit.record.id for hit in found.hits] == ["0"]
    assert found.matched == "some words"


def test_of_common_words_two_must_be_there(world: World) -> None:
    world.remember(*COMMON)
    world.remember(*["some garden"] * (matching.MATCHES_MAX + 1))
    world.remember("the garden library", age_days=900)
    world.remember("the only kite")
    found = world.found("a garden with a library in zanzibar", limit=1)
    assert ([hit.record.content for hit in found.hits], found.matched) == (["the garden library"], "some words")
    found = world.found("a garden with a library or kites in zanzibar")
    assert [hit.record.content for hit in found.hits] == ["the only kite", "the garden library"]


def test_of_too_many_matches_the_newest_are_ranked_and_the_count_says_so(world: World) -> None:
    world.remember(*COMMON)
    found = world.found("library")
    assert (found.total, found.at_least, found.matched) == (matching.MATCHES_MAX, True, "all words")
    newest = world.db.execute_sql("SELECT id FROM memories ORDER BY number DESC LIMIT ?", (matching.MATCHES_MAX,))
    # Equal in all else, so by id.
    assert [hit.record.id for hit in found.hits] == sorted(row_id for (row_id,) in newest)[:10]


def test_of_too_many_matches_those_of_today_are_among_the_newest(world: World) -> None:
    world.remember("a library of today")
    world.remember(*COMMON, age_days=1)
    assert world.ids("library of today")[0] == 0
    assert world.ids("library", limit=1) == [0]


@pytest.mark.parametrize(
    ("fields", "filters"),
    [
        ({"category": "rare"}, {"category": "rare"}),
        ({"tags": ["rare", "other"]}, {"tag": "rare"}),
        ({"importance": 9}, {"min_importance": 9}),
        ({"project_id": "rare"}, {"project_id": "rare"}),
        ({"category": "rare", "tags": ["odd"]}, {"category": "rare", "tag": "odd", "min_importance": 5}),
    ],
)
def test_a_filter_that_lets_few_through_finds_them_under_a_common_word(
    world: World, fields: dict[str, object], filters: dict[str, object]
) -> None:
    world.remember("the library in question", **fields)
    world.remember(*COMMON)
    assert world.ids("library", **filters) == [0]
    assert world.ids("where is the library for questions", **filters) == [0]


def test_where_a_filter_lets_few_through_a_common_word_is_enough(world: World) -> None:
    world.remember("the library in question", category="rare")
    world.remember("on beekeeping")
    world.remember(*COMMON)
    assert world.ids("library beekeeping", category="rare") == [0]


def test_the_importance_that_counts_is_the_one_of_today(world: World) -> None:
    world.remember("the kettle", "a kettle", importance=8)
    world.db.execute_sql("UPDATE memories SET importance = 4 WHERE id = '0'")
    world.db.execute_sql("UPDATE memories SET importance = 99 WHERE id = '1'")  # no release of ours writes that
    assert world.ids("kettle", min_importance=8) == [1]
    assert world.ids("8") == []


@pytest.mark.parametrize("importance", [1, 5, 6, 10])
def test_an_importance_is_a_lower_bound(world: World, importance: int) -> None:
    for each in range(1, 11):
        world.remember("the kettle", importance=each)
    assert sorted(world.ids("kettle", min_importance=importance)) == list(range(importance - 1, 10))


TAGS = ["ice", "ice cream", 'say "ice"', "ice\ncream", "c:\\ice", "☃", "ICE", "i-c-e", "ícé", "東京", "ice}"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_is_matched_to_the_letter(world: World, tag: str) -> None:
    for each in TAGS:
        world.remember("cold", tags=["other", each])
    assert world.ids("cold", tag=tag) == [TAGS.index(tag)]


@pytest.mark.parametrize(
    "filters", [{"category": "nowhere"}, {"tag": "nothing"}, {"min_importance": 9}, {"project_id": "none"}]
)
def test_a_filter_that_lets_nothing_through_finds_nothing(world: World, filters: dict[str, object]) -> None:
    world.remember("the kettle")
    assert world.found("kettle", **filters) == Found([], "nothing")  # type: ignore[arg-type]  # by name


def test_filters_hold_for_text_that_is_read_row_by_row(world: World) -> None:
    for importance, category in ((3, "a"), (5, "a"), (9, "b")):
        world.remember("明日は東京に行く ☃", importance=importance, category=category)
    for query in ("東京", "☃"):
        assert world.ids(query, min_importance=5, category="a") == [1]
        assert world.ids(query, min_importance=8) == [2]


def test_a_memory_without_spaces_is_found_under_any_number_of_others(world: World) -> None:
    world.remember("明日は東京に行く")
    world.remember(*(f"note {number}" for number in range(matching.SCANNED_MAX + 10)))
    assert world.ids("東京") == [0]


def test_every_unspaced_script_is_in_the_list_of_unspaced_memories(world: World) -> None:
    world.remember(
        "東京", "ひらがな", "カタカナ", "ภาษาไทย", "ລາວ", "မြန်မာ", "ខ្មែរ", "한국어", "ελληνικά", "العربية", "हिन्दी"
    )
    listed = world.db.execute_sql(f"SELECT id FROM memories INDEXED BY memories_unspaced WHERE {INDEX.is_unspaced}")
    assert sorted(int(row_id) for (row_id,) in listed) == list(range(7))


ALPHABET = "ab cé\0\"'()*:^-+{}[]<>~\\/%_;,.!?🦆東京ไท ßøİ\ud800\u0301\u200b\n\t7"
WORDS = [
    "AND",
    "OR",
    "NOT",
    "NEAR(a b, 2)",
    "content:",
    "tags:",
    '"',
    "''",
    "--",
    "SELECT",
    "library",
    "shar",
    "*",
    "^",
]


def test_any_text_at_all_is_a_query(world: World) -> None:
    world.remember("the library of shared files", "東京ไทย", "\\ % _ 🦆", 'say "no"')
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(500):
        query = "x" + "".join(rng.choice(WORDS if rng.random() < 0.3 else ALPHABET) for _ in range(rng.randrange(30)))
        found = world.found(query, limit=2, **rng.choice([{}, {"tag": query}, {"category": query}]))
        assert len(found.hits) <= 2


@pytest.mark.parametrize(
    "query", ["a" * 10_000, "é" * 10_000, "a b " * 2_500, '"' * 10_000, "東" * 10_000, "ooooo " * 1_600, "(" * 5_000]
)
def test_a_query_as_long_as_it_may_be_is_answered(world: World, query: str) -> None:
    world.remember("a b")
    assert len(world.found(query).hits) <= 1


def test_the_index_stays_true_under_random_writes(world: World) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        text = " ".join(rng.choices(["kettle", "blue", "東京", "café", "key", "\0", "the"], k=4))
        act = rng.choice(["insert", "insert", "update", "touch", "delete"])
        where = (str(rng.randrange(max(world.count, 1))),)
        if act == "insert":
            world.remember(text, tags=[text], context=rng.choice([None, text]))
        elif act == "update":
            world.db.execute_sql("UPDATE memories SET content = ?, context = NULL WHERE id = ?", (text, *where))
        elif act == "touch":
            world.db.execute_sql("UPDATE memories SET lamport_ts = lamport_ts + 1, updated_at = 7 WHERE id = ?", where)
        else:
            world.db.execute_sql("DELETE FROM memories WHERE id = ?", where)
    world.db.execute_sql("INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)")


def test_stamping_a_row_leaves_the_index_alone(world: World) -> None:
    world.remember("the kettle")
    before = world.db.execute_sql("SELECT * FROM memories_fts_data").fetchall()
    world.db.execute_sql("UPDATE memories SET lamport_ts = 9, updated_at = 9, source = 'x'")
    assert world.db.execute_sql("SELECT * FROM memories_fts_data").fetchall() == before


def test_a_deleted_or_changed_memory_is_found_by_what_it_says_now_only(world: World) -> None:
    world.remember("the kettle", "the kettle")
    world.db.execute_sql("UPDATE memories SET content = 'the pan', tags = ? WHERE id = '0'", (json.dumps(["iron"]),))
    world.db.execute_sql("DELETE FROM memories WHERE id = '1'")
    assert world.ids("kettle") == []
    assert world.ids("pan") == world.ids("iron") == [0]


@pytest.mark.parametrize("column", ["content", "context", "tags", "category"])
def test_a_change_of_one_column_is_found(world: World, column: str) -> None:
    world.remember("the kettle")
    world.db.execute_sql(f"UPDATE memories SET {column} = ?", (json.dumps(["raven"]),))
    assert world.ids("raven") == [0]


def test_lists_by_category_or_project_need_no_look_at_other_rows(world: World) -> None:
    for column, index in (("category", "memories_category"), ("project_id", "memories_project")):
        plan = world.db.execute_sql(
            f"EXPLAIN QUERY PLAN SELECT id FROM memories WHERE {column} = ? ORDER BY updated_at DESC, id LIMIT 9",
            ("x",),
        ).fetchall()
        assert any(index in str(line) for line in plan), plan


def test_a_memory_from_the_future_is_taken_for_a_new_one(world: World) -> None:
    world.remember("passport: the passport is in the safe")
    world.remember("a long story in which among a lot of other things a passport is lost", age_days=-9_000)
    assert world.ids("passport") == [0, 1]
