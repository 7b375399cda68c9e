"""A row's number is made of its time and its id, whatever order rows come in, and whatever is written into them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crow_hooks import Column, Entry, Invalid, SyncedTable, Version, new_row_id
from crow_plugins.store import numbering
from crow_plugins.store.numbering import AT_MAX, PLACE_BITS, number_of
from crow_plugins.store.synced import INTEGER_MAX, Shape
from tests.store.world import NOW, SWAN, Listener, World, open_store

NOTES = SyncedTable(
    "notes",
    (Column("text", bytes_max=100), Column("at", "integer")),
    ("note_insert", "note_update", "note_delete"),
    numbered_by="at",
)
SCRIPT = """
CREATE TABLE notes (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT, at INTEGER NOT NULL,
    lamport_ts INTEGER NOT NULL DEFAULT 0
);
"""
RNG = random.Random(11)
IDS = sorted(str(uuid.UUID(int=RNG.getrandbits(128), version=4)) for _ in range(40))
SLOTS_BITS = 6  # of a second, for forty rows of it: most meet others


class TogetherListener(Listener):
    """No owner shows rows itself, so that the rows of a batch are written together."""

    def shows(self, table: str) -> bool:
        return False


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[list[World]]:
    made = [
        open_store(tmp_path / f"{each}.db", TogetherListener(), scripts={"notes": [SCRIPT]}, synced=[NOTES])
        for each in range(3)
    ]
    yield made
    for each in made:
        each.store.close()


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "PLACE_BITS", SLOTS_BITS)


def note(row_id: str, lamport: int, at: int = NOW, *, vv: dict[str, int] | None = None, text: str = "") -> Entry:
    version = Version(f"{SWAN}.000000000000", lamport)
    data = {"text": text, "at": at}
    return Entry("note_update", "notes", row_id, data, version, vv or {}, (), 5, SWAN, False)


def join(world: World, entries: Sequence[Entry]) -> None:
    with world.store.transaction() as transaction:
        for entry in entries:
            transaction.check(entry)
        transaction.join(*entries)


def numbers(world: World) -> dict[object, object]:
    return dict(world.rows("SELECT id, number FROM notes"))  # type: ignore[arg-type]  # pairs


def write(world: World, row_id: str, at: int = NOW) -> None:
    """As a plugin writes that knows nothing of numbers."""
    with world.store.transaction() as transaction:
        transaction.db.execute_sql("INSERT INTO notes (id, text, at) VALUES (?, '', ?)", (row_id, at))
        transaction.record("note_insert", "notes", row_id)


@pytest.mark.usefixtures("crowded")
def test_rows_that_want_the_same_number_have_the_same_ones_in_every_order(worlds: list[World]) -> None:
    entries = [note(row_id, lamport) for lamport, row_id in enumerate(IDS, 1)]
    join(worlds[0], entries)
    for start in range(0, len(entries), 7):
        join(worlds[1], RNG.sample(entries, 9) + entries[::-1][start : start + 7])
    for row_id in RNG.sample(IDS, len(IDS)):
        write(worlds[2], row_id)
    assert numbers(worlds[0]) == numbers(worlds[1]) == numbers(worlds[2])
    asked = [number_of(NOW, row_id) for row_id in IDS]
    assert len(set(asked)) < len(IDS) == len(set(numbers(worlds[0]).values()))


def test_rows_lie_in_the_order_in_which_they_were_made(worlds: list[World]) -> None:
    join(worlds[0], [note(row_id, lamport, NOW - lamport) for lamport, row_id in enumerate(IDS, 1)])
    assert [row_id for (row_id,) in worlds[0].rows("SELECT id FROM notes ORDER BY number DESC")] == IDS


def test_rows_of_one_second_lie_in_the_order_in_which_they_were_made(worlds: list[World]) -> None:
    ids = [new_row_id() for _ in range(200)]
    start = uuid.UUID(ids[0]).int >> 80
    ids = [each for each in ids if (uuid.UUID(each).int >> 80) // 1000 == start // 1000]
    join(worlds[0], [note(row_id, lamport) for lamport, row_id in enumerate(RNG.sample(ids, len(ids)), 1)])
    assert [row_id for (row_id,) in worlds[0].rows("SELECT id FROM notes ORDER BY number")] == ids


@pytest.mark.parametrize("row_id", ["", "x" * 64, "ffffffff-ffff-7fff-bfff-ffffffffffff", "ffffffff-ffff-7fff-cfff"])
def test_whatever_an_id_looks_like_its_row_stays_within_its_second(row_id: str) -> None:
    assert NOW << PLACE_BITS <= number_of(NOW, row_id) < NOW + 1 << PLACE_BITS


def test_a_row_gets_another_number_with_another_time(worlds: list[World]) -> None:
    """Two machines imported the same file apart: the row has one time first, and the other in the end."""
    early, late = (note(IDS[0], lamport, NOW + lamport * 10_000) for lamport in (1, 2))
    join(worlds[0], [early])
    join(worlds[0], [late])
    join(worlds[1], [late])
    join(worlds[1], [early])
    write(worlds[2], IDS[0], NOW)
    with worlds[2].store.transaction() as transaction:
        transaction.db.execute_sql("UPDATE notes SET at = ?", (NOW + 20_000,))
        transaction.record("note_update", "notes", IDS[0])
    assert [numbers(each) for each in worlds] == [{IDS[0]: number_of(NOW + 20_000, IDS[0])}] * 3


@pytest.mark.parametrize("at", [-INTEGER_MAX, -1, 0, AT_MAX + 1, INTEGER_MAX])
def test_a_time_that_no_clock_shows_is_taken_for_the_nearest(worlds: list[World], at: int) -> None:
    join(worlds[0], [note(IDS[0], 1, at), note(IDS[1], 2)])
    number, usual = (numbers(worlds[0])[row_id] for row_id in IDS[:2])
    assert number == number_of(0 if at < 1 else AT_MAX, IDS[0])
    assert (int(str(number)) < int(str(usual))) is (at < NOW)
    assert 0 <= int(str(number)) < 1 << 63


def test_a_row_that_comes_back_has_the_number_that_it_had(worlds: list[World]) -> None:
    write(worlds[0], IDS[0])
    before = numbers(worlds[0])
    with worlds[0].store.transaction() as transaction:
        transaction.record("note_delete", "notes", IDS[0])
    write(worlds[0], IDS[0])
    assert numbers(worlds[0]) == before == {IDS[0]: number_of(NOW, IDS[0])}


@pytest.mark.parametrize("column", ["text", "nothing"])
def test_rows_are_numbered_by_a_time_that_every_row_has(column: str) -> None:
    table = SyncedTable(NOTES.name, NOTES.columns, NOTES.change_types, numbered_by=column)
    with pytest.raises(Invalid, match=f"notes has no integer column {column} that is never null; name one as"):
        Shape.of(table)
