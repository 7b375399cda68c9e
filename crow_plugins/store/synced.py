"""Rows of synced tables as data: read back, checked against what the table declares, compared by digest.

The same check guards what is written here and what arrives: a row that one instance accepts
must be acceptable to all.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import peewee
from pydantic_core import to_json

from crow_hooks import Column, CrowError, Data, Invalid, NotFound, SyncedTable
from crow_plugins.limits import DEPTH_MAX, ROW_BYTES_MAX, STRING_BYTES_MAX
from crow_plugins.store import bulk, numbering

JSON_BYTES_A_COLUMN = 128  # its name, a number, quotes and commas, generously
INTEGER_MAX = 2**53 - 1  # what every JSON reader holds exactly
NATURAL_KEYS = uuid.UUID("2b1c9c52-7a0d-5c1f-8f5e-6d3a4e0b9c77")  # the namespace of ids made of keys; it never changes


def row_id_of(key: str) -> str:
    """The id of the row that has this natural key, the same on every machine: the UUIDv5 of the key."""
    return str(uuid.uuid5(NATURAL_KEYS, key))


class UnknownTable(CrowError):
    """A write was recorded for a table that no plugin declared."""

    code = "unknown_table"

    def __init__(self, table: str) -> None:
        super().__init__(f"{table} is not a synced table; declare it in register_synced_tables")


@dataclass(frozen=True, slots=True)
class Shape:
    """A synced table with what the door needs on every write made ready once."""

    table: SyncedTable
    columns: Mapping[str, Column]
    bookkeeping: tuple[str, ...]
    written: tuple[tuple[str, bool], ...]  # each column's name, and whether it holds JSON
    content: tuple[tuple[str, bool], ...]  # the same of those that are no bookkeeping
    select: str
    insert: str
    update: str
    beside: str
    delete: str
    stamp: str
    stamp_new: str

    @classmethod
    def of(cls, table: SyncedTable) -> Shape:
        names = [column.name for column in table.columns]
        _refuse_columns_that_cannot_be(table)
        listed = ", ".join(names)
        number, beside, returning = "", "", ""
        if table.numbered_by is not None:
            number, returning = "number, ", " RETURNING number"
            beside = f"ON CONFLICT (number) DO NOTHING{returning}"
        updates = ", ".join(f"{name} = excluded.{name}" for name in [*names, "lamport_ts"])
        bookkeeping = [column.name for column in table.columns if column.bookkeeping]
        stamps = ", ".join(f"{name} = ?" for name in ["lamport_ts", *bookkeeping])
        return cls(
            table=table,
            columns={column.name: column for column in table.columns},
            bookkeeping=tuple(bookkeeping),
            written=tuple((column.name, column.kind == "json") for column in table.columns),
            content=tuple((column.name, column.kind == "json") for column in table.columns if not column.bookkeeping),
            select=f"SELECT {listed} FROM {table.name} WHERE id = ?",
            insert=f"INSERT INTO {table.name} ({number}id, lamport_ts, {listed})",
            update=f"ON CONFLICT (id) DO UPDATE SET {updates}",
            beside=beside,
            delete=f"DELETE FROM {table.name} WHERE id = ?",
            stamp=f"UPDATE {table.name} SET {stamps} WHERE id = ?{returning}",
            stamp_new=f"UPDATE {table.name} SET lamport_ts = ? WHERE id = ? RETURNING {number}{listed}",
        )

    @property
    def update_type(self) -> str:
        """What a version of any origin is called when it is written anew."""
        names = self.table.change_types
        return next((name for name in names if name.endswith("_update")), names[0])

    @property
    def delete_type(self) -> str:
        """Raises `Invalid` for a table whose rows are never deleted."""
        for name in self.table.change_types:
            if name.endswith("_delete"):
                return name
        raise Invalid(f"{self.table.name} has no change type that deletes; settle it in another way")

    def image(self, db: peewee.Database, row_id: str) -> dict[str, object]:
        """The travelling columns of a row as it stands. Raises `NotFound`."""
        return self._image(row_id, db.execute_sql(self.select, (row_id,)).fetchall())

    def stamped(self, db: peewee.Database, row_id: str, lamport: int) -> dict[str, object]:
        """The same, of a row that was just written for the first time; it bears `lamport` from then on."""
        rows = db.execute_sql(self.stamp_new, (lamport, row_id)).fetchall()
        if self.table.numbered_by is None or not rows:
            return self._image(row_id, rows)
        [(number, *row)] = rows
        image = self._image(row_id, [row])
        self._settle(db, row_id, number, image)
        return image

    def restamp(self, db: peewee.Database, row_id: str, lamport: int, image: Data) -> None:
        """Let a row that was written before bear `lamport`, and what `image` says of its bookkeeping columns."""
        values = (lamport, *(image[name] for name in self.bookkeeping), row_id)
        [*number] = db.execute_sql(self.stamp, values).fetchall()
        if number:
            self._settle(db, row_id, number[0][0], image)

    def _image(self, row_id: str, rows: Sequence[Sequence[object]]) -> dict[str, object]:
        if not rows:
            raise NotFound(f"no row {row_id} in {self.table.name}; list the rows to see their ids")
        columns = self.columns.items()
        return {name: _decoded(column, value) for (name, column), value in zip(columns, rows[0], strict=True)}

    def stored(self, data: Data) -> dict[str, object]:
        """Data that fits, as it would be read back."""
        return {name: _stored(column, data[name]) for name, column in self.columns.items()}

    def insert_all(self, db: peewee.Database, rows: Iterable[tuple[str, int, Data]]) -> None:
        """Write rows that are not there, given by id, lamport and data."""
        self._put(db, rows, self.beside)

    def write(self, db: peewee.Database, row_id: str, lamport: int, data: Data) -> None:
        """Make the row equal to `data`; columns that do not travel keep their values."""
        self.write_all(db, [(row_id, lamport, data)])

    def write_all(self, db: peewee.Database, rows: Iterable[tuple[str, int, Data]]) -> None:
        """The same for rows that are given by id, lamport and data."""
        self._put(db, rows, f"{self.update} {self.beside}")

    def _put(self, db: peewee.Database, rows: Iterable[tuple[str, int, Data]], otherwise: str) -> None:
        if self.table.numbered_by is None:
            bulk.insert(db, self.insert, [self._values(*row) for row in rows], otherwise)
            return
        # By number, since a full-text index takes rows in that order at once.
        by_number = ((self._number(row_id, data), (row_id, lamport, data)) for row_id, lamport, data in rows)
        numbered = sorted(by_number, key=itemgetter(0))
        written = bulk.insert(db, self.insert, [[number, *self._values(*row)] for number, row in numbered], otherwise)
        answers = iter(written)
        answer = next(answers, None)
        for number, row in numbered:
            if answer == (number,):
                answer = next(answers, None)
            else:  # its number is taken, and it is not here yet; or it is here, and had another time before
                bulk.insert(db, self.insert, [[None, *self._values(*row)]], otherwise)
                numbering.settle(db, self.table.name, self.table.numbered_by, row[0])

    def _settle(self, db: peewee.Database, row_id: str, number: object, image: Data) -> None:
        """A plugin that writes rows by SQL of its own need not know of numbers."""
        by = str(self.table.numbered_by)
        if _is_integer(image[by]) and number != self._number(row_id, image):
            numbering.settle(db, self.table.name, by, row_id)

    def _number(self, row_id: str, data: Data) -> int:
        return numbering.number_of(data[str(self.table.numbered_by)], row_id)  # type: ignore[arg-type]  # an integer

    def _values(self, row_id: str, lamport: int, data: Data) -> list[object]:
        return [row_id, lamport, *(_encoded(data[name]) if is_json else data[name] for name, is_json in self.written)]

    def check(self, row_id: str, data: Data) -> None:
        """Raise `Invalid` unless `data` is exactly what the table declares."""
        where = f"row {row_id} of {self.table.name}"
        if data.keys() != self.columns.keys():
            raise Invalid(f"{where} must have exactly the columns {', '.join(self.columns)}")
        bytes_held = 0
        for name, column in self.columns.items():
            bytes_held += _check(where, column, data[name])
        natural = self.table.natural_key
        if natural is not None and row_id != row_id_of(str(data[natural])):
            raise Invalid(
                f"{where} has another id than its {natural} makes; to rename a row, delete it and add a new one"
            )
        # Escaped, one byte can become six: only rows that come near the limit are measured exactly.
        if bytes_held * 6 + JSON_BYTES_A_COLUMN * len(data) > ROW_BYTES_MAX and len(canonical(data)) > ROW_BYTES_MAX:
            raise Invalid(f"{where} is larger than {ROW_BYTES_MAX // 1024} KiB; shorten it and try again")

    def digest(self, data: Data) -> bytes:
        """Of the content alone: equal digests mean that nothing worth an entry differs."""
        values = [_sorted(data[name]) if is_json else data[name] for name, is_json in self.content]
        return hashlib.blake2b(to_json(values), digest_size=16).digest()


def _refuse_columns_that_cannot_be(table: SyncedTable) -> None:
    """Rows of which the id or the number is made of a column need that column, never null."""
    keys = [column.name for column in table.columns if column.kind == "text" and not column.nullable]
    if table.natural_key is not None and table.natural_key not in keys:
        raise Invalid(
            f"{table.name} has no text column {table.natural_key} that is never null; name one as natural_key"
        )
    times = [column.name for column in table.columns if column.kind == "integer" and not column.nullable]
    if table.numbered_by is not None and table.numbered_by not in times:
        raise Invalid(
            f"{table.name} has no integer column {table.numbered_by} that is never null; name one as numbered_by"
        )


# Made once: json.dumps with options of its own would make an encoder a call.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(data: object) -> bytes:
    return _CANONICAL.encode(data).encode()


def _sorted(value: object) -> object:
    """JSON as one text, whatever order its keys are in; a list of texts, as nearly all are, stays as it is."""
    is_in_order = not value or (isinstance(value, list) and all(isinstance(each, str) for each in value))
    return value if is_in_order else canonical(value).decode()


def _decoded(column: Column, value: object) -> object:
    if value is not None and column.kind == "json":
        return json.loads(str(value))
    if value is not None and column.kind == "boolean":
        return bool(value)
    return value


def _stored(column: Column, value: object) -> object:
    return float(value) if column.kind == "real" and isinstance(value, int) else value


def _encoded(value: object) -> str | None:
    return None if value is None else to_json(value).decode()


def _check(where: str, column: Column, value: object) -> int:
    """Raise `Invalid` unless the value fits; returns how many bytes of text it holds."""
    if value is None:
        if not column.nullable:
            raise Invalid(f"{column.name} of {where} must not be empty")
        return 0
    if column.kind == "text" and isinstance(value, str):
        return _check_text(where, column, value, "\0" in value)
    if not FITS[column.kind](value):
        raise Invalid(f"{column.name} of {where} must be of type {column.kind}")
    if column.kind == "json":
        if not value:  # the most common one
            return 2
        return _check_text(where, column, _text_of(where, column, value), any("\0" in each for each in _strings(value)))
    return 0


def _check_text(where: str, column: Column, text: str, has_nul: bool) -> int:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        # Half of a surrogate pair is no character: it could be stored here and refused elsewhere.
        raise Invalid(f"{column.name} of {where} is not valid Unicode; remove the broken character") from None
    if size > column.bytes_max or size > STRING_BYTES_MAX:
        size_max = min(column.bytes_max, STRING_BYTES_MAX)
        raise Invalid(f"{column.name} of {where} is longer than {size_max} bytes; shorten it and try again")
    if has_nul:
        raise Invalid(f"{column.name} of {where} holds a NUL character; remove it and try again")
    return size


def _text_of(where: str, column: Column, value: object) -> str:
    if _depth(value) > DEPTH_MAX:
        raise Invalid(f"{column.name} of {where} is nested deeper than {DEPTH_MAX} levels; flatten it")
    try:
        return _PLAIN.encode(value)
    except (TypeError, ValueError):
        raise Invalid(f"{column.name} of {where} must be of type json, without NaN or infinity") from None


def _depth(value: object, limit: int = DEPTH_MAX + 1) -> int:
    """How deep a value is nested, counted up to `limit`."""
    if not isinstance(value, list | dict) or limit == 0:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(each, limit - 1) for each in inner), default=0)


def _strings(value: object) -> Iterator[str]:
    """Every text in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)


def _is_integer(value: object) -> bool:
    return type(value) is int and abs(value) <= INTEGER_MAX


def _is_real(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # it is a number


FITS: Mapping[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "real": _is_real,
    "boolean": lambda value: isinstance(value, bool),
    "json": lambda value: isinstance(value, list | dict),
}
