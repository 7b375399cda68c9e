"""What keeps this home from taking anything in: a full or failing disk, a busy database. For any process to tell.

It stands in a small file beside the database, since the database is what fails. The file has its size from the start
and is written in place, which a full disk still allows. What is not said again for a minute is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from crow_plugins.files import FileError, FileFault, read_private, write_private
from crow_plugins.store import is_out_of_service

NAME = "sync.failing"
FILE_BYTES = 1024
FRESH_SECONDS = 60  # a busy database is waited for half as long before it is said again


class Failing:
    """The word of one home. From any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._failed: dict[str, str] = {}

    def begin(self) -> None:
        """Make room for the word; a disk that is full already gives none, and then the log alone has it."""
        with contextlib.suppress(FileError):
            if not self._path.exists():
                write_private(self._path, _padded({}))

    def note(self, what: str, error: BaseException, now: int) -> None:
        """`what` was tried, and failed now (unix seconds)."""
        with self._lock:
            self._failed[what] = _sentence(error)
            self._write({"failing": self._failed[what], "at": now})

    def over(self, what: str) -> None:
        """It went well."""
        if what not in self._failed:
            return
        with self._lock:
            self._failed.pop(what, None)
            if not self._failed:
                self._write({})

    def said(self, now: int) -> str | None:
        """What fails, in any process of the home; None when all is well."""
        try:
            said = json.loads(read_private(self._path))
        except (FileError, ValueError):
            return None
        return str(said["failing"]) if said and abs(now - int(said["at"])) <= FRESH_SECONDS else None

    def _write(self, said: dict[str, object]) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.pwrite(descriptor, _padded(said), 0)
            finally:
                os.close(descriptor)


def _padded(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode().ljust(FILE_BYTES - 1) + b"\n"


def is_passing(error: BaseException) -> bool:
    """Whether it is nobody's entry that failed, but the disk, the file or another process."""
    return is_out_of_service(error) or isinstance(error, FileFault)


def _sentence(error: BaseException) -> str:
    chain = list(_causes(error))
    if any(isinstance(each, apsw.FullError) for each in chain):
        return "the disk is full; make room on it, and this goes on by itself"
    if any(isinstance(each, apsw.BusyError) for each in chain):
        return "another process keeps the database busy; end it or wait for it, and this goes on by itself"
    if is_passing(error):
        return f"{str(error)[:400]}; once it is put right, this goes on by itself"
    return f"an error ({type(error).__name__}) that is none of the disk; see crow logs"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
