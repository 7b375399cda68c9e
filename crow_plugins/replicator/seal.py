"""The seal: what this instance has told others of its feed, in a small file beside the database.

A database that came back from a backup looks just like one that never went on, and appending to its feed would make
two feeds of one. So what is announced is sealed first: the seal stands outside the database, is kept out of backups,
and names its own inode, which no copy of a folder keeps. Where a whole
machine was put back, only the peers can tell.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from crow_plugins.feed import Head
from crow_plugins.files import FileMissing, read_private, write_private_with_inode

NAME = "feed.seal"


@dataclass(frozen=True, slots=True)
class Seal:
    """The head that was announced last; hashes and ids in hex."""

    store_id: str
    fork: int
    length: int
    tree_hash: str
    boot_id: str
    inode: int


class SealFile:
    """The seal of one home."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def write(self, store_id: str, head: Head, boot_id: str) -> None:
        """Seal a head, before anybody is told of it. Raises `FileFault`."""

        def content(inode: int) -> bytes:
            seal = Seal(store_id, head.fork, head.length, head.tree_hash.hex(), boot_id, inode)
            return json.dumps(asdict(seal)).encode() + b"\n"

        write_private_with_inode(self.path, content)

    def read(self) -> Seal | None:
        """None where there is none, or none that can be read: both are reason enough to doubt the database."""
        try:
            return Seal(**json.loads(read_private(self.path)))
        except (FileMissing, ValueError, TypeError):
            return None

    def is_a_copy(self, seal: Seal) -> bool:
        return self.path.stat().st_ino != seal.inode


def doubt(seal: Seal | None, is_a_copy: bool, store_id: str, head: Head, tree_hash_at: bytes | None) -> str | None:
    """Why a feed may be older than what its peers have; None if it cannot.

    `tree_hash_at` is the tree of the database's feed at the sealed length, None where it is not that long.
    """
    if seal is None:
        return "there is no seal beside the database" if head.length else None
    if seal.store_id != store_id:
        return "the database is another one than was sealed"
    if is_a_copy:
        return "the home was copied or restored"
    if tree_hash_at is None or head.fork < seal.fork:
        return "the database is older than what was announced"
    if head.fork == seal.fork and tree_hash_at.hex() != seal.tree_hash:
        return "the feed is another one than was announced"
    return None
