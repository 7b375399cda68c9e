"""A disk that loses what was not synced: an SQLite file system that knows what a cut at any moment could leave.

Every write goes to the real file, so that the run goes on; beside it stands the durable image of each file and the
writes since its last sync. At a cut, each sector of those writes has come through or not, by chance.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512


@dataclass
class Image:
    """One file: what is surely there, and what was written since."""

    durable: bytes = b""
    current: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        _put(self.current, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        del self.current[size:]
        self.pending.append((size, b""))

    def sync(self) -> None:
        self.durable = bytes(self.current)
        self.pending.clear()

    def after_a_cut(self, chance: random.Random) -> bytes:
        left = bytearray(self.durable)
        for offset, data in self.pending:
            if not data:
                if chance.random() < 0.5:
                    del left[offset:]
                continue
            for start in range(0, len(data), SECTOR):
                if chance.random() < 0.5:
                    _put(left, offset + start, data[start : start + SECTOR])
        return bytes(left)


class Disk(apsw.VFS):
    """Counts what is done to it; `before` is called before each write and each sync."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.images: dict[str, Image] = {}
        self.before: Callable[[], None] = lambda: None
        super().__init__(name, base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # SQLite's spelling
        shown = name.filename() if isinstance(name, apsw.URIFilename) else name
        return File(self, name, shown, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.images.pop(filename, None)

    def after_a_cut(self, chance: random.Random) -> dict[str, bytes]:
        """What could be on the disk: file names without their folder, and contents."""
        return {Path(name).name: image.after_a_cut(chance) for name, image in self.images.items()}


class File(apsw.VFSFile):
    """A file of the disk; temporary ones, which have no name, are not remembered."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, shown: str | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._image = disk.images.setdefault(shown, Image()) if shown else Image()

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.before()
        super().xWrite(data, offset)
        self._image.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.before()
        super().xTruncate(size)
        self._image.truncate(size)

    def xSync(self, flags: int) -> None:
        self._disk.before()
        super().xSync(flags)
        self._image.sync()


@contextmanager
def disk(name: str) -> Iterator[Disk]:
    """A disk, registered with SQLite under this name."""
    made = Disk(name)
    try:
        yield made
    finally:
        made.unregister()


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
