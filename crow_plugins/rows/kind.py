"""A kind of row that a person keeps: what it is called, its fields, and the value it is read as.

Every such row carries its provenance: the instance that wrote it first, when, when it was changed last, and its
place in logical time. The table behind it has `number INTEGER PRIMARY KEY`, `id`, the fields, and these four columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from crow_hooks import Change, Column, Data, Invalid, SyncedTable
from crow_plugins.rows.field import REQUIRED, Field, as_it_is

PROVENANCE = ("origin_instance", "created_at", "updated_at", "lamport_ts")
NUMBERED_BY = "created_at"  # a row's number is made of it and of the id: see `crow_plugins.store.numbering`


class Row(Protocol):
    """What every kept row can tell of itself; times in unix seconds."""

    @property
    def id(self) -> str: ...

    @property
    def origin_instance(self) -> str: ...

    @property
    def updated_at(self) -> int: ...

    @property
    def lamport_ts(self) -> int: ...


Record = TypeVar("Record", bound=Row)


@dataclass(frozen=True)  # without slots: what follows from the fields is worked out once
class Kind(Generic[Record]):
    """`record` is a dataclass with a field for each of `columns`, by name.

    `changes` are the change types of an insert, an update and a delete. `ids` tells a person how to come by ids.
    """

    name: str
    table: str
    fields: tuple[Field, ...]
    record: type[Record]
    changes: tuple[str, str, str]
    ids: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields a person gives."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return ("id", *self.names, *PROVENANCE)

    @cached_property
    def synced(self) -> SyncedTable:
        """What travels of it."""
        columns = (
            *(replace(field.column, clean=field.clean) for field in self.fields),
            Column("origin_instance", bytes_max=64, provenance=True),
            Column("created_at", "integer", provenance=True),
            Column("updated_at", "integer", bookkeeping=True),
        )
        return SyncedTable(self.table, columns, tuple(dict.fromkeys(self.changes)), numbered_by=NUMBERED_BY)

    def read(self, row: Sequence[object]) -> Record:
        """A row of `columns`, as it is stored, as a value."""
        values = dict(zip(self.columns, row, strict=True))
        for name in self._json:
            values[name] = json.loads(str(values[name]))
        return self._shown(values)

    def written(self, change: Change) -> Record:
        """The row that was just written, as a value: the same as if it were read again."""
        return self._shown({"id": change.row_id, **change.data, "lamport_ts": change.version.lamport})

    def _shown(self, values: dict[str, object]) -> Record:
        for field in self._read_otherwise:
            values[field.name] = field.read(values[field.name])
        return self.record(**values)

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _json(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.column.kind == "json")

    @cached_property
    def _read_otherwise(self) -> tuple[Field, ...]:
        """The fields that are shown as something else than they are stored as."""
        return tuple(field for field in self.fields if field.read is not as_it_is)

    def given(self, arguments: Data) -> dict[str, object]:
        """The fields among a tool's arguments (its `locals()`) that somebody said something for."""
        return {name: arguments[name] for name in self.names if arguments.get(name) is not None}

    def clean(self, given: Data) -> dict[str, object]:
        """The given fields as they are stored; raises `Invalid` with one sentence for the first that does not fit."""
        known = self._by_name
        for name in given.keys() - known.keys():
            raise Invalid(f"a {self.name} has no field {name}; it has {', '.join(self.names)}")
        return {name: known[name].clean(value) for name, value in given.items()}

    def new(self, given: Data, *, origin: str, now: int) -> dict[str, object]:
        """All travelling columns of a new row. Raises `Invalid`."""
        cleaned = self.clean(given)
        row: dict[str, object] = {}
        for name, field in self._by_name.items():
            if name not in cleaned and field.default is REQUIRED:
                raise Invalid(f"a {self.name} needs {name}; give it")
            row[name] = cleaned[name] if name in cleaned else field.unsaid()
        return {**row, "origin_instance": origin, "created_at": now, "updated_at": now}
