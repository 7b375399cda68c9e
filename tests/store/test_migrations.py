"""Schema changes: each script once, all or nothing, a backup before, newer databases refused."""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest

from crow_plugins.store import DatabaseNewer, MigrationFailed, StoreUnavailable
from tests.store.world import SCRIPT, open_store

SECOND = "ALTER TABLE things ADD COLUMN colour TEXT;"


def reopen(path: Path, *scripts: str) -> list[str]:
    """Open with these scripts; returns which have been applied by then, in their order."""
    world = open_store(path, scripts={"things": scripts})
    with world.store.read() as db:
        applied = db.execute_sql("SELECT owner || ' ' || version FROM migrations ORDER BY rowid").fetchall()
    world.store.close()
    return [name for (name,) in applied]


def backups(path: Path) -> list[Path]:
    return sorted((path.parent / "backups").glob("*"))


def test_each_script_is_applied_once(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    assert reopen(path, SCRIPT) == ["store 1", "things 1"]
    assert reopen(path, SCRIPT) == ["store 1", "things 1"]
    assert reopen(path, SCRIPT, SECOND) == ["store 1", "things 1", "things 2"]


def test_a_new_database_needs_no_backup_and_an_old_one_gets_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    reopen(path, SCRIPT)
    assert backups(path) == []
    reopen(path, SCRIPT, SECOND)
    (backup,) = backups(path)
    assert backup.stat().st_mode & 0o777 == 0o600
    with apsw.Connection(str(backup)) as copy:
        columns = [row[1] for row in copy.execute("PRAGMA table_info(things)")]
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()
    assert "text" in columns
    assert "colour" not in columns


def test_a_script_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    reopen(path, SCRIPT)
    with pytest.raises(MigrationFailed, match="migration 3 of things failed and was undone"):
        reopen(path, SCRIPT, SECOND, "CREATE TABLE broken (")
    assert reopen(path, SCRIPT) == ["store 1", "things 1"]
    assert reopen(path, SCRIPT, SECOND) == ["store 1", "things 1", "things 2"]


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    reopen(path, SCRIPT, SECOND)
    with pytest.raises(DatabaseNewer, match="upgrade crow-plugins"):
        reopen(path, SCRIPT)
    assert reopen(path, SCRIPT, SECOND) == ["store 1", "things 1", "things 2"]


def test_tables_of_a_plugin_that_is_gone_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    reopen(path, SCRIPT)
    world = open_store(path, scripts={}, synced=[])
    world.store.close()


@pytest.mark.parametrize("content", [b"this is not a database, but it is long enough to be looked at" * 20])
def test_a_file_that_is_no_database_is_one_clear_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "crow.db"
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="not a database"):
        reopen(path, SCRIPT)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        reopen(tmp_path / os.sep.join("ab") / "crow.db", SCRIPT)
