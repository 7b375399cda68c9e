"""The record of every call between instances: what was asked, by whom, what was decided and how it ended.

A row names tool, size and digest of the arguments, never their text, nor an answer, nor a token. Each row's hash covers
the row and the hash before it, so a row that was changed, taken out or put in shows. Old rows go in order, and
the hash of the last one that went stays as the anchor from which the rest is checked. What this cannot show: that
somebody who may write the file has made all of it anew.

One thread writes, many rows a commit; who records never waits. Several processes may write one file: each row is
linked inside the transaction that writes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import apsw

from crow_hooks import AuditRow, CrowError, Data, ServiceKey
from crow_plugins.federation.own_file import opened

log = logging.getLogger(__name__)

Direction = Literal["inbound", "outbound"]
DecisionWord = Literal["allowed", "denied"]

KEEP_SECONDS = 90 * 86_400
BYTES_MAX = 200 * 1024 * 1024
WAITING_MAX = 10_000  # beyond it rows are lost and counted: a full disk must not fill the memory too
BATCH_MAX = 500
GATHER_SECONDS = 0.02  # what comes after one row joins its commit; a commit for each would cost as much as a call
PRUNE_EVERY_ROWS = 2_000
TEXT_MAX = 128
BUSY_SECONDS = 10
PRAGMAS = ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL")
START = b"\0" * 32  # the hash before the first row

SCHEMA = """
    CREATE TABLE IF NOT EXISTS calls (
        seq             INTEGER PRIMARY KEY,
        time            INTEGER NOT NULL,  -- unix milliseconds
        direction       TEXT    NOT NULL,  -- inbound or outbound
        peer            TEXT    NOT NULL,  -- instance id, empty for a caller that was not verified
        tool            TEXT    NOT NULL,  -- a tool's name, or an MCP method
        arguments_hash  TEXT    NOT NULL,  -- SHA-256 of their canonical JSON, empty where there are none
        arguments_bytes INTEGER NOT NULL,
        decision        TEXT    NOT NULL,  -- allowed or denied
        status          TEXT    NOT NULL,  -- ok, or the code of what went wrong
        milliseconds    INTEGER NOT NULL,
        hash            BLOB    NOT NULL   -- SHA-256 of the hash before and this row
    );
    CREATE TABLE IF NOT EXISTS anchor (
        one  INTEGER PRIMARY KEY CHECK (one = 1),
        seq  INTEGER NOT NULL,             -- the last row that was pruned
        hash BLOB    NOT NULL
    );
    CREATE TRIGGER IF NOT EXISTS calls_stay BEFORE UPDATE ON calls
        BEGIN SELECT raise(ABORT, 'calls are never changed'); END;
    CREATE TRIGGER IF NOT EXISTS calls_go_in_order BEFORE DELETE ON calls
        WHEN old.seq > (SELECT coalesce(max(seq), 0) FROM anchor)
        BEGIN SELECT raise(ABORT, 'calls are only pruned'); END;
"""


class AuditUnavailable(CrowError):
    """The record of calls cannot be opened or read."""

    code = "audit_unavailable"

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"the record of calls {path} cannot be used: {reason}; check its permissions and the disk")


@dataclass(frozen=True, slots=True)
class Call:
    """One decision about a call, as it is recorded; `time` in unix milliseconds."""

    time: int
    direction: str
    peer: str
    tool: str
    arguments_hash: str
    arguments_bytes: int
    decision: str
    status: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What checking found: rows that follow from the anchor, how many were pruned, the first that is wrong."""

    rows: int
    pruned: int
    broken_at: int | None

    @property
    def whole(self) -> bool:
        return self.broken_at is None


COLUMNS = ", ".join(field.name for field in fields(Call))
INSERT = f"INSERT INTO calls (seq, {COLUMNS}, hash) VALUES ({', '.join('?' * (len(fields(Call)) + 2))})"


