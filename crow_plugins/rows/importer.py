"""Files of other programs, for `crow import FILE --format NAME`: read only, with a dry run, reported one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crow_hooks import Format, Skipped


@dataclass(frozen=True, slots=True)
class Importer(Format):
    """A format of no kind of its own: `take(path, dry_run)` yields what became of each item of a file or folder.

    The positions of what is skipped count the items from 1; `item` says what they are, in one word.
    """

    take: Callable[[Path, bool], Iterator[Skipped | None]]
    item: str

    @classmethod
    def of(cls, name: str, item: str, take: Callable[[Path, bool], Iterator[Skipped | None]]) -> Importer:
        return cls(name, (), lambda: iter(()), lambda records, dry_run: iter(()), take, item)

    @classmethod
    def later(cls, name: str, item: str, made: Callable[[], Importer]) -> Importer:
        """The same, made when a file is read: what reads other programs' files takes a while to import."""
        return cls.of(name, item, lambda path, dry_run: made().take(path, dry_run))
