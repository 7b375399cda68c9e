"""The database file: one connection that writes, and a pool of those that can only read.

Readers are opened read-only, so that nothing gets past the write door by mistake. All
of them are kept open: closing the last one of a file costs a checkpoint.
Nothing here knows what the tables mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import peewee
from playhouse.apsw_ext import APSWDatabase
from playhouse.pool import PooledDatabase

from crow_hooks import CrowError, WrongThread

BUSY_SECONDS = 30  # another process may be importing; a batch of it takes well under a second
READERS_MAX = 48  # above the 40 worker threads that FastMCP runs tools in
CACHE_KIB = 16 * 1024
# A commit puts every page that it touches into the log as a whole, and a write of one row touches some twenty of them.
PAGE_BYTES = 2048
# When the log is copied back. In bulk, pages are touched again and again, and to copy each back once saves a fifth;
# else a log that is short is soon written over and no longer made longer, which a commit takes twice the time for.
LOG_PAGES, LOG_PAGES_IN_BULK = 8_000, 32_000
BULK_PAGES = 250  # a commit of so many is one of many rows

OUT_OF_SERVICE = (
    apsw.BusyError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
)

PRAGMAS = {
    "busy_timeout": BUSY_SECONDS * 1000,
    "synchronous": "FULL",  # with NORMAL a power cut loses writes that were acknowledged
    "foreign_keys": "ON",
    "cache_size": -CACHE_KIB,
    "temp_store": "MEMORY",
}


class StoreUnavailable(CrowError):
    """The database cannot be opened or written now."""

    code = "store_unavailable"

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"the database {path} cannot be used: {reason}; check its permissions and the disk, then retry"
        )


class Log:
    """Has SQLite copy its log back into the database file, once that is long enough."""

    def __init__(self) -> None:
        self._pages = 0

    def grew(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """After a commit: `pages` are in the log now."""
        added, self._pages = pages - self._pages, pages
        if pages >= (LOG_PAGES_IN_BULK if added >= BULK_PAGES else LOG_PAGES):
            with contextlib.suppress(apsw.Error):  # it is committed whatever comes of this; the next one tries again
                connection.wal_checkpoint(database)
        return apsw.SQLITE_OK


class Pool(PooledDatabase, APSWDatabase):  # type: ignore[misc]  # playhouse has no stubs
    """Peewee's pool over apsw connections."""

    def _can_reuse(self, conn: apsw.Connection) -> bool:
        """A connection goes back to the pool only outside any transaction."""
        return bool(conn.getautocommit())


class Writer(APSWDatabase):  # type: ignore[misc]  # playhouse has no stubs
    """Whoever writes: it takes no statement for a transaction that SQLite has ended by itself.

    SQLite may roll back all of it when the disk is full or fails. Whoever overlooks that error would have each later
    statement committed alone. Its connection is kept from one transaction to the next, without what a pool asks of
    each: the door lets one thread write at a time.
    """

    def __init__(self, path: str, **options: object) -> None:
        self._idle: list[apsw.Connection] = []
        self._ended = False
        super().__init__(path, **options)

    def _connect(self) -> apsw.Connection:
        if self._idle:
            return self._idle.pop()
        connection: apsw.Connection = super()._connect()
        connection.set_wal_hook(Log().grew)
        return connection

    def _close(self, connection: apsw.Connection) -> None:
        """It is kept only outside any transaction."""
        if self._ended or not connection.getautocommit():
            super()._close(connection)
        else:
            self._idle.append(connection)

    def close_all(self) -> None:
        self._ended = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def immediate(self) -> Iterator[peewee.Database]:
        """`connection_context` and `atomic("immediate")` in one, and in a third of their calls."""
        connection, state = self._connect(), self._state
        state.set_connection(connection)
        try:
            self.execute_sql("BEGIN IMMEDIATE")
            state.transactions.append(self)
            try:
                yield self
                self.execute_sql("COMMIT")
            except BaseException:
                if not connection.getautocommit():
                    with contextlib.suppress(apsw.Error):  # why it came to this counts; to close it undoes all too
                        connection.execute("ROLLBACK")
                raise
        finally:
            state.reset()
            self._close(connection)

    def execute_sql(self, sql: str, params: Sequence[object] = ()) -> Any:
        """As peewee's own, in a third of its calls: a write is a dozen statements that take SQLite some µs each."""
        state = self._state
        connection = state.conn
        if connection is None:
            raise peewee.InterfaceError("the connection is not open")
        if state.transactions and connection.getautocommit():
            raise self._refusal()
        try:
            return connection.execute(sql, params)
        except apsw.Error:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # stubs leave it out
                raise

    def connection(self) -> Any:
        state = self._state
        if state.transactions and state.conn.getautocommit():
            raise self._refusal()
        return super().connection()

    def _refusal(self) -> StoreUnavailable:
        """Of whatever is done in a transaction that is none any more."""
        return StoreUnavailable(Path(self.database), "the disk is full or failing, so nothing was written")