class Audit:
    """The record of one home. `record` may be called from anywhere; the file is made with the first row."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        keep_seconds: int = KEEP_SECONDS,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self.path, self._now = path, now
        self._keep_seconds, self._bytes_max = keep_seconds, bytes_max
        # Written in C: to wake its reader takes the event loop a fraction of what `queue.Queue` does.
        self._waiting: queue.SimpleQueue[Call | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._lost = 0

    def record(
        self,
        *,
        direction: Direction,
        peer: str,
        tool: str,
        arguments: Data | None,
        decision: DecisionWord,
        status: str,
        milliseconds: float,
    ) -> None:
        """Note one decision; returns at once. `status` is `ok` or a stable code, never a message."""
        spelled = b"" if arguments is None else _spelled(arguments)
        digest = hashlib.sha256(spelled).hexdigest() if arguments is not None else ""
        call = Call(
            time=int(self._now() * 1000),
            direction=direction,
            peer=_plain(peer),
            tool=_plain(tool),
            arguments_hash=digest,
            arguments_bytes=len(spelled),
            decision=decision,
            status=_plain(status),
            milliseconds=int(milliseconds),
        )
        self._begin()
        if self._waiting.qsize() < WAITING_MAX:
            self._waiting.put(call)
        else:
            self._lost += 1

    def flush(self, seconds: float = 10.0) -> bool:
        """Wait until everything recorded so far is in the file; False if it took longer."""
        if self._thread is None:
            return True
        written = threading.Event()
        self._waiting.put(written)
        return written.wait(seconds)

    def close(self) -> None:
        """Write what waits and end the thread; recording starts it again."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def rows(self, *, limit: int = 100, peer: str | None = None) -> list[Call]:
        """The newest rows first. Database work. Raises `AuditUnavailable`."""
        with self._reading() as db:
            if db is None:
                return []
            found = db.execute(
                f"SELECT {COLUMNS} FROM calls WHERE ?1 IS NULL OR peer = ?1 ORDER BY seq DESC LIMIT ?2", (peer, limit)
            )
            return [Call(*row) for row in found]

    def newest(self, limit: int, before: int | None = None, peer: str | None = None) -> list[AuditRow]:
        """The newest rows first, as the contract has them. Database work. Raises `AuditUnavailable`."""
        with self._reading() as db:
            if db is None:
                return []
            found = db.execute(
                "SELECT seq, time, direction, peer, tool, decision, status, milliseconds FROM calls "
                "WHERE (?1 IS NULL OR seq < ?1) AND (?3 IS NULL OR peer = ?3) ORDER BY seq DESC LIMIT ?2",
                (before, limit, peer),
            )
            return [AuditRow(seq, time / 1000, *rest) for seq, time, *rest in found]

    def count(self) -> int:
        """How many rows are kept. Database work. Raises `AuditUnavailable`."""
        with self._reading() as db:
            return 0 if db is None else int(next(iter(db.execute("SELECT count(*) FROM calls")))[0])

    def verify(self) -> Verified:
        """Walk the chain from the anchor to its end. Database work. Raises `AuditUnavailable`."""
        with self._reading() as db:
            if db is None:
                return Verified(0, 0, None)
            pruned, link = _anchor(db)
            count, expected = 0, pruned
            for seq, *row, stored in db.execute(f"SELECT seq, {COLUMNS}, hash FROM calls ORDER BY seq"):
                expected += 1
                link = _link(link, expected, row)
                if seq != expected or stored != link:
                    return Verified(count, pruned, expected)
                count += 1
            return Verified(count, pruned, None)

    # ---- the writer's thread --------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
                    self._thread.start()

    def _write_all(self) -> None:
        writer = _Writer(self.path, self._keep_seconds, self._bytes_max)
        while True:
            batch, told, last = self._batch()
            if batch:
                try:
                    writer.write(batch, int(self._now()))
                except (apsw.Error, OSError) as error:
                    self._lost += len(batch)
                    log.error("calls not recorded rows=%d lost=%d reason=%s", len(batch), self._lost, error)
            for event in told:
                event.set()
            if last:
                writer.close()
                return

    def _batch(self) -> tuple[list[Call], list[threading.Event], bool]:
        """Wait for one thing, and a moment for more after a call; then take what is there."""
        calls: list[Call] = []
        told: list[threading.Event] = []
        item = self._waiting.get()
        if isinstance(item, Call):
            time.sleep(GATHER_SECONDS)
        while item is not None:
            (calls if isinstance(item, Call) else told).append(item)  # type: ignore[arg-type]  # to its own list
            if len(calls) >= BATCH_MAX:
                return calls, told, False
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return calls, told, False
        return calls, told, True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[apsw.Connection | None]:
        if not self.path.exists():
            yield None
            return
        try:
            db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        except apsw.Error as error:
            raise AuditUnavailable(self.path, error) from error
        try:
            db.set_busy_timeout(BUSY_SECONDS * 1000)
            with db:
                yield db
        except apsw.Error as error:
            raise AuditUnavailable(self.path, error) from error
        finally:
            db.close()


