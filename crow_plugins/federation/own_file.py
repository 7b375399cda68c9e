"""A database file of federation's own, beside the main one: opened by whichever process of the home comes first."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import apsw

APART_SECONDS = 0.005


def opened(path: Path, pragmas: Sequence[str], schema: str, *, busy_seconds: float) -> apsw.Connection:
    """Open it, and make it where there is none, for its owner alone.

    Tried again while another process is at the same, since SQLite does not wait where two switch one file to WAL.
    Raises an `apsw.Error`, after `busy_seconds` a `BusyError`, or an `OSError`.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    end = time.monotonic() + busy_seconds
    while True:
        try:
            return _opened(path, pragmas, schema, busy_seconds)
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(APART_SECONDS)


def _opened(path: Path, pragmas: Sequence[str], schema: str, busy_seconds: float) -> apsw.Connection:
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(int(busy_seconds * 1000))
        for pragma in pragmas:  # each alone: after a row, apsw leaves the statements that follow unrun
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.execute(schema)
    except BaseException:
        db.close()
        raise
    return db