def is_out_of_service(error: BaseException) -> bool:
    """Whether it is the disk, the file or another process that failed, and not what was asked of the database."""
    found: BaseException | None = error
    while found is not None:  # peewee puts an error of its own before each of SQLite's
        if isinstance(found, (StoreUnavailable, *OUT_OF_SERVICE)):
            return True
        found = found.__cause__ or found.__context__
    return False


def refuse_event_loop() -> None:
    """Raise `WrongThread` on a thread that runs an event loop: waiting for the disk there stops everybody."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongThread


class InService:
    """Says in a sentence that the disk or the file is at fault; what a plugin's SQL did wrong stays its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (peewee.DatabaseError, *OUT_OF_SERVICE)) and is_out_of_service(error):
            raise StoreUnavailable(self._path, error) from error


class Connections:
    """The connections to one database file."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        """`vfs` names the SQLite file system to use, where it is not the usual one."""
        self.path, self._vfs = path, vfs
        self.in_service = InService(path)
        self._watching: apsw.Connection | None = None
        self._looking, self._closed = threading.Lock(), False
        self._create()
        create = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        made = {"page_size": PAGE_BYTES, "journal_mode": "WAL"}  # in this order, of a file that is new
        self.writer = Writer(str(path), **self._options(create, {**made, **PRAGMAS}))
        self.readers = Pool(
            str(path),
            max_connections=READERS_MAX,
            timeout=BUSY_SECONDS,
            **self._options(apsw.SQLITE_OPEN_READONLY, PRAGMAS),
        )
        try:
            self._keep_open()
        except (peewee.DatabaseError, apsw.Error) as error:
            raise StoreUnavailable(path, error) from error

    def _options(self, flags: int, pragmas: dict[str, object]) -> dict[str, object]:
        return {"autoconnect": False, "flags": flags, "vfs": self._vfs, "pragmas": pragmas, "lock_type": "immediate"}

    def _create(self) -> None:
        """Make the file for its owner alone; SQLite gives those beside it the same rights."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreUnavailable(self.path, error.strerror) from error

    def _keep_open(self) -> None:
        """Open a connection for as long as the file is in use, so that no other close is the last one."""
        with self.writer.connection_context():
            self.writer.execute_sql("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()

    @contextmanager
    def read(self) -> Iterator[peewee.Database]:
        refuse_event_loop()
        self._refuse_when_closed()
        with self.in_service, self.readers.connection_context(), self.readers.atomic("deferred"):
            yield self.readers

    @contextmanager
    def write(self) -> Iterator[peewee.Database]:
        """The writing connection, inside `BEGIN IMMEDIATE`: another process waits here, not in the middle."""
        self._refuse_when_closed()
        with self.in_service, self.writer.immediate() as db:
            yield db

    def commits(self) -> object:
        """Differs from before once anybody has committed.

        SQLite answers from shared memory, in microseconds, and waits for nobody: the event loop may ask.
        """
        with self._beside() as connection:
            try:
                return connection.pragma("data_version")
            except apsw.BusyError:  # somebody sets the file right after a crash: whoever asks is to look
                return object()

    def glance(self, sql: str, params: Sequence[object]) -> tuple[Any, ...] | None:
        """One row by its key, on the event loop too: its pages are in memory, and it waits for nobody.

        That takes some microseconds, a fraction of the way to a worker thread and back.
        """
        with self._beside() as connection:
            return connection.execute(sql, params).fetchone()

    @contextmanager
    def _beside(self) -> Iterator[apsw.Connection]:
        """A connection beside the pool, for what takes no time; it never waits for a lock."""
        with self.in_service, self._looking:
            self._refuse_when_closed()
            if self._watching is None:
                self._watching = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
            yield self._watching

    def _refuse_when_closed(self) -> None:
        """A server that serves on, and a thread that nobody waits for, would open the file anew."""
        if self._closed:
            raise StoreUnavailable(self.path, "it is closed")

    def close(self) -> None:
        with self._looking:
            self._closed = True
            if self._watching is not None:
                self._watching.close()
        self.readers.close_all()
        self.writer.close_all()
