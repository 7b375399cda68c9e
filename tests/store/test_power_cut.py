"""Power cuts: whatever was acknowledged is there afterwards, whole, and the database goes on."""

from __future__ import annotations

import os
import random
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.store.power import Disk, disk
from tests.store.world import open_store

SEED = int(os.environ.get("CROW_SEED", "20260131"))
CUTS = int(os.environ.get("CROW_CUTS", "300"))
WRITES = 150


@dataclass
class Cut:
    """A moment: which rows had been acknowledged, and what was on the disk."""

    acknowledged: list[str]
    files: dict[str, bytes]


def cuts(path: Path, made: Disk, *, synchronous: str = "FULL") -> list[Cut]:
    """Write rows one by one, some of them twice, and cut at random before a write or sync of the disk."""
    chance = random.Random(SEED)
    world = open_store(path, vfs=made.name)
    writer = world.store._connections.writer
    with writer.connection_context():
        writer.execute_sql(f"PRAGMA synchronous = {synchronous}")
        writer.execute_sql("PRAGMA wal_autocheckpoint = 40")  # so that cuts fall into checkpoints, too
    found: list[Cut] = []
    acknowledged: list[str] = []
    operations = 0

    def before() -> None:
        nonlocal operations
        operations += 1
        if chance.random() < CUTS / (WRITES * 15):
            found.append(Cut(list(acknowledged), made.after_a_cut(chance)))

    made.before = before
    for number in range(WRITES):
        row_id = str(uuid.UUID(int=chance.getrandbits(128)))
        world.write(f"row {number} " + "x" * chance.randrange(800), row_id)
        acknowledged.append(row_id)
        if number % 3 == 0:
            world.write(f"again {number}", row_id)
    world.store.close()
    return found


def lost(folder: Path, cut: Cut) -> set[str]:
    """Put the files back, open them, and say which acknowledged rows are not there."""
    folder.mkdir()
    for name, content in cut.files.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(content)
    world = open_store(folder / "crow.db")
    try:
        assert world.rows("PRAGMA integrity_check") == [("ok",)]
        assert world.rows("SELECT count(*) FROM things LEFT JOIN row_versions ON row_id = id WHERE vv IS NULL") == [
            (0,)
        ]
        assert world.rows("SELECT coalesce(max(lamport_ts), 0) FROM things") == (
            world.rows("SELECT lamport FROM clock") or [(0,)]
        )
        rows = {str(row_id) for (row_id,) in world.rows("SELECT id FROM things")}
        assert world.write("life goes on", str(uuid.uuid4())) is not None
    finally:
        world.store.close()
    return set(cut.acknowledged) - rows


def test_nothing_acknowledged_is_lost_by_a_power_cut(tmp_path: Path) -> None:
    with disk("cut-full") as made:
        found = cuts(tmp_path / "crow.db", made)
    assert len(found) >= CUTS // 2, f"seed {SEED}: only {len(found)} cuts"
    for number, cut in enumerate(found):
        assert lost(tmp_path / str(number), cut) == set(), f"seed {SEED}, cut {number}"


@pytest.mark.parametrize("synchronous", ["NORMAL"])
def test_with_less_than_full_syncing_the_same_cuts_lose_writes(tmp_path: Path, synchronous: str) -> None:
    """The control: a disk that loses nothing would prove nothing."""
    with disk("cut-normal") as made:
        found = cuts(tmp_path / "crow.db", made, synchronous=synchronous)
    losses = [number for number, cut in enumerate(found) if lost(tmp_path / str(number), cut)]
    assert losses, f"seed {SEED}"
