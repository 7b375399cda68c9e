"""Several processes and threads on one file: every write is there, and no two share a lamport."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from tests.store.world import open_store

WRITERS, WRITES = 4, 500

WRITER = """
import sys, uuid
from pathlib import Path
from tests.store.world import open_store
world = open_store(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    world.write(f"{sys.argv[2]} wrote {number}", str(uuid.uuid4()))
world.store.close()
"""


def start(path: Path, name: str, writes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(writes)], cwd=Path(__file__).parents[2])


def test_four_processes_write_two_thousand_rows(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    processes = [start(path, f"writer {number}", WRITES) for number in range(WRITERS)]
    assert [process.wait(timeout=240) for process in processes] == [0] * WRITERS
    world = open_store(path)
    lamports = [lamport for (lamport,) in world.rows("SELECT lamport_ts FROM things ORDER BY lamport_ts")]
    assert lamports == list(range(1, WRITERS * WRITES + 1))
    assert world.rows("PRAGMA integrity_check") == [("ok",)]
    world.store.close()


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    world = open_store(tmp_path / "crow.db")
    threads = [
        threading.Thread(target=lambda name=name: [world.write(str(i), f"{name}-{i}") for i in range(50)])
        for name in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.rows("SELECT count(DISTINCT lamport_ts), max(lamport_ts) FROM things") == [(400, 400)]
    world.store.close()


def test_a_writer_killed_at_any_moment_leaves_rows_and_versions_agreeing(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    open_store(path).store.close()
    for kill in range(8):
        process = start(path, f"victim {kill}", 1_000_000)
        watch = open_store(path)
        before = watch.rows("SELECT count(*) FROM things")[0][0]
        while watch.rows("SELECT count(*) FROM things")[0][0] == before and process.poll() is None:
            pass
        process.kill()
        process.wait()
        assert watch.rows(
            "SELECT count(*) FROM things LEFT JOIN row_versions ON row_id = id AND table_name = 'things' "
            "WHERE vv IS NULL"
        ) == [(0,)]
        assert watch.rows("SELECT max(lamport_ts) FROM things") == watch.rows("SELECT lamport FROM clock")
        watch.store.close()
