"""The database as one file: taken while it is written to, verified, and put back.

A backup is whole or it is not there. It holds no keys and no seal, so a database that was put back is known to be an
older one: it asks the other instances what it has told them since, before it says anything new.

    BackupError
    ├── BackupUnusable     not a database, damaged, or of another kind
    ├── BackupOfAnother    another instance wrote it
    └── DatabaseInUse      a process has it open
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import apsw

from crow_hooks import CrowError

STEP_PAGES = 2000  # 8 MB a step: writers get their turn in between


class BackupError(CrowError):
    """A backup cannot be made or put back."""

    code = "backup_error"


class BackupExists(BackupError):
    """The file to write is there already."""

    code = "backup_exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists and is left alone; choose another name for the backup")


class BackupUnusable(BackupError):
    """A file is no backup that can be put back."""

    code = "backup_unusable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be put back: {reason}; nothing was changed, so try another backup")


class BackupOfAnother(BackupError):
    """A backup is of another instance: what that one wrote is signed by keys that are not here."""

    code = "backup_of_another"

    def __init__(self, path: Path, instance_id: str) -> None:
        super().__init__(
            f"{path} was made by another instance ({instance_id}), and what that one wrote would not go on from here "
            "to other machines; put it back into a home of its own with --of-another, and bring its rows here by "
            "crow export and crow import"
        )


class DatabaseInUse(BackupError):
    """A process has the database open."""

    code = "database_in_use"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use; stop the gateway and the assistants that run crow, then restore again")


def back_up(database: Path, target: Path, progress: Callable[[int, int], None] = lambda done, pages: None) -> int:
    """Write a verified copy of a database that may be in use; returns its size in bytes.

    Raises `BackupExists`, `BackupUnusable` when the copy does not verify, OSError.
    """
    if target.exists():
        raise BackupExists(target)
    temporary = _fresh(target)
    try:
        _copy(database, temporary, progress)
        verify(temporary)
        _sync(temporary)
        os.link(temporary, target)  # unlike a rename it fails where the name is taken
    except FileExistsError:
        raise BackupExists(target) from None
    finally:
        temporary.unlink(missing_ok=True)
    return target.stat().st_size


def verify(path: Path) -> None:
    """Raise `BackupUnusable` unless a file is a whole database of ours."""
    if not path.exists():
        raise BackupUnusable(path, "there is no such file")
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise BackupUnusable(path, "it cannot be opened") from error
    try:
        found = list(db.execute("PRAGMA integrity_check(1)"))
        ours = list(db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'row_versions'"))
    except apsw.Error as error:
        raise BackupUnusable(path, "it is no database, or damaged") from error
    finally:
        db.close()
    if found != [("ok",)]:
        raise BackupUnusable(path, "it is damaged")
    if not ours:
        raise BackupUnusable(path, "it is a database of something else")


def maker(path: Path) -> str | None:
    """The id of the instance that wrote a database of ours; None where nothing was ever written.

    Raises `BackupUnusable` for one of a release that kept that elsewhere.
    """
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return next((str(each) for each, _ in db.execute("SELECT instance_id, boot_id FROM clock")), None)
    except apsw.SQLError as error:
        raise BackupUnusable(path, "it was made by a release whose databases this one does not know") from error
    finally:
        db.close()


def restore(database: Path, backup: Path, aside: Path, *, instance_id: str | None = None) -> None:
    """Put a backup in the place of a database that nobody has open; what was there is kept as `aside`.

    `instance_id` is the instance that must have made it, if any. Raises `BackupUnusable`, `BackupOfAnother`,
    `DatabaseInUse`, OSError; then the database is as it was.
    """
    verify(backup)
    made_by = maker(backup)
    if instance_id is not None and made_by not in (None, instance_id):
        raise BackupOfAnother(backup, str(made_by))
    temporary = _fresh(database)
    try:
        _copy(backup, temporary, lambda done, pages: None)
        _take_another_name(temporary)
        _sync(temporary)
        if database.exists():
            _close_off(database)
            os.replace(database, aside)
        os.replace(temporary, database)
        _sync_folder(database.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _take_another_name(database: Path) -> None:
    """Whoever writes first draws another epoch: writes that this database never saw have names of the one it holds."""
    db = apsw.Connection(str(database))
    try:
        db.execute("UPDATE clock SET boot_id = ''")
    finally:
        db.close()


def _close_off(database: Path) -> None:
    """Bring what the write-ahead log holds into the file, and the log away. Raises `DatabaseInUse`."""
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(1000)
        mode = list(db.execute("PRAGMA journal_mode = DELETE"))
    except apsw.BusyError:
        raise DatabaseInUse(database) from None
    finally:
        db.close()
    if mode != [("delete",)]:
        raise DatabaseInUse(database)


def _copy(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    one, other = apsw.Connection(str(source)), apsw.Connection(str(target))
    try:
        one.set_busy_timeout(30_000)
        # One read for the whole copy: steps of their own would begin anew with each write in between.
        with one, other.backup("main", one, "main") as copying:
            list(one.execute("SELECT 1 FROM sqlite_schema LIMIT 1"))
            while not copying.done:
                copying.step(STEP_PAGES)
                progress(copying.page_count - copying.remaining, copying.page_count)
        other.execute("PRAGMA journal_mode = DELETE")
    except apsw.FullError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    finally:
        other.close()
        one.close()


def _fresh(beside: Path) -> Path:
    path = beside.with_name(f".{beside.name}.{secrets.token_hex(8)}.tmp")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
