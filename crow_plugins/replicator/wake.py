"""Hearing of writes that other processes of the home committed.

A process that serves listens on a socket of its own, `wake-….sock` in the home; who has committed something sends a
datagram to each of them but its own. Since a datagram may be lost, SQLite is asked once a second as well whether
anybody wrote. What was written is not said: whoever is woken looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

PREFIX, SUFFIX = "wake-", ".sock"
LOOK_SECONDS = 1.0
PATH_BYTES = 100  # what fits into a socket's address on every system


class Wake:
    """Calls back on the event loop whenever something may have been committed, from `start` to `stop`."""

    def __init__(
        self, folder: Path, database: Path, *, told: Callable[[], None], committed: Callable[[], None]
    ) -> None:
        """`told` of entries, by who wrote them; `committed` for whatever it was, a second later at the most."""
        self._path, self._told, self._committed = folder / f"{PREFIX}{secrets.token_hex(4)}{SUFFIX}", told, committed
        self._connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        self._looking = threading.Lock()
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
        with self._looking:  # a thread may still be at it, whether or not anybody waits for it
            self._connection.close()

    def tell(self) -> None:
        """Wake the other processes."""
        wake(self._path.parent, but=self._path)

    def _listen(self) -> None:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.bind(_address(self._path))
        except OSError:  # a file system without sockets: looking is enough
            listening.close()
            return
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening, self._hear)

    def _hear(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass
        self._told()

    async def _look(self) -> None:
        seen = await asyncio.to_thread(self._commits)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = await asyncio.to_thread(self._commits)
            if now != seen:
                seen = now
                self._committed()

    def _commits(self) -> object:
        """Differs whenever another connection has committed; SQLite answers from shared memory."""
        with self._looking:
            return self._connection.pragma("data_version")


def wake(folder: Path, *, but: Path | None = None) -> None:
    """Tell all who listen in a home that something was committed. Never fails, never waits."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(PREFIX) and name.endswith(SUFFIX) and (but is None or name != but.name):
                _tell(folder / name)


def _tell(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling, contextlib.suppress(OSError):
        telling.setblocking(False)
        try:
            telling.sendto(b"w", _address(path))
        except ConnectionRefusedError:  # its process was killed
            path.unlink(missing_ok=True)


def _address(path: Path) -> str:
    """A socket's path, or a shorter one that leads to the same place."""
    return str(path) if len(os.fsencode(path)) <= PATH_BYTES else os.path.relpath(path)
