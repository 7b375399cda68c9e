"""Instances that hold the same memories answer alike, also where more match than a search looks at."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from crow_hooks import Entry, Version
from crow_plugins.fulltext import Found, matching
from crow_plugins.memories.memory import MEMORY, Filters, Memory
from crow_plugins.memories.schema import MIGRATIONS
from crow_plugins.memories.search import search
from tests.store.test_numbering import TogetherListener
from tests.store.world import NOW, SWAN, World, open_store

RNG = random.Random(5)
COUNT, BATCH, DAY = matching.MATCHES_MAX + 700, 300, 86_400
WORDS = ("library", "garden", "kettle", "raven", "passport", "blue")


def entries() -> list[Entry]:
    """Memories of which more have a library than are ranked; some were written twice, and some are gone."""
    found = []
    for lamport in range(1, COUNT):
        row_id = str(uuid.UUID(int=RNG.getrandbits(128), version=4))
        created = NOW - RNG.randrange(20) * DAY
        found.append(_entry(row_id, lamport, created, {}))
        if lamport % 40 == 0:
            found.append(
                _entry(row_id, COUNT + lamport, created, {found[-1].version.writer: lamport}, gone=lamport % 80 == 0)
            )
    return found


def _entry(row_id: str, lamport: int, created: int, vv: dict[str, int], *, gone: bool = False) -> Entry:
    data = {
        "content": " ".join(["library", *RNG.choices(WORDS, k=RNG.randrange(1, 6))]),
        "category": RNG.choice(("general", "kitchen")),
        "importance": RNG.choice((5, 5, 5, 8)),
        "tags": RNG.choice(([], ["tea"])),
        "context": None,
        "source": None,
        "project_id": None,
        "origin_instance": SWAN,
        "created_at": created,
        "updated_at": created + RNG.randrange(3),
    }
    version = Version(f"{SWAN}.000000000000", lamport)
    type = "memory_delete" if gone else "memory_update"
    return Entry(type, "memories", row_id, data, version, vv, (), NOW, SWAN, gone)


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[list[World]]:
    made = [
        open_store(
            tmp_path / f"{each}.db", TogetherListener(), scripts={"memories": MIGRATIONS}, synced=[MEMORY.synced]
        )
        for each in range(2)
    ]
    yield made
    for each in made:
        each.store.close()


def take(world: World, arriving: list[Entry]) -> None:
    for start in range(0, len(arriving), BATCH):
        with world.store.transaction() as transaction:
            transaction.join(*arriving[start : start + BATCH])


def answers(world: World) -> list[Found[Memory]]:
    asked = ("library", "a raven in the library", "which kettle is blue?", "libr")
    filters = (Filters(), Filters(category="kitchen"), Filters(tag="tea"), Filters(min_importance=7))
    with world.store.read() as db:
        return [search(db, query, each, limit=20, now=NOW) for query in asked for each in filters]


def test_the_order_in_which_memories_came_makes_no_difference(worlds: list[World]) -> None:
    arriving = entries()
    take(worlds[0], arriving)
    take(worlds[1], RNG.sample(arriving, len(arriving)))
    one, other = map(answers, worlds)
    assert one == other
    assert sum(each.at_least for each in one) >= 5
