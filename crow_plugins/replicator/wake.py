"""Hearing of writes that other processes of the home committed.

A process that serves listens on a socket of its own, `wake-….sock` in the home; who has committed something sends a
datagram to each of them but its own. What was written is not said: whoever is woken looks. A datagram may be lost, so
nobody relies on it: see `InstanceSyncManager._is_to_tend`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PREFIX, SUFFIX = "wake-", ".sock"
SETTLED_NANOSECONDS = 1_100_000_000  # above a tick of the clock of any file system that has sockets
PATH_BYTES = 100  # what fits into a socket's address on every system


class Wake:
    """Calls `told` on the event loop whenever somebody says that entries were written, from `start` to `stop`."""

    def __init__(self, folder: Path, *, told: Callable[[], None]) -> None:
        self._path, self._told = folder / f"{PREFIX}{secrets.token_hex(4)}{SUFFIX}", told
        self._others = Listeners(folder, but=self._path.name)
        self._socket: socket.socket | None = None

    def start(self) -> None:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.bind(_address(self._path))
        except OSError:  # a file system without sockets: looking is enough
            listening.close()
            return
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening, self._hear)

    def stop(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def tell(self) -> None:
        """Wake the other processes."""
        self._others.tell()

    def _hear(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass
        self._told()


class Listeners:
    """Who listens in a home, but for one; looked up again when its folder has changed."""

    def __init__(self, folder: Path, *, but: str = "") -> None:
        self._folder, self._but = folder, but
        self._names: Sequence[str] = ()
        self._as_of = 0  # when the folder had changed last as these were read; 0: they are to be read again

    def tell(self) -> None:
        """Tell all of them that something was committed. Never fails, never waits."""
        with contextlib.suppress(OSError):
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._as_of:
                self._names = [name for name in os.listdir(self._folder) if self._is_one(name)]
                # What has just changed may do so once more within one tick of the file system's clock.
                self._as_of = changed if time.time_ns() - changed > SETTLED_NANOSECONDS else 0
            for name in self._names:
                _tell(self._folder / name)

    def _is_one(self, name: str) -> bool:
        return name.startswith(PREFIX) and name.endswith(SUFFIX) and name != self._but


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
