"""Which tokens were used: each works once, in every process of this home.

A file of its own, so that a call never waits for somebody's import. It is not synced to disk: after a power cut it
may have forgotten the last uses, and a process refuses every token that is older than itself. What it remembers
it remembers until the token has expired for any clock that may call, and then some.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import apsw

from crow_hooks import CrowError
from crow_plugins.token import LEEWAY_SECONDS, TokenReplayed

BUSY_SECONDS = 5
FORGET_AFTER_SECONDS = 600  # past the end: a clock that is set back must not bring a token to life
FORGET_EVERY = 1_000  # uses


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

    def use(self, jti: bytes, expires_at: int, now: int) -> None:
        """Remember a use. Database work. Raises `TokenReplayed` for the second, `UsesUnavailable`."""
        try:
            with self._lock:
                self._insert(jti, expires_at, now)
        except apsw.ConstraintError as error:
            raise TokenReplayed from error
        except (apsw.Error, OSError) as error:
            raise UsesUnavailable(self._path, error) from error

    def _insert(self, jti: bytes, expires_at: int, now: int) -> None:
        db = self._opened()
        forgotten_at = expires_at + LEEWAY_SECONDS + FORGET_AFTER_SECONDS
        db.execute("INSERT INTO uses (jti, forgotten_at) VALUES (?, ?)", (jti, forgotten_at))
        self._count += 1
        if self._count % FORGET_EVERY == 1:
            db.execute("DELETE FROM uses WHERE forgotten_at < ?", (now,))

    def _opened(self) -> apsw.Connection:
        if self._db is None:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = apsw.Connection(str(self._path))
            db.set_busy_timeout(BUSY_SECONDS * 1000)
            db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
            db.execute("CREATE TABLE IF NOT EXISTS uses (jti BLOB PRIMARY KEY, forgotten_at INTEGER) WITHOUT ROWID")
            self._db = db
        return self._db

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
