"""The seal: what this instance has told others of its feed, in a small file beside the database.

A database that came back from a backup looks just like one that never went on, and appending to its feed would make
two feeds of one. So what is announced is sealed first: the seal stands outside the database, is kept out of backups,
and names its own inode, which no copy of a folder keeps. Where a whole
machine was put back, only the peers can tell.

To put a seal on the disk takes longer than all the rest of telling. So it is written twice: at once into a second
file that is only handed to the system, and what is there outlives a process that is killed; and on the disk a moment
later. A power cut may take the first, and leaves a seal that is some moments old: it doubts every database that is
older than that, and no other.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crow_plugins.feed import Head
from crow_plugins.files import FileMissing, overwrite_private, read_private, write_private_with_inode

NAME = "feed.seal"
NOW_NAME = "feed.seal.now"
NOW_BYTES = 512  # no more than one sector: there as a whole or not at all


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
        self.path, self.now_path = folder / NAME, folder / NOW_NAME

    def write(self, store_id: str, head: Head, boot_id: str) -> None:
        """Seal a head, on the disk when this returns. Raises `FileFault`."""
        write_private_with_inode(self.path, lambda inode: _written(_seal(store_id, head, boot_id, inode)))

    def write_for_now(self, store_id: str, head: Head, boot_id: str) -> None:
        """The same for as long as the machine is up, beside a seal that is on the disk already. Raises `FileFault`."""
        overwrite_private(self.now_path, _written(_seal(store_id, head, boot_id, 0)).ljust(NOW_BYTES))

    def read(self) -> Seal | None:
        """None where there is none, or none that can be read: both are reason enough to doubt the database."""
        seal, now = _read(self.path), _read(self.now_path)
        if seal is None or now is None or now.store_id != seal.store_id:
            return seal
        return replace(now, inode=seal.inode) if (now.fork, now.length) > (seal.fork, seal.length) else seal

    def is_a_copy(self, seal: Seal) -> bool:
        return self.path.stat().st_ino != seal.inode


def _seal(store_id: str, head: Head, boot_id: str, inode: int) -> Seal:
    return Seal(store_id, head.fork, head.length, head.tree_hash.hex(), boot_id, inode)


def _written(seal: Seal) -> bytes:
    return json.dumps(asdict(seal)).encode() + b"\n"


def _read(path: Path) -> Seal | None:
    try:
        return Seal(**json.loads(read_private(path)))
    except (FileMissing, ValueError, TypeError):
        return None


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
