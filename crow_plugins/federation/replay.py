"""Which tokens were used: each works once, in every process of this home.

A file of its own, so that a call never waits for somebody's import. A use is not synced to disk: after a power cut the
last are forgotten, and a process refuses every token that is older than itself. What it remembers
it remembers until the token has expired for any clock that may call, and then some.

A use is one statement that touches no disk, some ten microseconds, so it runs on the event loop; what may take longer
goes to a worker thread: opening the file, waiting for another process, forgetting.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import apsw

from crow_hooks import CrowError
from crow_plugins.federation.own_file import opened
from crow_plugins.token import LEEWAY_SECONDS, TokenReplayed

BUSY_SECONDS = 5
FORGET_AFTER_SECONDS = 600  # past the end: a clock that is set back must not bring a token to life
FORGET_EVERY = 1_000  # uses; the log is copied back then, too
PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 0")
SCHEMA = "CREATE TABLE IF NOT EXISTS uses (jti BLOB PRIMARY KEY, forgotten_at INTEGER) WITHOUT ROWID"


class UsesUnavailable(CrowError):
    """The file of used tokens cannot be read or written, so no token can be accepted."""

    code = "uses_unavailable"

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"the file of used tokens {path} cannot be used: {reason}; check its permissions and the disk")


class Uses:
    """The used tokens of one home; opened by the first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: apsw.Connection | None = None
        self._count = 0

    async def use(self, jti: bytes, expires_at: int, now: int) -> None:
        """Remember a use. Raises `TokenReplayed` for the second, `UsesUnavailable`."""
        forgotten_at = expires_at + LEEWAY_SECONDS + FORGET_AFTER_SECONDS
        try:
            if not self._used_at_once(jti, forgotten_at):
                await asyncio.to_thread(self._use, jti, forgotten_at, now)
        except apsw.ConstraintError as error:
            raise TokenReplayed from error
        except (apsw.Error, OSError) as error:
            raise UsesUnavailable(self._path, error) from error

    def _used_at_once(self, jti: bytes, forgotten_at: int) -> bool:
        """Whether it was possible to remember without waiting for anything."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._db is None or self._count % FORGET_EVERY == 0:
                return False
            self._insert(self._db, jti, forgotten_at)
        except apsw.BusyError:
            return False
        finally:
            self._lock.release()
        return True

    def _use(self, jti: bytes, forgotten_at: int, now: int) -> None:
        with self._lock:
            db = self._opened()
            db.set_busy_timeout(BUSY_SECONDS * 1000)
            try:
                if self._count % FORGET_EVERY == 0:
                    with contextlib.suppress(apsw.BusyError):  # another process is at it
                        db.wal_checkpoint()  # before the insert: the first write after it is synced
                    db.execute("DELETE FROM uses WHERE forgotten_at < ?", (now,))
                self._insert(db, jti, forgotten_at)
            finally:
                db.set_busy_timeout(0)

    def _insert(self, db: apsw.Connection, jti: bytes, forgotten_at: int) -> None:
        db.execute("INSERT INTO uses (jti, forgotten_at) VALUES (?, ?)", (jti, forgotten_at))
        self._count += 1

    def _opened(self) -> apsw.Connection:
        if self._db is None:
            self._db = opened(self._path, PRAGMAS, SCHEMA, busy_seconds=BUSY_SECONDS)
        return self._db

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
