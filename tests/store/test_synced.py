"""What a row of a synced table may hold: at the limit it is taken, one past it is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from crow_hooks import Column, Entry, Invalid, SyncedTable, Version
from crow_plugins.limits import ROW_BYTES_MAX, STRING_BYTES_MAX
from crow_plugins.store.synced import INTEGER_MAX, Shape, row_id_of
from tests.store.world import ROW, SWAN, World, open_store

KEYED = SyncedTable("labels", (Column("key", bytes_max=64), Column("text")), ("label_update", "label_delete"), "key")
LABELS = "CREATE TABLE labels (id TEXT PRIMARY KEY, key TEXT, text TEXT, lamport_ts INTEGER NOT NULL DEFAULT 0)"


def shape(*columns: Column) -> Shape:
    return Shape.of(SyncedTable("things", columns, ("thing_insert",)))


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (Column("text", bytes_max=4), "four"),
        (Column("text", bytes_max=4), "éé"),
        (Column("text", bytes_max=1 << 30), "x" * STRING_BYTES_MAX),
        (Column("text", nullable=True), None),
        (Column("count", "integer"), INTEGER_MAX),
        (Column("count", "integer"), -INTEGER_MAX),
        (Column("weight", "real"), 1.5),
        (Column("weight", "real"), 2),
        (Column("done", "boolean"), False),
        (Column("tags", "json", bytes_max=9), ["a", "b"]),
        (Column("tags", "json"), nested(16)),
    ],
)
def test_what_fits_is_taken(column: Column, value: object) -> None:
    shape(column).check("row", {column.name: value})


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (Column("text", bytes_max=4), "five!", "longer than 4 bytes"),
        (Column("text", bytes_max=4), "ééé", "longer than 4 bytes"),
        (Column("text", bytes_max=1 << 30), "x" * (STRING_BYTES_MAX + 1), "longer than"),
        (Column("text"), None, "must not be empty"),
        (Column("text"), 5, "must be of type text"),
        (Column("text"), "nul\0", "NUL"),
        (Column("text"), "half \ud800", "not valid Unicode"),
        (Column("count", "integer"), INTEGER_MAX + 1, "of type integer"),
        (Column("count", "integer"), True, "of type integer"),
        (Column("count", "integer"), 1.0, "of type integer"),
        (Column("weight", "real"), math.nan, "of type real"),
        (Column("weight", "real"), math.inf, "of type real"),
        (Column("weight", "real"), "1", "of type real"),
        (Column("done", "boolean"), 1, "of type boolean"),
        (Column("tags", "json"), "text", "of type json"),
        (Column("tags", "json", bytes_max=9), ["a", "bc"], "longer than 9 bytes"),
        (Column("tags", "json"), [math.nan], "of type json"),
        (Column("tags", "json"), ["\ud800"], "not valid Unicode"),
        (Column("tags", "json"), ["nul\0"], "NUL"),
        (Column("tags", "json"), {"nul\0": 1}, "NUL"),
        (Column("tags", "json"), [{1, 2}], "of type json"),
        (Column("tags", "json"), nested(17), "nested deeper than 16 levels"),
        (Column("tags", "json"), nested(5000), "nested deeper than 16 levels"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(column: Column, value: object, reason: str) -> None:
    with pytest.raises(Invalid, match=reason) as refusal:
        shape(column).check("row", {column.name: value})
    assert column.name in str(refusal.value)


@pytest.mark.parametrize("data", [{}, {"text": "a", "more": "b"}])
def test_the_columns_are_exactly_those_declared(data: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="exactly the columns text"):
        shape(Column("text")).check("row", data)


def test_a_row_as_a_whole_is_bounded() -> None:
    columns = [Column(name, bytes_max=STRING_BYTES_MAX) for name in "ab"]
    half = (ROW_BYTES_MAX - len('{"a":"","b":""}')) // 2
    shape(*columns).check("row", {"a": "x" * half, "b": "x" * half})
    with pytest.raises(Invalid, match="larger than 240 KiB"):
        shape(*columns).check("row", {"a": "x" * half, "b": "x" * (half + 2)})


def test_equal_content_has_equal_digests_whatever_the_bookkeeping_says() -> None:
    table = shape(Column("text"), Column("updated_at", "integer", bookkeeping=True))
    first = table.digest({"text": "same", "updated_at": 1})
    assert first == table.digest({"updated_at": 2, "text": "same"})
    assert first != table.digest({"text": "other", "updated_at": 1})


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[World]:
    world = open_store(tmp_path / "crow.db", scripts={"labels": [LABELS]}, synced=[KEYED])
    yield world
    world.store.close()


def label(row_id: str, key: str) -> Entry:
    data = {"key": key, "text": "from elsewhere"}
    version = Version(f"{SWAN}.000000000000", 5)
    return Entry("label_update", "labels", row_id, data, version, {}, (), 5, SWAN)


def write_label(world: World, row_id: str, key: str) -> None:
    with world.store.transaction() as transaction:
        transaction.db.execute_sql(
            "INSERT INTO labels (id, key, text) VALUES (?, ?, 'ours') "
            "ON CONFLICT (id) DO UPDATE SET key = excluded.key",
            (row_id, key),
        )
        transaction.record("label_update", "labels", row_id)


def test_the_id_made_of_a_key_never_changes() -> None:
    assert row_id_of("theme.colour") == "17431c4e-005b-5e69-b7df-a81fb2c22c71"


def test_a_row_with_the_id_of_its_key_is_written_and_applied(labels: World) -> None:
    write_label(labels, row_id_of("mine"), "mine")
    labels.apply(label(row_id_of("theirs"), "theirs"))
    assert labels.rows("SELECT key FROM labels ORDER BY key") == [("mine",), ("theirs",)]


@pytest.mark.parametrize("row_id", [ROW, row_id_of("other"), row_id_of("mine").upper()])
def test_a_row_with_another_id_than_its_key_makes_is_refused_here_and_from_elsewhere(
    labels: World, row_id: str
) -> None:
    with pytest.raises(Invalid, match="another id than its key makes"):
        write_label(labels, row_id, "mine")
    with pytest.raises(Invalid, match="another id than its key makes"):
        labels.apply(label(row_id, "mine"))
    assert labels.rows("SELECT * FROM labels") == []


def test_a_key_does_not_change_under_its_row(labels: World) -> None:
    write_label(labels, row_id_of("mine"), "mine")
    with pytest.raises(Invalid, match="to rename a row, delete it and add a new one"):
        write_label(labels, row_id_of("mine"), "yours")
    assert labels.rows("SELECT key FROM labels") == [("mine",)]


def test_a_key_written_on_two_machines_is_one_row(labels: World) -> None:
    write_label(labels, row_id_of("both"), "both")
    labels.apply(label(row_id_of("both"), "both"))
    assert labels.rows("SELECT count(*) FROM labels") == [(1,)]
    assert labels.listener.names().count("conflict_detected") == 1


@pytest.mark.parametrize(
    "column", [Column("name"), Column("key", "integer"), Column("key", nullable=True)], ids=["none", "number", "null"]
)
def test_a_natural_key_is_a_text_that_every_row_has(column: Column) -> None:
    with pytest.raises(Invalid, match="name one as natural_key"):
        Shape.of(SyncedTable("labels", (column,), ("label_update",), "key"))
