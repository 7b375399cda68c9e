"""`row_versions` as values: what is known of a row, loaded and saved.

In the column `live` a version is `[writer, lamport, deleted, data]`, where data is an object, or
`true` when it stands in the table row itself (one live version, shown), or `null` while it is not here yet. Nearly
every row has such a one and no other in its vector: then `live` is NULL, since `vv` says it all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import peewee

from crow_hooks import Data
from crow_plugins.causality import EMPTY, Dot, RowState, Version
from crow_plugins.store import bulk
from crow_plugins.store.synced import Shape

IN_THE_ROW: Data = {}  # stands for data that the table row holds and nobody has asked for


@dataclass(frozen=True, slots=True)
class Known:
    """A row's versions and the digest of the shown one's content; None for a deleted or unknown row."""

    state: RowState
    digest: bytes | None


UNKNOWN = Known(EMPTY, None)


def load(db: peewee.Database, table: str, row_id: str) -> Known:
    row = db.execute_sql(
        "SELECT vv, live, digest FROM row_versions WHERE table_name = ? AND row_id = ?", (table, row_id)
    ).fetchone()
    if row is None:
        return UNKNOWN
    return _known(*row)


def live_dots(db: peewee.Database) -> Iterator[tuple[str, str, Dot]]:
    """Table, row id and name of every live version of every row."""
    rows = db.execute_sql("SELECT table_name, row_id, vv, live FROM row_versions")
    for table, row_id, vector, live in rows:
        for version in _live(json.loads(vector), live):
            yield table, row_id, version.dot


def load_all(db: peewee.Database, rows: Collection[tuple[str, str]]) -> dict[tuple[str, str], Known]:
    """What is known of many rows, by table and id; a row of which nothing is known is left out."""
    if len(rows) == 1:
        [row] = rows
        known = load(db, *row)
        return {} if known is UNKNOWN else {row: known}
    found = db.execute_sql(
        "SELECT table_name, row_id, vv, live, digest FROM row_versions "
        "JOIN (SELECT value ->> 0 AS wanted_table, value ->> 1 AS wanted_row FROM json_each(?)) "
        "ON table_name = wanted_table AND row_id = wanted_row",
        (_json([list(row) for row in rows]),),
    )
    return {(table, row_id): _known(*known) for table, row_id, *known in found.fetchall()}


def save(db: peewee.Database, table: str, row_id: str, state: RowState, digest: bytes | None) -> None:
    save_all(db, [(table, row_id, state, digest)])


def save_all(db: peewee.Database, rows: Iterable[tuple[str, str, RowState, bytes | None]]) -> None:
    """Each row by table and id, with its state and the digest of its shown version."""
    bulk.insert(
        db,
        "INSERT INTO row_versions (table_name, row_id, vv, live, digest)",
        [
            (table, row_id, _written_vector(state.vector), _written_live(state), digest)
            for table, row_id, state, digest in rows
        ],
        "ON CONFLICT (table_name, row_id) DO UPDATE SET "
        "vv = excluded.vv, live = excluded.live, digest = excluded.digest",
    )


def forget(db: peewee.Database, table: str, row_id: str) -> None:
    """Nothing is known of a row any more: what was known did not count."""
    db.execute_sql("DELETE FROM row_versions WHERE table_name = ? AND row_id = ?", (table, row_id))


def with_data(db: peewee.Database, shape: Shape, row_id: str, known: Known) -> RowState:
    """The state with the data of every version that is here: the table row is read if it holds some."""
    if not any(version.data is IN_THE_ROW for version in known.state.live):
        return known.state
    image = shape.image(db, row_id)
    return RowState(
        known.state.vector,
        tuple(
            Version(version.dot, version.deleted, image) if version.data is IN_THE_ROW else version
            for version in known.state.live
        ),
    )


def _known(vector: str, live: str | None, digest: bytes | None) -> Known:
    known = json.loads(vector)
    return Known(RowState(known, _live(known, live)), digest)


def _live(vector: Mapping[str, int], live: str | None) -> tuple[Version, ...]:
    if live is None:
        return tuple(Version(Dot(*known), False, IN_THE_ROW) for known in vector.items())
    return tuple(_version(*stored) for stored in json.loads(live))


def _written_vector(vector: Mapping[str, int]) -> str:
    return f"{{{','.join(f'{_quoted(writer)}:{lamport}' for writer, lamport in vector.items())}}}"


def _written_live(state: RowState) -> str | None:
    if len(state.live) == 1:
        [only] = state.live
        if not only.deleted and only.data is not None:
            return None if state.vector == dict([only.dot]) else _json([[*only.dot, False, True]])
    return _json([[*version.dot, version.deleted, version.data] for version in state.live])


def _version(writer: str, lamport: int, deleted: bool, data: object) -> Version:
    return Version(Dot(writer, lamport), deleted, _stored_data(data))


def _stored_data(data: object) -> Data | None:
    if data is True:
        return IN_THE_ROW
    return data if isinstance(data, Mapping) else None


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quoted = lru_cache(maxsize=1024)(_json)  # writers: a few on every machine, and on every row
