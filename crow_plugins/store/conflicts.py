"""`sync_conflicts` kept equal to what the versions say: open rows are a function of the live versions.

Only the open set is the same on every instance; how and when one was closed is each instance's own history.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

import peewee

from crow_hooks import Column, Conflict, Data, Invalid, Resolution, Version
from crow_plugins.causality import Dot, OpenConflict, RowState, conflict_id, instance_of, open_conflicts
from crow_plugins.store import versions
from crow_plugins.store.synced import Shape


def reconcile(
    db: peewee.Database, shape: Shape, row_id: str, state: RowState, *, now: int, resolution: str, by: str
) -> tuple[list[Conflict], list[str]]:
    """Open what is new, close what is gone; returns the conflicts opened and the ids closed."""
    table = shape.table.name
    wanted = {conflict.id: conflict for conflict in open_conflicts(table, row_id, state, shape.bookkeeping)}
    stored = {
        each
        for (each,) in db.execute_sql(
            "SELECT id FROM sync_conflicts WHERE table_name = ? AND row_id = ? AND resolved = 0", (table, row_id)
        )
    }
    opened = [_conflict(table, row_id, wanted[each]) for each in sorted(wanted.keys() - stored)]
    closed = sorted(stored - wanted.keys())
    for conflict in opened:
        _insert(db, conflict, now)
    _close(db, closed, resolution, by, now)
    return opened, closed


def forget(
    db: peewee.Database, table: str, row_id: str, dropped: Collection[Version], writers: Collection[str]
) -> None:
    """Delete the conflicts of a row, open or closed, in which a version took part that counts no more.

    `writers` are all that are known of the row. A conflict is stored without the names of its writers, but its id
    follows from them.
    """
    rows = db.execute_sql(
        "SELECT id, local_lamport, remote_lamport FROM sync_conflicts WHERE table_name = ? AND row_id = ?",
        (table, row_id),
    ).fetchall()
    gone = {Dot(version.writer, version.lamport) for version in dropped}
    everybody = {*writers, *(dot.writer for dot in gone)}
    for stored, *lamports in rows:
        if stored in set(_ids_with(table, row_id, gone, everybody, *lamports)):
            db.execute_sql("DELETE FROM sync_conflicts WHERE id = ?", (stored,))


def _ids_with(
    table: str, row_id: str, gone: Collection[Dot], writers: Collection[str], local: int, remote: int
) -> Iterator[str]:
    """The ids of the conflicts of two lamports that could be here with a version that counts no more."""
    for dot in gone:
        for writer in writers:
            if dot.lamport == local:
                yield conflict_id(table, row_id, dot, Dot(writer, remote))
            if dot.lamport == remote:
                yield conflict_id(table, row_id, Dot(writer, local), dot)


def open_now(shape: Shape, row_id: str, state: RowState) -> list[Conflict]:
    """A row's conflicts, computed from its versions; every live version has its data with it when there are several."""
    table = shape.table.name
    return [_conflict(table, row_id, found) for found in open_conflicts(table, row_id, state, shape.bookkeeping)]


def still_open(db: peewee.Database, table: str, row_id: str, id: str) -> Conflict | None:
    """The conflict of this id, if the row's versions still have it. Only reads, and the table may be nobody's here."""
    state = versions.load(db, table, row_id).state
    found = {each.id: each for each in open_conflicts(table, row_id, state)}
    return _conflict(table, row_id, found[id]) if id in found else None


def rows_in_conflict(db: peewee.Database) -> list[tuple[str, str]]:
    """Table and id of every row with an open conflict, the oldest first."""
    rows = db.execute_sql(
        "SELECT table_name, row_id FROM sync_conflicts WHERE resolved = 0 GROUP BY 1, 2 ORDER BY min(created_at), 1, 2"
    )
    return [(str(table), str(row_id)) for table, row_id in rows]


def outcome(conflict: Conflict, resolution: Resolution, shape: Shape) -> tuple[bool, Data]:
    """Whether the row is deleted by a resolution, and the image that it has then. Raises `Invalid`."""
    if resolution.kind != "merge" and resolution.data:
        raise Invalid(f"{resolution.kind} takes that side as it is; settle with merge to change fields")
    if resolution.kind == "local":
        return conflict.local_deleted, conflict.local
    if resolution.kind == "remote":
        return conflict.remote_deleted, conflict.remote
    if not resolution.data:
        raise Invalid("a merge names the fields that change; give at least one, or settle with local or remote")
    _refuse_what_nobody_merges(shape, resolution.data.keys())
    said = {name: _said(conflict, shape.columns[name], value) for name, value in resolution.data.items()}
    return False, {**conflict.local, **said}


def _refuse_what_nobody_merges(shape: Shape, named: Collection[str]) -> None:
    mergeable = shape.table.mergeable
    advice = f"what can be merged of a row is {', '.join(mergeable)}"
    unknown = sorted(name for name in named if name not in shape.columns)
    if unknown:
        raise Invalid(f"{shape.table.name} has no {', '.join(unknown)}; {advice}")
    kept = sorted(name for name in named if name not in mergeable)
    if kept:
        raise Invalid(f"{', '.join(kept)} of {shape.table.name} stays as it is here in a merge; {advice}")


def _said(conflict: Conflict, column: Column, value: object) -> object:
    """A value of a merge as it is stored: one that neither side has is held to what the owner of the table says."""
    sides = (conflict.local.get(column.name), conflict.remote.get(column.name))
    return value if column.clean is None or value in sides else column.clean(value)


def _insert(db: peewee.Database, conflict: Conflict, now: int) -> None:
    deletes = conflict.local_deleted or conflict.remote_deleted
    db.execute_sql(
        "INSERT INTO sync_conflicts (id, table_name, row_id, local_data, remote_data, local_lamport, remote_lamport, "
        "remote_instance_id, resolved, created_at, op) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?) "
        # The same two versions may come to stand beside each other again.
        "ON CONFLICT (id) DO UPDATE SET resolved = 0, resolution = NULL, resolved_at = NULL, resolved_by = NULL",
        (
            conflict.id,
            conflict.table,
            conflict.row_id,
            json.dumps(conflict.local, ensure_ascii=False),
            json.dumps(conflict.remote, ensure_ascii=False),
            conflict.local_version.lamport,
            conflict.remote_version.lamport,
            instance_of(conflict.remote_version.writer),
            now,
            "delete" if deletes else "update",
        ),
    )


def _close(db: peewee.Database, closed: Sequence[str], resolution: str, by: str, now: int) -> None:
    for each in closed:
        db.execute_sql(
            "UPDATE sync_conflicts SET resolved = 1, resolution = ?, resolved_at = ?, resolved_by = ? WHERE id = ?",
            (resolution, now, by, each),
        )


def _conflict(table: str, row_id: str, found: OpenConflict) -> Conflict:
    return Conflict(
        id=found.id,
        table=table,
        row_id=row_id,
        local=found.current.data or {},
        local_version=Version(*found.current.dot),
        local_deleted=found.current.deleted,
        remote=found.other.data or {},
        remote_version=Version(*found.other.dot),
        remote_deleted=found.other.deleted,
    )
