"""A disk without room: SQLite's own file system, but for writes below a folder that is said to be full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw


class Disk(apsw.VFS):
    """`full` is the folder on which nothing can be written now."""

    full: Path | None

    def __init__(self, name: str, base: str) -> None:
        self.base, self.full = base, None
        self.refused = 0
        super().__init__(name, base=base, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # SQLite's spelling
        shown = name.filename() if isinstance(name, apsw.URIFilename) else name
        return File(self, name, shown, flags)

    def has_room(self, path: str | None) -> bool:
        if path is None or self.full is None or self.full not in Path(path).parents:
            return True
        self.refused += 1
        return False


class File(apsw.VFSFile):
    """A file of the disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, shown: str | None, flags: list[int]) -> None:
        super().__init__(disk.base, name, flags)
        self._disk, self._path = disk, shown

    def xWrite(self, data: bytes, offset: int) -> None:
        if not self._disk.has_room(self._path):
            raise apsw.FullError("database or disk is full")
        super().xWrite(data, offset)


@contextmanager
def small_disk(name: str) -> Iterator[Disk]:
    """For all databases that are opened within; others go on as they were."""
    before = apsw.vfs_names()[0]
    made = Disk(name, before)
    try:
        yield made
    finally:
        apsw.set_default_vfs(before)
        made.unregister()
