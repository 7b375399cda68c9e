"""A third party's plugin: a table with a key of its own, whose rows it writes itself when they come from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from crow_hooks import Column, Crow, Data, Entry, SyncedTable, Tables, Transaction, hookimpl

LABELS = SyncedTable(
    name="labels",
    columns=(Column("key", bytes_max=64), Column("colour", bytes_max=64), Column("size", "integer", nullable=True)),
    change_types=("label_insert", "label_update", "label_delete"),
    natural_key="key",
)
SCRIPT = """
    CREATE TABLE labels (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, colour TEXT NOT NULL, size INTEGER,
        came_from TEXT,  -- stays home
        lamport_ts INTEGER NOT NULL DEFAULT 0
    )
"""


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=(SCRIPT,))


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [LABELS]


@hookimpl
def on_remote_change(crow: Crow, entry: Entry, transaction: Transaction) -> bool:
    data: Data = entry.data
    transaction.db.execute_sql(
        "INSERT INTO labels (id, key, colour, size, came_from, lamport_ts) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET colour = excluded.colour, size = excluded.size, "
        "came_from = excluded.came_from, lamport_ts = excluded.lamport_ts",
        (
            *(entry.row_id, data["key"], data["colour"], data["size"]),
            *(entry.instance_id, entry.version.lamport),
        ),
    )
    return True
