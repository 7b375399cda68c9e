"""Backups: taken while somebody writes, verified, put back, and refused where they are none."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories
from crow_plugins.store.backup import BackupExists, BackupUnusable, DatabaseInUse, back_up, restore, verify
from tests.gateway_process import crow, running_gateway
from tests.replicator.full_disk import small_disk


def contents(home: Path) -> list[str]:
    shown = crow(home, "export", "-")
    assert shown.returncode == 0, shown.stderr
    return sorted(json.loads(line)["content"] for line in shown.stdout.splitlines())


def remember(home: Path, *contents: str) -> None:
    for content in contents:
        assert crow(home, "remember", content).returncode == 0


def test_a_backup_put_back_holds_what_was_there_when_it_was_taken(home: Path, tmp_path: Path) -> None:
    remember(home, "before")
    made = crow(home, "backup", str(tmp_path / "one.db"), "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["bytes"] > 0
    assert (tmp_path / "one.db").stat().st_mode & 0o777 == 0o600
    remember(home, "after")
    put_back = crow(home, "restore", str(tmp_path / "one.db"), "--json")
    assert put_back.returncode == 0, put_back.stderr
    assert contents(home) == ["before"]
    kept = Path(json.loads(put_back.stdout)["kept"])
    assert crow(home, "restore", str(kept)).returncode == 0
    assert contents(home) == ["after", "before"]


@pytest.mark.parametrize("how", ["by the command", "by hand", "with the replicator off"])
def test_the_first_command_after_a_restore_gives_no_name_that_a_lost_write_had(
    home: Path, tmp_path: Path, how: str
) -> None:
    saved, database = tmp_path / "monday.db", home / "crow.db"
    with Host(home) as host:
        asyncio.run(serve_and_store(host, "monday"))
        back_up(database, saved)
        asyncio.run(serve_and_store(host, "tuesday"))
        names = writers(host)
    if how == "by hand":
        shutil.copy(saved, database)
        for left in home.glob("crow.db-*"):
            left.unlink()
    else:
        restore(database, saved, tmp_path / "aside.db")
    if how == "with the replicator off":
        (home / "plugin_manifest.toml").write_text('[[plugin]]\nname = "replicator"\nenabled = false\n')
    with Host(home) as host:  # as any command does
        Memories(host.hook.handle("memories")).store({"content": "friday"})
        assert len(writers(host) - names) == 1
        with host.read() as db:
            [waiting] = db.execute_sql("SELECT count(*) FROM outbox").fetchone()
        assert waiting == (how != "with the replicator off")


async def serve_and_store(host: Host, content: str) -> None:
    """As a gateway does, which seals what it wrote."""
    async with host.serving():
        await asyncio.to_thread(Memories(host.hook.handle("memories")).store, {"content": content})


def writers(host: Host) -> set[str]:
    """Instance and epoch of the versions of every row."""
    with host.read() as db:
        known = db.execute_sql("SELECT vv FROM row_versions").fetchall()
    return {name for (vv,) in known for name in json.loads(vv)}


def test_a_backup_taken_while_somebody_writes_is_whole(host: Host, home: Path, tmp_path: Path) -> None:
    memories, stop = Memories(host.hook.handle("memories")), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            memories.store({"content": f"number {number}"})
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            assert back_up(home / "crow.db", tmp_path / f"{number}.db") > 0
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        verify(tmp_path / f"{number}.db")


def test_a_file_that_exists_is_left_alone(host: Host, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(BackupExists, match="left alone"):
        back_up(home / "crow.db", tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == [home.name, "mine"]


def test_what_a_lost_machine_wrote_is_taken_out_of_its_backup_and_travels(
    make_home: Callable[[str], Path], tmp_path: Path
) -> None:
    lost, new, old, saved = make_home("lost"), make_home("new"), make_home("old"), tmp_path / "lost.db"
    with Host(lost) as host:
        memory = Memories(host.hook.handle("memories")).store({"content": "precious"})
        back_up(lost / "crow.db", saved)
        lost_id = host.instance.id
    refused = crow(new, "restore", str(saved))
    assert refused.returncode == 1
    assert f"made by another instance ({lost_id})" in refused.stderr
    assert crow(old, "restore", str(saved), "--of-another").returncode == 0
    assert crow(old, "export", str(tmp_path / "rows.jsonl")).returncode == 0
    assert crow(new, "import", str(tmp_path / "rows.jsonl")).returncode == 0
    with Host(new) as host, host.read() as db:
        assert [id for (id,) in db.execute_sql("SELECT id FROM memories")] == [memory.id]
        assert db.execute_sql("SELECT instance_id, length FROM feeds").fetchall() == [(host.instance.id, 1)]


def test_a_backup_that_finds_no_room_is_not_there_at_all(home: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    with small_disk("full-backup") as disk, Host(home):
        disk.full = there
        with pytest.raises(OSError, match="No space left"):
            back_up(home / "crow.db", there / "one.db")
    assert list(there.iterdir()) == []


def test_what_is_no_backup_is_refused_and_nothing_changes(home: Path, tmp_path: Path) -> None:
    remember(home, "still here")
    assert crow(home, "backup", str(tmp_path / "good.db")).returncode == 0
    damaged = tmp_path / "damaged.db"
    content = bytearray((tmp_path / "good.db").read_bytes())
    content[8192:12288] = b"\xa5" * 4096
    damaged.write_bytes(content)
    (tmp_path / "text").write_text("hello" * 1000)
    (tmp_path / "empty").write_bytes(b"")
    shutil.copy(tmp_path / "good.db", tmp_path / "another release.db")
    older = apsw.Connection(str(tmp_path / "another release.db"))
    older.execute("ALTER TABLE clock RENAME COLUMN instance_id TO made_by")
    older.close()
    for name in ("damaged.db", "text", "empty", "absent", "another release.db"):
        refused = crow(home, "restore", str(tmp_path / name))
        assert (refused.returncode, "nothing was changed" in refused.stderr) == (1, True), name
    assert contents(home) == ["still here"]


def test_restore_refuses_while_the_gateway_runs(home: Path, tmp_path: Path) -> None:
    assert crow(home, "backup", str(tmp_path / "one.db")).returncode == 0
    with running_gateway(home) as gateway:
        refused = crow(home, "restore", str(tmp_path / "one.db"))
        pid = gateway.process.pid
    assert refused.returncode == 1
    assert f"process {pid} runs the gateway of {home} already; stop it with Ctrl-C" in refused.stderr
    assert refused.stderr.endswith(f", or: kill {pid}; then restore again\n")


def test_restore_refuses_while_any_process_has_the_database_open(
    home: Path, open_host: Callable[..., Host], tmp_path: Path
) -> None:
    host = open_host(home)
    Memories(host.hook.handle("memories")).store({"content": "open"})
    back_up(home / "crow.db", tmp_path / "one.db")
    with pytest.raises(DatabaseInUse, match="is in use"):
        restore(home / "crow.db", tmp_path / "one.db", tmp_path / "aside.db")
    assert not (tmp_path / "aside.db").exists()


def test_a_database_of_something_else_is_not_put_back(tmp_path: Path) -> None:
    apsw.Connection(str(tmp_path / "other.db")).execute("CREATE TABLE x (y)")
    with pytest.raises(BackupUnusable, match="something else"):
        verify(tmp_path / "other.db")
