"""What a row of a synced table may hold: at the limit it is taken, one past it is refused."""

from __future__ import annotations

import math

import pytest

from crow_hooks import Column, Invalid, SyncedTable
from crow_plugins.store.synced import INTEGER_MAX, ROW_BYTES_MAX, STRING_BYTES_MAX, Shape


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
