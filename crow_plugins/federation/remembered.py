"""What other instances may call, from memory as long as nobody has written into the database since it was read.

Whether somebody has, in whichever process, SQLite says from shared memory, in a microsecond and without the disk. So a
word said elsewhere counts for the next call, and most calls need no worker thread to learn that there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw

from crow_plugins.federation.exposure import Exposed, Exposure, Word


class RememberedExposure:
    """One home's, for its event loop."""

    def __init__(self, exposure: Exposure, database: Path) -> None:
        self._exposure, self._database = exposure, database
        self._connection: apsw.Connection | None = None
        self._words: Sequence[Word] = ()
        self._version: int | None = None  # of the database, that the words were read of

    async def of(self, instance_id: str) -> Exposed:
        """What that instance may call now."""
        version = self._current()
        if version is None or version != self._version:
            self._words = await asyncio.to_thread(self._exposure.words)
            self._version = version  # from before they were read: what came meanwhile is read again
        return self._exposure.among(self._words, instance_id)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection, self._version = None, None  # another connection counts differently

    def _current(self) -> int | None:
        """Another number after each commit of anybody; None where that cannot be told."""
        try:
            if self._connection is None:
                self._connection = apsw.Connection(str(self._database), flags=apsw.SQLITE_OPEN_READONLY)
            return int(self._connection.pragma("data_version"))
        except apsw.Error:
            return None