AUDIT: ServiceKey[Audit] = ServiceKey("audit")


class _Writer:
    """The one connection that writes."""

    def __init__(self, path: Path, keep_seconds: int, bytes_max: int) -> None:
        self._path, self._keep_seconds, self._bytes_max = path, keep_seconds, bytes_max
        self._db: apsw.Connection | None = None
        self._since_pruned = PRUNE_EVERY_ROWS  # so that the first batch of a process prunes

    def write(self, calls: Sequence[Call], now: int) -> None:
        db = self._opened()
        db.execute("BEGIN IMMEDIATE")
        try:
            seq, link = _tail(db)
            for call in calls:
                row = [getattr(call, field.name) for field in fields(Call)]
                seq, link = seq + 1, _link(link, seq + 1, row)
                db.execute(INSERT, (seq, *row, link))
            self._since_pruned += len(calls)
            if self._since_pruned >= PRUNE_EVERY_ROWS:
                self._prune(db, now)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        if self._since_pruned == 0:
            db.execute("PRAGMA incremental_vacuum").fetchall()

    def _opened(self) -> apsw.Connection:
        if self._db is None:
            self._db = opened(self._path, PRAGMAS, SCHEMA, busy_seconds=BUSY_SECONDS)
        return self._db

    def _prune(self, db: apsw.Connection, now: int) -> None:
        """Let the rows past their time go, and a tenth of the rest where the file is too large."""
        self._since_pruned = 0
        before = (now - self._keep_seconds) * 1000
        ((last,),) = db.execute("SELECT coalesce(max(seq), 0) FROM calls WHERE time < ?", (before,))
        if _used_bytes(db) > self._bytes_max:
            ((first, newest),) = db.execute("SELECT min(seq), max(seq) FROM calls")
            last = max(last, first + (newest - first) // 10)
        found = db.execute("SELECT seq, hash FROM calls WHERE seq = ?", (last,)).fetchone()
        if found is not None:
            db.execute("INSERT OR REPLACE INTO anchor (one, seq, hash) VALUES (1, ?, ?)", found)
            db.execute("DELETE FROM calls WHERE seq <= ?", (last,))

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def _tail(db: apsw.Connection) -> tuple[int, bytes]:
    found = db.execute("SELECT seq, hash FROM calls ORDER BY seq DESC LIMIT 1").fetchone()
    return found if found is not None else _anchor(db)


def _anchor(db: apsw.Connection) -> tuple[int, bytes]:
    found = db.execute("SELECT seq, hash FROM anchor").fetchone()
    return found if found is not None else (0, START)


def _used_bytes(db: apsw.Connection) -> int:
    pages, free, size = (
        next(iter(db.execute(f"PRAGMA {name}")))[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _link(before: bytes, seq: int, row: Sequence[object]) -> bytes:
    return hashlib.sha256(before + _spelled([seq, *row])).digest()


def _spelled(value: object) -> bytes:
    """One spelling of any JSON value; what JSON has no form for is named by its type."""
    text = json.dumps(
        value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=lambda each: str(type(each))
    )
    return text.encode()


def _plain(text: str) -> str:
    """Names come from other machines: one printable line, not longer than names are."""
    return "".join(character if character.isprintable() else "?" for character in text[:TEXT_MAX])
