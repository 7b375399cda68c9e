"""A right that one process of a home has at a time; the kernel takes it back however that process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Lease:
    """One such right, named by a file: taken when free, kept until the process ends or lets go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def held(self) -> bool:
        """Whether it is ours, taking it if nobody has it."""
        if self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
