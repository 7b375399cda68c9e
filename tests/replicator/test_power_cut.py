"""Power cuts while an instance writes and takes in: rows, feeds, cursors, conflicts and clock agree afterwards."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crow_plugins.replicator.entry import read
from tests.replicator.chain import Machine, carry, introduce, machine, reopen
from tests.store.power import Disk, disk

SEED = int(os.environ.get("CROW_SEED", "20260131"))
CUTS = int(os.environ.get("CROW_CUTS", "300"))
WRITES = 120
ROWS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(12)]


@dataclass
class Cut:
    """A moment: the lamports that had been acknowledged, written or taken in, and what was on the disk."""

    acknowledged: set[int]
    files: dict[str, bytes]


def cuts(folder: Path, made: Disk) -> tuple[Machine, Machine, list[Cut]]:
    """An instance on this disk writes and takes in what another one writes of the same rows."""
    chance, found, acknowledged = random.Random(SEED), list[Cut](), set[int]()
    grackle, swan = machine(folder, "grackle", 1, vfs=made.name), machine(folder, "swan", 2)
    introduce(grackle, swan)
    writer = grackle.store._connections.writer
    with writer.connection_context():
        writer.execute_sql("PRAGMA wal_autocheckpoint = 60")  # so that cuts fall into checkpoints, too

    def before() -> None:
        if chance.random() < CUTS / (WRITES * 48):
            found.append(Cut(set(acknowledged), made.after_a_cut(chance)))

    made.before = before
    for number in range(WRITES):
        change = grackle.write(f"text {number}", chance.choice(ROWS))
        assert change is not None
        acknowledged.add(change.version.lamport)
        if number % 3 == 0:
            swan.write(f"beside {number}", chance.choice(ROWS))
        if number % 5 == 0:
            carry(swan, grackle)
            acknowledged |= {read(block).entry.version.lamport for block in grackle.blocks(swan)}
    made.before = lambda: None
    return grackle, swan, found


def wrong(one: Machine, swan: Machine, acknowledged: set[int]) -> Iterator[str]:
    if one.rows("PRAGMA integrity_check") != [("ok",)]:
        yield "the database is damaged"
    own, theirs = (_lamports(one.blocks(author)) for author in (None, swan))
    cursor = [length for (length,) in one.rows("SELECT last_seq FROM sync_state")]
    indexed = {lamport for (lamport,) in one.rows("SELECT lamport FROM feed_entries")}
    if acknowledged - indexed:
        yield f"lost: {acknowledged - indexed}"
    if indexed != {*own, *theirs[: int(str(cursor[0])) if cursor else 0]}:
        yield "the index, the feeds and the cursor do not agree"
    known = [json.loads(str(vv)) for (vv,) in one.rows("SELECT vv FROM row_versions")]
    if {lamport for vv in known for lamport in vv.values()} - indexed:
        yield "a row knows of a write that stands in no feed"
    lamports, mark = one.rows("SELECT lamport FROM clock"), one.rows("SELECT entered FROM clock")
    if lamports and lamports != mark:
        yield f"the clock is at {lamports}, and entries up to {mark}"
    recorded = {str(id) for (id,) in one.rows("SELECT id FROM sync_conflicts WHERE resolved = 0")}
    with one.store.transaction() as transaction:
        if recorded != {each.id for row_id in ROWS for each in transaction.open_conflicts("things", row_id)}:
            yield "the conflicts are not those of the versions"


def _lamports(blocks: list[bytes]) -> list[int]:
    return [read(block).entry.version.lamport for block in blocks]


def test_rows_feeds_cursors_and_conflicts_agree_after_a_power_cut(tmp_path: Path) -> None:
    with disk("cut-sync") as made:
        grackle, swan, found = cuts(tmp_path, made)
        grackle.store.close()
    assert len(found) >= CUTS // 2, f"seed {SEED}: only {len(found)} cuts"
    home = grackle.store.path.parent
    for number, cut in enumerate(found):
        for file in home.glob("crow.db*"):
            file.unlink()
        for name, content in cut.files.items():
            if not name.endswith("-shm"):
                (home / name).write_bytes(content)
        again = reopen(home, grackle.keyring)
        introduce(again, swan)
        assert list(wrong(again, swan, cut.acknowledged)) == [], f"seed {SEED}, cut {number}"
        carry(swan, again)
        assert again.write("life goes on", ROWS[0]) is not None
        again.store.close()
    print(f"seed {SEED}: {len(found)} cuts")
    swan.store.close()
