"""The write-ahead log is copied back in time: soon while rows are written one by one, later while many arrive."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from crow_plugins.store import connections
from tests.replicator.full_disk import Disk
from tests.store.world import World, open_store

FRAME = connections.PAGE_BYTES + 24


def log_pages(world: World) -> int:
    """How long the file is; it is written over and never gets shorter."""
    return world.store.path.with_name("crow.db-wal").stat().st_size // FRAME


def write_at_once(world: World, rows: int, start: int) -> None:
    with world.store.transaction() as transaction:
        for number in range(start, start + rows):
            values = (f"row {number:>8}", "x" * 900)
            transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, ?)", values)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in small."""
    monkeypatch.setattr(connections, "LOG_PAGES", 30)
    monkeypatch.setattr(connections, "LOG_PAGES_IN_BULK", 120)
    monkeypatch.setattr(connections, "BULK_PAGES", 12)


@pytest.mark.usefixtures("short")
def test_the_log_is_short_while_rows_come_one_by_one_and_long_while_many_come_at_once(tmp_path: Path) -> None:
    open_store(tmp_path / "crow.db").store.close()
    world = open_store(tmp_path / "crow.db")  # without what the migrations wrote to the log
    for number in range(100):
        world.write("x" * 900, f"row {number}")
    assert 30 <= log_pages(world) < 60
    for number in range(20):
        write_at_once(world, 100, number * 100)
    assert 120 <= log_pages(world) < 200
    assert world.rows("SELECT count(*) FROM things") == [(2100,)]
    world.store.close()


class NoRoomForPages(Disk):
    """While it is `full`, only the log can be written: the database file cannot."""

    def has_room(self, path: str | None) -> bool:
        return path is None or not path.endswith(".db") or super().has_room(path)


@pytest.mark.usefixtures("short")
def test_a_commit_stands_though_the_log_cannot_be_copied_back(tmp_path: Path) -> None:
    before = apsw.vfs_names()[0]
    disk = NoRoomForPages("no-room", before)
    apsw.set_default_vfs(before)
    world = open_store(tmp_path / "crow.db", vfs="no-room")
    disk.full = tmp_path
    for number in range(40):
        world.write("x" * 900, f"row {number}")
    assert disk.refused > 0
    pages = log_pages(world)
    disk.full = None
    for number in range(40, 80):
        world.write("x" * 900, f"row {number}")
    assert log_pages(world) < pages + 30  # it is copied back, and written over
    assert world.rows("SELECT count(*) FROM things") == [(80,)]
    world.store.close()
    disk.unregister()
