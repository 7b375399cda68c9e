"""One open database: its connections, its schema and its door, behind the few calls that a host makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import peewee

from crow_hooks import SyncedTable
from crow_plugins.store import conflicts, schema
from crow_plugins.store.clock import Machine, this_machine
from crow_plugins.store.connections import Connections
from crow_plugins.store.door import Door, Listener, WriteTransaction
from crow_plugins.store.migrations import migrate
from crow_plugins.store.synced import Shape


class Store:
    """An open database file; close it when the process is done with it."""

    def __init__(
        self,
        path: Path,
        *,
        instance_id: str,
        listener: Listener,
        scripts: Mapping[str, Sequence[str]],
        synced: Sequence[SyncedTable],
        now: Callable[[], int],
        machine: Callable[[], Machine] = this_machine,
        vfs: str | None = None,
    ) -> None:
        """Open and migrate. Raises `StoreUnavailable`, `DatabaseNewer` or `MigrationFailed`."""
        self.path = path
        self._connections = Connections(path, vfs=vfs)
        try:
            backups = path.parent / "backups"
            with self._connections.in_service:
                migrate(self._connections, {schema.OWNER: schema.MIGRATIONS, **scripts}, now=now(), backups=backups)
        except BaseException:
            self._connections.close()
            raise
        shapes = {table.name: Shape.of(table) for table in synced}
        self._door = Door(self._connections, shapes, listener, instance_id=instance_id, now=now, machine=machine)

    def transaction(self) -> AbstractContextManager[WriteTransaction]:
        return self._door.transaction()

    @contextmanager
    def read(self) -> Iterator[peewee.Database]:
        """A read snapshot; inside a transaction of this thread, what that transaction sees."""
        writing = self._door.current()
        if writing is not None:
            yield writing.db
            return
        with self._connections.read() as db:
            yield db

    def commits(self) -> object:
        """Differs from before once anybody has committed, in any process; the event loop may ask."""
        return self._connections.commits()

    def glance(self, sql: str, params: Sequence[object]) -> tuple[Any, ...] | None:
        """One row by its key, on the event loop too; for what is asked with every call, and nothing else."""
        return self._connections.glance(sql, params)

    def rows_in_conflict(self) -> list[tuple[str, str]]:
        """Table and id of every row with an open conflict, the oldest first."""
        with self.read() as db:
            return conflicts.rows_in_conflict(db)

    def close(self) -> None:
        self._connections.close()
