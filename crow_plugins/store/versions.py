"""`row_versions` as values: what is known of a row, loaded and saved.

In the column `live` a version is `[writer, lamport, deleted, data]`, where data is an object, or
`true` when it stands in the table row itself (the normal case: one live version, shown), or `null` while it
is not here yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import peewee

from crow_hooks import Data
from crow_plugins.causality import EMPTY, Dot, RowState, Version

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
    vector, live, digest = row
    return Known(RowState(json.loads(vector), tuple(_version(*stored) for stored in json.loads(live))), digest)


def live_dots(db: peewee.Database) -> Iterator[tuple[str, str, Dot]]:
    """Table, row id and name of every live version of every row."""
    rows = db.execute_sql("SELECT table_name, row_id, live FROM row_versions")
    for table, row_id, live in rows:
        for writer, lamport, *_ in json.loads(live):
            yield table, row_id, Dot(writer, lamport)


def save(db: peewee.Database, table: str, row_id: str, state: RowState, digest: bytes | None) -> None:
    alone = len(state.live) == 1
    live = [
        [
            *version.dot,
            version.deleted,
            True if alone and not version.deleted and version.data is not None else version.data,
        ]
        for version in state.live
    ]
    db.execute_sql(
        "INSERT INTO row_versions (table_name, row_id, vv, live, digest) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (table_name, row_id) DO UPDATE SET "
        "vv = excluded.vv, live = excluded.live, digest = excluded.digest",
        (table, row_id, _json(state.vector), _json(live), digest),
    )


def forget(db: peewee.Database, table: str, row_id: str) -> None:
    """Nothing is known of a row any more: what was known did not count."""
    db.execute_sql("DELETE FROM row_versions WHERE table_name = ? AND row_id = ?", (table, row_id))


def with_row(known: Known, image: Data) -> RowState:
    """The state with the data that the table row holds filled in."""
    return RowState(
        known.state.vector,
        tuple(
            Version(version.dot, version.deleted, image) if version.data is IN_THE_ROW else version
            for version in known.state.live
        ),
    )


def _version(writer: str, lamport: int, deleted: bool, data: object) -> Version:
    return Version(Dot(writer, lamport), deleted, _stored_data(data))


def _stored_data(data: object) -> Data | None:
    if data is True:
        return IN_THE_ROW
    return data if isinstance(data, Mapping) else None


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
