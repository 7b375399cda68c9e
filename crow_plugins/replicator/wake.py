"""Hearing of writes that other processes of the home committed.

A writer sends a datagram to `wake.sock` after its commit, if anybody listens there; and since a datagram may be lost,
the database's log is looked at once a second as well. What was written is not said: whoever is woken looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

SOCKET = "wake.sock"
LOOK_SECONDS = 1.0


class Wake:
    """Calls `woken` on the event loop whenever something may have been committed, from `start` to `stop`."""

    def __init__(self, folder: Path, database: Path, woken: Callable[[], None]) -> None:
        self._path, self._log, self._woken = folder / SOCKET, database.with_name(f"{database.name}-wal"), woken
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._listen()
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        """The process that came last is told; the others look."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            self._path.unlink(missing_ok=True)
            listening.bind(os.path.relpath(self._path) if len(str(self._path)) > 100 else str(self._path))
        except OSError:  # a path too long for a socket, or a file system without them: looking is enough
            listening.close()
            return
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening, self._hear)

    def _hear(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass
        self._woken()

    async def _look(self) -> None:
        seen = self._stamp()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._stamp()
            if now != seen:
                seen = now
                self._woken()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self._log.stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns


def wake(folder: Path) -> None:
    """Tell whoever listens in a home that something was committed. Never fails, never waits."""
    path = folder / SOCKET
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling, contextlib.suppress(OSError):
        telling.setblocking(False)
        telling.sendto(b"w", str(path))
