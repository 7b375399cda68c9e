"""A store of its own for a test: one synced table, a listener that remembers, a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crow_hooks import Change, Column, Entry, SyncedTable, Version
from crow_plugins.store import Machine, Store, WriteTransaction

GRACKLE = "11111111-1111-4111-8111-111111111111"
SWAN = "22222222-2222-4222-8222-222222222222"
ROW = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
NOW = 1_800_000_000

THINGS = SyncedTable(
    name="things",
    columns=(
        Column("text", bytes_max=1000),
        Column("size", "integer", nullable=True),
        Column("tags", "json", bytes_max=200),
        Column("updated_at", "integer", bookkeeping=True),
    ),
    change_types=("thing_insert", "thing_update", "thing_delete"),
)
SCRIPT = """
CREATE TABLE things (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, size INTEGER, tags TEXT NOT NULL DEFAULT '[]',
    updated_at INTEGER NOT NULL DEFAULT 0, private TEXT DEFAULT 'stays', lamport_ts INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass
class Listener:
    """Remembers what the door told; `fail` makes the next local write raise."""

    changes: list[Change] = field(default_factory=list)
    shown: list[Entry] = field(default_factory=list)
    notified: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    fail: Exception | None = None
    on_write: Callable[[Change, WriteTransaction], None] = lambda change, transaction: None

    def local_write(self, change: Change, transaction: WriteTransaction) -> None:
        self.changes.append(change)
        self.on_write(change, transaction)
        if self.fail:
            raise self.fail

    def shows(self, table: str) -> bool:
        return True

    def show(self, entry: Entry, transaction: WriteTransaction) -> bool:
        self.shown.append(entry)
        return False

    def notify(self, name: str, **arguments: object) -> None:
        self.notified.append((name, arguments))

    def names(self) -> list[str]:
        return [name for name, _ in self.notified]


@dataclass
class World:
    """A store, its listener, and the short forms that tests use."""

    store: Store
    listener: Listener

    def write(self, text: str, row_id: str = ROW, **options: object) -> Change | None:
        """Insert the row, or change its text."""
        with self.store.transaction() as transaction:
            transaction.db.execute_sql(
                "INSERT INTO things (id, text) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text",
                (row_id, text),
            )
            return transaction.record("thing_update", "things", row_id, **options)  # type: ignore[arg-type]

    def delete(self, row_id: str = ROW, **options: object) -> Change | None:
        with self.store.transaction() as transaction:
            return transaction.record("thing_delete", "things", row_id, **options)  # type: ignore[arg-type]

    def apply(self, *entries: Entry) -> None:
        with self.store.transaction() as transaction:
            for entry in entries:
                transaction.apply(entry)

    def text(self, row_id: str = ROW) -> str | None:
        rows = self.rows("SELECT text FROM things WHERE id = ?", row_id)
        return str(rows[0][0]) if rows else None

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with self.store.read() as db:
            return list(db.execute_sql(sql, values).fetchall())

    def fill(self, *, room: bool = False) -> None:
        """As if the disk were full: let the database have no page more than it has. With `room`, as ever again."""
        writer = self.store._connections.writer
        with writer.connection_context():
            pages = (1 << 30) if room else writer.execute_sql("PRAGMA page_count").fetchone()[0]
            writer.execute_sql(f"PRAGMA max_page_count = {pages}")

    def lamport(self) -> object:
        return self.rows("SELECT lamport FROM clock")[0][0]


def same_machine() -> Machine:
    return Machine(boot_id="boot", clock_offset=0.0)


def open_store(
    path: Path,
    listener: Listener | None = None,
    *,
    instance_id: str = GRACKLE,
    machine: Callable[[], Machine] = same_machine,
    **options: object,
) -> World:
    listener = listener or Listener()
    given: dict[str, object] = {"scripts": {"things": [SCRIPT]}, "synced": [THINGS], "now": lambda: NOW, **options}
    store = Store(path, instance_id=instance_id, listener=listener, machine=machine, **given)  # type: ignore[arg-type]
    return World(store, listener)


def entry_of(change: Change) -> Entry:
    """What another instance receives for a change made here."""
    return Entry(
        type=change.type,
        table=change.table,
        row_id=change.row_id,
        data=change.data,
        version=change.version,
        vv=change.vv,
        open=change.open,
        timestamp=change.timestamp,
        instance_id=change.version.writer.split(".")[0],
        deleted=change.deleted,
        by=change.by,
    )


def foreign(text: str, lamport: int, *, row_id: str = ROW, deleted: bool = False, vv: Mapping[str, int] = {}) -> Entry:
    """An entry that the swan wrote without having seen anything, unless `vv` says so."""
    writer = f"{SWAN}.000000000000"
    return Entry(
        type="thing_delete" if deleted else "thing_update",
        table="things",
        row_id=row_id,
        data={"text": text, "size": None, "tags": [], "updated_at": 5},
        version=Version(writer, lamport),
        vv=vv,
        open=(),
        timestamp=5,
        instance_id=SWAN,
        deleted=deleted,
    )
