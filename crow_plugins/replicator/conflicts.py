"""Conflicts for a person: listed, shown with what both sides go back to, and settled.

Settling is an ordinary write that covers exactly the two versions that were shown; a row that changed meanwhile has
another conflict, under another id, and nothing is written.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from peewee import Database

from crow_hooks import Conflict, Crow, Data, Invalid, NotFound, Resolution, Version
from crow_plugins.causality import instance_of
from crow_plugins.manifest import nearest
from crow_plugins.replicator.history import ancestor
from crow_plugins.store import WriteTransaction, still_open

COLUMNS = (
    "id, table_name, row_id, local_data, remote_data, local_lamport, remote_lamport, remote_instance_id, "
    "resolved, resolution, created_at, op, resolved_at, resolved_by"
)


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """A conflict as `sync_conflicts` keeps it; `local` is the version shown here. Times in unix seconds.

    `resolution` is None while it is open; `op` is "delete" where one side deleted the row.
    """

    id: str
    table: str
    row_id: str
    local: Data
    remote: Data
    local_lamport: int
    remote_lamport: int
    remote_instance_id: str
    op: str
    created_at: int
    resolution: str | None
    resolved_at: int | None
    resolved_by: str | None

    @property
    def fields(self) -> list[str]:
        """The fields in which the two sides differ."""
        return sorted(
            name for name in self.local.keys() | self.remote.keys() if self.local.get(name) != self.remote.get(name)
        )


@dataclass(frozen=True, slots=True)
class OpenSides:
    """More of a conflict that is open: who wrote the shown version, what both had seen last, who deleted the row."""

    conflict: Conflict
    base: Data | None

    @property
    def local_instance_id(self) -> str:
        return instance_of(self.conflict.local_version.writer)

    @property
    def deleted_by(self) -> Literal["local", "remote"] | None:
        if self.conflict.local_deleted:
            return "local"
        return "remote" if self.conflict.remote_deleted else None


@dataclass(frozen=True, slots=True)
class ConflictPage:
    """Some conflicts, where the next ones begin, and how many there are in all."""

    items: list[ConflictRecord]
    next_cursor: str | None
    total: int


class Conflicts:
    """The conflicts of one instance. Every method is database work."""

    def __init__(self, crow: Crow, synced_tables: Callable[[], Iterable[str]]) -> None:
        """`synced_tables` names those of every plugin that is installed, on or off."""
        self._crow, self._synced_tables = crow, synced_tables

    def list(
        self,
        *,
        table: str | None = None,
        instance_id: str | None = None,
        unresolved_only: bool = True,
        limit: int = 20,
        cursor: str | None = None,
    ) -> ConflictPage:
        """The newest first, of all instances or those whose other version one of them wrote.

        Raises `Invalid` for a cursor that was not given out, `NotFound` for a table that there is not.
        """
        wanted = "WHERE (? IS NULL OR table_name = ?) AND (? IS NULL OR remote_instance_id = ?)"
        wanted += " AND resolved = 0" if unresolved_only else ""
        values, before = (table, table, instance_id, instance_id), _position(cursor)
        with self._crow.read() as db:
            if table is not None:
                self._refuse_unknown(db, table)
            total = int(db.execute_sql(f"SELECT count(*) FROM sync_conflicts {wanted}", values).fetchone()[0])
            rows = db.execute_sql(
                f"SELECT {COLUMNS} FROM sync_conflicts {wanted} AND (created_at, id) < (?, ?) "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                (*values, *before, limit + 1),
            ).fetchall()
        items = [_record(row) for row in rows[:limit]]
        return ConflictPage(items, _cursor(items[-1]) if len(rows) > limit else None, total)

    def _refuse_unknown(self, db: Database, table: str) -> None:
        """A table may have conflicts from the time when its plugin was installed."""
        met = {name for (name,) in db.execute_sql("SELECT DISTINCT table_name FROM sync_conflicts")}
        known = met.union(self._synced_tables())
        if table not in known:
            raise NotFound(f"no table {table} is synced here{nearest(table, known)}")

    def open_by_instance(self) -> dict[str, int]:
        """How many are open, by the instance that wrote the other version."""
        with self._crow.read() as db:
            return dict(
                db.execute_sql(
                    "SELECT remote_instance_id, count(*) FROM sync_conflicts WHERE resolved = 0 GROUP BY 1"
                ).fetchall()
            )

    def get(self, conflict_id: str) -> ConflictRecord:
        with self._crow.read() as db:
            return _get(db, conflict_id)

    def sides(self, conflict_id: str) -> OpenSides | None:
        """The two versions with their names and what they go back to; None once it is settled."""
        with self._crow.read() as db:
            record = _get(db, conflict_id)
            conflict = still_open(db, record.table, record.row_id, record.id)
            return OpenSides(conflict, ancestor(db, conflict)) if conflict else None

    def resolve(self, conflict_id: str, resolution: Resolution, *, by: str) -> ConflictRecord:
        """Settle a conflict. Raises `NotFound`, `Invalid`, and `ChangedMeanwhile` if the row has changed."""
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            record = _get(transaction.db, conflict_id)
            if record.resolution is not None:
                raise Invalid(f"this conflict is settled already ({record.resolution}); list the open ones")
            conflict = _open(transaction, record)
            if conflict is None:
                conflict = _stale(record)
            transaction.settle(conflict, resolution, by=by)
            return _get(transaction.db, conflict_id)


def _open(transaction: Any, record: ConflictRecord) -> Conflict | None:
    assert isinstance(transaction, WriteTransaction)
    if transaction.shape(record.table) is None:
        raise Invalid(f"the plugin that owns {record.table} is not installed here; install it to settle this")
    found: list[Conflict] = transaction.open_conflicts(record.table, record.row_id)
    return next((conflict for conflict in found if conflict.id == record.id), None)


def _stale(record: ConflictRecord) -> Conflict:
    """Names versions that are live no more: the door refuses it in its own words."""
    none = Version("", 0)
    return Conflict(record.id, record.table, record.row_id, record.local, none, False, record.remote, none, False)


def _get(db: Database, conflict_id: str) -> ConflictRecord:
    row = db.execute_sql(f"SELECT {COLUMNS} FROM sync_conflicts WHERE id = ?", (conflict_id,)).fetchone()
    if row is None:
        raise NotFound(f"no conflict {conflict_id}; list the conflicts to see their ids")
    return _record(row)


def _record(row: tuple[Any, ...]) -> ConflictRecord:
    (id, table, row_id, local, remote, local_lamport, remote_lamport, remote_instance_id, resolved, resolution) = row[
        :10
    ]
    created_at, op, resolved_at, resolved_by = row[10:]
    return ConflictRecord(
        id=id,
        table=table,
        row_id=row_id,
        local=json.loads(local),
        remote=json.loads(remote),
        local_lamport=local_lamport,
        remote_lamport=remote_lamport,
        remote_instance_id=remote_instance_id,
        op=op,
        created_at=created_at,
        resolution=resolution if resolved else None,
        resolved_at=resolved_at,
        resolved_by=resolved_by,
    )


def _cursor(last: ConflictRecord) -> str:
    return base64.urlsafe_b64encode(f"{last.created_at} {last.id}".encode()).decode()


def _position(cursor: str | None) -> tuple[int, str]:
    """Everything comes before the end of time."""
    if cursor is None:
        return 2**62, ""
    try:
        created_at, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return int(created_at), row_id
    except (binascii.Error, ValueError):
        raise Invalid("the cursor is not one that was given out; begin again without it") from None
